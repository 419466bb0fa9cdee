"""Section 3, POST .../txn: checks, operations, results, limits; all of it or nothing."""

import json
import threading

import pytest

from client import Actor, Client, expect_problem
from pack import pack

MSGPACK = "application/msgpack"


def results(answer):
    assert answer.status == 200, answer
    assert answer.json["committed"] is True
    return answer.json["results"]


def test_the_example_of_the_contract_works(actor):
    version = actor.put("k", 0).version
    actor.put("s", "open")
    actor.put("a/1", True)
    answer = actor.txn(
        [{"put": "k", "value": {"a": 1}}, {"delete": "old"}, {"add": "n", "by": 2},
         {"append": "log", "items": [1]}, {"get": "k"}, {"list": {"prefix": "a/"}}],
        [{"key": "k", "version": version}, {"key": "lock", "exists": False},
         {"key": "s", "equals": "open"}])
    doc = answer.json
    assert answer.status == 200 and set(doc) == {"committed", "version", "results"}
    v = doc["version"]
    assert doc["results"][:5] == [{"version": v}, {"existed": False}, {"value": 2}, {"length": 1},
                                  {"value": {"a": 1}, "version": v}]
    assert [e["key"] for e in doc["results"][5]["entries"]] == ["a/1"]
    assert actor.info().json["version"] == v
    assert all(actor.get(key).version == v for key in ["k", "n", "log"])


def test_each_operation_sees_the_ones_before_it(actor):
    got = results(actor.txn([
        {"get": "k"}, {"put": "k", "value": 1}, {"get": "k"}, {"add": "k"}, {"get": "k"},
        {"delete": "k"}, {"get": "k"}, {"delete": "k"}, {"add": "k", "by": 5}, {"get": "k"},
        {"list": {}}, {"append": "l", "items": [1, 2]}, {"append": "l", "items": []},
        {"append": "l", "items": [3]}, {"get": "l"}]))
    version = got[1]["version"]
    assert got[0] is None
    assert got[2]["value"] == 1 and got[3] == {"value": 2} and got[4]["value"] == 2
    assert got[5] == {"existed": True} and got[6] is None and got[7] == {"existed": False}
    assert got[8] == {"value": 5} and got[9] == {"value": 5, "version": version}
    assert got[10] == {"entries": [{"key": "k", "value": 5, "version": version}]}
    assert [got[i] for i in (11, 12, 13)] == [{"length": 2}, {"length": 2}, {"length": 3}]
    assert got[14]["value"] == [1, 2, 3]


@pytest.mark.parametrize("body", [{}, {"do": []}, {"if": []}, {"if": [], "do": []}])
def test_an_empty_transaction_commits_nothing(actor, body):
    version = actor.put("k", 1).version
    answer = actor.client.post(f"{actor.path}/txn", json=body)
    assert answer.status == 200
    assert answer.json == {"committed": True, "version": version, "results": []}


# Checks


def test_a_check_of_the_version(actor):
    version = actor.put("k", 1).version
    assert actor.txn(checks=[{"key": "k", "version": version}]).status == 200
    for wrong in version + 1, version - 1:
        if wrong > 0:
            expect_problem(actor.txn(checks=[{"key": "k", "version": wrong}]), 409, "conflict")
    expect_problem(actor.txn(checks=[{"key": "absent", "version": version}]), 409, "conflict")


def test_a_check_of_existence(actor):
    actor.put("k", None)
    assert actor.txn(checks=[{"key": "k", "exists": True},
                             {"key": "absent", "exists": False}]).status == 200
    expect_problem(actor.txn(checks=[{"key": "k", "exists": False}]), 409, "conflict")
    expect_problem(actor.txn(checks=[{"key": "absent", "exists": True}]), 409, "conflict")


