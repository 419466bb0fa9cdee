"""Section 3, exactly once: a request with an Idempotency-Key acts once, however often it comes."""

import threading

import pytest

from client import Actor, Client, expect_problem

ANSWER_MAX = 1024 * 1024


def add(actor, key, **named):
    return actor.txn([{"add": "n"}], idempotency_key=key, **named)


def test_a_repeat_does_nothing_and_gives_the_first_answer(actor):
    first = add(actor, "a")
    assert first.status == 200 and not first.is_replay
    for _ in range(3):
        repeat = add(actor, "a")
        assert repeat.status == 200 and repeat.is_replay
        assert repeat.body == first.body and repeat.type == first.type
    assert actor.get("n").json == 1
    assert actor.info().json["version"] == first.json["version"]


def test_every_mutating_request_may_carry_a_key(actor):
    first = actor.put("k", 1, idempotency_key="put")
    assert first.status == 204 and not first.is_replay
    actor.put("k", 2)
    repeat = actor.put("k", 1, idempotency_key="put")
    assert repeat.status == 204 and repeat.is_replay and repeat.version == first.version
    assert actor.get("k").json == 2

    first = actor.delete("k", idempotency_key="delete")
    assert first.headers["dormouse-existed"] == "true"
    actor.put("k", 3)
    repeat = actor.delete("k", idempotency_key="delete")
    assert repeat.status == 204 and repeat.is_replay
    assert repeat.headers["dormouse-existed"] == "true"
    assert actor.get("k").json == 3

    first = actor.destroy(idempotency_key="destroy")
    assert first.status == 204 and not first.is_replay
    actor.put("k", 4)
    repeat = actor.destroy(idempotency_key="destroy")
    assert repeat.status == 204 and repeat.is_replay
    assert actor.get("k").json == 4


def test_every_mutating_route_replays_and_refuses_another_request(actor):
    """Also those of timers, steps and the actor itself; each with the answer that it gave first."""
    lease = actor.client.post(f"{actor.path}/steps/ends").json["lease"]
    requests = [
        ("PUT", "/kv/k", 1, 204), ("DELETE", "/kv/k", None, 204),
        ("POST", "/txn", {"do": [{"add": "n"}]}, 200),
        ("PUT", "/timers/t", {"in": 3600_000}, 200), ("DELETE", "/timers/t", None, 204),
        ("POST", "/steps/begins", {"lease_ms": 60000}, 200),
        ("PUT", "/steps/ends", {"lease": lease, "output": 1}, 200),
        ("POST", "/hibernate", None, 204), ("DELETE", "", None, 204)]
    answers = []
    for number, (method, target, body, status) in enumerate(requests):
        named = {} if body is None else {"json": body}
        answer = actor.client.request(method, actor.path + target, idempotency_key=f"k{number}", **named)
        assert answer.status == status and not answer.is_replay, (method, target, answer)
        answers.append(answer)
    for number, (method, target, body, status) in enumerate(requests):
        named = {} if body is None else {"json": body}
        for _ in range(2):
            again = actor.client.request(method, actor.path + target, idempotency_key=f"k{number}", **named)
            assert again.is_replay and again.status == status, (method, target, again)
            assert again.body == answers[number].body
            assert again.headers.get("etag") == answers[number].headers.get("etag")
        expect_problem(actor.put("other", 1, idempotency_key=f"k{number}"), 422, "idempotency_mismatch")
        expect_problem(actor.client.request(method, actor.path + target, idempotency_key="a b", **named),
                       400, "bad_request")
    assert actor.info().json["exists"] is False


def test_a_repeat_of_hibernate_puts_nobody_to_sleep(node):
    actor = Actor(node.client, "a")
    path = f"{actor.path}/hibernate"
    actor.put("k", 1)
    assert actor.client.post(path, idempotency_key="h").status == 204
    assert actor.info().json["state"] == "hibernated"
    assert actor.get("k").json == 1
    assert actor.client.post(path, idempotency_key="h").is_replay
    assert actor.info().json["state"] == "awake"
    assert actor.client.post(path, idempotency_key="h2").status == 204
    assert actor.info().json["state"] == "hibernated"
    node.restart(kill=True)
    assert Actor(node.client, "a").client.post(path, idempotency_key="h2").is_replay


def test_a_delete_of_what_is_not_there_is_kept_too(actor):
    assert actor.delete("k", idempotency_key="d").headers["dormouse-existed"] == "false"
    actor.put("k", 1)
    repeat = actor.delete("k", idempotency_key="d")
    assert repeat.is_replay and repeat.headers["dormouse-existed"] == "false"
    assert actor.get("k").json == 1


