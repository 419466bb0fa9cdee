"""Section 4, deploying: what is taken, what is refused, versions and the way back. The check of the code is a
fake (tests/lib/fake_check.c): it knows `export class NAME extends BASE`, and takes @@ for a syntax error."""

import json
import threading

import pytest

from client import Actor, Client, expect_problem, wait_until
from cluster import Cluster
from node import built_program
from pack import pack
from test_tokens import bearer, create

MIB = 1 << 20
COUNTER = "export class Counter extends DurableObject {\n}\n"
KEPT = 20


def body(source=COUNTER, **more):
    return {"modules": {"main.js": source}, "main": "main.js", **more}


def deploy(client, namespace="app", source=COUNTER, headers=None, **more):
    return client.put(f"/v1/{namespace}", json=body(source, **more), headers=headers)


@pytest.fixture
def taker(start_node):
    """A node that takes deploys."""
    return start_node("--workers", "2", binary=built_program("tests/lib/fake_check"))


@pytest.fixture
def made(taker):
    """A client of such a node."""
    return taker.client


# Deploying


def test_a_deploy_answers_its_version_and_classes(made):
    answer = deploy(made)
    assert (answer.status, answer.json) == (200, {"version": 1, "classes": ["Counter"]})
    answer = deploy(made, source=COUNTER + "export class Room extends DurableObject {}\n")
    assert answer.json == {"version": 2, "classes": ["Counter", "Room"]}
    assert deploy(made, "other").json["version"] == 1


def test_a_class_is_there_once_it_is_deployed_and_in_its_namespace_alone(made):
    counter = Actor(made, "a", "app", "Counter")
    expect_problem(counter.put("k", 1), 404, "no_such_class")
    assert deploy(made).status == 200
    assert counter.put("k", 1).status == 204
    assert counter.get("k").json == 1
    expect_problem(Actor(made, "a", "other", "Counter").get("k"), 404, "no_such_class")
    assert Actor(made, "a", "app").put("k", 2).status == 204, "Store is there as ever"


def test_a_class_that_is_deployed_no_more_is_gone_and_its_state_waits_for_it(made):
    counter = Actor(made, "a", "app", "Counter")
    deploy(made)
    counter.put("k", 1)
    assert deploy(made, source="export class Room extends DurableObject {}").status == 200
    expect_problem(counter.get("k"), 404, "no_such_class")
    deploy(made)
    assert counter.get("k").json == 1


def test_every_worker_knows_the_class_at_once(taker):
    for n in range(10):
        assert deploy(taker.client, f"app{n}").status == 200
        others = [Client(taker.url) for _ in range(6)]
        for client in others:
            assert Actor(client, "a", f"app{n}", "Counter").put("k", 1).status == 204
            client.close()


def test_what_is_deployed_is_told(made):
    deploy(made, source=COUNTER + "export class Flow extends WorkflowEntrypoint {}\nexport default {}\n",
           env={"KEY": "hidden", "N": 1}, bindings={"COUNTER": "Counter"},
           egress={"allow": ["api.example.com", "*.example.org:8443"]})
    answer = made.get("/v1/app")
    assert answer.status == 200
    told = answer.json
    assert told.pop("created") > 1_600_000_000_000
    assert told == {
        "namespace": "app", "version": 1, "main": "main.js",
        "classes": [{"name": "Counter", "kind": "object", "methods": []},
                    {"name": "Flow", "kind": "workflow", "methods": []}],
        "bindings": {"COUNTER": "Counter"}, "env": ["KEY", "N"],
        "egress": {"allow": ["api.example.com", "*.example.org:8443"]}}
    assert "hidden" not in answer.body.decode()
    deploy(made, "plain")
    assert made.get("/v1/plain").json["egress"] is None


def test_where_nothing_is_deployed_is_404(made):
    expect_problem(made.get("/v1/app"), 404, "no_such_deployment")
    expect_problem(made.post("/v1/app/rollback"), 404, "no_such_deployment")
    assert made.get("/v1/app/versions").json == {"versions": []}


def test_a_deploy_may_come_as_msgpack(made):
    answer = made.put("/v1/app", pack(body()), headers={"Content-Type": "application/msgpack"})
    assert (answer.status, answer.json["version"]) == (200, 1)


