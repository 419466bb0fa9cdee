"""dormouse-egress: what may leave, what comes back, and what a hostile server can do to it."""

import gzip
import os
import socket
import subprocess
import threading

import zlib

import pytest

from client import wait_until
from egress import (
    CANCEL, CREDIT, PUBLIC, WINDOW, Egress, Upstream, answer, egress_program, in_own_network)
from test_tls import certificates  # noqa: F401 -- a fixture


@pytest.fixture
def start_upstream():
    servers = []

    def start(handler=lambda request: answer(b"hello"), **options):
        servers.append(Upstream(handler, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def start_egress():
    started = []

    def start(*options, **more):
        started.append(Egress(*options, **more))
        return started[-1]

    yield start
    for e in started:
        if e.process.poll() is None:
            e.close()


@pytest.fixture
def egress(start_egress):
    e = start_egress()
    yield e
    if e.process.poll() is None:
        assert e.close() == 0


def expect_denied(response, host):
    assert response.code == "egress_denied", response.error
    assert not response.error["retryable"] and not response.error["maybe_applied"]
    assert response.records[-1]["code"] == "egress_denied" and response.records[-1]["status"] == 0
    assert response.records[-1]["host"] == host


# Requests and answers


def test_a_response_comes_with_status_text_fields_and_body(egress, start_upstream):
    server = start_upstream(lambda r: answer(b"brewing", "418 I'm a teapot", [("X-A", "b"), ("x-a", "c")]))
    r = egress.fetch(server.url("/tea?strong=1#now"))
    assert (r.status, r.text, r.body) == (418, "I'm a teapot", b"brewing")
    assert r.field("x-a") == ["b", "c"] and r.field("content-length") == ["7"]
    assert r.url == server.url("/tea?strong=1") and not r.redirected
    assert server.requests[0].target == "/tea?strong=1"
    assert r.records == [{**r.records[0], "ns": "app", "class": "Agent", "actor": "a", "method": "GET",
                          "host": f"127.0.0.1:{server.port}", "path": "/tea", "status": 418, "received": 7,
                          "code": ""}]
    assert r.records[0]["sent"] > 0


def test_a_request_says_what_it_was_given_and_little_else(egress, start_upstream):
    server = start_upstream()
    egress.fetch(server.url(), headers=[("X-Key", "caf\u00e9"), ("x-empty", "")])
    fields = dict(server.requests[0].fields)
    assert fields == {"Host": f"127.0.0.1:{server.port}", "X-Key": "caf\u00e9", "x-empty": "", "Accept": "*/*",
                      "Accept-Encoding": "gzip, deflate", "User-Agent": "dormouse"}


def test_what_the_request_says_replaces_what_would_be_added(egress, start_upstream):
    server = start_upstream()
    given = {"User-Agent": "mine", "Accept": "text/html", "Accept-Encoding": "br", "Content-Type": "text/x"}
    egress.fetch(server.url(), method="POST", headers=given.items(), body=b"x")
    assert {**dict(server.requests[0].fields), **given} == dict(server.requests[0].fields)


@pytest.mark.parametrize("length", [0, 100, 16 << 20])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_body_arrives_whole(egress, start_upstream, method, length):
    server = start_upstream()
    body = (bytes(range(251)) * (length // 251 + 1))[:length]
    assert egress.fetch(server.url(), method=method, body=body).status == 200
    request = server.requests[0]
    assert (request.method, request.body) == (method, body)
    assert request.one("content-length") == str(len(body)) and request.one("content-type") is None


@pytest.mark.parametrize("method,length", [("GET", None), ("DELETE", None), ("POST", "0"), ("PATCH", "0")])
def test_a_request_without_a_body(egress, start_upstream, method, length):
    server = start_upstream()
    egress.fetch(server.url(), method=method)
    assert server.requests[0].method == method and server.requests[0].one("content-length") == length


@pytest.mark.parametrize("method,status", [("HEAD", "200 OK"), ("GET", "204 No Content"),
                                           ("GET", "304 Not Modified")])
def test_a_response_without_a_body_ends(egress, start_upstream, method, status):
    server = start_upstream(lambda r: answer(b"", status, [("Content-Encoding", "gzip"),
                                                           ("Content-Length", "100")], length=False))
    r = egress.fetch(server.url(), method=method)
    assert (r.status, r.body, r.error) == (int(status[:3]), b"", None)
    assert r.field("content-encoding") == ["gzip"]


def test_fields_that_frame_a_request_are_not_for_user_code_to_say(egress, start_upstream):
    server = start_upstream()
    ours = ["Host", "Connection", "Transfer-Encoding", "Content-Length", "Upgrade", "Expect", "TE", "Trailer",
            "Keep-Alive", "Proxy-Authorization"]
    egress.fetch(server.url(), method="POST", headers=[(name, "evil") for name in ours], body=b"x")
    request = server.requests[0]
    assert not [f for f in request.fields if "evil" in f[1]]
    assert request.all("host") == [f"127.0.0.1:{server.port}"] and request.body == b"x"


@pytest.mark.parametrize("name,value", [("a", "b\r\nHost: evil"), ("a", "b\nc"), ("a\r\nHost", "b"), ("", "b"),
                                        ("a b", "c"), ("a:", "b"), ("a", "b\0c"), ("a", "\u20ac")])
def test_a_header_that_would_be_another_one_is_refused(egress, start_upstream, name, value):
    server = start_upstream()
    r = egress.fetch(server.url(), headers=[(name, value)])
    assert r.code == "bad_request" and server.connections == 0


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://u:p@127.0.0.1/", "/", "",
                                 "http://127.0.0.1:0/", "http://127.0.0.1/\n"])
def test_a_url_that_is_not_one_of_http_is_refused(egress, url):
    r = egress.fetch(url)
    assert r.code == "bad_request" and not r.error["retryable"]


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "G ET", ""])
def test_a_method_that_is_none_or_opens_a_tunnel_is_refused(egress, start_upstream, method):
    server = start_upstream()
    assert egress.fetch(server.url(), method=method).code == "bad_request" and server.connections == 0


