"""Secrets of a namespace: set, listed by name, removed; sealed wherever they are kept; never shown."""

import os
import subprocess

import pytest

from client import expect_problem, wait_until
from cluster import Cluster, client_program, command
from test_tokens import bearer, create

VALUE = "sk-live-4f9a77c1e0"


def path(name="", ns="app"):
    return f"/admin/v1/namespaces/{ns}/secrets" + (f"/{name}" if name else "")


def names(client, ns="app", **named):
    answer = client.get(path(ns=ns), **named)
    assert answer.status == 200, answer
    return [s["name"] for s in answer.json["secrets"]]


def everything_in(directory):
    for folder, _, files in os.walk(directory):
        for file in files:
            with open(os.path.join(folder, file), "rb") as f:
                yield os.path.join(folder, file), f.read()


def test_a_secret_is_set_listed_by_its_name_replaced_and_removed(node):
    c = node.client
    assert c.get(path()).json == {"secrets": []}
    assert c.put(path("B"), json={"value": VALUE}).status == 204
    assert c.put(path("A.b-c"), json={"value": "two words"}).status == 204
    listed = c.get(path()).json["secrets"]
    assert [s["name"] for s in listed] == ["A.b-c", "B"]
    assert all(set(s) == {"name", "created", "updated"} and s["created"] == s["updated"] for s in listed)
    assert c.put(path("B"), json={"value": "other"}).status == 204
    b = c.get(path()).json["secrets"][1]
    assert b["created"] == listed[1]["created"] and b["updated"] >= b["created"]
    assert names(c, "other") == []
    assert c.delete(path("B")).status == 204
    expect_problem(c.delete(path("B")), 404, "no_such_secret")
    assert names(c) == ["A.b-c"]


def test_a_secret_is_not_shown_and_no_file_has_it(node):
    c = node.client
    assert c.put(path("TOKEN"), json={"value": VALUE}).status == 204
    expect_problem(c.get(path("TOKEN")), 405, "method_not_allowed")
    assert VALUE not in c.get(path()).body.decode()
    node.restart()
    assert names(node.client) == ["TOKEN"]
    node.stop()
    found = [f for f, data in everything_in(node.data) if VALUE.encode() in data]
    assert found == []
    assert VALUE not in node.stderr


@pytest.mark.parametrize("name", ["", "-a", "a%20b", "a%2Fb", "%00", "a" * 65, "caf%C3%A9"])
def test_a_name_is_one_word(node, name):
    answer = node.client.put(f"{path()}/{name}", json={"value": "x"})
    assert answer.status in (400, 404) and (name == "" or answer.json["code"] == "invalid_id"), answer
    assert names(node.client) == []


@pytest.mark.parametrize("body, status, code", [
    ("{}", 400, "bad_request"), ('{"value":""}', 400, "bad_request"), ('{"value":1}', 400, "bad_request"),
    ('{"value":"a\\nb"}', 400, "bad_request"), ('{"value":"a\\u0000b"}', 400, "bad_request"),
    ('{"value":" a"}', 400, "bad_request"), ('{"value":"a","more":1}', 400, "bad_request"), ("[", 400, None),
    ("", 400, None), ('{"value":"%s"}' % ("a" * 8193), 413, "too_large")])
def test_a_value_is_what_a_header_may_have(node, body, status, code):
    answer = node.client.put(path("A"), body)
    assert answer.status == status and code in (None, answer.json["code"]), answer
    assert names(node.client) == []
    assert node.client.put(path("A"), json={"value": "a" * 8192}).status == 204


def test_a_namespace_has_a_bounded_number_of_them(node):
    for i in range(128):
        assert node.client.put(path(f"S{i}"), json={"value": "x"}).status == 204
    answer = node.client.put(path("S128"), json={"value": "x"})
    assert expect_problem(answer, 429, "rate_limited", retryable=True)["limit"] == {"name": "secrets_of_namespace", "value": 128}
    assert node.client.put(path("S0"), json={"value": "y"}).status == 204
    assert node.client.put(path("S0", "other"), json={"value": "y"}).status == 204


def test_secrets_are_those_of_administrators_of_the_namespace(node):
    root = create(node.client, "*", ["admin"])["token"]
    own = create(node.client, "app", ["admin"], root)["token"]
    call = create(node.client, "app", ["call", "inspect", "deploy", "sandbox"], root)["token"]
    c = node.client
    assert c.put(path("A"), json={"value": "x"}, headers=bearer(own)).status == 204
    assert names(c, headers=bearer(own)) == ["A"]
    for token, ns in [(own, "other"), (call, "app")]:
        for method in ["PUT", "DELETE"]:
            answer = c.request(method, path("A", ns), headers=bearer(token), json={"value": "x"})
            expect_problem(answer, 403, "forbidden")
        expect_problem(c.get(path(ns=ns), headers=bearer(token)), 403, "forbidden")


def test_every_node_of_a_cluster_takes_them_and_has_them(tmp_path):
    cluster = Cluster(tmp_path / "cluster", 3)
    try:
        for number, n in cluster.nodes.items():
            assert n.client.put(path(f"N{number}"), json={"value": VALUE}).status == 204
        for n in cluster.nodes.values():
            wait_until(lambda n=n: names(n.client) == ["N1", "N2", "N3"])
        assert cluster.nodes[2].client.delete(path("N1")).status == 204
        for n in cluster.nodes.values():
            wait_until(lambda n=n: names(n.client) == ["N2", "N3"])
        for n in cluster.nodes.values():
            n.stop()
            assert not [f for f, data in everything_in(n.data) if VALUE.encode() in data]
    finally:
        cluster.finish()


def test_the_command_line_sets_lists_and_removes_them(node):
    def run(*arguments, value=None, code=0):
        done = subprocess.run([client_program(), "--url", node.url, "secret", *arguments], input=value,
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done
        return done.stdout

    assert run("set", "app", "A", value=VALUE + "\n") == "set\n"
    assert run("list", "app").split()[:4] == ["NAME", "CREATED", "UPDATED", "A"]
    assert VALUE not in run("--json", "list", "app")
    assert run("remove", "app", "A") == "removed\n"
    run("remove", "app", "A", code=3)
    run("set", "app", "A", value="", code=1)
    assert command("secret", "list", "app", url=node.url).split() == ["NAME", "CREATED", "UPDATED"]
