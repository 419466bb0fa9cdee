"""Section 3, watching."""

import contextlib
import re

import pytest
from client import Actor, Watch, expect_problem, wait_until
from thin import once

MIB = 1024 * 1024


def metric(node, name):
    return float(re.search(rf"^{name} (\S+)$", node.client.get("/metrics").body.decode(), re.M).group(1))


def shapes(events):
    return [(e.name, e.id, e.data) for e in events]


@pytest.fixture
def own(node):
    """An actor of a node of its own: others do not fill its memory or wake it."""
    return Actor(node.client, "watched")


def watch(node, actor, **named):
    w = Watch(actor, node.url, **named)
    assert w.status == 200 and w.response.headers["content-type"] == "text/event-stream"
    return w.joined()


def test_a_watch_shows_what_happens_from_now_on(shared_node, actor):
    actor.put("before", 1)
    with watch(shared_node, actor) as w:
        first = actor.put("k", {"a": [1, None]}).version
        actor.delete("k")
        actor.destroy()
        put, delete, clear = w.take(3)
    assert (put.name, put.id) == ("put", f"{first}.0")
    assert put.data == {"key": "k", "value": {"a": [1, None]}, "version": first}
    assert delete.name == "delete" and delete.data["key"] == "k"
    assert set(delete.data) == {"key", "version"} and delete.data["version"] > first
    assert clear.name == "clear" and set(clear.data) == {"version"}


def test_the_ids_of_a_batch_count_its_events(shared_node, actor):
    with watch(shared_node, actor) as w:
        version = actor.txn([{"put": "b", "value": 1}, {"put": "a", "value": 2},
                             {"add": "b", "by": 4}]).json["version"]
        assert [(e.id, e.data["key"], e.data["value"]) for e in w.take(2)] == [
            (f"{version}.0", "b", 5), (f"{version}.1", "a", 2)]


def test_a_prefix_leaves_out_other_keys(shared_node, actor):
    with watch(shared_node, actor, prefix="m/") as w:
        for key in ["a", "m/1", "n", "m/2"]:
            actor.put(key, 1)
        assert [e.data["key"] for e in w.take(2)] == ["m/1", "m/2"]


def test_a_timer_comes_whatever_the_prefix_with_the_id_of_its_batch(shared_node, actor):
    actor.put("k", 1)
    with watch(shared_node, actor, prefix="no key has this") as w:
        actor.put("k", 2)
        actor.client.put(f"{actor.path}/timers/t", json={"in": 0, "payload": [1]})
        event = w.next()
    assert event.name == "timer" and event.data["timer"] == "t" and event.data["payload"] == [1]
    assert event.id == f"{actor.info().json['version']}.0"  # nothing was written since
    assert actor.get("k").version < int(event.id.split(".")[0])


def test_since_gives_what_came_after_it(shared_node, actor):
    versions = [actor.put(f"k{n}", n).version for n in range(4)]
    for named in [{"since": versions[1]}, {"since": f"{versions[1]}.0"},
                  {"last_event_id": f"{versions[1]}.0"}]:
        with watch(shared_node, actor, **named) as w:
            assert [e.id for e in w.take(2)] == [f"{v}.0" for v in versions[2:]]
    with watch(shared_node, actor, since=0) as w:
        assert [e.id for e in w.take(4)] == [f"{v}.0" for v in versions]


def test_where_events_are_gone_a_reset_gives_the_state(node):
    actor = Actor(node.client, "a")
    actor.put("a", 1)
    version = actor.put("b", 2).version
    node.restart()
    actor = Actor(node.client, "a")
    with watch(node, actor, since=0) as w:
        reset, first, last = w.take(3)
        later = actor.put("c", 3).version
        assert w.next().id == f"{later}.0"
    assert (reset.name, reset.id) == ("reset", None)
    assert (first.name, first.id, first.data["key"]) == ("put", None, "a")
    assert (last.name, last.id, last.data["key"]) == ("put", f"{version}.0", "b")


