"""Copies of stores between nodes: each call that writes one fails, and the copy comes all the same."""

import errno
import glob
import os

import pytest

from client import wait_until
from cluster_nodes import DEADLINE_SECONDS, SMALL, Cluster
from disk_faults import Faults

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
