"""The client for JavaScript against real nodes: each file of tests/sdk-js is run by Node's own test runner, and all
of its tests pass."""

import glob
import json
import os
import re

import pytest

import sdk_js
from cluster_killer import FixedPorts, Killer

FILES = sorted(os.path.basename(path) for path in glob.glob(os.path.join(sdk_js.TESTS, "*.test.js")))


@pytest.mark.parametrize("name", FILES)
def test_all_tests_of_a_file_pass(name):
    sdk_js.build()
    out = sdk_js.run_node("--test", "--test-reporter=tap", os.path.join(sdk_js.TESTS, name))
    passed, skipped = (int(re.search(rf"^# {word} (\d+)$", out, re.M)[1]) for word in ("pass", "skipped"))
    assert passed >= 1 and skipped == 0, out


def test_all_is_done_once_while_leaders_of_three_nodes_are_killed(tmp_path):
    sdk_js.build()
    cluster = FixedPorts(tmp_path / "cluster")
    try:
        cluster.grow(3)
        killer = Killer(cluster, every_seconds=3)
        killer.start()
        try:
            counts = json.loads(sdk_js.run_node(os.path.join(sdk_js.TESTS, "load.js"), environment={
                "DORMOUSE_URL": ",".join(node.url for node in cluster.nodes.values()), "SECONDS": "10"}))
        finally:
            killer.finish()
    finally:
        cluster.finish()
    print(f"{counts} over {killer.kills} kills")
    assert killer.kills >= 2 and all(count > 10 for count in counts.values()), counts
    cluster.discard()
