"""The C SDK with code, against a real node: calls of classes and runs, over both versions of HTTP, and over kills."""

import contextlib
import subprocess

import pytest

from cluster_nodes import free_port
from node import REPORTS, SMALL_QUARANTINE, built_program

SECONDS = 6
KILLS = 4


def start(*arguments):
    return subprocess.Popen([built_program("tests/lib/sdk_code"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env={"ASAN_OPTIONS": SMALL_QUARANTINE})


def finish(run, begun=""):
    out, errors = run.communicate(timeout=120)
    assert run.returncode == 0 and not REPORTS.search(errors), begun + out + errors
    return out


@pytest.mark.parametrize("http", ["http1", "http2"])
def test_calls_and_runs_answer_as_the_header_says(node, http):
    assert finish(start(node.url, http)).endswith("as they should be\n")


def test_calls_with_keys_act_once_over_kills_of_the_node(start_node):
    node = start_node("--listen", f"127.0.0.1:{free_port()}")
    run = start(node.url, "load", str(SECONDS))
    assert run.stdout.readline() == "deployed\n"
    kills = 0
    while run.poll() is None and kills < KILLS:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(SECONDS / KILLS)
        node.restart(kill=True)
        kills += 1
    out = finish(run)
    assert kills >= 2 and int(out.split()[0]) > kills, (out, kills)
