#!/bin/sh
# The tests of the prelude, by node, as TAP. A tarball has the bundle and none of the packages that make it:
# there is nothing to test in one.
set -eu

root=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
if [ ! -d "$root/actor/isolate/prelude/node_modules" ]; then
    echo '1..0 # SKIP the packages of the prelude are not installed'
    exit 0
fi
cd "$root"
exec node --test --test-reporter=tap tests/prelude/*.test.js