def test_named_classes_alone_are_deployed(made):
    source = COUNTER + "export class Room extends DurableObject {}\nexport class Plain {}\n"
    assert deploy(made, source=source).json["classes"] == ["Counter", "Room"]
    assert deploy(made, source=source, classes=["Room"]).json["classes"] == ["Room"]
    answer = deploy(made, source=source, classes=["Room"], bindings={"P": "Plain"})
    assert answer.json["classes"] == ["Plain", "Room"]


def test_a_prefix_of_ids_is_looked_for_in_every_class(made):
    deploy(made, source=COUNTER + "export class Room extends DurableObject {}\n")
    for class_name in ["Counter", "Room", "Store"]:
        for n in range(3):
            for id in [f"a{n}", f"b{n}"]:
                assert Actor(made, id, "app", class_name).put("k", 1).status == 204

    def listed(query):
        found, cursor = [], ""
        while cursor is not None:
            page = made.get(f"/admin/v1/namespaces/app/actors?limit=2&{query}" + (f"&cursor={cursor}" if cursor else ""))
            assert page.status == 200, page
            found += [(a["class"], a["id"]) for a in page.json["actors"]]
            cursor = page.json["next"]
        return found

    assert listed("prefix=b") == [(c, f"b{n}") for c in ["Counter", "Room", "Store"] for n in range(3)]
    assert listed("prefix=b&class=Room") == [("Room", f"b{n}") for n in range(3)]
    assert len(listed("")) == 18


# What is refused


def test_a_syntax_error_names_file_line_and_column(made):
    answer = made.put("/v1/app", json={
        "modules": {"main.js": COUNTER, "lib/a.js": "fine\n  if (@@Unexpected token"}, "main": "main.js"})
    problem = expect_problem(answer, 400, "invalid_code")
    assert (problem["file"], problem["line"], problem["column"]) == ("lib/a.js", 2, 7)
    assert problem["detail"] == "SyntaxError: Unexpected token"


def test_a_class_that_is_not_exported_is_400(made):
    problem = expect_problem(deploy(made, classes=["Count"]), 400, "invalid_code")
    assert "Count" in problem["detail"]
    expect_problem(deploy(made, bindings={"C": "Count"}), 400, "invalid_code")


def test_after_a_refused_deployment_the_former_version_stays(made):
    deploy(made)
    for more in [{"source": "@@no"}, {"classes": ["Count"]}, {"env": {"a-b": 1}}]:
        assert deploy(made, **more).status == 400
    assert made.get("/v1/app").json["version"] == 1
    assert Actor(made, "a", "app", "Counter").put("k", 1).status == 204
    assert [v["version"] for v in made.get("/v1/app/versions").json["versions"]] == [1]


@pytest.mark.parametrize("wrong", [
    {}, {"modules": {}}, {"modules": {"m.js": ""}}, {"main": "m.js"}, {"modules": {"m.js": ""}, "main": "n.js"},
    {"modules": {"m.js": 1}, "main": "m.js"}, {"modules": {"a:b": ""}, "main": "a:b"}, [],
    body(more=1), body(classes="Counter"), body(classes=["Store"]), body(env=[]), body(env={"": 1}),
    body(bindings={"A": "Store"}), body(env={"A": 1}, bindings={"A": "Counter"}), body(egress=["a"]),
    body(egress={"allow": ["http://a"]}), body(source_maps={"other.js": "{}"})])
def test_a_malformed_deploy_is_400(made, wrong):
    expect_problem(made.put("/v1/app", json=wrong), 400, "bad_request")
    expect_problem(made.get("/v1/app"), 404, "no_such_deployment")


def test_a_body_that_is_no_document_is_refused(made):
    expect_problem(made.put("/v1/app", "{"), 400, "bad_request")
    expect_problem(made.put("/v1/app"), 400, "bad_request")
    expect_problem(made.put("/v1/app", json.dumps(body()), headers={"Content-Type": "text/plain"}), 415,
                   "unsupported_media_type")
    expect_problem(made.put("/v1/app", json.dumps(body()), headers={"Content-Encoding": "gzip"}), 415,
                   "unsupported_media_type")


def test_a_namespace_that_is_none_is_400(made):
    for path in ["/v1/App", "/v1/-a", "/v1/" + 64 * "a"]:
        expect_problem(made.put(path, json=body()), 400, "invalid_id")
        expect_problem(made.get(path), 400, "invalid_id")
        expect_problem(made.get(path + "/versions"), 400, "invalid_id")
        expect_problem(made.post(path + "/rollback"), 400, "invalid_id")
    expect_problem(made.put("/v1/%zz", json=body()), 400, "bad_request")
    assert made.put("/v1/%61pp", json=body()).status == 200
    assert made.get("/v1/app").json["namespace"] == "app"


