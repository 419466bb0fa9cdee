"""Section 3, GET .../kv: which entries, in which order, page by page."""

import random

import pytest

from client import Actor, expect_problem
from pack import unpack

PAGE_BYTES = 4 * 1024 * 1024
# In byte order: é is C3 A9, 日 E6.., 😀 F0..; Ω (CE A9) comes before 日 and after é.
KEYS = ["", "\x00", "A", "B", "a", "a\x00", "a\x00b", "a ", "a/", "a/1", "a/10", "a/2", "a0", "aa", "b",
        "b/", "b/x", "~", "\x7f", "\x80", "é", "Ω", "日", "日本", "\ue000", "\uffff", "😀", "\U0010ffff"][1:]


def fill(actor, keys):
    order = list(keys)
    random.Random(5).shuffle(order)
    for at in range(0, len(order), 100):
        answer = actor.txn([{"put": key, "value": key + "!"} for key in order[at:at + 100]])
        assert answer.status == 200, answer


def keys_of(answer):
    assert answer.status == 200, answer
    return [entry["key"] for entry in answer.json["entries"]]


def expected(keys, prefix="", start=None, startAfter=None, end=None, reverse="false"):
    """What the contract says, on the bytes of the keys."""
    def is_in(key):
        return (key.startswith(prefix.encode()) and (start is None or key >= start.encode())
                and (startAfter is None or key > startAfter.encode())
                and (end is None or key < end.encode()))
    found = sorted((k for k in (key.encode() for key in keys) if is_in(k)),
                   reverse=reverse == "true")
    return [key.decode() for key in found]


def all_pages(actor, most=10000, **parameters):
    """The entries of all pages, and how many pages there were."""
    entries, cursor, pages = [], None, 0
    while True:
        answer = actor.list(**parameters, **({"cursor": cursor} if cursor else {}))
        assert answer.status == 200, answer
        page = answer.json
        assert set(page) == {"entries", "next"}
        entries += page["entries"]
        pages += 1
        cursor = page["next"]
        if cursor is None:
            return entries, pages
        assert isinstance(cursor, str) and cursor
        assert page["entries"], "a page that goes on has entries"
        assert pages < most


def test_an_actor_without_keys_lists_nothing(actor):
    answer = actor.list()
    assert answer.status == 200 and answer.json == {"entries": [], "next": None}


def test_entries_have_key_value_and_version(actor):
    a = actor.put("a", [1]).version
    b = actor.put("b", None).version
    assert actor.list().json == {"entries": [{"key": "a", "value": [1], "version": a},
                                             {"key": "b", "value": None, "version": b}],
                                 "next": None}


def test_keys_come_in_byte_order(actor):
    fill(actor, KEYS)
    assert keys_of(actor.list()) == expected(KEYS)
    assert [e["value"] for e in actor.list().json["entries"]] == [k + "!" for k in expected(KEYS)]


def test_reverse_turns_the_order_round(actor):
    fill(actor, KEYS)
    assert keys_of(actor.list(reverse="true")) == expected(KEYS, reverse="true")
    assert keys_of(actor.list(reverse="false")) == expected(KEYS)


def test_values_false_leaves_the_values_out(actor):
    version = actor.put("a", "x" * 1000).version
    assert actor.list(values="false").json["entries"] == [{"key": "a", "version": version}]
    assert actor.list(values="true").json["entries"][0]["value"] == "x" * 1000


@pytest.mark.parametrize("parameters", [
    {"prefix": "a"}, {"prefix": "a/"}, {"prefix": "a\x00"}, {"prefix": "日"}, {"prefix": "x"},
    {"prefix": ""}, {"prefix": "\U0010ffff"}, {"start": "a/"}, {"start": "a/1"}, {"start": "a/11"},
    {"start": ""}, {"startAfter": "a/1"}, {"startAfter": "a/11"}, {"startAfter": ""}, {"end": "a/1"},
    {"end": "a/11"}, {"end": ""}, {"start": "a", "end": "b"}, {"start": "b", "end": "a"},
    {"start": "a", "end": "a"}, {"startAfter": "a", "end": "b"}, {"startAfter": "a", "end": "a\x00"},
    {"start": "a/1", "startAfter": "a/"}, {"start": "a/1", "startAfter": "a/1"},
    {"start": "a", "startAfter": "a/1"}, {"prefix": "a/", "start": "a/1", "end": "a/2"},
    {"prefix": "a/", "start": "A"}, {"prefix": "a/", "end": "b"}, {"prefix": "a/", "end": "a"},
    {"prefix": "b", "startAfter": "b"}, {"prefix": "é", "startAfter": "é"}], ids=str)