def test_proxies_of_the_environment_are_not_used(start_egress, start_upstream):
    server, proxy = start_upstream(), start_upstream()
    e = start_egress(environment={name: proxy.url() for name in ["http_proxy", "ALL_PROXY", "all_proxy"]})
    assert e.fetch(server.url()).body == b"hello" and proxy.connections == 0


def test_cookies_are_not_kept(egress, start_upstream):
    server = start_upstream(lambda r: answer(fields=[("Set-Cookie", "a=b")]))
    assert egress.fetch(server.url()).field("set-cookie") == ["a=b"]
    egress.fetch(server.url())
    assert server.requests[1].one("cookie") is None


# Where a request may go


def test_nothing_is_allowed_without_a_pattern(egress, start_upstream):
    server = start_upstream()
    r = egress.fetch(server.url(), allow=[])
    expect_denied(r, f"127.0.0.1:{server.port}")
    assert r.error["message"] == f"127.0.0.1:{server.port} is not on the allow list."
    assert server.connections == 0


@pytest.mark.parametrize("pattern,any_port,allowed", [
    ("localhost", True, True), ("localhost", False, False), ("localhost:{port}", False, True),
    ("localhost:{other}", True, False), ("*.localhost", True, False), ("127.0.0.1", True, False),
    ("example.com", True, False), ("*", True, True), ("*", False, False), ("*:{port}", False, True)])
def test_a_pattern_decides_by_the_name_and_the_port_that_were_asked_for(
        egress, start_upstream, pattern, any_port, allowed):
    server = start_upstream()
    pattern = pattern.format(port=server.port, other=server.port + 1)
    r = egress.fetch(server.url(host="localhost"), allow=[pattern], any_port=any_port)
    if allowed:
        assert r.body == b"hello"
    else:
        expect_denied(r, f"localhost:{server.port}")
        assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]",
                                  "0.0.0.0", "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]"])
def test_a_private_address_is_refused_whatever_the_list_says(egress, start_upstream, host):
    server = start_upstream()
    r = egress.fetch(server.url(host=host), allow=["*", "127.0.0.1"], allow_private=False)
    assert r.code == "egress_denied" and "private" in r.error["message"] and server.connections == 0


def test_a_name_with_a_private_address_is_refused_once_it_is_known(egress, start_upstream):
    server = start_upstream()
    r = egress.fetch(server.url(host="localhost"), allow=["localhost"], allow_private=False)
    expect_denied(r, f"localhost:{server.port}")
    assert server.connections == 0
    assert egress.fetch(server.url(host="localhost"), allow=["localhost"]).status == 200


