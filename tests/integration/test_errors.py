"""Section 1, errors: problem documents, whatever was asked for."""

import json

import pytest

from client import Actor, Client, connect, exchange, expect_problem, read_answer, wait_until


def test_a_problem_has_all_its_members(actor):
    answer = actor.get("absent")
    doc = expect_problem(answer, 404, "no_such_key")
    assert list(doc) == ["type", "title", "status", "detail", "code", "retryable", "maybe_applied"]
    assert doc["title"] == "Not Found"


@pytest.mark.parametrize("accept", ["application/msgpack", "text/html", "image/png", "*/*",
                                    "application/octet-stream"])
def test_errors_are_json_whatever_accept_says(actor, accept):
    expect_problem(actor.get("absent", accept=accept), 404, "no_such_key")
    expect_problem(actor.client.get("/nonsense", accept=accept), 404, "not_found")
    expect_problem(actor.client.put(actor.path, accept=accept), 405, "method_not_allowed")
    expect_problem(actor.txn(checks=[{"key": "k", "exists": True}], accept=accept), 409,
                   "conflict")


def test_codes_are_in_snake_case(actor):
    answers = [actor.get("absent"), actor.client.get("/x"), actor.client.put(actor.path),
               actor.put("k", 1, if_match='"1"'), actor.client.put(actor.kv("k"), "{")]
    for answer in answers:
        code = answer.json["code"]
        assert code.replace("_", "").isalpha() and code == code.lower()


def test_too_large_names_the_limit_and_its_value(actor):
    doc = expect_problem(actor.put("k" * 481, 1), 413, "too_large")
    assert doc["limit"]["value"] == 480
    doc = expect_problem(actor.put("k", "x" * 2**21), 413, "too_large")
    assert doc["limit"]["value"] == 2**21
    doc = expect_problem(actor.txn([{"get": "k"}] * 129), 413, "too_large")
    assert doc["limit"]["value"] == 128
    doc = expect_problem(actor.client.post(f"{actor.path}/txn", " " * (2**22 + 1)), 413, "too_large")
    assert doc["limit"]["value"] == 2**22


def test_a_conflict_gives_the_index_of_the_check(actor):
    actor.put("a", 1)
    checks = [{"key": "a", "exists": True}, {"key": "b", "exists": False},
              {"key": "c", "exists": True}]
    doc = expect_problem(actor.txn([{"put": "d", "value": 1}], checks), 409, "conflict")
    assert doc["failed"] == 2


def test_the_detail_says_what_is_wrong(actor):
    assert "limit" in actor.list(limit=0).json["detail"]
    assert "nonsense" in actor.list(nonsense=1).json["detail"]
    assert "do[1]" in actor.txn([{"get": "k"}, {"frobnicate": "k"}]).json["detail"]


def test_a_problem_of_text_that_needs_escapes_is_still_json(shared_node, actor):
    expect_problem(actor.list(**{'"\\\n\x00é': 1}), 400, "bad_request")
    body = json.dumps({"do": [{'"\\\n\x00é\ud83d\ude00' * 20: "k"}]})
    expect_problem(actor.client.post(f"{actor.path}/txn", body), 400, "bad_request")
    body = json.dumps({"do": [{"x" * 63 + "é": "k"}]})  # an error text may not cut it in half
    answer = actor.client.post(f"{actor.path}/txn", body)
    expect_problem(answer, 400, "bad_request")


def test_a_parameter_name_is_not_cut_inside_a_character(actor):
    expect_problem(actor.list(**{"x" * 63 + "é": 1}), 400, "bad_request")
    answer = actor.client.get(f"{actor.path}/kv?%ff%fe=1")
    expect_problem(answer, 400, "bad_request")


def test_a_full_queue_is_429_and_the_same_request_succeeds_later(start_node):
    """Each of many workers has room for one such value that is not yet in the store, and gets several."""
    node = start_node("--memory", "64M", "--workers", "8")
    value = json.dumps("x" * (2**21 - 5)).encode()
    actors = [Actor(node.client, f"at-once-{i}") for i in range(24)]
    streams = [connect(node.url) for _ in actors]
    for actor, stream in zip(actors, streams):
        head = f"PUT {actor.kv('k')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(value)}\r\n\r\n"
        stream.sendall(head.encode() + value[:-1])
    for stream in streams:
        stream.sendall(value[-1:])
    answers = [read_answer(stream.makefile("rb")) for stream in streams]
    assert {answer.status for answer in answers} == {204, 429}
    for actor, answer in zip(actors, answers):
        if answer.status == 429:
            expect_problem(answer, 429, "overloaded", retryable=True)
            assert actor.info().json["exists"] is False
            wait_until(lambda a=actor: node.client.put(a.kv("k"), value).status == 204, what="the write")
    for stream in streams:
        stream.close()


def test_another_class_is_404(client):
    for name in ["Counter", "store", "STORE", "Storey"]:
        expect_problem(client.get(f"/v1/test/{name}/a"), 404, "no_such_class")
        expect_problem(client.put(f"/v1/test/{name}/a/kv/k", "1"), 404, "no_such_class")


def test_an_error_leaves_the_connection_usable(shared_node, actor):
    request = b"".join(
        f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{{".encode() for line in
        [f"PUT {actor.kv('k')}", f"POST {actor.path}/txn", "GET /nonsense", f"PUT {actor.path}"])
    request += b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answers = exchange(shared_node.url, request, ["PUT", "POST", "GET", "PUT", "GET"])
    assert [a.status for a in answers] == [400, 400, 404, 405, 200]
