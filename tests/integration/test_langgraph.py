"""LangGraph's checkpoints and memory in actors: the public validation whole, and what it does not ask."""

import os
import re

import sdk_js
from cluster_killer import FixedPorts
from langgraph_kills import campaign

VALIDATION_TESTS = 718  # of @langchain/langgraph-checkpoint-validation 1.1.1


def test_the_public_validation_passes_whole(shared_node):
    passed = sdk_js.run_vitest("validation", [shared_node.url])
    print(f"{passed} tests of the validation passed")
    assert passed == VALIDATION_TESTS


def test_branches_large_values_and_whole_graphs_are_kept(shared_node):
    assert sdk_js.run_vitest("saver", [shared_node.url]) >= 7


def test_the_store_answers_as_the_one_in_memory(shared_node):
    assert sdk_js.run_vitest("store", [shared_node.url]) >= 8


def test_the_readmes_example_runs_as_pasted_and_goes_on_after_a_kill(node, tmp_path):
    sdk_js.build(sdk_js.LANGGRAPH)
    with open(os.path.join(sdk_js.LANGGRAPH, "README.md"), encoding="utf-8") as f:
        (tmp_path / "graph.mjs").write_text(re.search(r"```js\n(.*?)```", f.read(), re.S)[1], encoding="utf-8")
    packages = tmp_path / "node_modules"
    (packages / "@dormouse").mkdir(parents=True)
    (packages / "dormouse").symlink_to(sdk_js.SDK)
    (packages / "@dormouse" / "langgraph").symlink_to(sdk_js.LANGGRAPH)
    (packages / "@langchain").symlink_to(os.path.join(sdk_js.LANGGRAPH, "node_modules", "@langchain"))
    said = []
    for _ in range(2):
        said.append(sdk_js.run_node("graph.mjs", cwd=tmp_path, environment={"DORMOUSE_URL": node.url}))
        node.restart(kill=True)
    assert said == ["waiting for an answer\n", "ship it: done\n"]


def test_the_validation_passes_while_leaders_are_killed(tmp_path):
    """In short: HACKING.md has the long form."""
    cluster = FixedPorts(tmp_path / "cluster")
    try:
        cluster.grow(3)
        passed, kills, _ = campaign(cluster, rounds=3, every_seconds=2.5, seconds=240)
    finally:
        cluster.finish()
    assert passed == 3 * VALIDATION_TESTS and kills >= 2, (passed, kills)
    cluster.discard()
