"""The programs of examples/ do against a real node what they say."""
import pathlib
import subprocess

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


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
