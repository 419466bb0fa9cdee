"""The programs of examples/ do against a real node what they say."""
import pathlib
import subprocess

import pytest

from node import built_program
from test_cli_deploy import dormouse

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
DEPLOYED = {"counter": ("counter", ["Counter"]), "chat": ("chat", ["Room"]),
            "rate-limiter": ("limits", ["RateLimiter"]), "agent": ("agent", ["Agent"]),
            "workflow": ("orders", ["Order"])}
LINES_MAX = 99


def run_example(node, name, *arguments):
    done = subprocess.run(["/usr/bin/python3", EXAMPLES / name, node.url, *arguments],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_agent_goes_on_where_it_was_also_after_the_node_was_killed(node):
    assert run_example(node, "agent_memory.py") == (
        "2 turns, 3 messages, the last: The sky over Rome is clear.\n")
    node.restart(kill=True)
    assert run_example(node, "agent_memory.py") == (
        "4 turns, 6 messages, the last: The sky over Rome is clear.\n")


# Classes


def test_every_folder_is_deployed_by_a_test():
    assert {path.parent.name for path in EXAMPLES.glob("*/wrangler.jsonc")} == set(DEPLOYED)


@pytest.mark.parametrize("name", DEPLOYED)
def test_an_example_is_short(name):
    for source in (EXAMPLES / name / "src").iterdir():
        assert len(source.read_text().splitlines()) <= LINES_MAX, source


@pytest.mark.parametrize("name", DEPLOYED)
def test_an_example_bundles_and_binds_its_class(start_node, name):
    """On a node whose check is a fake."""
    node = start_node(binary=built_program("tests/lib/fake_check"))
    namespace, classes = DEPLOYED[name]
    dormouse(node, "deploy", EXAMPLES / name)
    told = node.client.get(f"/v1/{namespace}").json
    assert [c["name"] for c in told["classes"]] == classes
    assert sorted(told["bindings"].values()) == classes
