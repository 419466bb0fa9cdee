"""Section 1 on the wire: HTTP/1.1, routes, methods, sizes."""

import email.utils
import http.client
import time

import pytest

from client import connect, exchange, expect_problem, quote, read_answer

HOST = b"Host: localhost\r\n"


def head(line, *fields):
    return line.encode() + b"\r\n" + HOST + b"".join(f.encode() + b"\r\n" for f in fields) + b"\r\n"


def test_a_connection_serves_many_requests(shared_node, actor):
    with connect(shared_node.url) as s, s.makefile("rb") as stream:
        for i in range(100):
            body = str(i).encode()
            s.sendall(head(f"PUT {actor.kv('k')} HTTP/1.1", f"Content-Length: {len(body)}") + body)
            assert read_answer(stream, "PUT").status == 204
            s.sendall(head(f"GET {actor.kv('k')} HTTP/1.1"))
            assert read_answer(stream).json == i


def test_pipelined_requests_are_answered_in_their_order(shared_node, actor):
    request = b""
    methods = []
    for i in range(50):
        body = f'{{"do":[{{"add":"n"}},{{"put":"k{i}","value":{i}}}]}}'.encode()
        request += head(f"POST {actor.path}/txn HTTP/1.1", f"Content-Length: {len(body)}") + body
        request += head(f"GET {actor.kv(f'k{i}')} HTTP/1.1")
        request += head(f"GET {actor.kv('absent')} HTTP/1.1")
        request += head(f"HEAD {actor.kv('n')} HTTP/1.1")
        methods += ["POST", "GET", "GET", "HEAD"]
    answers = exchange(shared_node.url, request, methods)
    for i in range(50):
        txn, get, absent, only_head = answers[4 * i:4 * i + 4]
        assert txn.json["results"][0] == {"value": i + 1}
        assert get.json == i
        expect_problem(absent, 404, "no_such_key")
        assert only_head.status == 200 and only_head.version == txn.json["version"]


def test_requests_pipelined_to_many_actors_are_answered_in_their_order(shared_node, actor):
    paths = [f"{actor.path}-{i}/kv/k" for i in range(100)]
    puts = b"".join(
        head(f"PUT {path} HTTP/1.1", f"Content-Length: {len(str(i))}") + str(i).encode()
        for i, path in enumerate(paths))
    gets = b"".join(head(f"GET {path} HTTP/1.1") for path in paths)
    answers = exchange(shared_node.url, puts + gets, ["PUT"] * 100 + ["GET"] * 100)
    assert [a.status for a in answers[:100]] == [204] * 100
    assert [a.json for a in answers[100:]] == list(range(100))


def test_connection_close_ends_the_connection_after_its_answer(shared_node, actor):
    request = head(f"GET {actor.path} HTTP/1.1", "Connection: close")
    with connect(shared_node.url) as s, s.makefile("rb") as stream:
        s.sendall(request)
        answer = read_answer(stream)
        assert answer.status == 200 and answer.headers["connection"] == "close"
        assert stream.read() == b""


def test_http_1_0_is_answered_and_closed(shared_node):
    with connect(shared_node.url) as s, s.makefile("rb") as stream:
        s.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert read_answer(stream).status == 200
        assert stream.read() == b""


def test_a_client_that_closes_its_side_still_gets_its_answer(shared_node, actor):
    import socket
    with connect(shared_node.url) as s, s.makefile("rb") as stream:
        s.sendall(head(f"PUT {actor.kv('k')} HTTP/1.1", "Content-Length: 1") + b"1")
        s.shutdown(socket.SHUT_WR)
        answer = read_answer(stream, "PUT")
    assert answer is not None and answer.status == 204


@pytest.mark.parametrize("method, target, body", [
    ("POST", "/txn", '{"do":[{"put":"k","value":1}]}'), ("PUT", "/kv/k", "1"),
    ("DELETE", "/kv/k", ""), ("GET", "/kv/k", ""), ("GET", "/kv", ""), ("GET", "", "")])
def test_a_request_that_comes_in_single_bytes_is_answered(shared_node, actor, method, target, body):
    request = head(f"{method} {actor.path}{target} HTTP/1.1", f"Content-Length: {len(body)}")
    request += body.encode()
    actor.put("k", 0)
    with connect(shared_node.url) as s, s.makefile("rb") as stream:
        for byte in request:
            s.sendall(bytes([byte]))
        assert read_answer(stream, method).status in (200, 204)


def test_a_chunked_body_is_read(shared_node, actor):
    request = head(f"PUT {actor.kv('k')} HTTP/1.1", "Transfer-Encoding: chunked")
    request += b"5\r\n[1,2,\r\n3\r\n3]\n\r\n0\r\n\r\n" + head(f"GET {actor.kv('k')} HTTP/1.1")
    put, get = exchange(shared_node.url, request, ["PUT", "GET"])
    assert put.status == 204 and get.json == [1, 2, 3]


