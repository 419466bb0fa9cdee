"""Section 7, access with tokens: every endpoint, every scope, the own namespace and another one."""

import json
import os
import re
import subprocess
import time

import pytest

from client import Client, expect_problem

BUILD = os.environ.get("top_builddir", "build")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCOPES = ["call", "inspect", "deploy", "sandbox", "admin"]
OPEN = {"HEALTHZ", "READYZ"}
# A body that is right gets as far as who asks; these change the cluster, so a namespace is not enough.
CLUSTER = {"JOIN_TOKENS", "MEMBER", "MEMBER_DRAIN", "MEMBER_UNDRAIN", "MEMBERS", "SHARD_MOVE", "REBALANCE"}


def routes(class_name="Store"):
    """(name, method, path, scopes) of each route of node/route.def, in the namespace `{ns}`."""
    with open(os.path.join(ROOT, "node", "route.def"), encoding="utf-8") as f:
        found = re.findall(r'^X\((\w+), "([^"]*)", "([^"]*)", \w+, ([\w |]+)\)', f.read(), re.M)
    assert len(found) > 30
    for name, pattern, methods, scopes in found:
        path = pattern.replace("**", "x/y")
        if path.startswith(("v1/*", "w/*", "admin/v1/namespaces/*")):
            path = path.replace("*", "{ns}", 1)
        for part in [class_name, "actor", "name"]:
            path = path.replace("*", part, 1)
        scopes = scopes.replace("STORAGE", "CALL" if class_name == "Store" else "INSPECT")
        wanted = set() if scopes == "ANYONE" else set(scopes.lower().split(" | "))
        for method in methods.split(", ") if methods else ["GET", "POST"]:
            if method != "HEAD":
                yield name, method, "/" + path, wanted


def bearer(token):
    return {"Authorization": "Bearer " + token}


