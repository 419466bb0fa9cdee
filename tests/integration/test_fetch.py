"""Section 4: what an actor's code may ask of the outside, and what it gets."""

import http.server
import threading

import pytest


from test_classes import Class

CODE = """
import { DurableObject } from "cloudflare:workers";
export class Asker extends DurableObject {
  async ask(url, options) {
    try {
      const answer = await fetch(url, options);
      return [answer.status, answer.headers.get("x-seen"), await answer.text()];
    } catch (e) { return [e.name, e.code ?? null]; }
  }
  async keepAndAsk(url) { this.ctx.storage.put("k", 1); return (await fetch(url)).status; }
}
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.command, self.path))
        text = b"x" * 700_000 if self.path == "/large" else self.command.encode() + b" " + body
        self.send_response(302 if self.path == "/away" else 200)
        if self.path == "/away":
            self.send_header("location", "http://[::1]:1/")
        self.send_header("content-length", str(len(text)))
        self.send_header("x-seen", self.headers.get("x-sent", ""))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def outside():
    """A server on the loopback interface; its `seen` has what was asked."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.host = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def asker(start_node, outside):
    """An actor whose namespace may ask the outside."""
    node = start_node("--allow-private-targets")
    body = {"modules": {"main.js": CODE}, "main": "main.js", "egress": {"allow": [outside.host]}}
    assert node.client.put("/v1/app", json=body).status == 200
    return Class(node.client, "a", "app", "Asker")


def test_code_asks_hosts_that_its_namespace_allows(asker, outside):
    assert asker.call("ask", outside.url + "/x").json == {"result": [200, "", "GET "]}
    answer = asker.call("ask", outside.url + "/x", {"method": "POST", "body": "hello", "headers": {"x-sent": "s"}})
    assert answer.json == {"result": [200, "s", "POST hello"]}


def test_a_large_answer_is_whole(asker, outside):
    status, _, text = asker.call("ask", outside.url + "/large").json["result"]
    assert (status, len(text)) == (200, 700_000)


def test_a_host_that_is_not_allowed_is_not_asked(asker, outside):
    other = f"http://localhost:{outside.server_port}/"
    assert asker.call("ask", other).json["result"][1] == "egress_denied"
    assert outside.seen == []


def test_a_redirect_is_checked_again(asker, outside):
    assert asker.call("ask", outside.url + "/away").json["result"][1] == "egress_denied"
    assert outside.seen == [("GET", "/away")]


def test_without_a_list_nothing_leaves(start_node, outside):
    node = start_node("--allow-private-targets")
    assert node.client.put("/v1/app", json={"modules": {"main.js": CODE}, "main": "main.js"}).status == 200
    actor = Class(node.client, "a", "app", "Asker")
    assert actor.call("ask", outside.url).json["result"][1] == "egress_denied"
    assert outside.seen == []


def test_what_was_written_before_a_request_is_kept(asker, outside):
    assert asker.call("keepAndAsk", outside.url).json == {"result": 200}
    assert asker.get("k").json == 1


def test_a_run_asks_what_it_was_granted(start_node, outside):
    node = start_node("--allow-private-targets")
    code = f'async () => {{ const r = await fetch("{outside.url}/r"); return [r.status, await r.text()]; }}'
    path = "/v1/runs/Store/a/execute"
    for grant in ["127.0.0.1", outside.host]:
        answer = node.client.post(path, json={"code": code, "grants": {"fetch": [grant]}})
        assert answer.json.get("result") == [200, "GET "], answer
    for grants in [{}, {"fetch": None}, {"fetch": []}, {"fetch": ["127.0.0.1:1"]}]:
        assert node.client.post(path, json={"code": code, "grants": grants}).json["error"]["code"] == "exception"
    assert len(outside.seen) == 2


