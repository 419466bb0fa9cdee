"""Section 5: previews, ports of a sandbox under Hosts of their own."""

import re
import socket
import urllib.parse

import pytest
import websocket

from client import expect_problem, wait_until
from node import Node
from sandbox import make
from test_cluster import make_cluster, three  # noqa: F401  (fixtures)

SERVER = r"""
import base64, hashlib, http.server, socketserver, struct, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("upgrade") == "websocket":
            key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.end_headers()
            self.echo()
            return
        if self.path == "/slow":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            self.wfile.flush()
            time.sleep(60)
        if self.path == "/huge":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (i, b"y" * 1000) for i in range(1000)))
            return
        if self.path == "/nonsense":
            self.wfile.write(b"this is not http\r\n\r\n")
            self.close_connection = True
            return
        if self.path == "/big":
            self.send_response(200)
            self.send_header("Content-Length", str(50 << 20))
            self.end_headers()
            for _ in range(50):
                self.wfile.write(b"z" * (1 << 20))
            return
        text = f"{self.command} {self.path}\n{self.headers}\n".encode() + body
        self.send_response(203)
        self.send_header("Content-Type", "text/x-test")
        self.send_header("Set-Cookie", "own=1; Path=/")
        self.send_header("Set-Cookie", "wide=1; Path=/;  DOMAIN=localhost")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer
    def echo(self):
        while True:
            head = self.rfile.read(2)
            if len(head) < 2: return
            n = head[1] & 127
            if n == 126: n = struct.unpack(">H", self.rfile.read(2))[0]
            elif n == 127: n = struct.unpack(">Q", self.rfile.read(8))[0]
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(n)))
            size = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n)
            self.wfile.write(head[:1] + size + data)
            if head[0] & 15 == 8: return
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    address_family = __import__("socket").AF_INET6 if ":" in sys.argv[1] else __import__("socket").AF_INET
Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def serve(box, port=8080, host="127.0.0.1"):
    answer = box.client.post(f"{box.path}/processes", json={"cmd": ["python3", "-c", SERVER, host, str(port)]})
    assert answer.status == 200, answer
    waited = box.client.post(f"{box.path}/processes/{answer.json['pid']}/wait", json={"port": port})
    assert waited.status == 200, waited


class Preview:
    def __init__(self, box, port=8080):
        answer = box.client.post(f"{box.path}/ports/{port}")
        assert answer.status == 200 and list(answer.json) == ["url"], answer
        self.url = answer.json["url"]
        self.host = urllib.parse.urlsplit(self.url).netloc
        self.client = box.client

    def ask(self, method, path, body=None, **headers):
        return self.client.request(method, path, body, headers={"Host": self.host, **headers})


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("previews") / "data")
    yield node
    node.finish()
    node.discard()


@pytest.fixture(scope="module")
def box(node):
    box = make(node.client)
    serve(box)
    return box


@pytest.fixture(scope="module")
def preview(box):
    return Preview(box)


def test_a_preview_reaches_its_port(node, box, preview):
    assert re.fullmatch(rf"http://8080-[a-z2-7]{{32}}\.preview\.localhost:{node.port}/", preview.url)
    got = preview.ask("GET", "/some/path?a=1&b=%20", Authorization="Bearer of-the-program", X_A="b")
    text = got.body.decode()
    assert got.status == 203 and got.type == "text/x-test"
    assert text.startswith("GET /some/path?a=1&b=%20\n") and "Authorization: Bearer of-the-program".lower() in text.lower()
    assert "host: localhost:8080" in text.lower() and f"x-forwarded-host: {preview.host}" in text.lower()
    for method in ("POST", "PUT", "DELETE"):
        got = preview.ask(method, "/x", b"a body")
        assert got.body.endswith(b"a body") and got.body.startswith(method.encode())
    got = preview.ask("HEAD", "/")
    assert got.status == 203 and got.body == b""
    assert Preview(box).url == preview.url
    assert len(preview.ask("GET", "/big").body) == 50 << 20


def test_cookies_for_parent_domains_are_dropped(preview):
    """Attack 46."""
    assert preview.ask("GET", "/").headers.get_all("set-cookie") == ["own=1; Path=/"]


def test_a_preview_is_of_nothing_else(node, box, preview):
    got = preview.ask("GET", "/v1/test/Store/x/kv")
    assert got.body.startswith(b"GET /v1/test/Store/x/kv")
    assert preview.ask("GET", "/healthz").body.startswith(b"GET /healthz")
    for host in (preview.host.replace("8080-", "8081-"), "8080-" + "a" * 32 + ".preview.localhost",
                 "preview.preview.localhost", "a.b.preview.localhost", "0-x.preview.localhost"):
        expect_problem(node.client.get("/healthz", headers={"Host": host}), 404, "not_found")
    assert node.client.get("/healthz", headers={"Host": "preview.localhost"}).status == 200


def test_a_websocket_goes_both_ways(node, preview):
    one = websocket.create_connection(f"ws://127.0.0.1:{node.port}/ws", timeout=30, host=preview.host,
                                      suppress_origin=True)
    one.send("text")
    assert one.recv() == "text"
    one.send_binary(b"\x00" * 60000)
    assert one.recv() == b"\x00" * 60000
    for i in range(200):
        one.send(str(i))
    assert [one.recv() for _ in range(200)] == [str(i) for i in range(200)]
    one.close()


def test_what_answers_badly_is_502(node, preview):
    """Attack 46."""
    for path in ("/huge", "/nonsense"):
        expect_problem(preview.ask("GET", path), 502, "preview_failed", retryable=True)
    with socket.create_connection(("127.0.0.1", node.port)) as s:  # it is not waited for
        s.sendall(f"GET /slow HTTP/1.1\r\nHost: {preview.host}\r\n\r\n".encode())
    assert preview.ask("GET", "/").status == 203


def test_the_port_may_be_of_ipv6_or_of_nobody(box):
    serve(box, 8082, "::1")
    assert Preview(box, 8082).ask("GET", "/").status == 203
    expect_problem(Preview(box, 9999).ask("GET", "/"), 502, "preview_failed", retryable=True)


def test_a_preview_ends(node, box):
    serve(box, 8083)
    preview = Preview(box, 8083)
    assert preview.ask("GET", "/").status == 203
    assert box.client.delete(f"{box.path}/ports/8083").status == 204
    expect_problem(preview.ask("GET", "/"), 404, "not_found")


def test_what_is_wrong_is_said(node, box):
    for port in ("0", "65536", "x", "-1"):
        expect_problem(box.client.post(f"{box.path}/ports/{port}"), 400, "bad_request")
    expect_problem(node.client.post("/v1/test/Store/nobody/sandboxes/s/ports/80"), 404, "no_such_sandbox")


def test_another_domain(tmp_path):
    node = Node(tmp_path / "data", ["--preview-domain", "apps.example.org"])
    box = make(node.client)
    serve(box)
    preview = Preview(box)
    assert preview.host.endswith(f".apps.example.org:{node.port}")
    assert preview.ask("GET", "/").status == 203
    node.finish()


def test_any_node_answers(three):  # noqa: F811
    box = make(three.nodes[1].client)
    serve(box)
    preview = Preview(box)
    for number in (1, 2, 3):
        preview.client = three.nodes[number].client
        assert preview.ask("GET", "/x").body.startswith(b"GET /x")