def test_code_over_10_mib_is_413(made):
    large = COUNTER + "/" * (10 * MIB)
    problem = expect_problem(deploy(made, source=large), 413, "too_large")
    assert problem["limit"] == {"name": "modules_bytes", "value": 10 * MIB}
    problem = expect_problem(deploy(made, source_maps={"main.js": " " * (10 * MIB)}), 413, "too_large")
    assert problem["limit"] == {"name": "source_maps_bytes", "value": 10 * MIB}
    problem = expect_problem(deploy(made, env={"A": "x" * (128 << 10)}), 413, "too_large")
    assert problem["limit"] == {"name": "env_bytes", "value": 128 << 10}
    problem = expect_problem(deploy(made, env={f"A{n}": n for n in range(129)}), 413, "too_large")
    assert problem["limit"] == {"name": "env", "value": 128}


# Sizes and crashes


def test_a_large_deploy_is_there_after_kill_9(taker):
    large = COUNTER + "/" * (10 * MIB - 1000)
    assert deploy(taker.client, source=large).status == 200
    assert deploy(taker.client, "small").status == 200
    taker.restart(kill=True)
    for namespace in ["app", "small"]:
        assert taker.client.get(f"/v1/{namespace}").json["version"] == 1
        assert Actor(taker.client, "a", namespace, "Counter").put("k", 1).status == 204
    taker.restart()
    assert taker.client.get("/v1/app").json["classes"][0]["name"] == "Counter"
    assert deploy(taker.client).json["version"] == 2
    taker.stop()
    taker.check_data()


def test_deploys_at_the_same_time_get_versions_of_their_own(taker):
    versions = []

    def run():
        client = Client(taker.url)
        for n in range(5):
            answer = deploy(client, source=COUNTER + f"// {n}\n")
            assert answer.status in (200, 429), answer
            if answer.status == 200:
                versions.append(answer.json["version"])
        client.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert taker.client.get("/v1/app").json["version"] == len(versions)


def test_a_client_that_goes_away_leaves_the_node_as_it_was(taker):
    """Its deploy happens or not; the next one is the next version either way."""
    source = COUNTER + "/" * (4 * MIB)
    for _ in range(8):
        client = Client(taker.url)
        client.connection.putrequest("PUT", "/v1/app")
        payload = json.dumps(body(source)).encode()
        client.connection.putheader("Content-Length", str(len(payload)))
        client.connection.endheaders()
        client.connection.send(payload)
        client.close()
    wait_until(lambda: deploy(taker.client).status == 200, what="a deploy")
    versions = [v["version"] for v in taker.client.get("/v1/app/versions").json["versions"]]
    assert versions == list(range(versions[0], 0, -1))


# Versions


def test_a_rollback_brings_an_old_version_back_under_a_new_number(made):
    deploy(made)
    deploy(made, source="export class Room extends DurableObject {}")
    answer = made.post("/v1/app/rollback", json={"version": 1})
    assert (answer.status, answer.json) == (200, {"version": 3, "of": 1, "classes": ["Counter"]})
    assert made.get("/v1/app").json["version"] == 3
    assert Actor(made, "a", "app", "Counter").put("k", 1).status == 204
    expect_problem(Actor(made, "a", "app", "Room").put("k", 1), 404, "no_such_class")


def test_a_rollback_without_a_version_takes_the_one_before(made):
    deploy(made)
    expect_problem(made.post("/v1/app/rollback"), 404, "no_such_deployment")
    deploy(made, source="export class Room extends DurableObject {}")
    assert made.post("/v1/app/rollback").json == {"version": 3, "of": 1, "classes": ["Counter"]}
    assert made.post("/v1/app/rollback", json={}).json["of"] == 2


def test_a_malformed_rollback_is_400(made):
    deploy(made)
    for wrong in [{"version": 0}, {"version": "1"}, {"version": 1.5}, {"versions": 1}, []]:
        expect_problem(made.post("/v1/app/rollback", json=wrong), 400, "bad_request")


