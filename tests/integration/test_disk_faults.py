"""Every call of a node that changes a file fails: each is a row here, and what must follow.

The sites are those of storage/disk.def, and those of LMDB, which has no seam of ours. A row is met in one
part of a life: the first start, a later one, under writes, at the stop. For each row

    EIO      the node ends with exit code 74 and one line that names file and offset; once the disk is
             sound again, everything acknowledged is there
    ENOSPC   a start is refused in one line; a running node answers writes with 507, while reads and
             deletes go on, and takes writes again, without a restart, once there is space

DISK_FAULT_CALLS=n tries the first n calls of each row and not the first alone.
"""

import collections
import errno
import fnmatch
import glob
import os
import re
import shutil
import signal
import tempfile

import pytest

from client import Actor, expect_problem, wait_until
from cluster import command, own_host
from disk_faults import Faults
from ledger import MIB, WRITES_MAX, Ledger, write_until_full
from node import Node
from thin import thin

OPTIONS = ["--shards", "2", "--memory", "64M", "--max-disk", "256M", "--workers", "1"]
OTHER_WORKERS = ["--shards", "2", "--memory", "64M", "--max-disk", "512M", "--workers", "2"]
CALLS = int(os.environ.get("DISK_FAULT_CALLS", "1"))
IO_ERROR = 74
SLOT_WRITES = 128  # of 256 KiB: the first segment, which a start needs

FIRST_START, RESTART, YOUNG, RUNNING, STOP = "first start", "restart", "young", "running", "stop"
REDEAL = "redeal"  # a start with another number of workers
BEGIN = "begin"  # a start that makes the data that of a cluster
# What follows. FULL_LOG: the log is what has no room, so deletes wait too.
ENDS, REFUSED, FULL, FULL_LOG, GOES_ON, NEVER = "ends", "refused", "full", "full log", "goes on", "never"

Row = collections.namedtuple("Row", "site kinds name when first eio enospc short offset")


def row(site, kinds, name, when, first=1, eio=ENDS, enospc=REFUSED, short=False, offset=True):
    """`first`: the first call that is meant; those before it are another row's."""
    return Row(site, kinds.split(), name, when, first, eio, enospc, short, offset)


