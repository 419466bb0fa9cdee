"""Sections 1 and 8: 507 where --max-disk is reached, reads that go on, and space that comes back."""

import os

from client import Actor, expect_problem, wait_until

MAX = 256 * 1024 * 1024
VALUE = b"x" * (2**21 - 5)


def disk_bytes(folder):
    """What the files under it take up."""
    return sum(os.lstat(os.path.join(at, name)).st_blocks * 512
               for at, _, names in os.walk(folder) for name in names)


def fill(node):
    """Actors with a value each, until the disk is full: those that were written, and the refusal."""
    written = []
    while len(written) < 4 * MAX // len(VALUE):
        actor = Actor(node.client, f"a{len(written)}")
        answer = actor.put_bytes("k", VALUE)
        if answer.status == 507:
            return written, actor, answer
        if answer.status == 204:
            written.append(actor.id)
        else:
            expect_problem(answer, 429, "overloaded", retryable=True)
    raise AssertionError("it was never full")


def test_max_disk_bounds_the_data_and_a_full_disk_is_507(start_node):
    node = start_node("--max-disk", "256M")
    written, refused, answer = fill(node)
    doc = expect_problem(answer, 507, "storage_full", retryable=True)
    assert doc["limit"] == {"name": "max_disk", "value": MAX}
    assert disk_bytes(node.data) > MAX // 2  # and not long before

    # Nothing was written, and reads go on.
    assert refused.info().json["exists"] is False
    expect_problem(refused.get("k"), 404, "no_such_key")
    for actor_id in written:
        assert Actor(node.client, actor_id).get("k").body == VALUE
    more = Actor(node.client, "more")

    def is_refused_and_says_so():
        """What a checkpoint writes may take less room than in memory: then there is some again."""
        if more.put_bytes("k", VALUE).status == 204:
            more.destroy()
            return False
        return b"\ndormouse_storage_full 1\n" in node.client.get("/metrics").body

    wait_until(is_refused_and_says_so)

    # Deletes are let through, and make room without a restart.
    for actor_id in written[1:]:
        assert Actor(node.client, actor_id).destroy().status == 204
    wait_until(lambda: refused.put_bytes("k", VALUE).status == 204, seconds=60, what="a write")
    node.restart(kill=True)
    assert Actor(node.client, refused.id).get("k").body == VALUE
    assert Actor(node.client, written[0]).get("k").body == VALUE
    assert Actor(node.client, written[1]).info().json["exists"] is False
