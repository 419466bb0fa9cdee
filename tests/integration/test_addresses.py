"""Section 2: which actor a path names, and which paths name none."""

import pytest

from client import Actor, expect_problem, quote


def test_an_address_names_one_actor(client, actor):
    """Namespace and id make another actor of it, with keys of its own."""
    others = [Actor(client, actor.id, "other"), Actor(client, actor.id + "x"),
              Actor(client, actor.id[:-1]), Actor(client, actor.id.upper())]
    actor.put("k", 1)
    for other in others:
        expect_problem(other.get("k"), 404, "no_such_key")
    info = actor.info().json
    assert (info["namespace"], info["class"], info["id"]) == ("test", "Store", actor.id)


@pytest.mark.parametrize("namespace", ["a", "0", "a-", "a--b", "0a9-z", "a" * 63])
def test_a_namespace_of_the_rule_is_taken(client, namespace):
    actor = Actor(client, "namespaces", namespace)
    assert actor.put("k", 1).status == 204
    assert actor.info().json["namespace"] == namespace


@pytest.mark.parametrize("namespace", ["", "-", "-a", "A", "aB", "a_b", "a.b", "a%20b", "%C3%BC",
                                       "a" * 64, "a%00", "a%2Fb", "a+b"])
def test_a_namespace_against_the_rule_is_400(client, namespace):
    for method, path in [("GET", ""), ("PUT", "/kv/k"), ("POST", "/txn")]:
        answer = client.request(method, f"/v1/{namespace}/Store/x{path}", "{}")
        expect_problem(answer, 400, "invalid_id")


@pytest.mark.parametrize("name", ["", "_a", "0a", "a-b", "a.b", "%C3%BC", "a" * 64, "Store%00",
                                  "Store%20", "Store%2F"])
def test_a_class_against_the_rule_is_400(client, name):
    expect_problem(client.get(f"/v1/test/{name}/x"), 400, "invalid_id")


@pytest.mark.parametrize("name", ["A", "a", "Counter", "a_", "a0", "A" * 63])
def test_a_class_of_the_rule_is_one_that_is_not_there(client, name):
    expect_problem(client.get(f"/v1/test/{name}/x"), 404, "no_such_class")


def test_a_percent_encoded_letter_is_that_letter(client, actor):
    actor.put("key", 1)
    encoded = "".join(f"%{byte:02x}" for byte in actor.id.encode())
    assert client.get(f"/%76%31/%74est/%53tore/{encoded}/kv/%6bey").status in (200, 404)
    assert client.get(f"/v1/%74est/%53tore/{encoded}/kv/%6bey").json == 1


@pytest.mark.parametrize("actor_id", [
    "a", " ", "a b", "a/b", "a?b#c", "%", "%41", "+", "...", ".a", "..a", "ü", "日本語", "😀", "\x01",
    "\x7f", "a\nb", "\"'\\", "a:b@c;d=e,f", "\u2028", "a" * 512, "é" * 256, "😀" * 128, "0" * 64,
    "f" * 64])
def test_an_id_is_any_utf8_text(client, actor_id):
    actor = Actor(client, actor_id, "ids")
    assert actor.put("k", actor_id).status == 204
    assert actor.get("k").json == actor_id
    assert actor.info().json["id"] == actor_id


@pytest.mark.parametrize("segment", [
    "", ".", "..", "%2e", "%2E%2e", ".%2e", "%00", "a%00b", "%ff", "%c0%80", "%ed%a0%80", "%f4%90%80%80",
    "a" * 513, quote("é" * 256 + "a"), quote("é" * 257)], ids=lambda s: s[:16])
def test_an_id_against_the_rule_is_400(client, segment):
    for method, path in [("GET", "/kv/k"), ("PUT", "/kv/k"), ("POST", "/txn"), ("DELETE", "/kv/k"),
                         ("GET", "/kv")]:
        answer = client.request(method, f"/v1/test/Store/{segment}{path}", "{}")
        expect_problem(answer, 400, "invalid_id")
    if segment:
        expect_problem(client.get(f"/v1/test/Store/{segment}"), 400, "invalid_id")


def test_raw_utf8_in_a_path_is_refused_or_taken_as_it_is(shared_node):
    from client import exchange
    request = "GET /v1/test/Store/ü HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    answer, = exchange(shared_node.url, request)
    assert answer.status in (200, 400)


def test_a_plus_in_a_path_is_a_plus(client):
    plus, space = Actor(client, "a+b", "plus"), Actor(client, "a b", "plus")
    assert client.put("/v1/plus/Store/a+b/kv/k+k", "1").status == 204
    assert plus.get("k+k").json == 1
    assert space.get("k k").status == 404


def test_addressing_an_actor_creates_nothing(client, actor):
    actor.get("k")
    actor.head("k")
    actor.list()
    actor.delete("k")
    actor.destroy()
    actor.txn([{"get": "k"}, {"delete": "k"}, {"list": {}}])
    actor.txn([{"put": "k", "value": 1}], [{"key": "k", "exists": True}])
    actor.put("k", 1, if_match='"1"')
    info = actor.info().json
    assert info["exists"] is False and info["version"] is None and info["keys"] == 0


def test_an_actor_exists_once_it_holds_state(actor):
    assert actor.info().json["exists"] is False
    version = actor.put("k", 1).version
    info = actor.info().json
    assert info["exists"] is True and info["version"] == version and info["keys"] == 1


def test_the_id_of_an_actor_is_not_normalised(client):
    composed, decomposed = "é", "e\u0301"
    Actor(client, composed, "forms").put("k", "composed")
    Actor(client, decomposed, "forms").put("k", "decomposed")
    assert Actor(client, composed, "forms").get("k").json == "composed"
