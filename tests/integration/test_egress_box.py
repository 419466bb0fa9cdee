"""The egress broker of sandboxes, with real clients in a network of their own."""

import gzip
import json
import os
import re
import socket
import ssl
import subprocess
import threading

import pytest

from client import wait_until
from egress import PUBLIC, answer
from egress_box import CA, TRANSPARENT, Box, Inside, Outside, make_ca
from test_tls import Certificates

SECRET = "sk-real-0123456789abcdef"
HOSTS = {"api.example.test": PUBLIC, "plain.example.test": PUBLIC, "other.example.test": PUBLIC,
         "inside.example.test": "127.0.0.1", "metadata.example.test": "169.254.169.254"}
RULES = {"allow": ["api.example.test", "plain.example.test", "*.wild.test", f"{PUBLIC}:8080", "inside.example.test",
                   "metadata.example.test"],
         "inject": {"api.example.test": {"Authorization": "Bearer {{secret:TOKEN}}"},
                    "plain.example.test": {"X-Key": "{{secret:TOKEN}}"}}}
SECRETS = {"TOKEN": SECRET}


def echo(request):
    """What came, as JSON."""
    text = json.dumps({"method": request.method, "target": request.target, "fields": request.fields,
                       "body": request.body.decode("latin-1")})
    return answer(text.encode(), fields=[("Content-Type", "application/json")])


class World:
    def __init__(self, directory):
        self.outside = Outside(directory / "outside", HOSTS)
        (directory / "tls").mkdir()
        certificates = Certificates(directory / "tls")
        certificates.issue("first", names="DNS:api.example.test,DNS:other.example.test,DNS:a.wild.test")
        self.handler = echo
        self.https = self.outside.upstream(lambda r: self.handler(r), 443, certificates)
        self.http = self.outside.upstream(lambda r: self.handler(r), 80)
        self.high = self.outside.upstream(lambda r: self.handler(r), 8080)
        self.loopback = self.outside.upstream(lambda r: self.handler(r), 80, address="127.0.0.1")
        self.upstreams = [self.https, self.http, self.high, self.loopback]
        self.egress = self.outside.egress("--ca", certificates.ca)
        cert, key = make_ca(directory / "broker")
        self.ca = str(directory / "broker" / "ca.pem")
        self.egress.send([CA, 0, cert, key])
        self.inside = Inside(directory / "inside")
        self.box = Box(self.egress, self.inside, RULES, SECRETS, ca=self.ca)

    def close(self):
        if self.egress.process.poll() is None:
            assert self.egress.close() == 0
        self.inside.close()
        self.outside.close()
        for u in self.upstreams:
            u.close()


@pytest.fixture(scope="module")
def the_world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("world"))
    yield w
    w.close()


@pytest.fixture
def world(the_world):
    the_world.handler = echo
    the_world.box.set_rules(RULES, SECRETS)
    for u in the_world.upstreams:
        u.requests.clear()
    yield the_world
    while the_world.egress.read(0.2):
        pass
    the_world.box.records.clear()


@pytest.fixture
def box(world):
    return world.box


WAYS = [("https://api.example.test/v1/items?q=1", False), ("https://api.example.test/v1/items?q=1", True),
        ("http://plain.example.test/v1/items?q=1", False), ("http://plain.example.test/v1/items?q=1", True)]


@pytest.mark.parametrize("url, proxy", WAYS)
def test_an_allowed_host_is_asked_with_the_secret_and_the_client_never_sees_it(world, box, url, proxy):
    result = box.curl(url, "-H", "Authorization: Bearer mine", "-H", "X-Key: mine", proxy=proxy)
    upstream = world.https if url.startswith("https") else world.http
    assert result.status == 200, result
    request = upstream.requests[0]
    injected = "authorization" if upstream is world.https else "x-key"
    assert request.all(injected) == [("Bearer " if upstream is world.https else "") + SECRET]
    assert request.target == "/v1/items?q=1" and request.one("host") == url.split("/")[2]
    assert SECRET.encode() not in result.body and b"*" * len(SECRET) in result.body
    box.record(ns="app", **{"class": "Agent"}, actor="a", sandbox="dev", method="GET", path="/v1/items", status=200,
               secrets=["TOKEN"], code="")


