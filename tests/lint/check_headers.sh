#!/bin/sh
# Each header compiles alone.
. "$(dirname "$0")/lint.sh"

compiler=${LINT_CC:-cc}
flags=${LINT_CFLAGS:--std=c11 -D_GNU_SOURCE -I$top_srcdir}
cd "$top_builddir" 2>/dev/null || cd "$top_srcdir"

for header in $(cd "$top_srcdir" && sources h); do
    echo "#include \"$header\"" >"$scratch/header.c"
    # shellcheck disable=SC2086 -- a list of flags
    if ! $compiler $flags -fsyntax-only "$scratch/header.c" >"$scratch/out" 2>&1; then
        echo "$header:"
        head -n 5 "$scratch/out"
    fi
done >"$scratch/bad"
report 'each header compiles alone' "$scratch/bad"

cd "$top_srcdir"
for header in $(sources h); do
    guard=$(printf '%s' "$header" | tr 'a-z./-' 'A-Z___')
    [ "$header" != sdk-c/dormouse.h ] || guard=DORMOUSE_H # installed under that name alone
    grep -qE "^#ifndef $guard\$" "$header" || echo "$header: no include guard $guard"
done >"$scratch/guards"
report 'each header is guarded by its own path' "$scratch/guards"
lint_end