def test_a_reset_gives_the_state_and_then_the_kept_timer_events(node):
    """Of the timer events those after `since`, with their own ids; of the keys what there is now."""
    def fire(name):
        with watch(node, actor) as w:
            assert actor.client.put(f"{actor.path}/timers/{name}", json={"in": 0}).status == 200
            return w.next()

    actor = Actor(node.client, "a")
    first = fire("first")
    actor.put("k", 1)
    second = fire("second")
    version = actor.put("l", 2).version
    third = fire("third")
    last = int(third.id.split(".")[0])
    node.restart()
    actor = Actor(node.client, "a")
    for since, kept in [("0", [first, second, third]), (first.id, [second, third]), (str(version), [third])]:
        with watch(node, actor, since=since) as w:
            reset, k, l = w.take(3)
            assert (reset.name, k.name, l.name) == ("reset", "put", "put")
            assert [e.id for e in (reset, k, l)] == [None, None, f"{last}.0"]
            assert shapes(w.take(len(kept))) == shapes(kept)
            later = actor.put("k", since).version
            assert w.next().id == f"{later}.0"
        node.restart()
        actor = Actor(node.client, "a")
        last = later


def test_a_state_far_larger_than_any_buffer_reaches_a_slow_client_whole(node):
    """It waits in the middle of the state, once for each full buffer, and goes on when there is room."""
    actor = Actor(node.client, "a")
    value = "x" * (64 * 1024)
    for n in range(300):
        actor.put(f"k{n:03}", value)
    node.restart()
    actor = Actor(node.client, "a")
    with Watch(actor, node.url, receive_bytes=4096, since=0) as w:
        assert w.next().name == "reset"
        for n in range(300):
            event = w.next()
            assert event is not None and event.data["key"] == f"k{n:03}"
            assert event.data["value"] == value
        version = actor.put("k000", "new").version
        assert w.next().id == f"{version}.0"


def test_a_client_that_does_not_read_costs_bounded_memory(node):
    actor = Actor(node.client, "a")
    value = "x" * MIB
    with Watch(actor, node.url, receive_bytes=4096) as w:
        w.joined()
        actor.put("k", value)
        before = node.memory_bytes()
        for _ in range(100):
            actor.put("k", value)
        assert node.memory_bytes() < before + 64 * MIB
        assert actor.get("k").status == 200


@once
def test_clients_that_take_nothing_of_a_large_state_share_a_bound_and_go(node):
    """Each would have 20 MB of state held for it; one at another address gets its own meanwhile."""
    actor = Actor(node.client, "a")
    for n in range(20):
        actor.put(f"k{n:02}", "x" * MIB)
    before = node.memory_bytes()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Watch(actor, node.url, receive_bytes=4096, source="127.0.0.2", since=0))
                for _ in range(100)]
        with Watch(actor, node.url, since=0) as w:
            assert w.next().name == "reset"
            for n in range(20):
                event = w.next()
                assert event.data["key"] == f"k{n:02}" and event.data["value"] == "x" * MIB
                assert node.memory_bytes() < before + 512 * MIB  # a share for each worker
        wait_until(lambda: metric(node, "dormouse_watch_streams") < len(idle), what="a client being cut")
    assert actor.get("k00").status == 200


def test_watchers_that_go_away_leave_nothing_behind(shared_node, actor):
    for n in range(100):
        w = watch(shared_node, actor)
        actor.put("k", n)
        w.close()
    with watch(shared_node, actor) as w:
        version = actor.put("k", "last").version
        assert w.next().id == f"{version}.0"


@pytest.mark.parametrize("query", [
    "since=x", "since=-1", "since=", "since=1.", "since=.1", "since=1.2.3", "since=1.0x", "since=%201",
    "since=18446744073709551616", "since=1.4294967296", "x=1", "since=1&since=2", "prefix=%ff", "prefix=%f"])
def test_a_malformed_watch_is_400(shared_node, actor, query):
    expect_problem(shared_node.client.get(f"{actor.path}/watch?{query}"), 400, "bad_request")
    if query.startswith("since="):
        answer = shared_node.client.get(f"{actor.path}/watch", last_event_id=query[6:] + "x")
        expect_problem(answer, 400, "bad_request")


def test_a_prefix_longer_than_a_key_may_be_is_413(shared_node, actor):
    answer = shared_node.client.get(f"{actor.path}/watch?prefix={'k' * 481}")
    doc = expect_problem(answer, 413, "too_large")
    assert doc["limit"] == {"name": "key_bytes", "value": 480}


def test_streams_end_when_the_node_stops(node):
    actors = [Actor(node.client, f"a{n}") for n in range(6)]
    streams = [Watch(actor, node.url).joined() for actor in actors]
    node.stop()
    for w in streams:
        assert w.next() is None
        w.close()


def test_the_events_of_a_batch_are_counted_in_the_order_of_its_operations(shared_node, actor):
    actor.put("old", 1)
    with watch(shared_node, actor) as w:
        version = actor.txn([{"put": "z", "value": 1}, {"delete": "old"}, {"add": "a"},
                             {"put": "z", "value": 2}]).json["version"]
        assert shapes(w.take(3)) == [
            ("put", f"{version}.0", {"key": "z", "value": 2, "version": version}),
            ("delete", f"{version}.1", {"key": "old", "version": version}),
            ("put", f"{version}.2", {"key": "a", "value": 1, "version": version})]