@pytest.mark.parametrize("stored, same, others", [
    (1, [1, 1.0], [2, True, "1", [1], None]),
    (0, [0, 0.0], [False, None, "", []]),
    (2**63, [2**63], [2**63 - 1, -2**63, "9223372036854775808"]),
    (2**53 + 1, [2**53 + 1], [2**53, 2**53 + 2]),
    (1.5, [1.5], [1, 2]),
    ("a", ["a"], ["A", "a\x00", "", 97, ["a"]]),
    (None, [None], [False, 0, "", [], {}]),
    (True, [True], [1, "true", False]),
    ([1, [2]], [[1, [2]]], [[1, 2], [[2], 1], [1], [1, [2], 3], {"0": 1}]),
    ({"a": 1, "b": {"c": []}}, [{"b": {"c": []}, "a": 1}],
     [{"a": 1}, {"a": 1, "b": {"c": {}}}, {"a": 1, "b": {"c": []}, "d": None}]),
    ({"$bytes": "AAE="}, [{"$bytes": "AAE="}], [{"$bytes": "AAI="}, "AAE=", {"$bytes": ""}]),
], ids=json.dumps)
def test_a_check_of_equality(actor, stored, same, others):
    actor.put("k", stored)
    for value in same:
        answer = actor.txn(checks=[{"key": "k", "equals": value}])
        if value is same[0]:
            assert answer.status == 200, value
        else:
            assert answer.status in (200, 409), value  # 1 and 1.0: one number, two types
    for value in others:
        expect_problem(actor.txn(checks=[{"key": "k", "equals": value}]), 409, "conflict")
    expect_problem(actor.txn(checks=[{"key": "absent", "equals": stored}]), 409, "conflict")


def test_equality_does_not_ask_how_a_value_was_written(actor):
    """Longer forms of msgpack, and keys in another order, are the same value."""
    long_forms = b"\xdf\x00\x00\x00\x02\xd9\x01b\xcf\x00\x00\x00\x00\x00\x00\x00\x05\xa1a\xdc\x00\x00"
    assert actor.client.put(actor.kv("k"), long_forms, content_type=MSGPACK).status == 204
    assert actor.get("k").json == {"b": 5, "a": []}
    assert actor.txn(checks=[{"key": "k", "equals": {"a": [], "b": 5}}]).status == 200


def test_a_check_that_fails_writes_nothing_and_gives_its_index(actor):
    version = actor.put("k", 1).version
    for failing in range(3):
        checks = [{"key": "k", "version": version}] * 3
        checks[failing] = {"key": "k", "version": version + 1000}
        answer = actor.txn([{"put": "k", "value": 2}, {"add": "n"}, {"delete": "k"}], checks)
        doc = expect_problem(answer, 409, "conflict")
        assert doc["failed"] == failing
    assert actor.get("k").json == 1 and actor.get("k").version == version
    assert actor.info().json["version"] == version


def test_checks_see_the_state_before_the_operations(actor):
    assert actor.txn([{"put": "k", "value": 1}], [{"key": "k", "exists": False}]).status == 200


def test_one_check_may_ask_for_more_than_one_thing(actor):
    version = actor.put("k", "a").version
    both = {"key": "k", "version": version, "exists": True, "equals": "a"}
    assert actor.txn(checks=[both]).status == 200
    expect_problem(actor.txn(checks=[{**both, "equals": "b"}]), 409, "conflict")


# add


@pytest.mark.parametrize("start, by, total", [
    (None, None, 1), (None, 5, 5), (None, -5, -5), (None, 0, 0), (None, 1.5, 1.5), (1, None, 2),
    (1, -3, -2), (2**63 - 2, 1, 2**63 - 1), (-2**63 + 1, -1, -2**63), (2**63 - 1, -1, 2**63 - 2),
    (1, 0.5, 1.5), (0.5, 1, 1.5), (0.25, 0.5, 0.75), (1, 1.0, 2.0), (1.0, 1, 2.0), (1e300, 1e300, 2e300)])
def test_add_adds(actor, start, by, total):
    if start is not None:
        actor.put("n", start)
    answer = actor.txn([{"add": "n"} if by is None else {"add": "n", "by": by}])
    value = results(answer)[0]["value"]
    assert value == total and isinstance(value, type(total))
    stored = actor.get("n").json
    assert stored == total and isinstance(stored, type(total))


