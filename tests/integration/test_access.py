"""Section 7, access: without tokens a node answers its own machine, and no foreign page."""

import subprocess

import pytest

from client import Client, exchange, expect_problem
from node import program


@pytest.mark.parametrize("host", [
    "localhost", "LocalHost", "localhost:7420", "localhost:1", "a.localhost", "a.b.localhost:80",
    "127.0.0.1", "127.0.0.1:7420", "127.1.2.3", "127.255.255.254:9", "[::1]", "[::1]:7420"])
def test_hosts_of_this_machine_are_answered(client, host):
    assert client.get("/healthz", headers={"Host": host}).status == 200


@pytest.mark.parametrize("host", [
    "", "example.com", "localhost.example.com", "localhost.", "notlocalhost", "127.0.0.1.example.com",
    "128.0.0.1", "10.0.0.1", "0.0.0.0", "126.255.255.255", "[::2]", "[::]", "[::ffff:127.0.0.1]",
    "2130706433", "0x7f.0.0.1", "127.1", "localhost:x", "localhost:99999", "localhost:80:80", ":7420",
    "[::1", "[::1]x", "a@localhost:80@example.com"])
def test_a_foreign_host_is_403(shared_node, host):
    for line in ["GET /healthz", "GET /v1/test/Store/a", "GET /nonsense"]:
        answer, = exchange(shared_node.url, f"{line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        if answer.status == 400:
            expect_problem(answer, 400, "bad_request")  # no host at all
        else:
            expect_problem(answer, 403, "forbidden")


def test_a_foreign_host_cannot_write(client, actor):
    answer = client.put(actor.kv("k"), "1", headers={"Host": "rebound.example.com"})
    expect_problem(answer, 403, "forbidden")
    expect_problem(actor.get("k"), 404, "no_such_key")


def test_the_host_of_an_absolute_target_counts(shared_node):
    request = b"GET http://example.com/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    expect_problem(exchange(shared_node.url, request)[0], 403, "forbidden")


@pytest.mark.parametrize("origin", [
    "http://example.com", "https://localhost", "null", "http://localhost.example.com", "http://localhost:1",
    "file://", "http://127.0.0.2", "http://", "x"])
def test_a_foreign_origin_is_403(client, actor, origin):
    port = client.connection.port
    for host in ["localhost", f"127.0.0.1:{port}"]:
        headers = {"Host": host, "Origin": origin}
        for answer in [client.get("/healthz", headers=headers),
                       client.put(actor.kv("k"), "1", headers=headers),
                       client.request("OPTIONS", actor.kv("k"), headers=headers)]:
            expect_problem(answer, 403, "forbidden")
            assert answer.headers.get("access-control-allow-origin") is None
    expect_problem(actor.get("k"), 404, "no_such_key")


def test_the_own_origin_is_answered(client, actor):
    authority = f"127.0.0.1:{client.connection.port}"
    headers = {"Host": authority, "Origin": f"http://{authority}"}
    answer = client.put(actor.kv("k"), "1", headers=headers)
    assert answer.status == 204
    assert answer.headers.get("access-control-allow-origin") is None


def test_other_addresses_of_loopback_reach_only_what_listens_there(node):
    """127.0.0.1 was asked for, so 127.0.0.2 is not listened on."""
    with pytest.raises(OSError):
        Client(node.url.replace("127.0.0.1", "127.0.0.2"), timeout=5).get("/healthz")


APP = "https://app.example.com"


@pytest.fixture
def cors_client(start_node):
    return start_node("--cors-origins", f"{APP}, http://localhost:5173").client


def names(answer, field):
    return {name.strip().lower() for name in answer.headers[field].split(",")}


def test_cors_headers_go_to_configured_origins_alone(cors_client):
    for path, status in [("/healthz", 200), ("/v1/test/Store/a/kv/none", 404), ("/nonsense", 404)]:
        answer = cors_client.get(path, headers={"Origin": APP})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, APP)
        assert answer.headers["vary"] == "origin"
        assert {"etag", "dormouse-owner", "retry-after"} <= names(answer, "access-control-expose-headers")
        assert cors_client.get(path).headers.get("access-control-allow-origin") is None
        foreign = cors_client.get(path, headers={"Origin": "https://other.example.com"})
        expect_problem(foreign, 403, "forbidden")
        assert foreign.headers.get("access-control-allow-origin") is None


def test_a_page_of_a_configured_origin_writes(cors_client):
    answer = cors_client.put("/v1/test/Store/page/kv/k", "1", headers={"Origin": APP})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, APP)


def test_a_preflight_is_answered_with_what_the_route_takes(cors_client):
    ask = {"Origin": APP, "Access-Control-Request-Method": "PUT",
           "Access-Control-Request-Headers": "authorization,idempotency-key"}
    answer = cors_client.request("OPTIONS", "/v1/test/Store/a/kv/k", headers=ask)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, APP)
    assert names(answer, "access-control-allow-methods") == {"get", "head", "put", "delete"}
    assert names(answer, "access-control-allow-headers") == {"authorization", "idempotency-key"}
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "post" in names(cors_client.request("OPTIONS", "/w/test/any", headers=ask), "access-control-allow-methods")
    expect_problem(cors_client.request("OPTIONS", "/nonsense", headers=ask), 404, "not_found")
    ask["Origin"] = "http://localhost"
    expect_problem(cors_client.request("OPTIONS", "/v1/test/Store/a/kv/k", headers=ask), 403, "forbidden")


def test_a_preflight_needs_no_token_and_what_follows_does(start_node):
    client = start_node("--cors-origins", APP).client
    made = client.post("/admin/v1/tokens", json={"namespace": "test", "scopes": ["call"]})
    headers = {"Origin": APP}
    ask = {**headers, "Access-Control-Request-Method": "PUT"}
    assert client.request("OPTIONS", "/v1/test/Store/a/kv/k", headers=ask).status == 204
    refused = client.put("/v1/test/Store/a/kv/k", "1", headers=headers)
    expect_problem(refused, 401, "unauthenticated")
    assert refused.headers["access-control-allow-origin"] == APP  # its page can read why
    headers["Authorization"] = f"Bearer {made.json['token']}"
    assert client.put("/v1/test/Store/a/kv/k", "1", headers=headers).status == 204


@pytest.mark.parametrize("text,why", [("*", b"name the origins"), ("app.example.com", b"not origins like")])
def test_origins_that_no_browser_says_stop_the_start(text, why):
    result = subprocess.run([program(), "--data", "x", "--cors-origins", text], capture_output=True, timeout=30)
    assert result.returncode == 2 and why in result.stderr
