"""The campaign of workflows under kills, in short; HACKING.md has the long form."""

import pytest

import workflow_crash
from isolate_crash import Violation
from thin import once


def run(start_node, *arguments):
    return workflow_crash.run(workflow_crash.parse(arguments), start_node("--allow-private-targets"))


def test_every_step_is_kept_once_where_isolates_and_the_node_are_killed(start_node):
    stats = run(start_node, "--workflows", "150", "--pause", "0.3", "--seconds", "240")
    assert stats["isolates"] > 0 and stats["nodes"] > 0


@once
def test_a_workflow_that_keeps_no_step_is_found(start_node):
    with pytest.raises(Violation, match="was run again after|the journal has"):
        run(start_node, "--workflows", "40", "--pause", "0.2", "--seconds", "60", "--plant", "again")
