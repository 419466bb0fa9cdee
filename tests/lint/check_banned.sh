#!/bin/sh
# Calls that our code does not make, with the few files where each is right in banned.allow.
. "$(dirname "$0")/lint.sh"

# shellcheck disable=SC2046
awk -f "$lint_dir/strip.awk" $(sources c h def) /dev/null >"$scratch/code"
allowed banned.allow >"$scratch/allow"

# ban RULE WHY CODE-PATTERN FILES-IT-IS-RIGHT-IN
ban() {
    awk -v rule="$1" -v pattern="$3" -v right="$4" '
        FILENAME ~ /allow$/ { if ($1 == rule) excused[$2] = 1; next }
        {
            file = $0; sub(/:.*/, "", file)
            code = $0; sub(/^[^:]*:[^:]*:/, "", code)
            if (code ~ pattern && file !~ right && !(file in excused)) print
        }' "$scratch/allow" "$scratch/code" >"$scratch/found"
    report "$1: $2" "$scratch/found"
}

# The command line and examples use the public SDK and libc alone, so they have memory and clocks of their own.
call='(^|[^A-Za-z0-9_.>])'
none='^$'
ban unbounded 'strings are copied and printed with their bounds' \
    "$call(strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok)[ ]*\\(" "$none"
ban parse 'numbers are parsed by functions that report errors' \
    "$call(atoi|atol|atoll|atof)[ ]*\\(" "$none"
ban clock 'clocks are read in base/clock' \
    "$call(time|gettimeofday|clock_gettime)[ ]*\\(" '^base/clock\.c$|^sdk-c/cli/'
ban loop-clock 'the clock of a loop is read where the loop is' \
    "$call(uv_now|uv_hrtime|uv_update_time)[ ]*\\(" '_uv\.c$|^tests/'
ban random 'randomness comes from base/random' "$call(rand|srand|random|srandom|drand48)[ ]*\\(" "$none"
ban alloc 'memory comes from base/mem' \
    "$call(malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|vasprintf)[ ]*\\(" \
    '^base/mem\.c$|^tests/|^sdk-c/cli/|^examples/'
# A disk that lied once is not asked again: an I/O error ends the node from within storage.
disk_error='^storage/(wal|engine|disk|checkpoint)[^/]*[.]c$'
ban exit 'only main programs, failed invariants and disks end the process' \
    "$call(abort|exit|_exit|_Exit|quick_exit)[ ]*\\(" \
    '^base/(invariant|mem)[.]c$|main[.]c$|^sdk-c/cli/|^actor/(isolate|launcher|sandbox)/|^tests/|^examples/|'"$disk_error"
ban assert 'PRE, POST and INVARIANT stay on; assert does not' "$call(assert)[ ]*\\(|NDEBUG" "$none"
ban sleep 'nothing waits for time to pass, but the blocking client between its attempts' \
    "$call(sleep|usleep|nanosleep|uv_sleep|clock_nanosleep)[ ]*\\(" '^sdk-c/'
ban print 'only programs print' "$call(printf|puts|putchar|perror|vprintf)[ ]*\\(|[^A-Za-z_]stderr[^A-Za-z_]" \
    '^base/(invariant|mem|log)[.]c$|^node/|^actor/([a-z]*/main[.]c$|isolate/|launcher/filter_make[.]c$)|^sdk-c/cli/|^tests/|^examples/|'"$disk_error"

# A state has one door: a function that ends in _move, or the file whose struct has the member.
awk '
    { file = $0; sub(/:.*/, "", file); code = $0; sub(/^[^:]*:[^:]*:/, "", code) }
    file ~ /^tests\// || file !~ /\.c$/ { next }
    code ~ /^[A-Za-z_].*\(/ { name = code; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    code ~ /(->|[A-Za-z0-9_\])]\.)state = / && name !~ /_move$/ { print }' "$scratch/code" |
    while IFS= read -r found; do
        file=${found%%:*}
        own=${file%.c}.h
        # shellcheck disable=SC2046
        grep -qE '[ *]state;' "$file" $([ -f "$own" ] && echo "$own") || printf '%s\n' "$found"
    done >"$scratch/doors"
report 'door: nobody assigns the state of a struct that is not its own' "$scratch/doors"

grep -nE '(^|[^A-Za-z])(TODO|FIXME|XXX|HACK)([^A-Za-z]|$)' $(sources c h def) /dev/null >"$scratch/marks" || true
report 'marks: no unfinished work is marked in the code' "$scratch/marks"

# An excuse that excuses nothing is removed.
while read -r rule file rest; do
    [ -f "$file" ] || echo "banned.allow: $rule $file: there is no such file"
    [ -n "$rest" ] || echo "banned.allow: $rule $file: no reason is given"
done <"$scratch/allow" >"$scratch/stale"
report 'excuses: each names a file and a reason' "$scratch/stale"
lint_end