@pytest.mark.parametrize("start, by", [
    (2**63 - 1, 1), (-2**63, -1), (2**62, 2**62), (2**63, 1), (1, 2**63), (2**63, 0), (2**64 - 1, -1),
    ("1", 1), (None, 1), (True, 1), ([1], 1), ({"a": 1}, 1), ({"$bytes": "AA=="}, 1), ({"$bigint": "1"}, 1),
    (1, "1"), (1, True), (1, [1]), (1, {"a": 1}), (1e308, 1e308), (-1e308, -1e308)], ids=str)
def test_add_to_another_type_or_an_overflow_is_400_and_writes_nothing(actor, start, by):
    version = actor.put("n", start).version
    answer = actor.txn([{"put": "other", "value": 1}, {"add": "n", "by": by}])
    expect_problem(answer, 400, "invalid_value")
    stored = actor.get("n", accept="application/json")
    assert stored.json == start and stored.version == version
    expect_problem(actor.get("other"), 404, "no_such_key")


# append


def test_append_makes_and_grows_an_array(actor):
    assert results(actor.txn([{"append": "l", "items": []}])) == [{"length": 0}]
    assert actor.get("l").json == []
    assert results(actor.txn([{"append": "l", "items": [1, None, {"a": []}]}])) == [{"length": 3}]
    assert results(actor.txn([{"append": "l", "items": [[4]]}])) == [{"length": 4}]
    assert actor.get("l").json == [1, None, {"a": []}, [4]]


@pytest.mark.parametrize("stored", [None, 1, "a", True, {}, {"$bytes": "AA=="}, {"$set": [1]}], ids=str)
def test_append_to_another_type_is_400(actor, stored):
    actor.put("l", stored)
    expect_problem(actor.txn([{"append": "l", "items": [1]}]), 400, "invalid_value")
    assert actor.get("l", accept="application/json").json == stored


def test_append_grows_through_every_length_of_head(actor):
    total = 0
    for count in [15, 1, 100, 65000, 1000]:
        total += count
        assert results(actor.txn([{"append": "l", "items": [7] * count}])) == [{"length": total}]
        assert actor.get("l").json == [7] * total


# put, delete, get, list


def test_put_of_null_is_a_value(actor):
    got = results(actor.txn([{"put": "k", "value": None}, {"get": "k"}]))
    assert got[1] == {"value": None, "version": got[0]["version"]}


def test_list_in_a_transaction_takes_the_parameters_of_the_listing(actor):
    for key in "abcdef":
        actor.put(key, key)

    def keys(**parameters):
        answer = actor.txn([{"list": parameters}])
        result, = results(answer)
        assert set(result) == {"entries"}
        return "".join(e["key"] for e in result["entries"])
    assert keys() == "abcdef"
    assert keys(limit=2) == "ab"
    assert keys(reverse=True) == "fedcba"
    assert keys(start="b", end="e") == "bcd"
    assert keys(startAfter="b", end="e", reverse=True) == "dc"
    assert keys(prefix="c") == "c"
    assert keys(start="x") == ""
    assert keys(end="") == ""
    assert results(actor.txn([{"list": {"values": False, "limit": 1}}]))[0]["entries"][0].keys() == \
        {"key", "version"}


@pytest.mark.parametrize("parameters", [
    {"limit": 0}, {"limit": 1001}, {"limit": "1"}, {"limit": 1.0}, {"limit": -1}, {"limit": None},
    {"reverse": "true"}, {"reverse": 1}, {"values": None}, {"prefix": 1}, {"start": None},
    {"cursor": "x"}, {"unknown": 1}, [], None, "a", 1], ids=str)
def test_a_malformed_list_is_400(actor, parameters):
    expect_problem(actor.txn([{"list": parameters}]), 400, "bad_request")


