"""Section 7, access: without tokens a node answers its own machine, and no foreign page."""

import pytest

from client import Client, exchange, expect_problem


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