@pytest.fixture
def public():
    """An egress and two servers in a network of their own: one public, one on its loopback."""
    if os.geteuid() != 0:
        pytest.skip("needs root")

    def make():
        return (Egress(), socket.create_server((PUBLIC, 0)), socket.create_server(("127.0.0.1", 0)))

    try:
        e, listener, inner = in_own_network(make)
    except OSError as error:
        pytest.skip(f"no network of its own: {error}")
    outside = Upstream(lambda r: answer(), host=PUBLIC, listener=listener)
    inside = Upstream(lambda r: answer(b"secret"), listener=inner)
    yield e, outside, inside
    outside.close()
    inside.close()
    assert e.close() == 0


def test_a_public_address_is_reached(public):
    e, outside, _ = public
    assert e.fetch(outside.url(), allow_private=False).status == 200


def test_a_redirect_to_a_private_address_is_refused(public):
    e, outside, inside = public
    outside.handler = lambda r: answer(b"", "302 Found", [("Location", inside.url("/x"))])
    r = e.fetch(outside.url(), allow_private=False)
    expect_denied(r, f"127.0.0.1:{inside.port}")
    assert [record["status"] for record in r.records] == [302, 0] and inside.connections == 0


def test_a_redirect_to_a_name_with_a_private_address_is_refused(public):
    e, outside, inside = public
    outside.handler = lambda r: answer(b"", "302 Found", [("Location", inside.url("/x", host="localhost"))])
    r = e.fetch(outside.url(), allow_private=False)
    expect_denied(r, f"localhost:{inside.port}")
    assert inside.connections == 0


# Redirects


def redirects(status="302 Found"):
    """/n leads to /n-1, and /0 says where it has come to."""

    def handler(request):
        n = int(request.target[1:])
        if n == 0:
            return answer(request.method.encode() + b" " + request.body)
        return answer(b"moved", status, [("Location", f"/{n - 1}")])

    return handler


def test_redirects_are_followed_up_to_20_of_them(egress, start_upstream):
    server = start_upstream(redirects())
    r = egress.fetch(server.url("/20"))
    assert (r.body, r.redirected, r.url) == (b"GET ", True, server.url("/0"))
    assert [record["status"] for record in r.records] == [302] * 20 + [200]
    assert server.connections == 1
    r = egress.fetch(server.url("/21"))
    assert r.code == "unavailable" and not r.error["retryable"] and len(r.records) == 21


@pytest.mark.parametrize("status,then", [("302 Found", b"GET "), ("307 Temporary", b"POST body")])
def test_a_redirect_keeps_or_drops_the_body(egress, start_upstream, status, then):
    server = start_upstream(redirects(status))
    r = egress.fetch(server.url("/1"), method="POST", body=b"body", headers=[("Content-Type", "text/x")])
    assert r.body == then
    assert server.requests[1].one("content-type") == ("text/x" if b"body" in then else None)


def test_each_hop_is_checked_against_the_list(egress, start_upstream):
    target = start_upstream()
    server = start_upstream(lambda r: answer(b"", "302 Found", [("Location", target.url(host="localhost"))]))
    r = egress.fetch(server.url(), allow=["127.0.0.1"])
    expect_denied(r, f"localhost:{target.port}")
    assert target.connections == 0


def test_credentials_do_not_follow_to_another_origin(egress, start_upstream):
    target = start_upstream()
    server = start_upstream(lambda r: answer(b"", "307 T", [("Location", target.url())]))
    secret = [("Authorization", "Bearer x"), ("Cookie", "a=b"), ("X-Other", "c")]
    assert egress.fetch(server.url(), headers=secret).status == 200
    assert server.requests[0].one("authorization") == "Bearer x"
    assert target.requests[0].one("authorization") is None and target.requests[0].one("cookie") is None
    assert target.requests[0].one("x-other") == "c"


def test_a_redirect_can_be_seen_or_be_an_error(egress, start_upstream):
    server = start_upstream(redirects())
    r = egress.fetch(server.url("/1"), redirect="manual")
    assert (r.status, r.field("location"), r.body, r.redirected) == (302, ["/0"], b"moved", False)
    r = egress.fetch(server.url("/1"), redirect="error")
    assert r.code == "unavailable" and not r.error["retryable"]
    assert egress.fetch(server.url("/0"), redirect="error").status == 200


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://u:p@127.0.0.1/",
                                      "http://", "http:///x"])
def test_a_redirect_to_what_is_not_http_is_an_error(egress, start_upstream, location):
    server = start_upstream(lambda r: answer(b"", "302 Found", [("Location", location)]))
    r = egress.fetch(server.url())
    assert r.code == "unavailable" and not r.error["retryable"] and len(server.requests) == 1