def test_versions_are_listed_newest_first_and_the_last_20_are_kept(made):
    for n in range(1, KEPT + 3):
        assert deploy(made, source=COUNTER + f"// {n}\n").json["version"] == n
    versions = made.get("/v1/app/versions").json["versions"]
    assert [v["version"] for v in versions] == list(range(KEPT + 2, 2, -1))
    assert set(versions[0]) == {"version", "created", "classes", "bytes", "of"}
    assert versions[0]["classes"] == ["Counter"] and versions[0]["of"] is None and versions[0]["bytes"] > 0
    expect_problem(made.post("/v1/app/rollback", json={"version": 2}), 404, "no_such_deployment")
    assert made.post("/v1/app/rollback", json={"version": 3}).json["of"] == 3
    assert made.get("/v1/app/versions").json["versions"][0]["of"] == 3


def test_methods_that_the_routes_do_not_take_are_405(made):
    for method, path, allowed in [("POST", "/v1/app", "GET, HEAD, PUT"), ("DELETE", "/v1/app", "GET, HEAD, PUT"),
                                  ("PUT", "/v1/app/versions", "GET, HEAD"), ("GET", "/v1/app/rollback", "POST")]:
        answer = made.request(method, path)
        expect_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


# Access


def test_a_token_deploys_in_its_namespace(taker):
    root = create(taker.client, "*", ["deploy", "admin", "inspect"])["token"]
    own = create(taker.client, "own", ["deploy"], root)["token"]
    others = create(taker.client, "own", ["call", "inspect", "sandbox"], root)["token"]
    few = create(taker.client, "own", ["deploy"], root, actor="Counter/")["token"]
    assert deploy(taker.client, "own", headers=bearer(own)).status == 200
    expect_problem(deploy(taker.client, "other", headers=bearer(own)), 403, "forbidden")
    for token in [others, few]:
        expect_problem(deploy(taker.client, "own", headers=bearer(token)), 403, "forbidden")
        expect_problem(taker.client.get("/v1/own", headers=bearer(token)), 403, "forbidden")
    expect_problem(deploy(taker.client, "own"), 401, "unauthenticated")
    assert taker.client.post("/v1/own/rollback", json={"version": 1}, headers=bearer(own)).status == 200
    assert taker.client.get("/v1/own/versions", headers=bearer(own)).status == 200
    assert deploy(taker.client, "any", headers=bearer(root)).status == 200


def test_storage_of_a_class_with_code_needs_inspect_and_store_needs_call(taker):
    root = create(taker.client, "*", ["deploy", "admin"])["token"]
    call = bearer(create(taker.client, "app", ["call"], root)["token"])
    inspect = bearer(create(taker.client, "app", ["inspect"], root)["token"])
    deploy(taker.client, headers=bearer(root))
    counter, store = Actor(taker.client, "a", "app", "Counter"), Actor(taker.client, "a", "app")
    assert counter.put("k", 1, headers=inspect).status == 204
    expect_problem(counter.put("k", 1, headers=call), 403, "forbidden")
    assert store.put("k", 1, headers=call).status == 204
    expect_problem(store.put("k", 1, headers=inspect), 403, "forbidden")


# Clusters


@pytest.fixture
def three(tmp_path):
    cluster = Cluster(tmp_path / "cluster", 3, binary=built_program("tests/lib/fake_check"))
    yield cluster
    cluster.finish()


def test_any_node_takes_a_deploy_and_shows_it_when_it_says_so(three):
    wait_until(lambda: deploy(three.nodes[1].client).status == 200, 60, "a deploy")
    first = version = three.nodes[1].client.get("/v1/app").json["version"]
    for _ in range(3):
        for node in three.running():
            version += 1
            assert deploy(node.client).json["version"] == version
            assert node.client.get("/v1/app").json["version"] == version
            assert node.client.post("/v1/app/rollback", json={"version": first}).json["of"] == first
            version += 1
            assert node.client.get("/v1/app").json["version"] == version


def test_a_large_deploy_reaches_every_node_and_one_that_was_away(three):
    large = COUNTER + "/" * (9 * MIB)
    three.nodes[3].stop()
    wait_until(lambda: deploy(three.nodes[1].client, source=large).status == 200, 60, "a deploy")
    three.nodes[3].start()
    for node in three.running():
        wait_until(lambda n=node: n.client.get("/v1/app").status == 200, what="the deploy")
        assert Actor(node.client, "a", "app", "Counter").put("k", 1).status == 204
