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
grep -nE '"resolved": "[^.]' $folder/package-lock.json tests/differential/package-lock.json sdk-js/package-lock.json \
    sdk-js/langgraph/package-lock.json sdk-js/node/package-lock.json >"$scratch/hosts" || true
report 'lock files name no host' "$scratch/hosts"
find sdk-js -name node_modules -prune -o -name '*.ts' -path '*/src/*' -print | sort >"$scratch/there"
grep -oE 'sdk-js/[A-Za-z_/-]*\.ts' sdk-js/module.am | sort >"$scratch/listed"
comm -3 "$scratch/there" "$scratch/listed" | sed 's|$|: is in the folder or in sdk-js/module.am alone|' >"$scratch/unlisted"
report 'each source of sdk-js is in its list' "$scratch/unlisted"
lint_end