def test_a_redirect_without_a_location_is_a_response(egress, start_upstream):
    server = start_upstream(lambda r: answer(b"x", "302 Found"))
    assert egress.fetch(server.url()).status == 302


def test_a_huge_body_of_a_redirect_is_not_read(egress, start_upstream):
    endless = [b"HTTP/1.1 302 Found\r\nLocation: /0\r\n\r\n"] + [b"x" * 65536] * 1000
    server = start_upstream(lambda r: answer(b"there") if r.target == "/0" else endless)
    assert egress.fetch(server.url("/1")).body == b"there"
    assert server.sent < 20 << 20


# TLS


def test_https_is_checked_against_the_authority(start_egress, start_upstream, certificates):  # noqa: F811
    server = start_upstream(certificates=certificates)
    e = start_egress("--ca", certificates.ca)
    assert e.fetch(server.url(host="localhost")).body == b"hello"
    assert e.fetch(server.url()).body == b"hello"


def test_a_certificate_of_nobody_is_refused(egress, start_upstream, certificates):  # noqa: F811
    server = start_upstream(certificates=certificates)
    r = egress.fetch(server.url(host="localhost"))
    assert r.code == "unavailable" and not r.error["retryable"] and not r.error["maybe_applied"]
    assert not server.requests


def test_a_certificate_of_another_name_is_refused(start_egress, start_upstream, certificates):  # noqa: F811
    server = start_upstream(certificates=certificates)
    e = start_egress("--ca", certificates.ca)
    r = e.fetch(server.url(host="a.localhost"))
    assert r.code == "unavailable" and not r.error["retryable"] and not server.requests


# Limits


def test_a_response_over_the_limit_fails_before_or_within_its_body(egress, start_upstream):
    server = start_upstream(lambda r: answer(b"x" * 1000))
    r = egress.fetch(server.url(), limit=999)
    assert r.code == "too_large" and r.status is None
    assert egress.fetch(server.url(), limit=1000).body == b"x" * 1000
    server.handler = lambda r: [b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 600, b"x" * 600]
    r = egress.fetch(server.url(), limit=1000)
    assert r.code == "too_large" and r.status == 200 and len(r.body) <= 1000


@pytest.mark.parametrize("pieces", [[], [b"HTTP/1.1 200 OK\r\n"], [b"HTTP/1.1 200 OK\r\n\r\nx"]])
def test_a_slow_response_ends_at_its_time(egress, start_upstream, pieces):
    waits = threading.Event()

    def handler(request):
        yield from pieces
        waits.wait(60)

    server = start_upstream(handler)
    r = egress.fetch(server.url(), ms=500)
    assert r.code == "timeout" and r.error["maybe_applied"] and r.records[-1]["code"] == "timeout"
    wait_until(lambda: server.open_connections <= 1)
    waits.set()


def test_a_body_may_take_longer_than_its_time_as_long_as_it_goes_on(egress, start_upstream):
    def handler(request):
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        for _ in range(6):
            threading.Event().wait(0.5)
            yield b"x"

    server = start_upstream(handler)
    assert egress.fetch(server.url(), ms=2000).body == b"x" * 6


def test_a_response_that_nobody_reads_ends_at_its_time_too(egress, start_upstream):
    server = start_upstream(lambda r: answer(b"x" * (WINDOW + 1000)))
    r = egress.finish(egress.begin(server.url(), ms=500), credit=False)[0]
    assert r.code == "timeout" and len(r.body) == WINDOW


def test_a_small_body_that_becomes_a_huge_one_costs_no_more_than_its_limit(egress, start_upstream):
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(512)) + bomb.flush()
    assert len(packed) < 1 << 20
    server = start_upstream(lambda r: answer(packed, fields=[("Content-Encoding", "gzip")]))
    before = int(egress.status("VmHWM"))
    r = egress.fetch(server.url(), limit=8 << 20)
    assert r.code == "too_large" and len(r.body) <= 8 << 20 and not any(r.body)
    r = egress.finish(egress.begin(server.url(), ms=1000), credit=False)[0]
    assert r.code == "timeout" and len(r.body) == WINDOW
    assert int(egress.status("VmHWM")) - before < 16 * 1024


