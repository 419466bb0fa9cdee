# What the lint scripts share: TAP, and the list of the project's own sources.
# A script sources this file, calls `report NAME FILE` for each rule, and ends with `lint_end`.
set -eu

lint_dir=$(cd "$(dirname "$0")" && pwd)
top_srcdir=${top_srcdir:-$(cd "$lint_dir/../.." && pwd)}
top_builddir=${top_builddir:-$top_srcdir/build}
cd "$top_srcdir"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/lint.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM
lint_count=0
lint_failed=0

# One test: passes where FILE (what was found wrong, a line each) is empty.
report() {
    lint_count=$((lint_count + 1))
    if [ -s "$2" ]; then
        lint_failed=$((lint_failed + 1))
        echo "not ok $lint_count - $1"
        sed 's/^/#   /' "$2"
    else
        echo "ok $lint_count - $1"
    fi
}

skip() {
    lint_count=$((lint_count + 1))
    echo "ok $lint_count - $1 # SKIP $2"
}

lint_end() {
    echo "1..$lint_count"
    [ $lint_failed -eq 0 ]
}

# Our C files, committed or not. Suffixes are given without the dot.
sources() {
    for suffix in "$@"; do
        find base storage rpc actor node sdk-c tests examples -name "*.$suffix" -type f 2>/dev/null || true
    done | sort
}

# All text of our own that a commit or a tarball holds; a tarball has generated files as well.
tracked_files() {
    if git -c safe.directory='*' rev-parse --show-prefix 2>/dev/null | grep -qx ''; then
        git -c safe.directory='*' ls-files
    else
        find . -type f | sed 's|^\./||' |
            grep -vE '^(_build|_inst|build|build-[a-z]*|data|autom4te\.cache)/|^(configure|aclocal\.m4|config\.h\.in|Makefile\.in)$|^deploy/man/[^/]*\.[1-9]$' ||
            true
    fi
}

# Lines "file:rule-pattern reason" of an allow-list, without comments; empty where there is none.
allowed() {
    [ -f "$lint_dir/$1" ] && grep -v -e '^#' -e '^[[:space:]]*$' "$lint_dir/$1" || true
}