@pytest.mark.parametrize("reverse", ["false", "true"])
def test_bounds_hold_in_both_directions(actor, parameters, reverse):
    fill(actor, KEYS)
    want = expected(KEYS, reverse=reverse, **parameters)
    assert keys_of(actor.list(reverse=reverse, **parameters)) == want
    for limit in 1, 2, 3:
        entries, pages = all_pages(actor, limit=limit, reverse=reverse, **parameters)
        assert [e["key"] for e in entries] == want
        assert pages == max(1, -(-len(want) // limit))


def test_without_limit_a_page_has_100_entries(actor):
    keys = [f"{i:04}" for i in range(250)]
    fill(actor, keys)
    first = actor.list().json
    assert [e["key"] for e in first["entries"]] == keys[:100]
    entries, pages = all_pages(actor)
    assert [e["key"] for e in entries] == keys and pages == 3


def test_a_page_that_ends_with_the_last_key_has_no_next(actor):
    keys = [f"{i:04}" for i in range(10)]
    fill(actor, keys)
    assert actor.list(limit=10).json["next"] is None
    assert actor.list(limit=9).json["next"] is not None
    assert actor.list(limit=1000).json["next"] is None


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "1.5", "1e2", "%31x", "99999999999999999999",
                                   " 1"])
def test_a_limit_outside_1_to_1000_is_400(actor, limit):
    expect_problem(actor.list(limit=limit), 400, "bad_request")


def test_limits_of_1_and_1000_are_taken(actor):
    keys = [f"{i:04}" for i in range(1005)]
    fill(actor, keys)
    assert keys_of(actor.list(limit=1)) == keys[:1]
    assert keys_of(actor.list(limit=1000)) == keys[:1000]


@pytest.mark.parametrize("query", ["reverse=1", "reverse=", "reverse=TRUE", "values=no", "values=0", "x=1",
                                   "Prefix=a", "startafter=a", "limit=1&limit=1", "prefix=%f",
                                   "prefix=%ff", "start=%ff", "cursor=%ff"])
def test_a_malformed_query_is_400(actor, query):
    expect_problem(actor.client.get(f"{actor.path}/kv?{query}"), 400, "bad_request")


@pytest.mark.parametrize("name", ["prefix", "start", "startAfter", "end"])
def test_a_bound_longer_than_a_key_may_be_is_413(actor, name):
    assert actor.list(**{name: "k" * 480}).status == 200
    expect_problem(actor.list(**{name: "k" * 481}), 413, "too_large")


def test_in_a_query_plus_is_a_space(actor):
    actor.put("a b", 1)
    answer = actor.client.get(f"{actor.path}/kv?prefix=a+b")
    assert keys_of(answer) == ["a b"]


# Cursors


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "=", "!!", "YWJj", "a" * 5000])
def test_a_cursor_that_no_listing_gave_is_400(actor, cursor):
    actor.put("a", 1)
    expect_problem(actor.list(cursor=cursor), 400, "bad_request")


def test_a_changed_cursor_is_400(actor):
    fill(actor, ["a", "b", "c"])
    cursor = actor.list(limit=1).json["next"]
    for i in range(len(cursor)):
        changed = cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1:]
        expect_problem(actor.list(cursor=changed), 400, "bad_request")
    expect_problem(actor.list(cursor=cursor[:-1]), 400, "bad_request")


def test_a_cursor_goes_on_whatever_was_written_meanwhile(actor):
    keys = [f"{i:02}" for i in range(0, 40, 2)]
    fill(actor, keys)
    page = actor.list(limit=5).json
    assert page["entries"][-1]["key"] == "08"
    actor.delete("08")   # what the cursor points at
    actor.delete("10")   # what would have been next
    actor.put("07", 1)   # behind it
    actor.put("11", 1)   # ahead of it
    page = actor.list(limit=5, cursor=page["next"])
    assert keys_of(page) == ["11", "12", "14", "16", "18"]


def test_a_cursor_works_under_reverse_and_bounds(actor):
    keys = [f"k{i:03}" for i in range(300)]
    fill(actor, keys + ["a", "z"])
    entries, _ = all_pages(actor, limit=7, reverse="true", prefix="k", start="k010", end="k290")
    assert [e["key"] for e in entries] == keys[10:290][::-1]


def test_a_cursor_is_good_after_a_restart(node):
    actor = Actor(node.client, "a")
    keys = [f"{i:04}" for i in range(100)]
    fill(actor, keys)
    cursor = actor.list(limit=40).json["next"]
    node.restart(kill=True)
    actor = Actor(node.client, "a")
    assert keys_of(actor.list(limit=100, cursor=cursor)) == keys[40:]


def test_a_cursor_of_the_longest_key_fits(actor):
    keys = ["😀" * 119 + c * 4 for c in "abc"]
    fill(actor, keys)
    entries, pages = all_pages(actor, limit=1)
    assert [e["key"] for e in entries] == keys and pages == 3


# Size


def test_a_page_ends_early_at_4_mib(actor):
    value = "x" * (1024 * 1024 - 5)
    for i in range(10):
        assert actor.put(f"k{i}", value).status == 204
    answer = actor.list()
    count = len(answer.json["entries"])
    assert answer.json["next"] is not None
    assert 3 <= count <= 4 and len(answer.body) <= PAGE_BYTES + 65536
    for reverse in "false", "true":
        entries, pages = all_pages(actor, reverse=reverse)
        assert len(entries) == 10 and pages <= 4
        assert sorted(e["key"] for e in entries) == [f"k{i}" for i in range(10)]
        assert all(e["value"] == value for e in entries)
    assert len(actor.list(values="false").json["entries"]) == 10


