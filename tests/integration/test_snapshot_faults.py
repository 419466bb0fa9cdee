"""Copies of stores between nodes: each call that writes one fails, and the copy comes all the same; and who
falls silent meanwhile holds nobody up."""

import errno
import glob
import os

import pytest

from client import Client, wait_until
from cluster_nodes import DEADLINE_SECONDS, SMALL, Cluster
from disk_faults import Faults
from thin import once

TIMES = 2  # calls that fail
# The side, kinds of calls, and which of them is the first to fail
ROWS = [("out", "make", 1), ("out", "write", 1), ("out", "write", 2), ("in", "make", 1), ("in", "write", 1),
        ("in", "sync", 1)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Node 1 of a cluster of which all nodes live under the same rules."""
    cluster = Cluster(tmp_path_factory.mktemp("copies"), SMALL, shards=1)
    faults = Faults(cluster.directory, cluster.directory)
    cluster.environment = faults.environment
    cluster.begin()
    yield cluster, faults
    cluster.finish()
    faults.close()
    cluster.discard()


def copies(node):
    """Files of copies that are under way, or were left over."""
    return glob.glob(os.path.join(node.data, "shards", "*.in*")) + \
        glob.glob(os.path.join(node.data, "shards", "*.out*"))


def said(cluster, side):
    """How often a node has told of an attempt that came to nothing; any may lead the cluster's records."""
    what = {"in": "snapshot_not_taken", "out": "snapshot_failed"}[side]
    return sum(node.stderr.count(what) for node in cluster.nodes.values())


def join_under(world, kinds, name, reason, first=1, times=TIMES):
    """A node that must get a copy of the cluster's records, or it never serves."""
    cluster, faults = world
    faults.set([kinds], name, reason, first=first, times=times)
    node = cluster.join(max(cluster.nodes) + 1)
    assert faults.failed() > 0, "no such call was met"
    faults.clear()
    for n in cluster.running():
        n.check()
    return node


@pytest.mark.parametrize("reason", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("side, kinds, first", ROWS)
def test_a_copy_that_could_not_be_written_comes_again(world, side, kinds, first, reason):
    cluster, _ = world
    before = said(cluster, side)
    join_under(world, kinds, f"*/shards/*.{side}", reason, first)
    assert said(cluster, side) > before, "nothing was said of it"
    for n in cluster.running():
        wait_until(lambda n=n: not copies(n), DEADLINE_SECONDS, "the end of files that were of use for a copy")


def test_a_copy_that_could_not_be_removed_is_removed_by_the_next_start(world):
    cluster, faults = world
    faults.set(["unlink"], "*/shards/*.in", errno.EIO, rule=1)  # of the failed attempt
    node = join_under(world, "write", "*/shards/*.in", errno.EIO)
    assert copies(node)
    node.kill9()
    node.start()
    assert not copies(node)
    assert cluster.nodes[1].process.poll() is None


VALUE_BYTES = 256 << 10
IN_A_ROW = 80  # more bytes than an engine of SMALL has memory for


def put_large(client, number):
    """The status: 429 where the memory for what is logged is all taken."""
    path = f"/v1/test/Store/large-{number % 8}/kv/k{number // 8 % 40}"
    return client.put(path, body=os.urandom(VALUE_BYTES), content_type="application/octet-stream").status


def fall_silent_in_a_copy(cluster, node):
    """It starts, lacking entries that are gone, and stands still in the midst of a copy of some shard."""
    def parts(kind):
        return [f for n in cluster.nodes.values()
                for f in glob.glob(os.path.join(n.data, "shards", f"*.{kind}"))]

    def is_caught():
        node.start()
        wait_until(lambda: parts("in") and parts("out") or not lacks_any(), DEADLINE_SECONDS, "a copy")
        node.pause()
        if parts("in") and parts("out"):
            return True
        node.resume()
        node.kill9()
        for number in range(IN_A_ROW):
            put_large(client, number)
        return False

    def lacks_any():
        return any(s["lag"] > 0 for s in cluster.nodes[1].cluster()["shards"])

    client = Client(cluster.nodes[1].url)
    wait_until(is_caught, DEADLINE_SECONDS, "a copy that is under way")
    client.close()
    return parts


@once
def test_a_replica_that_falls_silent_while_it_gets_a_copy_holds_up_no_writer(tmp_path):
    """What is logged meanwhile is not kept for it in the memory that writers need."""
    cluster = Cluster(tmp_path / "silent", SMALL, shards=4).grow(3)
    away = cluster.nodes[3]
    try:
        away.kill9()
        client = Client(cluster.nodes[1].url)
        wait_until(lambda: put_large(client, 0) == 204, DEADLINE_SECONDS, "leaders without it")
        for number in range(3 * IN_A_ROW):
            put_large(client, number)
        parts = fall_silent_in_a_copy(cluster, away)
        taken = 0

        def is_held_up_no_more():
            nonlocal taken
            taken = taken + 1 if put_large(client, taken) == 204 else 0
            return taken == IN_A_ROW
        wait_until(is_held_up_no_more, DEADLINE_SECONDS, "writes that are all taken")
        assert parts("out"), "the copy was given up: nothing was shown"
        away.resume()
        wait_until(lambda: all(s["lag"] == 0 for s in cluster.nodes[1].cluster()["shards"]), DEADLINE_SECONDS,
                   "the copy to be taken")
        cluster.settle()
        cluster.finish()
    finally:
        for node in cluster.running():
            node.kill9()
    cluster.discard()