ROWS = [
    row("DATA_DIR", "mkdir", "data", FIRST_START, offset=False),
    row("DATA_DIR", "mkdir", "data/shards", FIRST_START),
    row("DATA_DIR", "sync_dir", ".", FIRST_START),
    row("DATA_LOCK", "make open", "data/LOCK", FIRST_START, offset=False),
    row("DATA_FILE", "make", "data/DORMOUSE.tmp", FIRST_START),
    row("DATA_FILE", "write", "data/DORMOUSE.tmp", FIRST_START),
    row("DATA_FILE", "sync", "data/DORMOUSE.tmp", FIRST_START),
    row("DATA_FILE", "rename", "data/DORMOUSE", FIRST_START),
    row("DATA_FILE", "sync_dir", "data", FIRST_START),
    row("CLUSTER_FILE", "make", "data/CLUSTER.tmp", BEGIN),
    row("CLUSTER_FILE", "write", "data/CLUSTER.tmp", BEGIN),
    row("CLUSTER_FILE", "sync", "data/CLUSTER.tmp", BEGIN),
    row("CLUSTER_FILE", "rename", "data/CLUSTER", BEGIN),
    row("CLUSTER_FILE", "sync_dir", "data", BEGIN, first=2),
    # written where stores go from node to node: test_snapshot_faults.py fails each call
    row("SNAPSHOT_FILE", "make write sync unlink", "data/shards/*", RUNNING, eio=NEVER, enospc=NEVER),
    row("WAL_DIR", "mkdir", "data/wal-0", FIRST_START),
    row("WAL_IDENTITY", "make", "data/wal-0/identity.tmp", FIRST_START),
    row("WAL_IDENTITY", "write", "data/wal-0/identity.tmp", FIRST_START),
    row("WAL_IDENTITY", "sync", "data/wal-0/identity.tmp", FIRST_START),
    row("WAL_IDENTITY", "rename", "data/wal-0/identity", FIRST_START),
    row("WAL_IDENTITY", "sync_dir", "data/wal-0", FIRST_START),
    row("WAL_IDENTITY", "open", "data/wal-0/identity", RESTART),
    row("WAL_IDENTITY", "write", "data/wal-0/identity", RESTART),
    row("WAL_IDENTITY", "sync", "data/wal-0/identity", RESTART),
    row("WAL_IDENTITY", "open", "data/wal-0/identity", STOP, enospc=GOES_ON),
    row("WAL_IDENTITY", "write", "data/wal-0/identity", STOP, enospc=GOES_ON),
    row("WAL_IDENTITY", "sync", "data/wal-0/identity", STOP, enospc=GOES_ON),
    row("WAL_RECOVER", "open", "data/wal-0/slot-*", RESTART, enospc=NEVER),
    row("WAL_RECOVER", "sync", "data/wal-0/slot-*", RESTART),
    row("WAL_RECOVER", "sync_dir", "data/wal-0", RESTART),
    row("DATA_FOUND", "sync_dir", "data", RESTART),
    row("WAL_RECOVER", "sync_dir", "data", RESTART, first=2),
    row("WAL_OPEN", "open", "data/wal-0/slot-????", RESTART, first=2, enospc=NEVER),
    row("WAL_OPEN", "open", "data/wal-0/slot-????", RUNNING, enospc=NEVER),
    row("WAL_SLOT", "make", "data/wal-0/slot-*.tmp", FIRST_START),
    row("WAL_SLOT", "allocate", "data/wal-0/slot-*.tmp", FIRST_START),
    row("WAL_SLOT", "write", "data/wal-0/slot-*.tmp", FIRST_START),
    row("WAL_SLOT", "sync", "data/wal-0/slot-*.tmp", FIRST_START),
    row("WAL_SLOT", "rename", "data/wal-0/slot-*", FIRST_START),
    row("WAL_SLOT", "sync_dir", "data/wal-0", FIRST_START, first=3),
    row("WAL_SLOT", "make", "data/wal-0/slot-*.tmp", YOUNG, first=2, enospc=FULL_LOG),
    row("WAL_SLOT", "allocate", "data/wal-0/slot-*.tmp", YOUNG, first=2, enospc=FULL_LOG),
    row("WAL_SLOT", "write", "data/wal-0/slot-*.tmp", YOUNG, first=SLOT_WRITES + 1, enospc=FULL_LOG),
    row("WAL_SLOT", "sync", "data/wal-0/slot-*.tmp", YOUNG, first=2, enospc=FULL_LOG),
    row("WAL_SLOT", "rename", "data/wal-0/slot-*", YOUNG, first=2, enospc=FULL_LOG),
    row("WAL_SLOT", "sync_dir", "data/wal-0", YOUNG, first=4, enospc=FULL_LOG),
    row("WAL_FRAME", "write_sync", "data/wal-0/slot-*", RUNNING, enospc=FULL_LOG),
    row("WAL_CLEAN", "unlink", "data/wal-*/slot-*", RESTART, eio=GOES_ON, enospc=GOES_ON),
    row("WAL_DIR", "mkdir", "data/wal-?.1", REDEAL),
    row("WAL_IDENTITY", "make", "data/wal-?.1/identity.tmp", REDEAL),
    row("WAL_IDENTITY", "write", "data/wal-?.1/identity.tmp", REDEAL),
    row("WAL_IDENTITY", "sync", "data/wal-?.1/identity.tmp", REDEAL),
    row("WAL_IDENTITY", "rename", "data/wal-?.1/identity", REDEAL),
    row("WAL_IDENTITY", "open", "data/wal-?.1/identity", REDEAL),
    row("WAL_IDENTITY", "write", "data/wal-?.1/identity", REDEAL),
    row("WAL_IDENTITY", "sync", "data/wal-?.1/identity", REDEAL),
    row("WAL_SLOT", "make", "data/wal-?.1/slot-*.tmp", REDEAL),
    row("WAL_SLOT", "allocate", "data/wal-?.1/slot-*.tmp", REDEAL),
    row("WAL_SLOT", "write", "data/wal-?.1/slot-*.tmp", REDEAL),
    row("WAL_SLOT", "sync", "data/wal-?.1/slot-*.tmp", REDEAL),
    row("WAL_SLOT", "rename", "data/wal-?.1/slot-*", REDEAL),
    row("WAL_SLOT", "sync_dir", "data/wal-?.1", REDEAL),
    row("WAL_OPEN", "open", "data/wal-?.1/slot-????", REDEAL, enospc=NEVER),
    row("WAL_FRAME", "write_sync", "data/wal-?.1/slot-*", REDEAL),
    row("WAL_RECOVER", "sync", "data/wal-?.1/slot-*", REDEAL),
    row("DATA_FILE", "make", "data/DORMOUSE.tmp", REDEAL),
    row("DATA_FILE", "write", "data/DORMOUSE.tmp", REDEAL),
    row("DATA_FILE", "sync", "data/DORMOUSE.tmp", REDEAL),
    row("DATA_FILE", "rename", "data/DORMOUSE", REDEAL),
    row("WAL_CLEAN", "unlink", "data/wal-0/*", REDEAL, eio=GOES_ON, enospc=GOES_ON),
    row("WAL_CLEAN", "rmdir", "data/wal-0", REDEAL, eio=GOES_ON, enospc=GOES_ON),
    row("STORE_FILE", "unlink", "data/shards/*.mdb.new", FIRST_START, eio=GOES_ON, enospc=GOES_ON),
    row("STORE_FILE", "unlink", "data/shards/*.mdb.new-lock", FIRST_START, eio=GOES_ON, enospc=GOES_ON),
    row("STORE_FILE", "rename", "data/shards/*.mdb", FIRST_START),
    row("STORE_FILE", "sync_dir", "data/shards", FIRST_START),
    row("STORE_FILE", "sync_dir", "data/shards", RESTART),
    row("STORE_LOCK", "make", "data/shards/*-lock", FIRST_START),
    row("STORE_LOCK", "allocate", "data/shards/*-lock", FIRST_START),
    row("STORE_LOCK", "open", "data/shards/*-lock", RESTART, enospc=NEVER),
    row("STORE_LOCK", "allocate", "data/shards/*-lock", RESTART),
    row("STORE_END", "resize", "data/shards/*.mdb", RESTART),
    row("LMDB", "make", "data/shards/*.mdb.new", FIRST_START),
    row("LMDB", "open", "data/shards/*.mdb.new", FIRST_START, enospc=NEVER),
    row("LMDB", "write", "data/shards/*.mdb.new", FIRST_START),
    row("LMDB", "sync", "data/shards/*.mdb.new", FIRST_START),
    row("LMDB", "open", "data/shards/*-lock", FIRST_START, enospc=NEVER),
    row("LMDB", "resize", "data/shards/*-lock", FIRST_START),
    row("LMDB", "open", "data/shards/*.mdb", RESTART, enospc=NEVER),
    row("LMDB", "sync", "data/shards/*.mdb", RESTART),
    row("LMDB", "write", "data/shards/*.mdb", RUNNING, enospc=FULL),
    row("LMDB", "write", "data/shards/*.mdb", RUNNING, eio=NEVER, enospc=FULL, short=True),
    row("LMDB", "sync", "data/shards/*.mdb", RUNNING, enospc=FULL),
    row("LMDB", "write_sync", "data/shards/*.mdb", RUNNING, enospc=FULL),
    row("LMDB", "write_sync", "data/shards/*.mdb", RUNNING, eio=NEVER, enospc=FULL, short=True),
]