def create(client, namespace, scopes, by=None, **more):
    answer = client.post("/admin/v1/tokens", headers=bearer(by) if by else {},
                         json={"namespace": namespace, "scopes": scopes, **more})
    assert answer.status == 201, answer
    return answer.json


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A node with three workers and a token that opens all."""
    from node import Node
    node = Node(tmp_path_factory.mktemp("guarded") / "data", ["--workers", "3"])
    node.root = create(node.client, "*", SCOPES)["token"]
    yield node
    node.finish()


def ask(node, method, path, token):
    """On a connection of its own: any worker may have it."""
    client = Client(node.url)
    body = "{}" if method in ("PUT", "POST") else None
    headers = {"Content-Type": "application/json", **(bearer(token) if token else {})}
    try:
        if path.endswith(("/watch", "/logs")):  # they would never end
            client.connection.putrequest(method, path)
            for name, value in headers.items():
                client.connection.putheader(name, value)
            client.connection.endheaders()
            return client.connection.getresponse().status
        return client.request(method, path, body, headers).status
    finally:
        client.close()


@pytest.mark.parametrize("scope", SCOPES)
def test_each_endpoint_asks_for_its_scope_in_its_namespace(guarded, scope):
    token = create(guarded.client, "own", [scope], guarded.root)["token"]
    for name, method, path, scopes in routes():
        if name == "TOKENS" and method == "POST":
            continue  # answered for its body, below
        for ns in ["own", "other"] if "{ns}" in path else ["-"]:
            status = ask(guarded, method, path.format(ns=ns), token)
            allowed = name in OPEN or (scope in scopes and ns != "other" and name not in CLUSTER)
            assert (status == 403) != allowed and status != 401, (method, path, ns, status)


@pytest.mark.parametrize("scope", SCOPES)
def test_the_storage_of_a_class_with_code_asks_for_inspect(guarded, scope):
    token = create(guarded.client, "own", [scope], guarded.root)["token"]
    for name, method, path, scopes in routes("Counter"):
        if path.startswith("/v1/{ns}/Counter/"):
            status = ask(guarded, method, path.format(ns="own"), token)
            assert (status == 403) == (scope not in scopes), (name, method, path, status)


def test_the_cluster_is_changed_with_a_token_of_all_namespaces(guarded):
    paths = [("POST", "/admin/v1/cluster/join-tokens"), ("DELETE", "/admin/v1/cluster/members/1"),
             ("POST", "/admin/v1/cluster/members/1/drain"), ("POST", "/admin/v1/cluster/members/1/undrain"),
             ("POST", "/admin/v1/cluster/rebalance")]
    own = create(guarded.client, "own", ["admin"], guarded.root)["token"]
    for method, path in paths:
        answer = guarded.client.request(method, path, headers=bearer(own))
        assert "all namespaces" in expect_problem(answer, 403, "forbidden")["detail"]
        expect_problem(guarded.client.request(method, path, headers=bearer(guarded.root)), 409, "conflict")


def test_without_a_token_only_health_is_answered(guarded):
    for name, method, path, _ in routes():
        status = ask(guarded, method, path.format(ns="own"), None)
        assert (status == 401) == (name not in OPEN), (method, path, status)
        status = ask(guarded, method, path.format(ns="own"), "dm_" + 43 * "x")
        assert (status == 401) == (name not in OPEN), (method, path, status)
    answer = guarded.client.get("/v1/own/Store/a/kv/k")
    expect_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_may_be_for_some_actors_of_a_class(guarded):
    token = create(guarded.client, "own", ["call"], guarded.root, actor="Store/user-")["token"]
    c = guarded.client
    assert c.put("/v1/own/Store/user-1/kv/k", "1", headers=bearer(token)).status == 204
    expect_problem(c.put("/v1/own/Store/other/kv/k", "1", headers=bearer(token)), 403, "forbidden")
    expect_problem(c.get("/admin/v1/cluster", headers=bearer(token)), 403, "forbidden")


def test_a_token_expires(guarded):
    made = create(guarded.client, "own", ["call"], guarded.root, ttl_ms=1000)
    assert made["expires"] == made["created"] + 1000
    deadline = time.monotonic() + 30
    while ask(guarded, "GET", "/v1/own/Store/a", made["token"]) == 200:
        assert time.monotonic() < deadline
        assert time.time() * 1000 < made["expires"] + 20000
        time.sleep(0.05)
    assert time.time() * 1000 >= made["expires"]
    expect_problem(guarded.client.get("/v1/own/Store/a", headers=bearer(made["token"])), 401,
                   "unauthenticated")


def test_a_revoked_token_opens_nothing_on_any_worker(guarded):
    made = create(guarded.client, "own", ["call"], guarded.root)
    for _ in range(12):
        assert ask(guarded, "GET", "/v1/own/Store/a", made["token"]) == 200
    c = guarded.client
    assert c.delete("/admin/v1/tokens/" + made["id"], headers=bearer(guarded.root)).status == 204
    for _ in range(12):
        assert ask(guarded, "GET", "/v1/own/Store/a", made["token"]) == 401
    expect_problem(c.delete("/admin/v1/tokens/" + made["id"], headers=bearer(guarded.root)), 404,
                   "no_such_token")


def test_a_stream_ends_with_its_token(guarded):
    made = create(guarded.client, "own", ["call"], guarded.root)
    c = Client(guarded.url)
    c.connection.request("GET", "/v1/own/Store/watched/watch", headers=bearer(made["token"]))
    stream = c.connection.getresponse()
    assert stream.status == 200
    root = bearer(guarded.root)
    assert guarded.client.delete("/admin/v1/tokens/" + made["id"], headers=root).status == 204
    stream.read()  # to its end
    c.close()


def test_who_has_a_namespace_makes_and_sees_tokens_of_it_alone(guarded):
    c = guarded.client
    mine = create(c, "mine", ["admin", "call"], guarded.root)
    theirs = create(c, "theirs", ["call"], guarded.root)
    more = create(c, "mine", ["call"], mine["token"])
    for ns in ["theirs", "*"]:
        answer = c.post("/admin/v1/tokens", headers=bearer(mine["token"]),
                        json={"namespace": ns, "scopes": ["call"]})
        expect_problem(answer, 403, "forbidden")
    seen = c.get("/admin/v1/tokens", headers=bearer(mine["token"])).json["tokens"]
    assert {t["namespace"] for t in seen} == {"mine"}
    assert {mine["id"], more["id"]} <= {t["id"] for t in seen}
    answer = c.delete("/admin/v1/tokens/" + theirs["id"], headers=bearer(mine["token"]))
    expect_problem(answer, 404, "no_such_token")


@pytest.mark.parametrize("body", [
    {}, {"namespace": "a"}, {"scopes": ["call"]}, {"namespace": "a", "scopes": []},
    {"namespace": "a", "scopes": ["root"]}, {"namespace": "a", "scopes": "call"},
    {"namespace": "a", "scopes": [1]}, {"namespace": 1, "scopes": ["call"]},
    {"namespace": "a", "scopes": ["call"], "ttl_ms": 0},
    {"namespace": "a", "scopes": ["call"], "ttl_ms": "1h"},
    {"namespace": "a", "scopes": ["call"], "actor": "/x"},
    {"namespace": "a", "scopes": ["call"], "actor": 1},
    {"namespace": "a", "scopes": ["call"], "unknown": 1}, [], "a"])
def test_a_malformed_token_is_refused(guarded, body):
    answer = guarded.client.post("/admin/v1/tokens", headers=bearer(guarded.root), json=body)
    assert answer.status == 400 and answer.json["code"] in ("bad_request", "invalid_id"), answer


def test_the_last_admin_is_not_revoked(node):
    c = node.client
    first = create(c, "*", ["admin"])
    answer = c.delete("/admin/v1/tokens/" + first["id"], headers=bearer(first["token"]))
    expect_problem(answer, 409, "conflict")
    second = create(c, "*", ["admin"], first["token"])
    answer = c.delete("/admin/v1/tokens/" + first["id"], headers=bearer(second["token"]))
    assert answer.status == 204


def test_tokens_outlast_a_kill_and_lock_the_node_for_good(node):
    c = node.client
    assert c.put("/v1/own/Store/a/kv/k", "1").status == 204
    call = create(c, "own", ["call"])
    expect_problem(node.client.get("/v1/own/Store/a/kv/k"), 401, "unauthenticated")
    admin = create(c, "*", ["admin"])  # open to this machine until there is one
    expect_problem(node.client.get("/admin/v1/tokens"), 401, "unauthenticated")
    node.restart(kill=True)
    assert node.client.get("/v1/own/Store/a/kv/k", headers=bearer(call["token"])).json == 1
    answer = node.client.delete("/admin/v1/tokens/" + call["id"], headers=bearer(admin["token"]))
    assert answer.status == 204
    node.restart(kill=True)
    expect_problem(node.client.get("/v1/own/Store/a/kv/k"), 401, "unauthenticated")
    expect_problem(node.client.get("/admin/v1/tokens"), 401, "unauthenticated")
    seen = node.client.get("/admin/v1/tokens", headers=bearer(admin["token"])).json["tokens"]
    assert [t["id"] for t in seen] == [admin["id"]]


def test_tokens_are_stored_as_hashes_only(node):
    token = create(node.client, "own", ["call"])["token"].encode()
    node.stop()
    for folder, _, names in os.walk(node.data):
        for name in names:
            with open(os.path.join(folder, name), "rb") as f:
                assert token not in f.read(), name
    node.start()


def test_who_holds_the_data_can_open_admin_again(node):
    create(node.client, "*", ["admin"], ttl_ms=1000)
    expect_problem(node.client.get("/admin/v1/tokens"), 401, "unauthenticated")
    with open(os.path.join(node.data, "open-admin"), "w", encoding="ascii"):
        pass
    node.restart()
    assert node.client.get("/admin/v1/tokens").status == 200
    expect_problem(node.client.get("/v1/own/Store/a"), 401, "unauthenticated")


def test_the_command_line_makes_lists_and_revokes_tokens(node):
    def run(*arguments, code=0, token=""):
        done = subprocess.run([os.path.join(BUILD, "dormouse"), "--url", node.url, *arguments],
                              capture_output=True, timeout=60, text=True,
                              env={**os.environ, "DORMOUSE_TOKEN": token})
        assert done.returncode == code, done
        return done.stdout

    token = run("token", "create", "--namespace", "app", "--scope",
                "call,inspect,deploy,sandbox,admin", "--ttl", "24h")
    assert re.fullmatch(r"dm_[A-Za-z0-9_-]{43}\n", token)
    token = token.strip()
    run("put", "app/Store/a", "k", "1", code=1)
    run("put", "app/Store/a", "k", "1", token=token)
    run("put", "other/Store/a", "k", "1", token=token, code=1)
    second = json.loads(run("--json", "token", "create", "--namespace", "app", "--scope", "call",
                            "--actor", "Store/x-", token=token))
    assert second["actor"] == "Store/x-"
    listed = [json.loads(line) for line in run("--json", "token", "list", token=token).splitlines()]
    assert [t["scopes"] for t in listed] == [SCOPES, ["call"]]
    assert token not in str(listed)
    assert run("token", "revoke", second["id"], token=token) == "revoked\n"
    run("token", "revoke", second["id"], token=token, code=3)
    run("token", "create", "--namespace", "app", code=2)
    run("token", "create", "--namespace", "app", "--scope", "root", token=token, code=1)
