#!/bin/sh
# docs/api.md and tests/contract.list belong together: contract.py says how.
. "$(dirname "$0")/lint.sh"

if ! command -v python3 >/dev/null 2>&1; then
    skip 'the contract is held together' 'python3 is not here'
    lint_end
else
    export top_srcdir
    python3 "$lint_dir/contract.py" check
fi
