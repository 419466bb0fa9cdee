#!/bin/sh
# The sources are as clang-format leaves them. Releases of it differ, so 14 alone decides.
. "$(dirname "$0")/lint.sh"

name='sources are formatted'
formatter=
for candidate in clang-format-14 clang-format; do
    if command -v $candidate >/dev/null 2>&1 && $candidate --version | grep -q 'version 14\.'; then
        formatter=$candidate
        break
    fi
done
if [ -z "$formatter" ]; then
    skip "$name" 'clang-format 14 is not here'
else
    # shellcheck disable=SC2046
    $formatter --dry-run $(sources c h) 2>&1 | grep -E 'warning|error' | cut -d: -f1 |
        sort | uniq -c | awk '{ print $2 ": " $1 " places; make format" }' >"$scratch/bad" || true
    report "$name" "$scratch/bad"
fi
lint_end