def test_headers_without_end_are_refused(egress, start_upstream):
    server = start_upstream(lambda r: [b"HTTP/1.1 200 OK\r\n"] + [b"a: " + b"b" * 1000 + b"\r\n"] * 100000)
    r = egress.fetch(server.url())
    assert r.code == "too_large" and r.status is None
    server.handler = lambda r: [b"HTTP/1.1 200 OK\r\na: "] + [b"b" * 10000] * 10000
    assert egress.fetch(server.url()).error and int(egress.status("VmHWM")) < 100 * 1024


def test_a_namespace_cannot_take_all_the_room(egress, start_upstream):
    waits = threading.Event()
    server = start_upstream(lambda r: waits.wait(60) and answer(b"late"))
    many = [egress.begin(server.url(), ns="greedy") for _ in range(130)]
    refused = egress.finish(*many[128:])
    assert {(r.code, r.error["retryable"]) for r in refused} == {("overloaded", True)}
    other = egress.begin(server.url(), ns="modest")
    wait_until(lambda: len(server.requests) == 129)
    waits.set()
    assert [r.body for r in egress.finish(*many[:128], other)] == [b"late"] * 129


def test_all_namespaces_together_are_bounded(egress, start_upstream):
    waits = threading.Event()
    server = start_upstream(lambda r: waits.wait(60) and answer())
    many = [egress.begin(server.url(), ns=f"ns{i // 128}") for i in range(513)]
    assert egress.finish(many[-1])[0].code == "overloaded"
    waits.set()
    assert all(r.status == 200 for r in egress.finish(*many[:-1]))


# Bodies of responses


@pytest.mark.parametrize("encoding,pack", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_decoded_and_says_so(egress, start_upstream, encoding, pack):
    text = b"".join(b"%d " % i for i in range(200000))
    server = start_upstream(lambda r: answer(pack(text), fields=[("Content-Encoding", encoding)]))
    r = egress.fetch(server.url())
    assert r.body == text and not r.field("content-encoding") and not r.field("content-length")
    assert r.records[0]["received"] == len(pack(text))


def test_an_encoding_that_is_not_known_is_passed_on(egress, start_upstream):
    server = start_upstream(lambda r: answer(b"packed", fields=[("Content-Encoding", "br")]))
    r = egress.fetch(server.url(), headers=[("Accept-Encoding", "br")])
    assert r.body == b"packed" and r.field("content-encoding") == ["br"]


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b"x" * 1000)[:-10]], ids=["other", "cut"])
def test_a_body_that_is_not_as_it_says_is_an_error(egress, start_upstream, body):
    server = start_upstream(lambda r: answer(body, fields=[("Content-Encoding", "gzip")]))
    r = egress.fetch(server.url())
    assert r.code == "unavailable" and not r.error["retryable"]


def test_a_body_that_ends_before_its_length_is_an_error(egress, start_upstream):
    server = start_upstream(lambda r: [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"four"])
    r = egress.fetch(server.url())
    assert r.code == "unavailable" and r.status == 200 and r.body in (b"", b"four")


def test_no_more_than_the_credit_is_told_and_the_server_waits(egress, start_upstream):
    block = bytes(range(256)) * 256
    server = start_upstream(lambda r: [b"HTTP/1.1 200 OK\r\n\r\n"] + [block] * 512)
    number = egress.begin(server.url())
    while egress.read(0.5) is not None:
        pass
    response = egress.responses[number]
    assert len(response.body) == WINDOW
    assert server.sent < 16 << 20, "it goes on without being read"
    egress.credit(number, 1000)
    while len(response.body) < WINDOW + 1000:
        assert egress.read()
    assert egress.read(0.2) is None
    egress.credit(number, 64 << 20)
    egress.finish(number)
    assert response.body == block * 512


def test_one_response_that_waits_does_not_hold_up_another(egress, start_upstream):
    server = start_upstream(lambda r: answer(b"x" * (1 << 20)))
    waits = egress.begin(server.url())
    assert egress.fetch(server.url()).body == b"x" * (1 << 20)
    egress.credit(waits, 1 << 20)
    assert len(egress.finish(waits)[0].body) == 1 << 20


def test_a_cancelled_request_ends_at_the_server_and_says_nothing_more(egress, start_upstream):
    waits = threading.Event()
    server = start_upstream(lambda r: [b"HTTP/1.1 200 OK\r\n\r\n", b"x"] if waits.wait(60) else None)
    number = egress.begin(server.url())
    wait_until(lambda: server.requests)
    egress.send([CANCEL, number])
    assert egress.read()[2]["code"] == "cancelled"
    waits.set()
    wait_until(lambda: server.open_connections == 0)
    assert egress.read(0.2) is None
    egress.send([CANCEL, number])
    egress.send([CREDIT, number, 5])
    assert egress.fetch(server.url()).status == 200