def test_a_transaction_that_only_reads_is_kept_too(actor):
    assert actor.txn([{"get": "k"}], idempotency_key="r").json["results"] == [None]
    actor.put("k", 1)
    repeat = actor.txn([{"get": "k"}], idempotency_key="r")
    assert repeat.is_replay and repeat.json["results"] == [None]


def test_a_key_on_a_request_that_reads_is_ignored(actor):
    actor.put("k", 1)
    for value in 1, 2:
        actor.put("k", value)
        answer = actor.get("k", idempotency_key="g")
        assert answer.json == value and not answer.is_replay
        answer = actor.client.get(f"{actor.path}/kv", idempotency_key="g")
        assert answer.json["entries"][0]["value"] == value and not answer.is_replay


def test_the_scope_of_a_key_is_the_actor(client, actor):
    others = [Actor(client, actor.id + "x"), Actor(client, actor.id, "other")]
    assert not add(actor, "same").is_replay
    for other in others:
        answer = add(other, "same")
        assert answer.status == 200 and not answer.is_replay
        assert other.get("n").json == 1


@pytest.mark.parametrize("key", ["a", "~", "!", '"', "a,b;c=d", "%20", "k" * 255])
def test_a_key_is_1_to_255_visible_ascii_characters(actor, key):
    assert not add(actor, key).is_replay
    assert add(actor, key).is_replay
    assert actor.get("n").json == 1


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "a\tb", "é".encode("latin-1"), b"\x80", "k" * 5000])
def test_another_key_is_400_and_nothing_is_done(actor, key):
    expect_problem(add(actor, key), 400, "bad_request")
    assert actor.info().json["exists"] is False


def test_case_counts_in_a_key(actor):
    assert not add(actor, "a").is_replay
    assert not add(actor, "A").is_replay


def test_a_repeat_with_another_request_is_422(actor):
    actor.put("k", 1, idempotency_key="a")
    before = actor.list().json
    others = [
        actor.put("k", 2, idempotency_key="a"), actor.put("k", "1", idempotency_key="a"),
        actor.put("l", 1, idempotency_key="a"), actor.delete("k", idempotency_key="a"),
        actor.destroy(idempotency_key="a"), add(actor, "a"),
        actor.client.put(actor.kv("k") + "?x=1", json=1, idempotency_key="a")]
    for answer in others:
        expect_problem(answer, 422, "idempotency_mismatch")
        assert not answer.is_replay
    assert actor.list().json == before
    assert actor.put("k", 1, idempotency_key="a").is_replay


def test_a_conflict_is_kept(actor):
    checks = [{"key": "k", "exists": True}]
    first = actor.txn([{"add": "n"}], checks, idempotency_key="c")
    doc = expect_problem(first, 409, "conflict")
    actor.put("k", 1)  # it would hold now
    repeat = actor.txn([{"add": "n"}], checks, idempotency_key="c")
    assert repeat.is_replay
    again = expect_problem(repeat, 409, "conflict")
    assert again == doc and again["failed"] == 0
    expect_problem(actor.get("n"), 404, "no_such_key")


def test_a_version_mismatch_is_kept(actor):
    first = actor.put("k", 1, if_match='"5"', idempotency_key="m")
    doc = expect_problem(first, 412, "version_mismatch")
    actor.put("k", 1)
    repeat = actor.put("k", 1, if_match='"5"', idempotency_key="m")
    assert repeat.is_replay
    assert expect_problem(repeat, 412, "version_mismatch") == doc


def test_other_errors_are_not_kept(actor):
    actor.put("n", "text")
    for send, status in [
            (lambda: actor.txn([{"add": "n"}], idempotency_key="e"), 400),
            (lambda: actor.txn([{"nonsense": 1}], idempotency_key="e"), 400),
            (lambda: actor.client.put(actor.kv("k"), "{", idempotency_key="e"), 400),
            (lambda: actor.put("k" * 481, 1, idempotency_key="e"), 413),
            (lambda: actor.put("k", "x" * 2**21, idempotency_key="e"), 413),
            (lambda: actor.client.put(actor.kv("k"), "1", content_type="text/plain",
                                      idempotency_key="e"), 415)]:
        for _ in range(2):
            answer = send()
            assert answer.status == status and not answer.is_replay
    answer = actor.put("k", 1, idempotency_key="e")
    assert answer.status == 204 and not answer.is_replay


def test_what_was_400_may_succeed_under_the_same_key(actor):
    actor.put("n", "text")
    expect_problem(add(actor, "later"), 400, "invalid_value")
    actor.put("n", 5)
    answer = add(actor, "later")
    assert answer.json["results"] == [{"value": 6}] and not answer.is_replay
    assert add(actor, "later").is_replay


