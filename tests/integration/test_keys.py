"""Section 3, keys: PUT, GET, HEAD, DELETE, conditions and versions."""

import json

import pytest

from client import Actor, expect_problem, quote
from pack import pack

VALUE_MAX = 2 * 1024 * 1024
MSGPACK = "application/msgpack"


def test_put_is_204_with_the_version(actor):
    answer = actor.put("k", 1)
    assert answer.status == 204 and answer.body == b""
    assert answer.version > 0
    assert answer.headers.get("content-type") is None
    assert answer.headers.get("idempotency-replayed") is None


def test_get_is_200_with_the_value_and_its_version(actor):
    version = actor.put("k", [1, 2]).version
    answer = actor.get("k")
    assert answer.status == 200 and answer.json == [1, 2] and answer.version == version


def test_get_of_an_absent_key_is_404(actor):
    expect_problem(actor.get("k"), 404, "no_such_key")
    actor.put("k", 1)
    expect_problem(actor.get("K"), 404, "no_such_key")
    actor.delete("k")
    answer = actor.get("k")
    expect_problem(answer, 404, "no_such_key")
    assert answer.headers.get("etag") is None


def test_null_is_a_value_and_not_an_absence(actor):
    actor.put("k", None)
    answer = actor.get("k")
    assert answer.status == 200 and answer.body == b"null"


def test_head_is_get_without_the_value(actor):
    version = actor.put("k", "x" * 1000).version
    answer = actor.head("k")
    assert answer.status == 200 and answer.version == version and answer.body == b""
    assert answer.headers["content-length"] == "1002"
    assert actor.head("absent").status == 404


def test_delete_is_204_and_says_whether_it_was_there(actor):
    actor.put("k", 1)
    answer = actor.delete("k")
    assert answer.status == 204 and answer.headers["dormouse-existed"] == "true"
    assert answer.body == b""
    for _ in range(2):
        answer = actor.delete("k")
        assert answer.status == 204 and answer.headers["dormouse-existed"] == "false"


def test_put_with_if_match_writes_only_over_that_version(actor):
    first = actor.put("k", 1).version
    second = actor.put("k", 2, if_match=f'"{first}"').version
    assert second > first
    answer = actor.put("k", 3, if_match=f'"{first}"')
    expect_problem(answer, 412, "version_mismatch")
    assert actor.get("k").json == 2 and actor.get("k").version == second


def test_put_with_if_match_of_an_absent_key_is_412(actor):
    for tag in ['"1"', '"0"', "*"]:
        expect_problem(actor.put("k", 1, if_match=tag), 412, "version_mismatch")
    expect_problem(actor.get("k"), 404, "no_such_key")


def test_put_with_if_match_any_writes_where_the_key_is_there(actor):
    actor.put("k", 1)
    assert actor.put("k", 2, if_match="*").status == 204


def test_put_with_if_none_match_writes_only_where_the_key_is_absent(actor):
    assert actor.put("k", 1, if_none_match="*").status == 204
    expect_problem(actor.put("k", 2, if_none_match="*"), 412, "version_mismatch")
    assert actor.get("k").json == 1
    actor.delete("k")
    assert actor.put("k", 3, if_none_match="*").status == 204
    assert actor.get("k").json == 3


def test_delete_with_if_match_deletes_only_that_version(actor):
    first = actor.put("k", 1).version
    second = actor.put("k", 2).version
    expect_problem(actor.delete("k", if_match=f'"{first}"'), 412, "version_mismatch")
    assert actor.get("k").json == 2
    assert actor.delete("k", if_match=f'"{second}"').status == 204
    expect_problem(actor.get("k"), 404, "no_such_key")
    expect_problem(actor.delete("k", if_match=f'"{second}"'), 412, "version_mismatch")


def test_get_with_if_none_match_of_the_version_is_304(actor):
    version = actor.put("k", 1).version
    answer = actor.get("k", if_none_match=f'"{version}"')
    assert answer.status == 304 and answer.body == b"" and answer.version == version
    answer = actor.head("k", if_none_match=f'"{version}"')
    assert answer.status == 304
    answer = actor.get("k", if_none_match=f'"{version + 1}"')
    assert answer.status == 200 and answer.json == 1
    actor.put("k", 2)
    assert actor.get("k", if_none_match=f'"{version}"').json == 2


def test_get_of_an_absent_key_is_404_under_if_none_match_too(actor):
    expect_problem(actor.get("k", if_none_match='"1"'), 404, "no_such_key")


def test_a_connection_goes_on_after_304(actor):
    version = actor.put("k", 1).version
    for _ in range(10):
        assert actor.get("k", if_none_match=f'"{version}"').status == 304
        assert actor.get("k").status == 200


