#!/bin/sh
# Functions of at most 70 lines, files of at most 600, with the excused ones in sizes.allow. Tests hold
# tables and many small cases: a function of theirs has at most 100 lines, a file 1000.
. "$(dirname "$0")/lint.sh"

allowed sizes.allow >"$scratch/allow"

# clang-format puts the braces of a function, and only those, at the start of a line.
# shellcheck disable=SC2046
awk '
    FNR == 1 { inside = 0 }
    /^[A-Za-z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
    /^\{/ { inside = 1; start = FNR }
    /^\}/ {
        if (inside && FNR - start + 1 > (FILENAME ~ /^tests\// ? 100 : 70)) print FILENAME, name, FNR - start + 1
        inside = 0
    }' $(sources c) /dev/null >"$scratch/functions"
# shellcheck disable=SC2046
wc -l $(sources c h def) /dev/null | awk '$2 != "total" && $1 > ($2 ~ /^tests\// ? 1000 : 600) { print $2, "file", $1 }' >"$scratch/files"

unexcused() {
    awk 'FILENAME ~ /allow$/ { excused[$1 " " $2] = 1; next }
        !(($1 " " $2) in excused) { print $1 ": " $2 " has " $3 " lines" }' "$scratch/allow" "$1"
}
unexcused "$scratch/functions" >"$scratch/long_functions"
report 'functions have at most 70 lines, in tests 100' "$scratch/long_functions"
unexcused "$scratch/files" >"$scratch/long_files"
report 'files have at most 600 lines, in tests 1000' "$scratch/long_files"

awk 'FILENAME !~ /allow$/ { long[$1 " " $2] = 1; next }
    !(($1 " " $2) in long) { print "sizes.allow: " $1 " " $2 " needs no excuse" }
    NF < 3 { print "sizes.allow: " $1 " " $2 ": no reason is given" }' \
    "$scratch/functions" "$scratch/files" "$scratch/allow" >"$scratch/stale"
report 'each excuse is needed and has its reason' "$scratch/stale"
lint_end