def test_what_wrote_nothing_is_no_event(shared_node, actor):
    with watch(shared_node, actor) as w:
        actor.delete("not there")
        actor.txn([{"get": "x"}])
        actor.txn([{"put": "x", "value": 1}], [{"key": "x", "exists": True}])
        version = actor.put("x", 1).version
        assert w.next().id == f"{version}.0"


@pytest.mark.parametrize("as_header", [False, True])
def test_since_a_version_or_an_id_gives_what_came_after_it(shared_node, actor, as_header):
    def watch_since(position):
        if as_header:
            return watch(shared_node, actor, last_event_id=position, since=0)
        return watch(shared_node, actor, since=position)

    first = actor.put("a", 1).version
    batch = actor.txn([{"put": "b", "value": 1}, {"put": "c", "value": 1}]).json["version"]
    last = actor.put("d", 1).version
    for position, ids in [(f"{first}", [f"{batch}.0", f"{batch}.1", f"{last}.0"]),
                          (f"{batch}.0", [f"{batch}.1", f"{last}.0"]),
                          (f"{batch}", [f"{last}.0"])]:
        with watch_since(position) as w:
            assert [e.id for e in w.take(len(ids))] == ids


def test_after_the_actor_slept_the_state_comes_with_one_id(node, own):
    for i in range(5):
        version = own.put(f"k{i}", i).version
    assert own.client.post(f"{own.path}/hibernate").status == 204
    for position in [{"since": 0}, {"since": 1}, {"last_event_id": "1.0"}]:
        with watch(node, own, **position) as w:
            reset, *puts = w.take(6)
            assert reset.name == "reset" and reset.id is None
            assert [(e.name, e.data["key"], e.data["value"]) for e in puts] == [
                ("put", f"k{i}", i) for i in range(5)]
            assert [e.id for e in puts[:-1]] == [None] * 4
            assert int(puts[-1].id.split(".")[0]) == version
            later = own.put("k0", "later").version
            assert w.next().id == f"{later}.0"
            version = own.put("k0", 0).version
        own.client.post(f"{own.path}/hibernate")


def test_the_reset_of_an_empty_state_has_the_id(node, own):
    own.put("k", 1)
    own.delete("k")
    own.client.post(f"{own.path}/hibernate")
    version = own.info().json["version"]
    with watch(node, own, since=1) as w:
        reset = w.next()
        assert reset.name == "reset" and int(reset.id.split(".")[0]) == version


def test_a_state_of_many_pages_is_whole_while_it_changes(node, own):
    for batch in range(10):
        own.txn([{"put": f"k{batch:02}{i:02}", "value": batch} for i in range(100)])
    own.client.post(f"{own.path}/hibernate")
    with watch(node, own, since=1) as w:
        state = {}
        assert w.next().name == "reset"
        own.put("k0000", "changed")
        own.delete("k0999")
        last = own.put("end", 1).version
        while True:
            event = w.next()
            if event.name == "put":
                state[event.data["key"]] = event.data["value"]
            else:
                state.pop(event.data["key"], None)
            if event.id is not None and int(event.id.split(".")[0]) >= last:
                break
    assert len(state) == 1000 and state["k0000"] == "changed" and "k0999" not in state


def test_the_last_thousand_events_are_kept_and_older_ones_are_gone(node, own):
    ids = []
    for batch in range(10):
        version = own.txn([{"put": f"k{i}", "value": batch} for i in range(101)]).json["version"]
        ids += [f"{version}.{i}" for i in range(101)]
    with watch(node, own, since=ids[9]) as w:
        assert [e.id for e in w.take(1000)] == ids[10:]
    with watch(node, own, since=ids[8]) as w:
        assert w.next().name == "reset"


def test_a_watched_actor_stays_awake(node, own):
    own.put("k", 1)
    with watch(node, own) as w:
        own.client.post(f"{own.path}/hibernate")
        assert own.info().json["state"] == "awake"
        version = own.put("k", 2).version
        assert w.next().id == f"{version}.0"


def test_comments_keep_an_idle_stream_alive(node, own):
    with watch(node, own) as w:
        w.socket.settimeout(60)  # they come every 15 s
        assert [w.response.readline() for _ in range(3)] == [b"\n", b":\n", b"\n"]