@pytest.mark.parametrize("tag", ["3", '"3', "", "x", "'3'", "any"])
def test_a_condition_that_is_no_entity_tag_is_400(actor, tag):
    actor.put("k", 1)
    expect_problem(actor.put("k", 2, if_match=tag), 400, "bad_request")
    expect_problem(actor.put("k", 2, if_none_match=tag), 400, "bad_request")
    expect_problem(actor.delete("k", if_match=tag), 400, "bad_request")
    assert actor.get("k").json == 1


def test_a_condition_may_name_several_versions(actor):
    version = actor.put("k", 1).version
    other = version + 1_000_000
    both = f'"{other}", "{version}"'
    neither = f'"{other}", "{other + 1}"'
    assert actor.get("k", if_none_match=both).status == 304
    assert actor.get("k", if_none_match=neither).status == 200
    expect_problem(actor.put("k", 2, if_none_match=both), 412, "version_mismatch")
    expect_problem(actor.put("k", 2, if_match=neither), 412, "version_mismatch")
    assert actor.get("k").json == 1
    assert actor.put("k", 2, if_match=both).status == 204
    assert actor.put("k", 3, if_none_match=both).status == 204


def test_an_entity_tag_that_is_none_of_ours_matches_nothing(actor):
    version = actor.put("k", 1).version
    for tag in ['"abc"', '""', '"-1"', '"99999999999999999999999"', f'"{version}x"',
                f'"0{version}x"', f'" {version}"']:
        expect_problem(actor.put("k", 2, if_match=tag), 412, "version_mismatch")
        assert actor.get("k", if_none_match=tag).status == 200


def test_a_refused_write_changes_nothing(actor):
    actor.put("k", 1)
    before = actor.info().json
    actor.put("k", 2, if_match='"999999999"')
    actor.put("k", 2, if_none_match="*")
    actor.delete("k", if_match='"999999999"')
    actor.put("k", "x" * VALUE_MAX)
    actor.client.put(actor.kv("k"), "{")
    assert actor.info().json == before


# Versions


def test_versions_are_positive_integers_that_only_grow(actor):
    versions = [actor.put(f"k{i % 3}", i).version for i in range(20)]
    assert all(0 < v < 2**53 for v in versions)
    assert all(a < b for a, b in zip(versions, versions[1:]))
    assert actor.info().json["version"] == versions[-1]


def test_the_version_of_an_entry_is_that_of_the_batch_which_last_wrote_it(actor):
    a = actor.put("a", 1).version
    both = actor.txn([{"put": "b", "value": 1}, {"put": "c", "value": 1}]).json["version"]
    b = actor.put("b", 2).version
    assert actor.get("a").version == a
    assert actor.get("b").version == b
    assert actor.get("c").version == both
    assert [e["version"] for e in actor.list().json["entries"]] == [a, b, both]
    assert a < both < b


def test_writing_the_same_value_again_is_a_write(actor):
    assert actor.put("k", 1).version < actor.put("k", 1).version


def test_deleting_raises_the_version_of_the_actor(actor):
    before = actor.put("k", 1).version
    actor.put("l", 1)
    actor.delete("k")
    after = actor.info().json
    assert after["version"] > before and after["keys"] == 1


def test_a_batch_that_only_reads_or_deletes_nothing_raises_nothing(actor):
    version = actor.put("k", 1).version
    actor.get("k")
    actor.list()
    actor.delete("absent")
    answer = actor.txn([{"get": "k"}, {"delete": "absent"}, {"list": {}}],
                       [{"key": "k", "exists": True}]).json
    assert answer["version"] == version
    assert actor.info().json["version"] == version


def test_versions_grow_across_a_delete_of_the_actor(actor):
    first = actor.put("k", 1).version
    assert actor.destroy().status == 204
    second = actor.put("k", 1).version
    assert second > first
    actor.destroy()
    assert actor.txn([{"add": "n"}]).json["version"] > second


def test_versions_grow_across_a_restart(node):
    actor = Actor(node.client, "a")
    last = actor.put("k", 0).version
    for kill in [True, False, True]:
        node.restart(kill)
        actor = Actor(node.client, "a")
        assert actor.get("k").version == last
        version = actor.put("k", 1).version
        assert version > last
        last = version


def test_versions_grow_across_a_delete_and_a_restart(node):
    actor = Actor(node.client, "a")
    last = actor.put("k", 0).version
    actor.destroy()
    node.restart(kill=True)
    assert Actor(node.client, "a").put("k", 1).version > last


# Limits


@pytest.mark.parametrize("key", [
    "a", "a/b", "/", "//", ".", "..", "a b", "%", "%41", "?", "#", "&=+", "\x00", "a\x00b", "\n", "ü",
    "日本語", "😀", "k" * 480, "ü" * 240, "😀" * 120, "\x00" * 480])