def test_a_keyed_answer_over_1_mib_is_413_before_its_effect(actor):
    actor.put("big", "x" * (ANSWER_MAX + 1))
    do = [{"add": "n"}, {"get": "big"}]
    for _ in range(2):
        doc = expect_problem(actor.txn(do, idempotency_key="big"), 413, "too_large")
        assert doc["limit"]["value"] == ANSWER_MAX
    expect_problem(actor.get("n"), 404, "no_such_key")
    assert actor.txn(do).status == 200
    actor.put("big", "x" * (ANSWER_MAX // 2))
    answer = actor.txn(do, idempotency_key="big")
    assert answer.status == 200 and not answer.is_replay
    repeat = actor.txn(do, idempotency_key="big")
    assert repeat.is_replay and repeat.body == answer.body


def test_a_replay_is_shown_in_the_form_asked_for(actor):
    from pack import unpack
    first = add(actor, "a")
    repeat = add(actor, "a", accept="application/msgpack")
    assert repeat.is_replay and unpack(repeat.body) == first.json


def test_repeats_at_the_same_time_wait_for_the_first(shared_node, actor):
    for round_number in range(20):
        answers = []

        def send(key=f"round {round_number}".replace(" ", "-")):
            client = Client(shared_node.url)
            answers.append(add(Actor(client, actor.id), key))
            client.close()

        threads = [threading.Thread(target=send) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert [a.status for a in answers] == [200] * 8
        assert sorted(a.is_replay for a in answers) == [False] + [True] * 7
        assert {a.body for a in answers} == {answers[0].body}
        assert actor.get("n").json == round_number + 1


def test_repeats_pipelined_on_one_connection_act_once(shared_node, actor):
    from client import exchange
    body = b'{"do":[{"add":"n"}]}'
    request = (f"POST {actor.path}/txn HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: p\r\n"
               f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    answers = exchange(shared_node.url, request * 10, ["POST"] * 10)
    assert [a.is_replay for a in answers] == [False] + [True] * 9
    assert actor.get("n").json == 1


def test_records_survive_a_restart_and_a_kill(node):
    actor = Actor(node.client, "a")
    first = add(actor, "a")
    conflict = actor.txn([{"add": "n"}], [{"key": "k", "exists": True}], idempotency_key="c")
    mismatch = actor.put("k", 1, if_match='"1"', idempotency_key="m")
    for kill in [True, False, True]:
        node.restart(kill)
        actor = Actor(node.client, "a")
        repeat = add(actor, "a")
        assert repeat.is_replay and repeat.body == first.body
        repeat = actor.txn([{"add": "n"}], [{"key": "k", "exists": True}], idempotency_key="c")
        assert repeat.is_replay and repeat.body == conflict.body and repeat.status == 409
        repeat = actor.put("k", 1, if_match='"1"', idempotency_key="m")
        assert repeat.is_replay and repeat.body == mismatch.body and repeat.status == 412
        expect_problem(actor.put("k", 2, idempotency_key="m"), 422, "idempotency_mismatch")
        assert actor.get("n").json == 1


def test_records_stay_when_the_actor_is_deleted(node):
    actor = Actor(node.client, "a")
    first = add(actor, "a")
    actor.destroy(idempotency_key="d")
    for _ in range(2):
        repeat = add(actor, "a")
        assert repeat.is_replay and repeat.body == first.body
        assert actor.info().json["exists"] is False
        assert actor.destroy(idempotency_key="d").is_replay
        node.restart(kill=True)
        actor = Actor(node.client, "a")


def test_a_record_of_an_actor_that_never_held_state_is_kept(node):
    actor = Actor(node.client, "a")
    actor.txn([{"get": "k"}], idempotency_key="r")
    node.restart(kill=True)
    actor = Actor(node.client, "a")
    assert actor.txn([{"get": "k"}], idempotency_key="r").is_replay
    assert actor.info().json["exists"] is False


def test_keyed_requests_write_no_versions_of_their_own(actor):
    """A record is not the actor's state: a read under a key raises nothing."""
    version = actor.put("k", 1).version
    actor.txn([{"get": "k"}], idempotency_key="r")
    actor.delete("absent", idempotency_key="d")
    actor.put("k", 2, if_match='"1000000"', idempotency_key="m")
    assert actor.info().json["version"] == version
    assert actor.get("k").version == version


def test_many_records_of_one_actor_are_all_kept(node):
    actor = Actor(node.client, "a")
    bodies = {f"key-{i}": add(actor, f"key-{i}").body for i in range(500)}
    node.restart(kill=True)
    actor = Actor(node.client, "a")
    for key, body in bodies.items():
        answer = add(actor, key)
        assert answer.is_replay and answer.body == body
    assert actor.get("n").json == 500