def test_a_list_has_at_most_its_limit_and_defaults_to_100(actor):
    for at in range(0, 1100, 100):
        actor.txn([{"put": f"{i:04}", "value": i} for i in range(at, at + 100)])
    assert len(results(actor.txn([{"list": {}}]))[0]["entries"]) == 100
    assert len(results(actor.txn([{"list": {"limit": 1000}}]))[0]["entries"]) == 1000


# Form


@pytest.mark.parametrize("body", [
    "", "1", "null", "[]", '"x"', '{"do":{}}', '{"do":1}', '{"do":null}', '{"if":{}}', '{"if":null}',
    '{"other":[]}', '{"do":[],"then":[]}', '{"do":[1]}', '{"do":[null]}', '{"do":[[]]}', '{"do":[{}]}',
    '{"do":[{"put":"k"}]}', '{"do":[{"value":1}]}', '{"do":[{"put":1,"value":1}]}',
    '{"do":[{"put":null,"value":1}]}', '{"do":[{"put":"k","value":1,"delete":"k"}]}',
    '{"do":[{"put":"k","value":1,"by":1}]}', '{"do":[{"get":"k","value":1}]}',
    '{"do":[{"delete":["k"]}]}', '{"do":[{"append":"k"}]}', '{"do":[{"append":"k","items":1}]}',
    '{"do":[{"append":"k","items":null}]}', '{"do":[{"append":"k","items":{"0":1}}]}',
    '{"do":[{"increment":"k"}]}', '{"do":[{"add":"k","items":[1]}]}',
    '{"if":[1]}', '{"if":[{}]}', '{"if":[{"key":"k"}]}', '{"if":[{"exists":true}]}',
    '{"if":[{"key":1,"exists":true}]}', '{"if":[{"key":"k","exists":1}]}',
    '{"if":[{"key":"k","exists":null}]}', '{"if":[{"key":"k","version":"1"}]}',
    '{"if":[{"key":"k","version":-1}]}', '{"if":[{"key":"k","version":1.5}]}',
    '{"if":[{"key":"k","version":null}]}', '{"if":[{"key":"k","is":1}]}'])
def test_a_malformed_transaction_is_400(actor, body):
    answer = actor.client.post(f"{actor.path}/txn", body)
    expect_problem(answer, 400, "bad_request")
    assert actor.info().json["exists"] is False


def test_a_malformed_operation_is_400_whatever_the_checks_say(actor):
    answer = actor.txn([{"put": "k", "value": 1}, {"nonsense": 1}], [{"key": "k", "exists": True}])
    expect_problem(answer, 400, "bad_request")


def test_a_key_twice_in_the_body_is_400(actor):
    for body in ['{"do":[],"do":[]}', '{"do":[{"put":"a","put":"b","value":1}]}']:
        expect_problem(actor.client.post(f"{actor.path}/txn", body), 400, "invalid_value")


# Limits


def test_a_transaction_has_at_most_128_operations(actor):
    assert actor.txn([{"put": f"{i}", "value": i} for i in range(128)]).status == 200
    assert actor.info().json["keys"] == 128
    assert actor.txn([{"add": "0"}] * 64, [{"key": "0", "exists": True}] * 64).status == 200
    for do, checks in [(129, 0), (128, 1), (65, 64), (0, 129)]:
        answer = actor.txn([{"add": "0"}] * do, [{"key": "0", "exists": True}] * checks)
        doc = expect_problem(answer, 413, "too_large")
        assert doc["limit"]["value"] == 128
    assert actor.get("0").json == 64


def test_a_transaction_has_at_most_4_mib_of_body(actor):
    body = json.dumps({"do": [{"put": "a", "value": "x" * 2000000},
                              {"put": "b", "value": "y" * 2000000}]})
    body += " " * (4 * 1024 * 1024 - len(body))
    assert actor.client.post(f"{actor.path}/txn", body).status == 200
    doc = expect_problem(actor.client.post(f"{actor.path}/txn", body + " "), 413, "too_large")
    assert doc["limit"]["value"] == 4 * 1024 * 1024
    packed = pack({"do": [{"put": "a", "value": b"x" * 2097147}, {"put": "b", "value": b"y" * 2097000}]})
    assert len(packed) <= 4 * 1024 * 1024
    answer = actor.client.post(f"{actor.path}/txn", packed, content_type=MSGPACK)
    assert answer.status == 200


