#!/bin/sh
# The bundle of the prelude is made again whenever one of its sources changes, and a tarball has them all:
# the list in its module.am is the folder.
. "$(dirname "$0")/lint.sh"

folder=actor/isolate/prelude
find $folder -name node_modules -prune -o -name '*.js' -print | sort >"$scratch/there"
sed -nE "s|^[[:space:]]+($folder/.*\\.js) .*|\\1|p" $folder/module.am | sort >"$scratch/listed"
comm -23 "$scratch/there" "$scratch/listed" | sed "s|\$|: is not in $folder/module.am|" >"$scratch/unlisted"
report 'each source of the prelude is in its list' "$scratch/unlisted"
comm -13 "$scratch/there" "$scratch/listed" | sed 's|$|: there is no such file|' >"$scratch/stale"
report 'each file of its list is there' "$scratch/stale"
grep -n '"resolved"' $folder/package-lock.json tests/differential/package-lock.json >"$scratch/hosts" || true
report 'lock files name no host' "$scratch/hosts"
lint_end
