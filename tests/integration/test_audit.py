"""The audit log: what user code asked of the outside, on every node, durable and bounded."""

import os
import time

import pytest

from client import expect_problem, wait_until
from cluster import Cluster
from test_classes import Class
from test_fetch import CODE, outside  # noqa: F401 -- a fixture
from test_tokens import bearer, create


def audit(client, headers=None, **parameters):
    query = "&".join(f"{k}={v}" for k, v in parameters.items())
    answer = client.get("/admin/v1/audit" + ("?" + query if query else ""), headers=headers or {})
    assert answer.status == 200, answer
    return answer.json


def deploy(client, outside, ns="app", **egress):
    body = {"modules": {"main.js": CODE}, "main": "main.js", "egress": {"allow": [outside.host], **egress}}
    assert client.put(f"/v1/{ns}", json=body).status == 200
    return Class(client, "a", ns, "Asker")


@pytest.fixture
def asking(start_node):
    return start_node("--allow-private-targets", "--workers", "2")


def test_each_request_is_a_record(asking, outside):
    c = asking.client
    assert audit(c) == {"records": [], "next": None, "missing": []}
    actor = deploy(c, outside, inject={"127.0.0.1": {"X-Sent": "{{secret:KEY}}"}})
    assert c.put("/admin/v1/namespaces/app/secrets/KEY", json={"value": "real-secret"}).status == 204
    before = time.time() * 1000
    actor.call("ask", outside.url + "/x?q=1", {"method": "POST", "body": "hello"})
    actor.call("ask", "http://evil.example.org/y")
    wait_until(lambda: len(audit(c)["records"]) == 2)
    asked, denied = audit(c)["records"]
    assert before - 1000 <= asked["time"] <= time.time() * 1000 + 1000
    assert asked["bytes"] == asked["sent"] + asked["received"] and asked["received"] == 10 and asked["sent"] > 5
    assert asked == {**asked, "node": 1, "namespace": "app", "class": "Asker", "actor": "a", "sandbox": "",
                     "method": "POST", "host": "127.0.0.1", "port": outside.server_port, "path": "/x", "status": 200,
                     "secrets": ["KEY"], "code": ""}
    assert denied == {**denied, "host": "evil.example.org", "port": 80, "path": "/y", "status": 0, "secrets": [],
                      "code": "egress_denied"}
    assert "real-secret" not in c.get("/admin/v1/audit").body.decode()
    asking.restart(kill=True)
    assert audit(asking.client)["records"] == [asked, denied]
    assert os.stat(os.path.join(asking.data, "audit")).st_mode & 0o77 == 0


def test_records_come_in_pages_from_a_time_on(asking, outside):
    c = asking.client
    actor = deploy(c, outside)
    for i in range(7):
        actor.call("ask", f"{outside.url}/{i}")
    wait_until(lambda: len(audit(c)["records"]) == 7)
    paths, cursor = [], {}
    while cursor is not None:
        page = audit(c, limit=3, **cursor)
        assert len(page["records"]) <= 3
        paths += [r["path"] for r in page["records"]]
        cursor = {"cursor": page["next"]} if page["next"] else None
    assert paths == [f"/{i}" for i in range(7)]
    times = [r["time"] for r in audit(c)["records"]]
    assert times == sorted(times)
    later = audit(c, since=times[3])["records"]
    assert all(r["time"] >= times[3] for r in later) and len(later) >= 4
    assert audit(c, since=times[-1] + 1)["records"] == []


@pytest.mark.parametrize("query", ["since=x", "since=-1", "limit=0", "limit=1001", "cursor=x", "cursor=", "what=1",
                                   "namespace=A", "since=1&since=2"])
def test_a_malformed_query_is_400(node, query):
    assert node.client.get("/admin/v1/audit?" + query).status == 400


def test_a_token_sees_the_records_of_its_namespace(asking, outside):
    c = asking.client
    one, other = deploy(c, outside, "one"), deploy(c, outside, "other")
    one.call("ask", outside.url + "/1")
    other.call("ask", outside.url + "/2")
    wait_until(lambda: len(audit(c)["records"]) == 2)
    assert [r["path"] for r in audit(c, namespace="other")["records"]] == ["/2"]
    root = create(c, "*", ["admin"])["token"]
    own = create(c, "one", ["admin"], root)["token"]
    assert [r["path"] for r in audit(c, bearer(own))["records"]] == ["/1"]
    assert len(audit(c, bearer(root))["records"]) == 2
    expect_problem(c.get("/admin/v1/audit?namespace=other", headers=bearer(own)), 403, "forbidden")


def test_a_run_that_may_ask_nobody_leaves_a_record(asking):
    code = 'async () => { await fetch("http://evil.example.org/z"); }'
    asking.client.post("/v1/runs/Store/a/execute", json={"code": code})
    wait_until(lambda: audit(asking.client)["records"])
    r = audit(asking.client)["records"][0]
    assert r == {**r, "namespace": "runs", "class": "Store", "actor": "a", "host": "evil.example.org",
                 "code": "egress_denied"}


def test_a_record_that_was_cut_off_does_not_hide_others(asking, outside):
    c = asking.client
    actor = deploy(c, outside)
    actor.call("ask", outside.url + "/1")
    actor.call("ask", outside.url + "/2")
    wait_until(lambda: len(audit(c)["records"]) == 2)
    asking.stop()
    folder = os.path.join(asking.data, "audit")
    (name,) = os.listdir(folder)
    os.truncate(os.path.join(folder, name), os.path.getsize(os.path.join(folder, name)) - 3)
    asking.start()
    Class(asking.client, "a", "app", "Asker").call("ask", outside.url + "/3")
    wait_until(lambda: [r["path"] for r in audit(asking.client)["records"]] == ["/1", "/3"])


def test_any_node_shows_the_records_of_all(tmp_path, outside):
    cluster = Cluster(tmp_path / "cluster", 3, ["--allow-private-targets"])
    try:
        first = cluster.nodes[1].client
        deploy(first, outside)
        for i in range(12):  # actors of shards that different nodes lead
            Class(first, f"a{i}", "app", "Asker").call("ask", f"{outside.url}/{i}")
        for n in cluster.nodes.values():
            wait_until(lambda n=n: len(audit(n.client)["records"]) == 12)
            page = audit(n.client)
            assert page["missing"] == [] and sorted(r["path"] for r in page["records"]) == sorted(
                f"/{i}" for i in range(12))
            assert len({r["node"] for r in page["records"]}) > 1
        cluster.nodes[3].stop()
        wait_until(lambda: audit(first)["missing"] == [3])
        assert all(r["node"] != 3 for r in audit(first)["records"])
    finally:
        cluster.finish()