def test_values_of_2_mib_are_listed_two_a_page_at_most(actor):
    value = "x" * (2 * 1024 * 1024 - 5)
    for i in range(3):
        actor.put(f"k{i}", value)
    entries, pages = all_pages(actor)
    assert len(entries) == 3 and 2 <= pages <= 3


def test_a_listing_in_msgpack_is_the_same(actor):
    fill(actor, KEYS)
    plain = actor.list(limit=10).json
    path = f"{actor.path}/kv?limit=10"
    packed = unpack(actor.client.get(path, accept="application/msgpack").body)
    assert packed == plain


def test_bytes_show_as_base64_in_a_listing(actor):
    actor.put_bytes("k", b"\x00\x01")
    assert actor.list().json["entries"][0]["value"] == {"$bytes": "AAE="}


# What is where: memory, frozen, on disk


def test_a_listing_sees_every_write_that_was_answered(actor):
    present = {}
    rng = random.Random(7)
    for i in range(300):
        key = f"{rng.randrange(60):02}"
        if rng.random() < 0.3:
            actor.delete(key)
            present.pop(key, None)
        else:
            actor.put(key, i)
            present[key] = i
        if i % 10 == 0:
            entries, _ = all_pages(actor, limit=17)
            assert {e["key"]: e["value"] for e in entries} == present


def test_a_big_actor_is_listed_whole_after_restarts(node):
    """Far more rows than an actor is woken with, some in the store, some in the log alone."""
    actor = Actor(node.client, "big")
    model = {}

    def put(keys, value):
        for at in range(0, len(keys), 100):
            part = keys[at:at + 100]
            assert actor.txn([{"put": k, "value": value} for k in part]).status == 200
            model.update((k, value) for k in part)

    def delete(keys):
        for at in range(0, len(keys), 100):
            part = keys[at:at + 100]
            assert actor.txn([{"delete": k} for k in part]).status == 200
            for k in part:
                model.pop(k, None)

    def check():
        want = sorted(model.items())
        for limit in 1000, 333:
            entries, _ = all_pages(actor, limit=limit)
            assert [(e["key"], e["value"]) for e in entries] == want
        entries, _ = all_pages(actor, limit=1000, reverse="true", values="false")
        assert [e["key"] for e in entries] == [k for k, _ in reversed(want)]
        assert actor.info().json["keys"] == len(want)

    keys = [f"key/{i:05}" for i in range(5000)]
    put(keys, "x" * 200)
    check()
    for kill in [False, True]:
        node.restart(kill)
        actor = Actor(node.client, "big")
        check()
        put(keys[1000:1300] + [f"new/{kill}/{i:04}" for i in range(500)], "y" * 50)
        delete(keys[2000:2600] + keys[4990:])
        check()
        node.restart(kill)
        actor = Actor(node.client, "big")
        check()
    entries, _ = all_pages(actor, prefix="key/", start="key/00990", end="key/02700", limit=100)
    assert [e["key"] for e in entries] == [k for k in keys[990:2700] if k in model]


def test_a_listing_of_a_big_actor_waits_for_no_checkpoint(node):
    """Through several checkpoints (every 10 s, or at 8 MB): pages are those of the writes so far."""
    actor = Actor(node.client, "big")
    rng = random.Random(11)
    model = {}
    for batch in range(60):
        do = []
        for _ in range(60):
            key = f"{rng.randrange(4000):05}"
            if rng.random() < 0.25:
                do.append({"delete": key})
                model.pop(key, None)
            else:
                value = f"{batch}" * rng.randrange(1, 2000)
                do.append({"put": key, "value": value})
                model[key] = value
        assert actor.txn(do).status == 200
        if batch % 15 == 14:
            node.restart(kill=rng.random() < 0.5)
            actor = Actor(node.client, "big")
        if batch % 10 == 9:
            entries, _ = all_pages(actor, limit=1000)
            assert {e["key"]: e["value"] for e in entries} == model


def test_a_listing_in_a_transaction_sees_its_own_writes_over_what_is_on_disk(node):
    actor = Actor(node.client, "a")
    keys = [f"{i:05}" for i in range(3000)]
    fill(actor, keys)
    node.restart()
    actor = Actor(node.client, "a")
    answer = actor.txn([{"delete": "00001"}, {"put": "00002", "value": "new"},
                        {"put": "00001a", "value": 1}, {"list": {"limit": 4}},
                        {"list": {"limit": 2, "reverse": True}},
                        {"list": {"start": "02990", "end": "02993", "values": False}}]).json
    first, last, middle = answer["results"][3:]
    assert [(e["key"], e["value"]) for e in first["entries"]] == [
        ("00000", "00000!"), ("00001a", 1), ("00002", "new"), ("00003", "00003!")]
    assert [e["key"] for e in last["entries"]] == ["02999", "02998"]
    assert [e["key"] for e in middle["entries"]] == ["02990", "02991", "02992"]
    assert all(set(e) == {"key", "version"} for e in middle["entries"])
