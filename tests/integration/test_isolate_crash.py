"""The campaign of isolates that are killed under load, in short; HACKING.md has the long form."""

import pytest

import isolate_crash
from isolate_crash import Violation
from thin import once


def run(node, *arguments):
    return isolate_crash.run(isolate_crash.parse(arguments), node)


def test_nothing_acknowledged_is_lost_or_doubled_where_isolates_are_killed(node):
    stats = run(node, "--kills", "50")
    assert stats["killed_zygotes"] == 1 and stats["sockets"] > 0


@once
def test_a_class_that_tears_its_writes_apart_is_found(node):
    with pytest.raises(Violation, match="counted to|was acknowledged as"):
        run(node, "--kills", "40", "--pause", "0.1", "--plant", "torn")
