"""A full disk, and --max-disk: writes are 507, reads and deletes go on, and writes come back by themselves.

The disk is a small tmpfs, where the right to mount one is given; else these tests are skipped."""

import os
import subprocess

import pytest

from client import expect_problem, wait_until
from ledger import MIB, Ledger, write_until_full
from node import Node
from thin import once

RESERVE = 256 * MIB  # that a node leaves free for its log, checkpoints and deletes


class SmallDisk:
    def __init__(self, path):
        self.path = str(path)
        self.size = None

    def mount(self, size):
        os.mkdir(self.path)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "dormouse-test", self.path],
                              capture_output=True, check=False)
        self.size = size if made.returncode == 0 else None
        return self.size is not None

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)

    @property
    def free(self):
        fs = os.statvfs(self.path)
        return fs.f_bavail * fs.f_frsize

    def take_all(self):
        """Somebody else takes all that is left."""
        fd = os.open(os.path.join(self.path, "ballast"), os.O_CREAT | os.O_WRONLY)
        size = 0
        while self.free > 0:
            more = self.free
            try:
                os.posix_fallocate(fd, size, more)
            except OSError:  # the node took some of it meanwhile
                continue
            size += more
        os.close(fd)

    def give_back(self):
        os.unlink(os.path.join(self.path, "ballast"))

    def unmount(self):
        subprocess.run(["umount", "-l", self.path], check=True)


@pytest.fixture
def small_disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk")
    if not disk.mount(700 * MIB):
        pytest.skip("no right to mount a file system")
    yield disk
    disk.unmount()


@pytest.fixture
def full_node(small_disk):
    """A node on the small disk with some data, of which little memory holds only a part. Keys are not written
    twice, so that a store has no free pages and must grow."""
    node = Node(os.path.join(small_disk.path, "data"), ["--shards", "2", "--memory", "64M"])
    ledger = Ledger(node, keys=1000)
    ledger.write(40 * MIB)
    for i in range(3):
        assert ledger.put(20_000, "cold", f"c{i}").status == 204
    yield node, ledger
    node.finish()


def metric(node, name):
    for line in node.client.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return int(line.split(" ")[1])
    raise KeyError(name)


def expect_writes_come_back(node, ledger, pid):
    wait_until(lambda: ledger.put().status == 204, seconds=60, what="a write once there is space")
    ledger.write(5 * MIB)
    assert node.pid == pid, "it was started again"
    ledger.check()


def size_of_files(directory):
    return sum(os.path.getsize(os.path.join(where, name))
               for where, _, names in os.walk(directory) for name in names)


@once
def test_max_disk_refuses_writes_until_something_is_deleted(start_node):
    node = start_node("--shards", "2", "--memory", "64M", "--max-disk", "256M")
    ledger = Ledger(node, keys=1000)
    doc = expect_problem(write_until_full(ledger), 507, "storage_full", retryable=True)
    assert doc["limit"] == {"name": "max_disk", "value": 256 * MIB}
    assert size_of_files(node.data) < 257 * MIB, "a store copies some pages of its tree"
    ledger.check()
    for place in list(ledger.known)[:60]:
        ledger.delete(*place)
    expect_writes_come_back(node, ledger, node.pid)
    node.restart(kill=True)
    ledger.check()


def test_little_free_space_refuses_writes_until_there_is_more(small_disk, full_node):
    node, ledger = full_node
    pid = node.pid
    small_disk.resize(700 * MIB - small_disk.free + RESERVE - MIB)
    doc = expect_problem(write_until_full(ledger), 507, "storage_full", retryable=True)
    assert doc["limit"] == {"name": "disk_free_bytes", "value": RESERVE}
    ledger.check()
    ledger.delete("cold", "c1")
    small_disk.resize(700 * MIB)
    expect_writes_come_back(node, ledger, pid)


def test_a_disk_that_is_full_to_the_last_byte_loses_nothing_and_ends_nobody(small_disk, full_node):
    """Somebody else fills it between two looks at it: a checkpoint finds no room in the middle."""
    node, ledger = full_node
    pid = node.pid
    failures = metric(node, "dormouse_checkpoint_failures_total")
    small_disk.take_all()
    write_until_full(ledger)
    wait_until(lambda: metric(node, "dormouse_checkpoint_failures_total") > failures,
               what="a checkpoint without room")
    assert small_disk.free < MIB
    ledger.check()
    ledger.delete("cold", "c1")
    ledger.check()
    small_disk.give_back()
    expect_writes_come_back(node, ledger, pid)
    node.restart(kill=True)
    ledger.check()


def test_a_node_starts_on_a_full_disk_and_serves_reads(small_disk, full_node):
    node, ledger = full_node
    small_disk.take_all()
    write_until_full(ledger)
    node.restart(kill=True)
    pid = node.pid
    doc = expect_problem(write_until_full(ledger), 507, "storage_full", retryable=True)
    assert doc["limit"]["name"] in ("disk_free_bytes", "store_bytes")
    ledger.check()
    ledger.delete("cold", "c2")
    small_disk.give_back()
    expect_writes_come_back(node, ledger, pid)