DENIED = [("https://evil.example.org/x", False), ("http://evil.example.org/x", False),
          ("http://evil.example.org/x", True), ("https://other.example.test/", False),
          ("http://wild.test/", False)]


@pytest.mark.parametrize("url, proxy", DENIED)
def test_a_host_that_is_not_allowed_gets_403_and_a_record(box, url, proxy):
    result = box.curl(url, proxy=proxy)
    assert result.status == 403 and "application/problem+json" in result.heads[-1], result
    problem = json.loads(result.body)
    assert problem["code"] == "egress_denied" and not problem["retryable"]
    port = 443 if url.startswith("https") else 80
    box.record(host=f"{url.split('/')[2]}:{port}", method="GET", status=0, code="egress_denied", secrets=None)


@pytest.mark.parametrize("target", ["evil.example.org:443", "api.example.test:22", "203.0.113.7:443", "127.0.0.1:80",
                                    "[::1]:443"])
def test_a_tunnel_to_anything_else_is_403(box, target):
    with box.inside.connect("127.0.0.1", 3128) as s:
        s.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        reply = s.recv(4096)
    assert reply.startswith(b"HTTP/1.1 403 ") and b"egress_denied" in reply, reply
    box.record(method="CONNECT", host=target, code="egress_denied")


def talk(box, data, port=80, address=TRANSPARENT, seconds=30):
    """All that comes for these bytes until the other side closes, or nothing more comes for a while."""
    with box.inside.connect(address, port) as s:
        s.sendall(data)
        s.settimeout(seconds)
        got = b""
        try:
            while piece := s.recv(65536):
                got += piece
        except TimeoutError:
            got += b"<open>"
        return got


