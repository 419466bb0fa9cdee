#!/bin/sh
# The lint scripts themselves: each must find the fault that is put before it in a small bad tree.
. "$(dirname "$0")/lint.sh"

tree=$scratch/tree

# finds NAME SCRIPT FILE PATTERN: on a tree that holds FILE, with the text on standard input, the
# script fails and says a line with PATTERN.
finds() {
    rm -rf "$tree"
    mkdir -p "$tree/$(dirname "$3")" "$tree/storage"
    cat >"$tree/$3"
    [ ! -d "$tree.with" ] || cp -R "$tree.with/." "$tree"
    : >"$scratch/miss"
    if top_srcdir=$tree top_builddir=$tree LINT_CFLAGS="-std=c11 -I$tree" \
        sh "$lint_dir/$2" >"$scratch/out" 2>&1; then
        echo "$2 passed a tree with the fault" >"$scratch/miss"
    fi
    grep -qE "^#   .*$4" "$scratch/out" || cat "$scratch/out" >>"$scratch/miss"
    report "$1" "$scratch/miss"
}

finds 'an include that points up is found' check_layers.sh base/a.c 'may not include storage' <<'E'
#include "storage/wal.h"
E
finds 'in a header too' check_layers.sh base/a.h 'may not include storage' <<'E'
#include "storage/wal.h"
E
finds 'a library header outside its file is found' check_layers.sh storage/a.c 'may not include raft' <<'E'
#include <raft.h>
E
finds 'a header that no rule knows is found' check_layers.sh rpc/a.c 'stands in no rule' <<'E'
#include <sqlite3.h>
E
finds 'an include without a folder is found' check_layers.sh rpc/a.c 'names no folder' <<'E'
#include "json.h"
E
finds 'a header that does not compile alone is found' check_headers.sh base/a.h 'size_t' <<'E'
#ifndef BASE_A_H
#define BASE_A_H
size_t a_count(void);
#endif
E
finds 'a banned call is found' check_banned.sh rpc/a.c 'strcpy' <<'E'
void a(char *d) { strcpy(d, "x"); }
E
finds 'a clock read by logic is found' check_banned.sh actor/a.c 'time\(NULL' <<'E'
long a(void) { return time(NULL); }
E
finds 'a wait for time in a test is found' check_banned.sh tests/unit/test_a.c 'usleep' <<'E'
void a(void) { usleep(1000); }
E
finds 'a state assigned through the back door is found' check_banned.sh actor/b.c 'state = ACTOR' <<'E'
void b(struct actor *a) { a->state = ACTOR_IDLE; }
E
finds 'a machine path is found' check_text.sh docs/a.md 'a.md:1' <<E
see /wor${none:-}k/main
E
finds 'a space at the end of a line is found' check_text.sh docs/a.md 'a.md:1' <<E
see this${none:- }
E
finds 'a function of more than 70 lines is found' check_sizes.sh base/a.c 'a has 72 lines' <<E
void a(void)
{
$(yes '    b();' | head -n 70)
}
E
mkdir -p "$tree.with/tests/unit"
echo 'X(OTHER_SITE)' >"$tree.with/tests/unit/test_faults.c"
finds 'a write site without a test is found' check_disk_sites.sh storage/disk.def 'WAL_APPEND' <<'E'
X(WAL_APPEND, "append to the WAL")
E
mkdir -p "$tree.with/storage"
echo 'X(OTHER_SITE)' >"$tree.with/storage/disk.def"
finds 'a call that writes around the table is found' check_disk_sites.sh storage/a.c 'a.c:1' <<'E'
int a(const char *path) { return truncate(path, 0); }
E
finds 'a file made around it too' check_disk_sites.sh storage/a.c 'a.c:1' <<'E'
int a(const char *path) { return open(path, O_RDWR | O_CREAT, 0600); }
E
rm -rf "$tree.with"

if command -v systemd-analyze >/dev/null 2>&1; then
    finds 'a key that systemd does not know is found' check_units.sh \
        deploy/systemd/dormoused.service 'ProtectEverything' <<'E'
[Service]
ExecStart=/bin/true
ProtectEverything=yes
E
    finds 'a place in a unit that was not filled in is found' check_units.sh \
        deploy/systemd/dormoused.service '@state@' <<'E'
[Service]
ExecStart=/bin/true
StateDirectory=@state@
E
    finds 'a service that may do everything is found' check_units.sh \
        deploy/systemd/dormoused.service 'exposure level.* 9' <<'E'
[Service]
ExecStart=/bin/true
E
fi

rm -rf "$tree"
mkdir -p "$tree/rpc"
cat >"$tree/rpc/a.c" <<'E'
/* strcpy( and exit( in
 * a comment with time( */
const char *a(void) { return "sleep(1)"; } // rand()
E
if top_srcdir=$tree sh "$lint_dir/check_banned.sh" >"$scratch/out" 2>&1; then
    : >"$scratch/out"
fi
report 'prose and strings are not taken for calls' "$scratch/out"
lint_end