def name_of_row(r):
    name = r.name.removeprefix("data/").replace("/", "-")
    return f"{r.site}-{'-'.join(r.kinds)}-{name}-{r.when}{'-short' * r.short}".replace(" ", "_")


def rows(*outcomes, of):
    """Parameters: the rows with one of these outcomes, each with the calls of it that are tried."""
    found = thin(r for r in ROWS if getattr(r, of) in outcomes)
    return pytest.mark.parametrize(
        "r, call", [(r, r.first + i) for r in found for i in range(CALLS)],
        ids=[name_of_row(r) + f"-{i + 1}" * (CALLS > 1) for r in found for i in range(CALLS)])


class Life:
    """A node under faults, and what it has acknowledged."""

    def __init__(self, top):
        self.top = top
        self.faults = Faults(tempfile.mkdtemp(dir=top), top)
        self.node = Node(os.path.join(top, "data"), OPTIONS, environment=self.faults.environment,
                         starts=False)
        self.ledger = Ledger(self.node)
        self.start, self.put, self.delete = self.node.start, self.ledger.put, self.ledger.delete
        self.check = self.ledger.check

    def fill(self, size):
        """Some actors; 20 MiB are several checkpoints, so that the first ones are cold."""
        for i in range(4):
            assert self.put(20_000, "cold", f"c{i}").status == 204
        assert self.put(100, "deleted later", "k").status == 204
        self.ledger.write(size)

    def start_or_end(self):
        """None once it is ready; else the exit code of a start that ended by itself."""
        try:
            self.start()
        except AssertionError as e:
            return int(re.search(r"ended with (-?\d+) before it was ready", str(e))[1])
        return None

    def lines(self):
        """What the node said since the last look, but for its log."""
        with open(self.node.stderr_path, "r+", encoding="utf-8") as f:
            lines = [line for line in f.read().splitlines() if not line.startswith("{")]
            f.truncate(0)
        return lines

    def end(self):
        """The exit code of a node that ends by itself."""
        status = self.node.process.wait(30)
        self.node._ended()
        return status

    def close(self):
        if self.node.process is not None:
            self.node.kill9()
        self.faults.close()
        shutil.rmtree(self.top)


