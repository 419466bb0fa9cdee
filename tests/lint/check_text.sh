#!/bin/sh
# Tracked text is clean: no paths of one machine, no hosts of package registries, no stray bytes.
. "$(dirname "$0")/lint.sh"

tracked_files | grep -vE '(^|/)corpus/|\.(png|gz|xz|bin|der|p12)$|(^|/)package-lock\.json$' |
    while IFS= read -r file; do [ -f "$file" ] && printf '%s\n' "$file"; done >"$scratch/files"
search() { # pattern, printed as file:line:text
    xargs -d '\n' grep -nIE "$1" /dev/null <"$scratch/files" || true
}

# The brackets keep these patterns from finding themselves.
search '(^|[^A-Za-z0-9_.])/(wor[k]|far[m]|hom[e]/[a-z]|roo[t]/[a-z.])(/|[^A-Za-z])|\.librar[y]/|far[m]-' >"$scratch/paths"
report 'no path of a particular machine' "$scratch/paths"
search 'registry\.npm[j]s|registry\.yarn[p]kg|files\.python[h]osted|proxy\.golan[g]|static\.crate[s]\.io|deb\.debia[n]\.org|snapshot\.debia[n]' >"$scratch/hosts"
report 'no host of a package registry' "$scratch/hosts"
search '[C]o-[Aa]uthored-[Bb]y|[G]enerated (with|by) ' >"$scratch/trailers"
report 'no trailers' "$scratch/trailers"
search '[[:space:]]+$' | cut -c1-160 >"$scratch/trailing"
report 'no space at the end of a line' "$scratch/trailing"
while IFS= read -r file; do
    [ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || echo "$file: no newline at the end"
done <"$scratch/files" >"$scratch/last"
report 'every file ends with a newline' "$scratch/last"
lint_end
