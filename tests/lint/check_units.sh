#!/bin/sh
# The units that a build has made are ones that systemd understands, and they leave little open.
. "$(dirname "$0")/lint.sh"

# Of at most 10, by systemd's own count, times 10. What is left is a network, a root directory, and what the
# programs that run code lock themselves up with: namespaces, mounts in them; their JIT writes what it runs.
exposure_max=20

made=$top_builddir/deploy/systemd

# The program of the unit is not installed here: it is the one that was built.
check() { # unit
    reason=
    [ -f "$made/$1" ] || reason='it is not built'
    command -v systemd-analyze >/dev/null 2>&1 || reason='systemd-analyze is not installed'
    if [ -n "$reason" ]; then
        skip "$1 is understood by systemd" "$reason"
        skip "$1 leaves little open" "$reason"
        return
    fi
    : >"$scratch/found"
    grep -n '@[a-z]*@' "$made/$1" >"$scratch/found" || true
    sed -E "s|^ExecStart=[^ ]*/dormoused |ExecStart=$top_builddir/dormoused |" "$made/$1" >"$scratch/$1"
    systemd-analyze verify --man=no "$scratch/$1" >>"$scratch/found" 2>&1 ||
        echo "systemd-analyze verify failed" >>"$scratch/found"
    report "$1 is understood by systemd" "$scratch/found"
    : >"$scratch/found"
    SYSTEMD_COLORS=0 SYSTEMD_EMOJI=0 systemd-analyze security --no-pager --offline=yes \
        --threshold=$exposure_max "$scratch/$1" >"$scratch/exposure" 2>&1 ||
        cp "$scratch/exposure" "$scratch/found"
    report "$1 leaves little open" "$scratch/found"
}

check dormoused.service
check dormoused@.service
lint_end