@pytest.fixture
def life():
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    made = Life(tempfile.mkdtemp(prefix="dormouse-faults-", dir=shm))
    yield made
    made.close()


def reach(life, r, call, reason):
    """Lives up to where the row's calls come, and sets the rule. The exit code of a start that failed."""
    if r.when not in (FIRST_START, YOUNG):
        life.start()
        life.fill(20 * MIB if r.site in ("LMDB", "STORE_END") else MIB)
    if r.when in (RESTART, REDEAL, BEGIN):
        life.node.kill9()
        prepare_restart(life, r)
    life.faults.set(r.kinds, r.name, reason, first=call, short=r.short)
    if r.when == STOP:
        life.node._client.close()  # it would be waited for
        life.node.process.send_signal(signal.SIGTERM)
    return life.start_or_end() if r.when in (FIRST_START, YOUNG, RESTART, REDEAL, BEGIN) else None


def stores(life):
    return glob.glob(os.path.join(life.node.data, "shards", "*.mdb"))


def prepare_restart(life, r):
    if r.when == REDEAL:
        life.node.options = OTHER_WORKERS
    if r.when == BEGIN:
        command("cluster", "certs", "--dir", os.path.join(life.top, "certs"), "--node-id", "1")
        life.node.options = OPTIONS + ["--cluster-init", "--node-id", "1", "--peer-listen", own_host() + ":7421",
                                       "--cluster-certs", os.path.join(life.top, "certs", "node-1")]
    if r.site == "WAL_CLEAN":
        with open(os.path.join(life.node.data, "wal-0", "slot-0007.tmp"), "wb"):
            pass
    if r.site == "STORE_END":
        for path in stores(life):
            shutil.copyfile(path, path + ".kept")
            os.truncate(path, 2 * 4096)  # the meta pages


def repair(life):
    life.faults.clear()
    for path in stores(life):
        if os.path.exists(path + ".kept"):
            os.replace(path + ".kept", path)


def expect_nothing_lost(life):
    """By a node on a sound disk, and by the next one."""
    for _ in range(2):
        life.start()
        life.check()
        wait_until(lambda: life.put().status == 204, what="a write")
        life.node.kill9()
    assert life.lines() == []


def expect_one_line(life, r, what, has_offset=False):
    lines = life.lines()
    assert len(lines) == 1, lines
    file = re.split(r"[*?]|\.tmp", r.name.removeprefix("data").removeprefix("."))[0]
    assert life.node.data + file in lines[0], lines
    assert what in lines[0], lines
    assert not has_offset or re.search(r"(offset|at) \d+", lines[0]), lines


@rows(ENDS, of="eio")
def test_an_io_error_ends_the_node_with_74_and_one_line(life, r, call):
    status = reach(life, r, call, errno.EIO)
    for _ in range(WRITES_MAX):
        if status is not None or r.when == STOP or life.put() is None:
            break
    status = life.end() if status is None else status
    assert life.faults.failed() > 0, "the call never came"
    assert status == IO_ERROR
    expect_one_line(life, r, "Input/output error", has_offset=r.offset)
    repair(life)
    expect_nothing_lost(life)


@rows(GOES_ON, of="eio")
def test_an_io_error_where_nothing_depends_on_it_is_passed_over(life, r, call):
    assert reach(life, r, call, errno.EIO) is None
    assert life.faults.failed() > 0, "the call never came"
    life.ledger.write(MIB)
    life.node.kill9()
    repair(life)
    expect_nothing_lost(life)


@rows(REFUSED, of="enospc")
def test_a_start_without_space_is_refused_in_one_line(life, r, call):
    assert reach(life, r, call, errno.ENOSPC) == 1
    assert life.faults.failed() > 0, "the call never came"
    expect_one_line(life, r, "o space")
    repair(life)
    expect_nothing_lost(life)


@rows(GOES_ON, of="enospc")
def test_a_full_disk_where_nothing_depends_on_it_is_passed_over(life, r, call):
    assert reach(life, r, call, errno.ENOSPC) is None
    if r.when == STOP:
        assert life.end() == 0
    else:
        life.ledger.write(MIB)
        life.node.kill9()
    assert life.faults.failed() > 0, "the call never came"
    repair(life)
    expect_nothing_lost(life)