def test_a_client_that_expects_100_continue_gets_it(shared_node, actor):
    with connect(shared_node.url) as s, s.makefile("rb") as stream:
        s.sendall(head(f"PUT {actor.kv('k')} HTTP/1.1", "Content-Length: 4",
                       "Expect: 100-continue"))
        assert read_answer(stream, "PUT").status == 100
        s.sendall(b"true")
        assert read_answer(stream, "PUT").status == 204
    assert actor.get("k").json is True


@pytest.mark.parametrize("request_bytes", [
    b"GET /healthz\r\n\r\n",
    b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/2.5\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nna me: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nname: a\x00b\r\n\r\n",
    b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health\x01z HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PUT /v1/t/Store/a/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n1",
    b"PUT /v1/t/Store/a/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n1",
    b"PUT /v1/t/Store/a/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\n1",
    b"PUT /v1/t/Store/a/kv/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1",
    b"PUT /v1/t/Store/a/kv/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"PUT /v1/t/Store/a/kv/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client hello\r\n\r\n",
    b"NONSENSE\r\n\r\n",
])
def test_a_malformed_request_is_400_and_ends_the_connection(shared_node, request_bytes):
    with connect(shared_node.url) as s, s.makefile("rb") as stream:
        s.sendall(request_bytes)
        expect_problem(read_answer(stream), 400, "bad_request")
        assert stream.read() == b""


def test_a_bad_percent_escape_in_the_path_is_400(client):
    for path in ["/v1/test/Store/a%", "/v1/test/Store/a%2", "/v1/test/Store/a%zz",
                 "/v1/test/Store/a/kv/%", "/v1/test/Store/a/kv/k%g0"]:
        expect_problem(client.get(path), 400, "bad_request")


def test_a_header_section_that_is_too_large_is_431(shared_node):
    for fields in [["X: " + "x" * 70000], [f"X-{i}: {'x' * 1000}" for i in range(80)],
                   [f"X-{i}: 1" for i in range(1000)]]:
        answer, = exchange(shared_node.url, head("GET /healthz HTTP/1.1", *fields))
        expect_problem(answer, 431, "headers_too_large")


def test_a_body_that_is_too_large_is_413_and_names_the_limit(shared_node, actor):
    request = head(f"PUT {actor.kv('k')} HTTP/1.1", "Content-Length: 1000000000")
    answer, = exchange(shared_node.url, request, ["PUT"])
    doc = expect_problem(answer, 413, "too_large")
    assert doc["limit"]["value"] >= 4 * 1024 * 1024
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    request = head(f"PUT {actor.kv('k')} HTTP/1.1", "Transfer-Encoding: chunked") + 20 * chunk
    with connect(shared_node.url) as s, s.makefile("rb") as stream:
        try:
            s.sendall(request)
        except (ConnectionResetError, BrokenPipeError):
            pass
        expect_problem(read_answer(stream), 413, "too_large")
    expect_problem(actor.get("k"), 404, "no_such_key")


@pytest.mark.parametrize("path", [
    "/", "/v1", "/v2/test/Store/a", "/healthz/", "/healthz/x", "/nonsense", "//", "/v1/a/b",
    "/v1/test/Store/a/", "/v1/test/Store/a/nonsense", "/v1/test/Store/a/kv/k/more", "/admin",
    "/admin/v1/nonsense", "/V1/test/Store/a", "/v1/test/Store/a/kv/", "/w", "/kv"])
def test_an_unknown_route_is_404_as_a_problem(client, path):
    answer = client.get(path)
    if path == "/v1/test/Store/a/kv/":
        expect_problem(answer, 400, "bad_request")  # a key, and an empty one
    else:
        expect_problem(answer, 404, "not_found")


ROUTES = [
    ("/healthz", "GET, HEAD"), ("/readyz", "GET, HEAD"), ("/metrics", "GET, HEAD"),
    ("/admin/v1/cluster", "GET, HEAD"), ("/admin/v1/namespaces/test/actors", "GET, HEAD"),
    ("/v1/test/Store/a", "GET, HEAD, DELETE"), ("/v1/test/Store/a/kv", "GET, HEAD"),
    ("/v1/test/Store/a/kv/k", "GET, HEAD, PUT, DELETE"), ("/v1/test/Store/a/txn", "POST"),
    ("/v1/test/Store/a/hibernate", "POST"), ("/v1/test/Store/a/watch", "GET"),
    ("/v1/test/Store/a/timers", "GET, HEAD"), ("/v1/test/Store/a/timers/t", "GET, HEAD, PUT, DELETE"),
    ("/v1/test/Store/a/steps", "GET, HEAD"), ("/v1/test/Store/a/steps/s", "POST, PUT"),
    ("/admin/v1/namespaces/test/secrets", "GET, HEAD"), ("/admin/v1/namespaces/test/secrets/s", "PUT, DELETE"),
    ("/v1/test", "GET, HEAD, PUT"), ("/admin/v1/backup", "POST"), ("/admin/v1/audit", "GET, HEAD"),
    ("/console/", "GET, HEAD"), ("/v1/test/Store/a/call/m", "POST"), ("/admin/v1/cluster/join-tokens", "POST"),
    ("/admin/v1/cluster/members", "POST"), ("/admin/v1/cluster/members/1", "DELETE"),
    ("/admin/v1/cluster/members/1/drain", "POST"), ("/admin/v1/cluster/members/1/undrain", "POST"),
    ("/v1/test/Store/a/execute", "POST"), ("/v1/test/Store/a/workflow", "GET, HEAD, POST"),
]