def test_results_over_4_mib_are_413_and_nothing_is_written(actor):
    value = "x" * (1024 * 1024)
    for i in range(5):
        actor.put(f"k{i}", value)
    before = actor.info().json
    gets = [{"get": f"k{i}"} for i in range(5)]
    answer = actor.txn([{"put": "n", "value": 1}, *gets, {"delete": "k0"}])
    doc = expect_problem(answer, 413, "too_large")
    assert doc["limit"]["value"] == 4 * 1024 * 1024
    assert actor.info().json == before
    assert len(results(actor.txn(gets[:3]))) == 3
    expect_problem(actor.txn([{"get": "k0"}] * 5), 413, "too_large")
    answer = actor.txn([{"list": {}}, {"list": {}}])
    expect_problem(answer, 413, "too_large")


def test_nothing_of_a_transaction_that_fails_is_written(actor):
    actor.put("s", "text")
    before = actor.list().json
    for last in [{"add": "s"}, {"append": "s", "items": []}, {"put": "k", "value": "x" * 2**21}]:
        answer = actor.txn([{"put": "a", "value": 1}, {"add": "n"}, {"delete": "s"},
                            {"put": "s", "value": "text"}, last])
        assert answer.status in (400, 413)
        assert actor.list().json == before


# One step


def test_transactions_of_many_clients_are_one_after_the_other(shared_node, actor):
    """Money is neither made nor lost, and a reader never sees half of a transfer."""
    accounts = [f"account/{i}" for i in range(8)]
    actor.txn([{"put": a, "value": 100} for a in accounts])
    wrong = []

    def move(seed):
        client = Client(shared_node.url)
        mine = Actor(client, actor.id)
        for i in range(60):
            a, b = accounts[(seed + i) % 8], accounts[(seed * 3 + i * 5 + 1) % 8]
            answer = mine.txn([{"add": a, "by": -i}, {"add": b, "by": i}, {"list": {}}])
            if answer.status != 200 or \
                    sum(e["value"] for e in answer.json["results"][2]["entries"]) != 800:
                wrong.append(answer)
            page = mine.list().json
            if sum(e["value"] for e in page["entries"]) != 800:
                wrong.append(page)
        client.close()

    threads = [threading.Thread(target=move, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_compare_and_set_lets_one_of_many_win(shared_node, actor):
    version = actor.put("lock", None).version
    outcomes = []

    def claim(name):
        client = Client(shared_node.url)
        answer = Actor(client, actor.id).txn([{"put": "lock", "value": name}],
                                             [{"key": "lock", "version": version}])
        outcomes.append((answer.status, name))
        client.close()

    threads = [threading.Thread(target=claim, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    winners = [name for status, name in outcomes if status == 200]
    assert len(winners) == 1 and actor.get("lock").json == winners[0]
    assert sorted(status for status, _ in outcomes) == [200] + [409] * 15


def test_a_transaction_on_cold_rows_reads_them_first(node):
    actor = Actor(node.client, "a")
    for at in range(0, 3000, 100):
        actor.txn([{"put": f"{i:05}", "value": i} for i in range(at, at + 100)])
    node.restart()
    actor = Actor(node.client, "a")
    do = [{"add": f"{i * 20:05}"} for i in range(100)] + [{"get": "99999"}, {"delete": "02999"}]
    got = results(actor.txn(do, [{"key": "00500", "equals": 500}, {"key": "02998", "exists": True},
                                 {"key": "99998", "exists": False}]))
    assert [r["value"] for r in got[:100]] == [i * 20 + 1 for i in range(100)]
    assert got[100] is None and got[101] == {"existed": True}
    assert actor.info().json["keys"] == 2999