@rows(FULL, FULL_LOG, of="enospc")
def test_a_full_disk_refuses_writes_until_there_is_space_again(life, r, call):
    assert reach(life, r, call, errno.ENOSPC) is None
    pid = life.node.pid
    if not life.ledger.known:
        life.put(20_000, "cold", "c0")
    answer = write_until_full(life.ledger)
    assert life.faults.failed() > 0, "the call never came"
    doc = expect_problem(answer, 507, "storage_full", retryable=True)
    assert doc["limit"]["name"] in ("store_bytes", "wal_bytes"), doc
    for _ in range(20):
        life.node.client.post(f"{Actor(life.node.client, 'cold').path}/hibernate")
        life.ledger.check_undoubted()
    if r.enospc == FULL:
        life.delete("deleted later", "k")
        assert write_until_full(life.ledger).status == 507, "it was not full any more"
    life.faults.clear()
    wait_until(lambda: life.put().status == 204, what="a write once there is space")
    life.ledger.write(4 * MIB)
    assert life.node.pid == pid
    life.check()
    life.node.kill9()
    expect_nothing_lost(life)


def test_an_environment_that_cannot_be_opened_again_ends_the_node_with_74(life):
    """After a checkpoint without room LMDB's environment is opened anew."""
    life.start()
    life.fill(20 * MIB)
    life.faults.set(["sync"], "data/shards/*.mdb", errno.ENOSPC, times=1)
    life.faults.set(["open"], "data/shards/*.mdb", errno.EIO, rule=1)
    while life.put() is not None:
        pass
    assert life.end() == IO_ERROR
    assert life.faults.failed(0) == 1 and life.faults.failed(1) == 1
    expect_one_line(life, row("LMDB", "open", "data/shards/*.mdb", RUNNING), "Input/output error",
                    has_offset=True)
    repair(life)
    expect_nothing_lost(life)


def lose_pages(life):
    """Keeps a copy of all data as of one moment, and leaves each store its meta pages. The node stands still
    meanwhile, and the copy has the log as well: what a checkpoint gives up in a log is in its own store alone."""
    life.node.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, life.node.pid, os.WSTOPPED | os.WNOWAIT)
    shutil.copytree(life.node.data, life.node.data + ".kept")
    for path in stores(life):
        os.truncate(path, 2 * 4096)
    life.node.process.send_signal(signal.SIGCONT)


def test_a_page_that_cannot_be_read_ends_the_node_with_74_and_one_line(life):
    """LMDB reads through a map. A file that is shorter than it says stands for a disk that cannot read."""
    life.start()
    life.fill(20 * MIB)
    life.node.client.post(f"{Actor(life.node.client, 'cold').path}/hibernate")
    lose_pages(life)
    actors = {actor for actor, _ in life.ledger.known}

    def has_ended():
        """An actor is read from its store once it sleeps."""
        try:
            for actor in actors:
                life.node.client.post(f"{Actor(life.node.client, actor).path}/hibernate")
                life.node.client.get(f"{Actor(life.node.client, actor).path}/kv?limit=1000")
        except OSError:
            return True
        return False

    wait_until(has_ended, what="a read from the store")
    assert life.end() == IO_ERROR
    expect_one_line(life, row("LMDB", "open", "data/shards/*.mdb", RUNNING), "Input/output error", has_offset=True)
    shutil.rmtree(life.node.data)
    os.rename(life.node.data + ".kept", life.node.data)
    expect_nothing_lost(life)


# The table


def test_every_call_of_a_whole_life_is_a_row(life):
    """A write site that is new, ours or a library's, has no row and is found here."""
    for ends in [life.node.kill9, life.node.stop, life.node.kill9]:
        life.start()
        life.fill(80 * MIB)
        life.delete("cold", "c0")
        assert Actor(life.node.client, "hot").destroy().status == 204
        life.ledger.forget("hot")
        life.check()
        ends()
    life.node.options = OTHER_WORKERS
    life.start()
    life.check()
    calls = life.faults.calls()
    unknown = {(kind, name) for kind, name in calls if not any(
        kind in r.kinds and fnmatch.fnmatchcase(name, r.name) for r in ROWS)}
    assert {(kind, name) for kind, name in unknown if name != "data.stderr"} == set()
    assert sum(calls.values()) > 500 and len(calls) > 50


def test_every_site_of_ours_has_rows():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(root, "storage", "disk.def"), encoding="utf-8") as f:
        sites = set(re.findall(r"(?m)^X\((\w+)", f.read()))
    assert {r.site for r in ROWS} == sites | {"LMDB"}
