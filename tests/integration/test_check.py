"""`dormoused --check`: a byte that is flipped is found, or is one that it calls not in use.

    CHECK_FLIPS=all    every byte, all of its bits, of whole segments too
"""

import os
import re
import shutil
import subprocess
import tempfile

import pytest

from client import Actor, wait_until
from node import Node, program
from thin import THIN

BLOCK = 4096
EVERY = 13 if THIN == 1 else 211  # byte of the small data is flipped
WHOLE = os.environ.get("CHECK_FLIPS") == "all"


def helper():
    return os.path.join(os.path.dirname(program()), "tests", "lib", "check_flips")


def check(data):
    return subprocess.run([program(), "--check", data], capture_output=True, text=True, timeout=300, check=False)


def metric(node, name):
    lines = node.client.get("/metrics").body.decode().splitlines()
    return next(int(line.split(" ")[1]) for line in lines if line.startswith(name + " "))


def write_of_all_kinds(node, name):
    """Rows of every kind that there is: values, also large ones, timers, records of keys, steps, events."""
    actor = Actor(node.client, name)
    for i in range(15):
        assert actor.put(f"k{i:02}", "v" * (i * 7 % 90), idempotency_key=f"{name}-{i}").status == 204
    assert actor.put_bytes("large", os.urandom(3000)).status == 204
    assert actor.put_bytes("gone", os.urandom(9000)).status == 204
    assert actor.delete("gone").status == 204
    assert actor.delete("k07").status == 204
    for timer in [{"in": 3600_000}, {"in": 0}, {"cron": "0 9 * * mon"}]:
        body = {**timer, "payload": {"n": 1}}
        assert node.client.put(f"{actor.path}/timers/t{timer.get('in', 'c')}", json=body).status == 200
    assert node.client.post(f"{actor.path}/steps/s", json={"lease_ms": 60_000}).status == 200


@pytest.fixture(scope="module")
def made_once():
    """The data of a stopped node: a store with rows, a log with entries that are not in it yet. Rows are in
    the store 10 s after they were written, and the second time pages of the first are free."""
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    top = tempfile.mkdtemp(prefix="dormouse-check-", dir=shm)
    node = Node(os.path.join(top, "data"), ["--shards", "1", "--max-disk", "256M"])
    for i in range(3):
        rows = metric(node, "dormouse_checkpoint_rows_total")
        write_of_all_kinds(node, f"actor-{i}")
        if i < 2:
            wait_until(lambda: metric(node, "dormouse_checkpoint_rows_total") > rows, what="a checkpoint")
    assert Actor(node.client, "actor-0").destroy().status == 204
    node.stop()
    yield node.data
    shutil.rmtree(top)


@pytest.fixture
def small_data(made_once):
    copy = made_once + ".copy"
    shutil.copytree(made_once, copy)
    yield copy
    shutil.rmtree(copy)


def trim(data):
    """Cuts the zeros behind what a segment holds, of which there are millions."""
    for name in os.listdir(os.path.join(data, "wal-0")):
        path = os.path.join(data, "wal-0", name)
        with open(path, "r+b") as f:
            size = len(f.read().rstrip(b"\0"))
            f.truncate(max(1, -(-size // BLOCK)) * BLOCK)


def flip(data, *arguments):
    """The helper's lines, by file: (bytes, in use, flips, found, not in use)."""
    run = subprocess.run([helper(), data, *map(str, arguments)], capture_output=True, text=True, check=False,
                         timeout=24 * 3600)
    assert run.returncode == 0, run.stdout + run.stderr
    print(run.stdout)
    found = re.findall(r"(?m)^(\S+): (\d+) bytes, (\d+) in use; (\d+) flips: (\d+) found, (\d+) not", run.stdout)
    return {name: tuple(map(int, counts)) for name, *counts in found}


def test_each_flipped_byte_is_found_or_not_in_use(small_data):
    sound = check(small_data)
    assert sound.returncode == 0 and " 0 problems in " in sound.stdout, sound
    trim(small_data)
    assert check(small_data).returncode == 0
    flips = flip(small_data, 1, 8) if WHOLE else flip(small_data, EVERY)
    assert {"DORMOUSE", "wal-0/identity", "wal-0/slot-0000", "shards/g1.1.mdb"} <= flips.keys()
    for name, (size, in_use, count, found, unused) in flips.items():
        assert count == found + unused and count >= size // EVERY, (name, size, in_use)
        assert found > 0 or in_use == 0, name
    assert flips["DORMOUSE"][4] == 0


def test_in_whole_segments_too(small_data):
    """Bytes far behind the end of the log: some of them."""
    flips = flip(small_data, 65_521 if WHOLE else 16_777_213)
    assert all(flips[f"wal-0/slot-000{i}"][0] == 32 << 20 for i in range(2))


def test_damage_is_named_with_its_file(small_data):
    for name, place in [("shards/g1.1.mdb", "shards/g1.1.mdb: "), ("wal-0/slot-0000", "wal-0/slot-0000: offset ")]:
        path = os.path.join(small_data, name)
        with open(path, "rb") as f:
            sound = f.read()
        damaged = sound.replace(b"vvvvvvvv", b"vvvvwvvv")  # some lie in free pages
        assert damaged != sound
        for content, status in [(damaged, 1), (sound, 0)]:
            with open(path, "r+b") as f:
                f.write(content)
            run = check(small_data)
            assert run.returncode == status and (place in run.stdout) == (status == 1), run


def test_what_a_crash_leaves_is_a_note_and_no_problem(small_data):
    """The next start uses the other copy."""
    with open(os.path.join(small_data, "wal-0", "identity"), "r+b") as f:
        f.write(b"torn")
    run = check(small_data)
    assert run.returncode == 0 and "wal-0/identity: note: " in run.stdout, run
    node = Node(small_data, ["--max-disk", "256M"])
    assert Actor(node.client, "actor-1").get("k01").status == 200
    node.stop()
    assert "note" not in check(small_data).stdout