# Servers that fail


def test_nobody_listens(egress):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    r = egress.fetch(f"http://127.0.0.1:{port}/", method="POST", body=b"x")
    assert (r.code, r.error["retryable"], r.error["maybe_applied"]) == ("unavailable", True, False)


def test_a_name_that_does_not_exist(egress):
    r = egress.fetch("http://no-such-name.invalid/")
    assert (r.code, r.error["maybe_applied"]) == ("unavailable", False)


def test_a_server_that_ends_without_an_answer_may_have_acted(egress, start_upstream):
    server = start_upstream(lambda r: None)
    r = egress.fetch(server.url(), method="POST", body=b"x")
    assert (r.code, r.error["retryable"], r.error["maybe_applied"]) == ("unavailable", True, True)


@pytest.mark.parametrize("method,times", [("POST", 1), ("GET", 2)])
def test_a_kept_connection_that_ends_is_asked_again_only_where_that_changes_nothing(
        egress, start_upstream, method, times):
    server = start_upstream()
    assert egress.fetch(server.url()).status == 200
    server.handler = lambda r: None
    r = egress.fetch(server.url(), method=method)
    assert r.code == "unavailable" and r.error["maybe_applied"]
    assert len(server.requests) == 1 + times


@pytest.mark.parametrize("reply", [b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                                   b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n", b"\x16\x03\x01" * 100,
                                   b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx",
                                   b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
                         ids=range(7))
def test_an_answer_that_is_not_http_is_an_error(egress, start_upstream, reply):
    server = start_upstream(lambda r: [reply])
    r = egress.fetch(server.url())
    assert r.code == "unavailable", (r.error, r.status)
    server.handler = lambda r: answer(b"hello")
    assert egress.fetch(server.url()).body == b"hello"


# Connections


def test_connections_are_kept_within_a_namespace_and_never_between_two(egress, start_upstream):
    server = start_upstream()
    for _ in range(3):
        egress.fetch(server.url(), ns="a")
    assert server.connections == 1
    egress.fetch(server.url(), ns="b")
    assert server.connections == 2
    egress.fetch(server.url(), ns="a")
    assert server.connections == 2


# The process


def test_it_is_locked_down_before_it_says_anything(egress):
    assert egress.layers & 1 and egress.layers & 16
    assert egress.status("Seccomp") == "2" and egress.status("NoNewPrivs") == "1"
    with open(f"/proc/{egress.process.pid}/limits", encoding="ascii") as f:
        limits = f.read()
    assert "Max core file size        0 " in limits


def test_it_ends_when_its_channel_does(start_egress):
    e = start_egress()
    assert e.close() == 0


@pytest.mark.parametrize("data", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0\xc0", b"\x05\0\0\0hello",
                                  b"\x02\0\0\0\x91\x01", b"\x04\0\0\0\x93\x04\x01\x00"])
def test_what_is_no_frame_ends_it(start_egress, data):
    e = start_egress()
    e.send_bytes(data)
    assert e.process.wait(30) == 1
    assert b"egress_channel_corrupt" in e.process.stderr.read()


def test_an_id_that_is_under_way_is_not_taken_again(start_egress, start_upstream):
    waits = threading.Event()
    server = start_upstream(lambda r: None if waits.wait(60) else None)
    e = start_egress()
    number = e.begin(server.url())
    e.next_id = number
    e.begin(server.url())
    assert e.process.wait(30) == 1
    waits.set()


def test_it_gives_way_when_a_file_that_it_needs_is_replaced(start_egress, start_upstream, certificates):  # noqa: F811
    waits = threading.Event()
    server = start_upstream(lambda r: answer(b"late") if waits.wait(60) else None)
    e = start_egress("--ca", certificates.ca)
    number = e.begin(server.url())
    wait_until(lambda: server.requests)
    os.replace(certificates.ca, certificates.ca + ".old")
    waits.set()
    assert e.finish(number)[0].body == b"late"
    assert e.process.wait(30) == 0


def test_usage():
    for arguments, status in [([], 2), (["--channel", "x"], 2), (["--channel", "3", "x"], 2), (["--help"], 0),
                              (["--version"], 0), (["--no-such"], 2), (["--channel", "0"], 2)]:
        run = subprocess.run([egress_program(), *arguments], capture_output=True, check=False, timeout=30)
        assert run.returncode == status, arguments
