"""Section 7: the list of actors, and the cluster."""

import pytest

from client import Actor, expect_problem, quote


def actors_of(client, namespace, **parameters):
    """All pages, in the order in which they come."""
    found, cursor = [], None
    while True:
        query = dict(parameters, **({"cursor": cursor} if cursor else {}))
        text = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
        answer = client.get(f"/admin/v1/namespaces/{namespace}/actors?{text}")
        assert answer.status == 200, answer
        page = answer.json
        assert len(page["actors"]) <= parameters.get("limit", 100)
        found += page["actors"]
        cursor = page["next"]
        if cursor is None:
            return found


def make(client, namespace, class_name, ids):
    for name in ids:
        assert Actor(client, name, namespace, class_name).put("k", "v").status == 204


def test_every_actor_of_a_namespace_is_listed_once_in_order_whatever_the_pages(client):
    ids = [f"a{n:03}" for n in range(120)]
    make(client, "list-all", "Store", reversed(ids))
    for limit in (7, 100, 1000):
        listed = actors_of(client, "list-all", limit=limit)
        assert [a["id"] for a in listed] == ids
        assert all(a["class"] == "Store" and a["version"] > 0 and a["bytes"] == 3 for a in listed)


def test_a_list_can_be_of_ids_with_a_prefix(client):
    make(client, "list-prefix", "Store", ["b", "ab", "a", "abc", "aa"])
    listed = actors_of(client, "list-prefix", **{"class": "Store", "prefix": "ab", "limit": 1})
    assert [a["id"] for a in listed] == ["ab", "abc"]


def test_a_prefix_needs_no_class(client):
    make(client, "list-ids", "Store", ["b", "ab", "a", "abc"])
    assert [a["id"] for a in actors_of(client, "list-ids", prefix="ab", limit=1)] == ["ab", "abc"]
    assert actors_of(client, "list-ids", prefix="Store") == []


def test_a_prefix_may_be_as_long_as_an_id(client):
    long = "x" * 300
    make(client, "list-long", "Store", ["x" * 100, long, long + "a", long + "b", "x" * 512])
    for limit in (1, 100):
        listed = actors_of(client, "list-long", prefix=long, limit=limit)
        assert sorted(a["id"] for a in listed) == [long, long + "a", long + "b", "x" * 512]
        assert [a["id"] for a in actors_of(client, "list-long", prefix=long + "b", limit=limit)] == [long + "b"]
    assert actors_of(client, "list-long", prefix="x" * 513) == []


def test_the_namespace_of_a_list_may_be_percent_encoded(client):
    make(client, "list-escaped", "Store", ["a"])
    assert [a["id"] for a in actors_of(client, "list%2Descap%65d")] == ["a"]


def test_a_malformed_list_is_400(client):
    path = "/admin/v1/namespaces/test/actors"
    for query in ["limit=0", "limit=1001", "limit=x", "limit=", "x=1", "Prefix=a", "limit=1&limit=1",
                  "class=%zz"]:
        expect_problem(client.get(f"{path}?{query}"), 400, "bad_request")
    for bad in [f"{path}?class=1a", f"{path}?class=", path.replace("test", "Test"),
                path.replace("test", "a%2Fb")]:
        expect_problem(client.get(bad), 400, "invalid_id")
    expect_problem(client.get(path.replace("test", "te%st")), 400, "bad_request")


def test_a_cursor_is_good_for_its_own_list_alone(client):
    """One of another list would begin outside of what is asked for."""
    for namespace in ["list-cursor-a", "list-cursor-b"]:
        make(client, namespace, "Store", ["a", "b", "ca", "cb"])
    Actor(client, "k", "list-cursor-a").txn([{"put": "a", "value": 1}, {"put": "b", "value": 1}])
    whole = client.get("/admin/v1/namespaces/list-cursor-a/actors?limit=1").json["next"]
    keys = client.get("/v1/list-cursor-a/Store/k/kv?limit=1").json["next"]
    for path in ["list-cursor-b/actors?cursor=", "list-cursor-a/actors?prefix=c&cursor="]:
        expect_problem(client.get(f"/admin/v1/namespaces/{path}{whole}"), 400, "bad_request")
    expect_problem(client.get(f"/admin/v1/namespaces/list-cursor-a/actors?cursor={keys}"), 400,
                   "bad_request")


def test_the_list_shows_no_other_namespace_and_nobody_who_was_deleted(client):
    make(client, "list-one", "Store", ["kept", "gone"])
    make(client, "list-other", "Store", ["other"])
    assert Actor(client, "gone", "list-one").destroy().status == 204
    assert [a["id"] for a in actors_of(client, "list-one")] == ["kept"]


def test_the_list_wakes_nobody(node):
    make(node.client, "sleepers", "Store", ["a", "b", "c", "d"])
    assert {a["state"] for a in actors_of(node.client, "sleepers")} == {"awake"}
    node.restart()
    for _ in range(2):
        assert {a["state"] for a in actors_of(node.client, "sleepers")} == {"hibernated"}


def test_a_cursor_that_no_list_gave_is_refused(client):
    expect_problem(client.get("/admin/v1/namespaces/test/actors?cursor=%20x"), 400, "bad_request")


@pytest.mark.parametrize("method, path, body", [
    ("POST", "join-tokens", None), ("POST", "join-tokens", '{"ttl_ms":60000}'), ("DELETE", "members/1", None),
    ("POST", "members/1/drain", None), ("POST", "members/1/undrain", None)], ids=str)
def test_a_node_of_no_cluster_says_so(client, method, path, body):
    answer = client.request(method, "/admin/v1/cluster/" + path, body, {"Content-Type": "application/json"})
    assert "--cluster-init" in expect_problem(answer, 409, "conflict")["detail"]


@pytest.mark.parametrize("path, body, part", [
    ("join-tokens", '{"ttl_ms":999}', "ttl_ms"), ("join-tokens", '{"ttl_ms":604800001}', "ttl_ms"),
    ("join-tokens", '{"for":1}', "for"), ("join-tokens", "[]", "body"), ("members", "", ""), ("members", "{}", "id"),
    ("members", '{"id":0,"peer":"h:1","url":"u"}', "id")], ids=str)
def test_a_malformed_order_is_refused(client, path, body, part):
    answer = client.post("/admin/v1/cluster/" + path, body, headers={"Content-Type": "application/json"})
    assert part in expect_problem(answer, 400, "bad_request")["detail"]


def test_the_cluster_is_one_node_that_leads_every_shard(shared_node, client):
    cluster = client.get("/admin/v1/cluster").json
    assert cluster["members"] == [
        {"id": 1, "address": f"127.0.0.1:{shared_node.port}", "state": "up"}]
    assert cluster["shards"] == [
        {"id": n, "leader": 1, "replicas": [1], "lag": 0} for n in range(64)]