@pytest.mark.parametrize("path, allowed", ROUTES)
def test_a_method_that_a_route_does_not_take_is_405_with_allow(client, path, allowed):
    names = set(allowed.split(", "))
    others = {"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "FROBNICATE",
              "get"}  # methods are case-sensitive
    for method in sorted(others - names):
        answer = client.request(method, path)
        expect_problem(answer, 405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) == names


@pytest.mark.parametrize("method, path", [
    ("POST", "/admin/v1/backup"), ("GET", "/console/")])
def test_a_later_part_of_the_contract_is_501(client, method, path):
    expect_problem(client.request(method, path), 501, "not_implemented")


def fields_of(answer):
    """All but the date, which is that of the moment."""
    return sorted((name, value) for name, value in answer.headers.items() if name != "date")


def test_every_answer_has_the_date(shared_node, actor):
    """RFC 9110, 6.6.1; for what is stored, what is not, what the server itself refuses, and streams."""
    requests = [head(f"GET {actor.path} HTTP/1.1"), head(f"PUT {actor.kv('k')} HTTP/1.1", "Content-Length: 1") + b"1",
                head(f"GET {actor.kv('absent')} HTTP/1.1"), head("GET /nonsense HTTP/1.1"), head("PUT /healthz HTTP/1.1"),
                head("GET /healthz HTTP/1.1"), b"GET /healthz HTTP/1.1\r\n\r\n",
                head(f"GET {actor.path}/watch HTTP/1.1")]
    for request in requests:
        before = int(time.time())
        with connect(shared_node.url) as s, s.makefile("rb") as stream:
            s.sendall(request)
            assert stream.readline().startswith(b"HTTP/1.1 ")
            text = http.client.parse_headers(stream)["date"]
        date = email.utils.parsedate_to_datetime(text)
        # What was refused before it was a request has the date of the node's last tick.
        earliest = before if request != requests[-2] else 0
        assert earliest <= date.timestamp() <= time.time(), text
        assert text == email.utils.format_datetime(date, usegmt=True)


def test_head_is_answered_as_get_without_the_body(client, actor):
    actor.put("k", {"a": 1})
    actor.put_bytes("b", b"\x00\x01")
    paths = ["/healthz", "/readyz", actor.path, f"{actor.path}/kv", actor.kv("k"), actor.kv("b"),
             actor.kv("absent"), "/nonsense", "/v1/test/Store/..", f"{actor.path}/kv?limit=0"]
    for path in paths:
        get, only_head = client.get(path), client.head(path)
        assert only_head.status == get.status, path
        assert only_head.body == b"" and get.body, path
        assert fields_of(only_head) == fields_of(get), path
        assert int(only_head.headers["content-length"]) == len(get.body), path


def test_a_percent_encoded_slash_is_part_of_a_name(actor):
    actor.put("a/b/c", 1)
    assert actor.client.get(f"{actor.path}/kv/a%2Fb%2fc").json == 1
    assert actor.list().json["entries"][0]["key"] == "a/b/c"


def test_an_absolute_target_is_taken_for_its_path(shared_node, actor):
    actor.put("k", 5)
    request = head(f"GET http://localhost{actor.kv('k')} HTTP/1.1")
    answer, = exchange(shared_node.url, request)
    assert answer.json == 5


def test_a_path_may_be_as_long_as_the_longest_id_and_key_encoded(client):
    path = f"/v1/{'n' * 63}/Store/{quote('ü' * 256)}/kv/{quote('ß' * 240)}"
    assert client.put(path, json=1).status == 204
    assert client.get(path).json == 1
    assert client.delete(path).status == 204


def test_a_broken_off_request_does_nothing(shared_node, actor):
    with connect(shared_node.url) as s:
        s.sendall(head(f"PUT {actor.kv('k')} HTTP/1.1", "Content-Length: 100") + b"[1, 2")
    expect_problem(actor.get("k"), 404, "no_such_key")


def test_many_connections_at_once_are_served(shared_node, actor):
    sockets = [connect(shared_node.url) for _ in range(200)]
    try:
        for i, s in enumerate(sockets):
            body = b'{"do":[{"add":"n"}]}'
            s.sendall(head(f"POST {actor.path}/txn HTTP/1.1", f"Content-Length: {len(body)}") + body)
        values = []
        for s in sockets:
            with s.makefile("rb") as stream:
                values.append(read_answer(stream).json["results"][0]["value"])
        assert sorted(values) == list(range(1, 201))
    finally:
        for s in sockets:
            s.close()