SMUGGLED = [
    b"POST / HTTP/1.1\r\nHost: plain.example.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: plain.example.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: plain.example.test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: plain.example.test\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: plain.example.test\r\nHost: evil.example.org\r\n\r\n",
    b"GET / HTTP/1.1\nHost: plain.example.test\n\n",
    b"GET / HTTP/1.1\r\nHost: plain.example.test\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : plain.example.test\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET http://evil.example.org/ HTTP/1.1\r\nHost: plain.example.test\r\n\r\n",
    b"GET http://plain.example.test/ HTTP/1.1\r\nHost: evil.example.org\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: user@plain.example.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: plain.example.test:81\r\n\r\n",
    b"CONNECT plain.example.test:80 HTTP/1.1\r\nHost: plain.example.test:80\r\n\r\n",
    b"GET /\r\n\r\n", b"\x00\x01\x02\x03\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: plain.example.test\r\n" + b"X: " + b"a" * 70000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("data", SMUGGLED, ids=range(len(SMUGGLED)))
def test_what_two_readers_could_read_in_two_ways_is_refused_and_closed(world, box, data):
    reply = talk(box, data)
    assert reply.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")) and not reply.endswith(b"<open>"), reply
    assert reply.count(b"HTTP/1.1 ") == 1
    assert not world.http.requests


@pytest.mark.parametrize("body", [b"5;a=b\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n",
                                  b"0x5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
                                  b"-1\r\nhello\r\n", b"fffffffff\r\n"])
def test_chunks_are_plain_or_the_connection_ends(world, box, body):
    reply = talk(box, b"POST / HTTP/1.1\r\nHost: plain.example.test\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert b" 200 " not in reply and not reply.endswith(b"<open>"), reply
    assert not world.http.requests


def test_requests_behind_each_other_are_each_checked(world, box):
    one = b"GET /1 HTTP/1.1\r\nHost: plain.example.test\r\n\r\n"
    other = b"GET /2 HTTP/1.1\r\nHost: evil.example.org\r\n\r\n"
    last = b"GET /3 HTTP/1.1\r\nHost: plain.example.test\r\nConnection: close\r\n\r\n"
    reply = talk(box, one + other + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", reply) == [b"200", b"403", b"200"], reply
    assert [r.target for r in world.http.requests] == ["/1", "/3"]


def tls(box, name, port=443, address=TRANSPARENT, alpn=None):
    context = ssl.create_default_context(cafile=box.ca)
    if name is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context.wrap_socket(box.inside.connect(address, port), server_hostname=name)


def test_a_hello_without_a_name_is_refused(world, box):
    with pytest.raises(ssl.SSLError):
        tls(box, None)
    box.record(code="tls")


def test_hello_and_host_are_of_one_host(world, box):
    with tls(box, "api.example.test") as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: plain.example.test\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert not world.https.requests
    raw = box.inside.connect("127.0.0.1", 3128)
    raw.sendall(b"CONNECT api.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n\r\n")
    assert raw.recv(4096).startswith(b"HTTP/1.1 200 ")
    context = ssl.create_default_context(cafile=box.ca)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="other.example.test")


def test_http_1_1_is_what_is_agreed_on(box):
    with tls(box, "api.example.test", alpn=["h2", "http/1.1"]) as s:
        assert s.selected_alpn_protocol() == "http/1.1"
        assert s.version() in ("TLSv1.2", "TLSv1.3")
    with pytest.raises(ssl.SSLError):
        tls(box, "api.example.test", alpn=["h2"])


@pytest.mark.parametrize("url", ["http://inside.example.test/", "http://metadata.example.test/"])
def test_a_name_that_leads_to_a_private_address_is_refused(world, box, url):
    result = box.curl(url)
    assert result.status == 403 and json.loads(result.body)["code"] == "egress_denied", result
    assert not world.loopback.requests
    box.record(code="egress_denied")
    if "inside" in url:
        box.set_rules(RULES, SECRETS, allow_private=True)
        assert box.curl(url).status == 200


def test_every_name_is_the_broker_and_no_query_leaves(box):
    for name in ["api.example.test", "evil.example.org", "a" * 60 + ".exfiltrated.data.example.org"]:
        found = box.inside.run("getent", "ahosts", name).stdout.decode().split()
        assert found[0] == TRANSPARENT, found
    assert box.inside.run("getent", "ahostsv6", "evil.example.org", ok=False).stdout.decode().split()[:1] in (
        [], ["::ffff:" + TRANSPARENT])


def test_a_redirect_takes_no_secret_to_another_host(world, box):
    world.handler = lambda r: (answer(b"", "302 Found", [("Location", "http://other.example.test/next")])
                               if r.target == "/first" else echo(r))
    result = box.curl("http://plain.example.test/first", "-L")
    assert result.status == 403 and len(world.http.requests) == 1, result
    box.set_rules({**RULES, "allow": [*RULES["allow"], "other.example.test"]}, SECRETS)
    result = box.curl("http://plain.example.test/first", "-L")
    assert result.status == 200
    assert SECRET not in str(world.http.requests[-1].fields) and world.http.requests[-1].target == "/next"


def test_an_echoed_secret_is_scrubbed_from_headers_and_bodies_however_it_is_cut(world, box):
    def handler(request):
        text = f"<{SECRET}><{SECRET}{SECRET}>{SECRET[:-1]}!".encode()
        pieces = [b"HTTP/1.1 200 OK\r\nX-Echo: a" + SECRET.encode() + b"b\r\nTransfer-Encoding: chunked\r\n\r\n"]
        for i in range(len(text)):
            pieces.append(b"1\r\n" + text[i:i + 1] + b"\r\n")
        return [*pieces, b"0\r\n\r\n"]

    world.handler = handler
    stars = "*" * len(SECRET)
    result = box.curl("https://api.example.test/")
    assert result.body.decode() == f"<{stars}><{stars}{stars}>{SECRET[:-1]}!"
    assert f"X-Echo: a{stars}b" in result.heads[-1]


def test_a_compressed_echo_is_decoded_first(world, box):
    world.handler = lambda r: answer(gzip.compress(SECRET.encode() * 50), fields=[("Content-Encoding", "gzip")])
    result = box.curl("https://api.example.test/", "-H", "Accept-Encoding: gzip, br")
    assert world.https.requests[0].one("accept-encoding") is None
    assert result.body == b"*" * len(SECRET) * 50 and "content-encoding" not in result.heads[-1].lower()
    world.handler = lambda r: answer(b"\x0bsomething", fields=[("Content-Encoding", "br")])
    result = box.curl("https://api.example.test/")
    assert result.status == 503 and b"looked through" in result.body


def test_other_hosts_answers_stay_as_they_are(world, box):
    packed = gzip.compress(b"x" * 100)
    world.handler = lambda r: answer(packed, fields=[("Content-Encoding", "gzip")])
    box.set_rules({"allow": ["api.example.test"]})
    result = box.curl("https://api.example.test/", "-H", "Accept-Encoding: gzip")
    assert result.body == packed and world.https.requests[0].one("accept-encoding") == "gzip"


def test_a_secret_that_is_not_set_is_not_left_out(world, box):
    box.set_rules(RULES, {})
    result = box.curl("https://api.example.test/")
    assert result.status == 503 and b"TOKEN is not set" in result.body, result
    assert not world.https.requests
    box.record(code="unavailable")


def test_a_rate_is_a_limit(world, box):
    box.set_rules({**RULES, "requests_per_minute": 1})
    statuses = [box.curl("http://other.example.test/").status for _ in range(2)]
    assert statuses == [403, 403]  # what is denied costs nothing
    statuses = [box.curl("http://203.0.113.7:8080/", proxy=True).status for _ in range(3)]
    assert statuses.count(200) <= 1 and statuses[-1] == 429, statuses


def test_rules_change_while_connections_are_open(world, box):
    with tls(box, "api.example.test") as s:
        ask = b"GET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n"
        s.sendall(ask)
        assert s.recv(65536).startswith(b"HTTP/1.1 200 ")
        box.set_rules({"allow": []})
        s.sendall(ask)
        assert s.recv(65536).startswith(b"HTTP/1.1 403 ")
        box.set_rules(RULES, SECRETS)
        s.sendall(ask)
        assert s.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("url", ["https://api.example.test/up", "http://plain.example.test/up"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_goes_up_in_either_framing(world, box, url, chunked, tmp_path):
    seen = []

    def handler(request):
        seen.append(request)
        return answer(b"ok")

    world.handler = handler
    data = bytes(range(256)) * 4096
    (tmp_path / "body").write_bytes(data)
    more = ["-H", "Transfer-Encoding: chunked"] if chunked else []
    result = box.curl(url, "-X", "PUT", "--data-binary", f"@{tmp_path}/body", *more)
    assert result.status == 200 and seen[0].body == data, result
    assert seen[0].one("content-length") == (None if chunked else str(len(data)))
    assert seen[0].one("transfer-encoding") == ("chunked" if chunked else None)


def test_a_large_answer_passes_with_bounded_memory(world, box):
    def handler(request):
        def pieces():
            yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20)
            for _ in range(1024):
                yield b"x" * 65536
        return pieces()

    world.handler = handler
    before = world.egress.status("VmRSS")
    done = box.inside.run("curl", "-s", "-o", "/dev/null", "-w", "%{size_download}", "https://api.example.test/big",
                          environment=box.trust, seconds=120)
    assert done.stdout == str(64 << 20).encode()
    assert int(world.egress.status("VmRSS")) < int(before) + 32 * 1024


def test_a_guest_that_does_not_read_holds_the_upstream_back(world, box):
    world.handler = lambda r: (b for b in [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 << 20),
                                           *[b"y" * 65536] * 4096])
    with box.inside.connect(TRANSPARENT, 80) as s:
        sent = world.http.sent
        s.sendall(b"GET / HTTP/1.1\r\nHost: plain.example.test\r\n\r\n")
        wait_until(lambda: world.http.sent - sent > 65536)
        last = None
        while last != world.http.sent:
            last = world.http.sent
            world.egress.read(0.5)
        assert world.http.sent - sent < 32 << 20


def test_the_sandbox_has_the_sockets_and_nobody_else_can(box):
    script = ("import socket\nfor a, k in [(('127.0.0.1', 3128), 1), (('198.18.0.1', 443), 1), (('127.0.0.1', 53), 2)]:\n"
              "    s = socket.socket(socket.AF_INET, k)\n"
              "    try: s.bind(a)\n    except OSError as e: print(e.errno)\n")
    assert box.inside.run("/usr/bin/python3", "-c", script).stdout.split() == [b"98", b"98", b"98"]
    for address, port in [("1.1.1.1", 80), ("169.254.169.254", 80), (PUBLIC, 80), ("127.0.0.1", 7420)]:
        with pytest.raises(OSError):
            box.inside.connect(address, port)


def test_real_clients_are_let_out_with_what_they_know(world, box, tmp_path):
    environment = {**box.trust, "NODE_OPTIONS": ""}
    run = box.inside.run
    python = "import urllib.request as u; print(u.urlopen('https://api.example.test/python').status)"
    assert run("/usr/bin/python3", "-c", python, environment=environment).stdout == b"200\n"
    node = ("fetch('https://api.example.test/node', {method: 'POST', body: 'x'.repeat(100000)})"
            ".then(async r => console.log(r.status, (await r.json()).body.length))")
    assert run("node", "-e", node, environment=environment).stdout == b"200 100000\n"
    assert run("wget", "-q", "-O", "-", "--ca-certificate", box.ca, "https://api.example.test/wget",
               environment=environment).stdout
    for request in world.https.requests:
        assert request.all("authorization") == ["Bearer " + SECRET], request.fields
    node = ("fetch('https://evil.example.org/').then(async r => console.log(r.status, (await r.json()).code))")
    assert run("node", "-e", node, environment=environment).stdout == b"403 egress_denied\n"


def test_git_clones_over_the_broker(world, box, tmp_path):
    """A repository that is served as files: git's dumb protocol needs no program on the other side."""
    git = ["git", "-c", "user.name=n", "-c", "user.email=e", "-C", str(tmp_path / "work")]
    (tmp_path / "work").mkdir()
    for arguments in [["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "hello"],
                      ["clone", "-q", "--bare", ".", str(tmp_path / "repo.git")]]:
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    subprocess.run(["git", "-C", str(tmp_path / "repo.git"), "update-server-info"], check=True)

    def handler(request):
        path = str(tmp_path) + request.target.split("?")[0]
        if not os.path.isfile(path):
            return answer(b"", "404 Not Found")
        with open(path, "rb") as f:
            return answer(f.read())

    world.handler = handler
    box.inside.run("git", "clone", "-q", "https://api.example.test/repo.git", str(tmp_path / "clone"),
                   environment=box.trust)
    log = subprocess.run(["git", "-C", str(tmp_path / "clone"), "log", "--format=%s"], capture_output=True, check=True)
    assert log.stdout == b"hello\n"
    assert all(r.all("authorization") == ["Bearer " + SECRET] for r in world.https.requests)


def test_a_websocket_is_a_tunnel_and_scrubbed(world, box):
    """The upstream says 101, then echoes what it hears, and the secret that it was sent."""
    def handler(request):
        assert request.one("upgrade") == "websocket" and request.one("connection") == "Upgrade"
        assert request.one("sec-websocket-extensions") is None
        secret = request.one("authorization") or request.one("x-key")
        head = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: abc\r\n\r\n")
        return [head, b"<" + secret.encode()[:12], secret.encode()[12:] + b">"]

    world.handler = handler
    ask = (b"GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    with tls(box, "api.example.test") as s:
        s.sendall(ask % b"api.example.test")
        got = b""
        while piece := s.recv(65536):
            got += piece
    head, _, rest = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ") and b"sec-websocket-accept: abc" in head.lower(), got
    assert b"upgrade: websocket" in head.lower() and b"connection: upgrade" in head.lower()
    assert rest == b"<Bearer " + b"*" * len(SECRET) + b">"
    box.record(status=101, path="/ws", secrets=["TOKEN"])


def test_a_closed_sandbox_has_no_way_out(world, tmp_path):
    inside = Inside(tmp_path / "other")
    other = Box(world.egress, inside, {"allow": ["plain.example.test"]}, ca=world.ca)
    try:
        assert other.curl("http://plain.example.test/").status == 200
        assert world.http.requests[-1].one("x-key") is None  # the secret is another one's
        with inside.connect(TRANSPARENT, 80) as s:
            other.close()
            assert s.recv(1) == b""
            for held in inside.sockets:
                held.close()
            wait_until(lambda: other.curl("http://plain.example.test/", ok=False).code != 0)
    finally:
        inside.close()


def serve_echo(listener):
    """One upgrade after the other; then what comes goes back."""
    def serve(conn):
        with conn:
            head = b""
            while b"\r\n\r\n" not in head:
                head += conn.recv(65536)
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            try:
                while piece := conn.recv(65536):
                    conn.sendall(piece)
            except OSError:
                pass

    def accept():
        try:
            while True:
                threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_a_tunnel_carries_both_ways_and_holds_back_who_does_not_read(world, box):
    listener = world.outside.run(lambda: socket.create_server((PUBLIC, 8090)))
    serve_echo(listener)
    box.set_rules({"allow": [f"{PUBLIC}:8090"]})
    ask = (f"GET http://{PUBLIC}:8090/ws HTTP/1.1\r\nHost: {PUBLIC}:8090\r\nConnection: Upgrade\r\n"
           "Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n").encode()
    with listener, box.inside.connect("127.0.0.1", 3128) as s:
        s.sendall(ask)
        assert s.recv(4096).startswith(b"HTTP/1.1 101 ")
        data = os.urandom(1 << 20)
        sender = threading.Thread(target=s.sendall, args=[data * 64], daemon=True)
        sender.start()
        sender.join(1)
        assert sender.is_alive()  # nothing is read, so not all can be sent
        before = cpu_ticks(world.egress.process.pid)
        sender.join(1)
        assert cpu_ticks(world.egress.process.pid) - before < 20
        got = bytearray()
        while len(got) < 64 << 20:
            got += s.recv(1 << 20)
        assert bytes(got) == data * 64
        sender.join(30)


def test_what_a_guest_breaks_off_ends_upstream_too(world, box):
    gone = threading.Event()

    def handler(request):
        def pieces():
            try:
                yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                while True:
                    yield b"4000\r\n" + b"z" * 0x4000 + b"\r\n"
            finally:
                gone.set()
        return pieces()

    world.handler = handler
    with box.inside.connect(TRANSPARENT, 80) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: plain.example.test\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert gone.wait(30)
    box.record(code="cancelled", status=200)


def test_an_upstream_that_breaks_off_is_seen_as_broken_off(world, box):
    world.handler = lambda r: iter([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"])
    result = box.curl("https://api.example.test/", ok=False)
    # CURLE_PARTIAL_FILE; or CURLE_GOT_NOTHING where the end came before the head had gone on
    assert (result.code, result.body) in {(18, b"half"), (52, b"")}, result
    world.handler = lambda r: iter([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"])
    assert box.curl("https://api.example.test/", ok=False).code != 0
    world.handler = lambda r: None
    assert box.curl("https://api.example.test/").status == 503


def test_an_upstream_whose_certificate_is_anothers_is_not_asked(world, box):
    box.set_rules({"allow": ["plain.example.test"]})
    result = box.curl("https://plain.example.test/")  # its certificate names others
    assert result.status == 503 and b"not trusted" in result.body, result
    assert not world.https.requests


def test_many_guests_are_bounded_and_the_others_go_on(world, box):
    held = [box.inside.connect(TRANSPARENT, 80) for _ in range(140)]
    try:
        wait_until(lambda: [s for s in held if is_closed(s)])
    finally:
        for s in held:
            s.close()
    wait_until(lambda: box.curl("http://plain.example.test/", ok=False).status == 200)


def is_closed(s):
    s.setblocking(False)
    try:
        return s.recv(1) == b""
    except OSError as e:
        return not isinstance(e, BlockingIOError)


def test_a_head_in_single_bytes_is_read_and_http_1_0_is_answered(world, box):
    with box.inside.connect(TRANSPARENT, 80) as s:
        for byte in b"GET /slow HTTP/1.0\r\nHost: plain.example.test\r\n\r\n":
            s.sendall(bytes([byte]))
        got = b""
        while piece := s.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 200 ") and b"/slow" in got and b"chunked" not in got.lower()
