#!/bin/sh
# Every place that writes to the disk (a row of storage/disk.def) has its row in the fault test, and
# no code writes around the table.
. "$(dirname "$0")/lint.sh"

name='every write site has a row in the disk fault test'
if [ ! -f storage/disk.def ] || [ -z "$(find tests -name '*fault*' -type f 2>/dev/null)" ]; then
    skip "$name" 'storage/disk.def or a test with fault in its name is not there yet'
else
    sites=$(sed -nE 's/^[[:space:]]*[A-Z_]+\([[:space:]]*([A-Z][A-Z0-9_]*).*/\1/p' storage/disk.def)
    tests=$(grep -lE 'disk\.def|DISK_' $(find tests -name '*fault*' -type f) /dev/null || true)
    for site in $sites; do
        # shellcheck disable=SC2086
        grep -qwE "(DISK_|disk_)?$site|$(printf '%s' "$site" | tr 'A-Z' 'a-z')" $tests /dev/null ||
            echo "storage/disk.def: $site stands in no fault test"
    done >"$scratch/sites"
    [ -n "$sites" ] || echo 'storage/disk.def: no rows found' >>"$scratch/sites"
    report "$name" "$scratch/sites"
fi

# System calls that change a disk stay behind the table's own file.
# shellcheck disable=SC2046
awk -f "$lint_dir/strip.awk" $(find storage -name '*.c' 2>/dev/null | sort) /dev/null |
    grep -E '(^|[^A-Za-z0-9_.>])(write|writev|pwrite|pwritev|pwritev2|fsync|fdatasync|fallocate|posix_fallocate|truncate|ftruncate|creat|mkstemp|mkdir|mkdirat|rmdir|rename|renameat|renameat2|link|linkat|symlink|unlink|unlinkat|remove|copy_file_range|sendfile|sync_file_range|syncfs)[ ]*\(|[^A-Za-z0-9_]O_(CREAT|TRUNC|WRONLY|TMPFILE)[^A-Za-z0-9_]' |
    grep -vE '^storage/disk[^/]*\.c:' >"$scratch/calls" || true
allowed disk_sites.allow >"$scratch/allow"
awk -F '[: ]' 'FILENAME ~ /allow$/ { excused[$1] = 1; next } !($1 in excused)' \
    "$scratch/allow" "$scratch/calls" >"$scratch/around"
if [ -f storage/disk.def ]; then
    report 'storage writes to the disk through storage/disk alone' "$scratch/around"
fi
lint_end