def test_a_key_is_any_utf8_of_1_to_480_bytes(actor, key):
    assert actor.put(key, [key]).status == 204
    assert actor.get(key).json == [key]
    assert [e["key"] for e in actor.list().json["entries"]] == [key]
    answer = actor.txn([{"get": key}, {"delete": key}]).json
    assert answer["results"][0]["value"] == [key] and answer["results"][1]["existed"] is True


@pytest.mark.parametrize("key", ["k" * 481, "ü" * 240 + "a", "😀" * 121, "k" * 5000])
def test_a_key_over_480_bytes_is_413(actor, key):
    for answer in [actor.put(key, 1), actor.get(key), actor.delete(key),
                   actor.txn([{"get": key}]), actor.txn([{"put": key, "value": 1}]),
                   actor.txn(checks=[{"key": key, "exists": False}])]:
        doc = expect_problem(answer, 413, "too_large")
        assert doc["limit"] == {"name": "key_bytes", "value": 480}
    assert actor.info().json["exists"] is False


def test_an_empty_key_is_400(actor):
    expect_problem(actor.put("", 1), 400, "bad_request")
    expect_problem(actor.txn([{"put": "", "value": 1}]), 400, "bad_request")
    expect_problem(actor.txn(checks=[{"key": "", "exists": False}]), 400, "bad_request")


def test_a_key_that_is_not_utf8_is_400(client, actor):
    for key in ["%ff", "%c3", "a%80", "%ed%a0%80"]:
        expect_problem(client.put(f"{actor.path}/kv/{key}", "1"), 400, "bad_request")


def test_a_value_may_have_2_mib_of_msgpack_and_no_more(actor):
    text = "x" * (VALUE_MAX - 5)  # behind a head of 5 bytes
    assert actor.put("json", text).status == 204
    assert actor.get("json").json == text
    expect_problem(actor.put("json", text + "x"), 413, "too_large")
    assert actor.client.put(actor.kv("m"), pack(text), content_type=MSGPACK).status == 204
    doc = expect_problem(actor.client.put(actor.kv("m"), pack(text + "x"), content_type=MSGPACK),
                         413, "too_large")
    assert doc["limit"] == {"name": "value_bytes", "value": VALUE_MAX}
    data = b"\x00" * (VALUE_MAX - 5)
    assert actor.put_bytes("b", data).status == 204
    assert actor.get("b").body == data
    expect_problem(actor.put_bytes("b", data + b"\x00"), 413, "too_large")
    assert actor.get("b").body == data
    assert actor.info().json["bytes"] == 3 * VALUE_MAX + len("jsonmb")


def test_a_transaction_puts_a_value_of_2_mib_and_no_more(actor):
    text = "x" * (VALUE_MAX - 5)
    assert actor.txn([{"put": "k", "value": text}]).status == 200
    doc = expect_problem(actor.txn([{"put": "l", "value": 1}, {"put": "k", "value": text + "x"}]),
                         413, "too_large")
    assert doc["limit"]["name"] == "value_bytes"
    expect_problem(actor.get("l"), 404, "no_such_key")


def test_append_cannot_grow_a_value_beyond_2_mib(actor):
    actor.put("k", ["x" * (VALUE_MAX - 100)])
    assert actor.txn([{"append": "k", "items": ["y" * 50]}]).status == 200
    expect_problem(actor.txn([{"append": "k", "items": ["y" * 50]}]), 413, "too_large")
    assert len(actor.get("k").json) == 2


@pytest.mark.parametrize("fill", ["é", "\x01", "日", "😀", '"'])
def test_a_value_of_2_mib_may_need_more_json_than_that(actor, fill):
    """The limit is that of the value, though json.dumps writes six bytes for the two of é."""
    count = (VALUE_MAX - 5) // len(fill.encode())
    body = json.dumps(fill * count)
    answer = actor.client.put(actor.kv("k"), body)
    assert answer.status == 204, answer
    assert actor.get("k").json == fill * count


def test_a_value_survives_a_restart(node):
    actor = Actor(node.client, "a")
    values = {"s": "x" * 100000, "n": 2**64 - 1, "f": -0.5, "o": {"a": [None, True]}, "é/": ""}
    versions = {key: actor.put(key, value).version for key, value in values.items()}
    actor.put_bytes("b", bytes(range(256)) * 5000)
    for kill in [True, False, True]:
        node.restart(kill)
        actor = Actor(node.client, "a")
        for key, value in values.items():
            answer = actor.get(key)
            assert answer.json == value and answer.version == versions[key]
        assert actor.get("b").body == bytes(range(256)) * 5000


def test_many_actors_survive_a_kill(node):
    paths = [f"/v1/test/Store/{quote(f'actor {i}')}/kv/k" for i in range(500)]
    for i, path in enumerate(paths):
        assert node.client.put(path, json={"i": i}).status == 204
    node.restart(kill=True)
    for i, path in enumerate(paths):
        assert node.client.get(path).json == {"i": i}
