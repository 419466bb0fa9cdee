"""Section 4: what an actor's code may ask of the outside, and what it gets."""

import http.client
import http.server
import threading
import urllib.parse

import pytest

from isolate_crash import Isolates
from test_classes import Class

MB = 1 << 20
HUGE_MB = 100
WAIT_SECONDS = 60

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
  async first(url, options) {
    const response = await fetch(url, options);
    this.reader = response.body.getReader();
    return new TextDecoder().decode((await this.reader.read()).value).slice(0, 5);
  }
  async rest() {
    let text = "";
    try {
      for (;;) {
        const { done, value } = await this.reader.read();
        if (done) return [text, null];
        text += new TextDecoder().decode(value);
      }
    } catch (e) { return [text, e.name, e.code, e.message]; }
  }
  cancel() { return this.reader.cancel(); }
  async bodies(url) {
    const shown = [];
    for (const [path, method] of [["/none", "GET"], ["/empty", "GET"], ["/x", "HEAD"]]) {
      const response = await fetch(url + path, { method });
      shown.push([response.status, response.body === null, await response.text()]);
    }
    return shown;
  }
  async abortBeforeHead(url) {
    const control = new AbortController();
    const answer = fetch(url + "/silent", { signal: control.signal }).catch((e) => e.name);
    await fetch(url + "/asked");
    control.abort();
    return await answer;
  }
  async abortWithin(url) {
    const control = new AbortController();
    const reader = (await fetch(url + "/endless", { signal: control.signal })).body.getReader();
    await reader.read();
    control.abort(new Error("enough"));
    try { for (;;) await reader.read(); } catch (e) { return e.message; }
  }
  async count(url) {
    let bytes = 0, sum = 0;
    for await (const chunk of (await fetch(url)).body) { bytes += chunk.length; sum += chunk[0]; }
    return [bytes, sum > 0];
  }
  async open(url, count) {
    const answers = await Promise.allSettled(Array.from({ length: count }, () => fetch(url)));
    this.answers = answers.filter((a) => a.status === "fulfilled").map((a) => a.value);
    const reasons = answers.filter((a) => a.status === "rejected").map((a) => [a.reason.code, a.reason.retryable]);
    return [this.answers.length, reasons];
  }
  async close() { await Promise.all(this.answers.map((a) => a.body.cancel())); }
  async fetch(request) { return fetch(request.headers.get("x-url")); }
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

    # Bodies in pieces

    def begin(self, *fields):
        self.send_response(200)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()

    def piece(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def dribble(self):
        self.begin(("transfer-encoding", "chunked"))
        self.piece(b"first")
        if self.server.go.wait(WAIT_SECONDS):
            self.piece(b"last")
            self.piece(b"")

    def breaks_off(self):
        self.begin(("content-length", "100"))
        self.wfile.write(b"first")
        self.server.go.wait(WAIT_SECONDS)
        self.close_connection = True

    def endless(self):
        self.begin()
        try:
            while True:
                self.wfile.write(b"x" * 10_000)
        except OSError:
            self.close_connection = True
            self.server.gone.release()

    def silent(self):
        self.server.asked.set()
        self.await_end()

    def waiting(self):
        self.begin(("transfer-encoding", "chunked"))
        self.piece(b"first")
        self.await_end()

    def await_end(self):
        if not self.connection.recv(1):
            self.server.gone.release()
        self.close_connection = True

    def was_asked(self):
        self.server.asked.wait(WAIT_SECONDS)
        self.begin(("content-length", "0"))

    def huge(self):
        self.begin(("content-length", str(HUGE_MB * MB)))
        for _ in range(HUGE_MB):
            self.wfile.write(b"x" * MB)

    def none(self):
        self.send_response(204)
        self.end_headers()

    def empty(self):
        self.begin(("content-length", "0"))

    def do_GET(self):
        pieces = {
            "/dribble": self.dribble, "/breaks-off": self.breaks_off, "/endless": self.endless,
            "/silent": self.silent, "/asked": self.was_asked, "/waiting": self.waiting, "/huge": self.huge,
            "/none": self.none, "/empty": self.empty,
        }
        pieces.get(self.path, self.answer)()

    def do_HEAD(self):
        self.begin(("content-length", "5"))

    do_POST = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


@pytest.fixture
def outside():
    """A server on the loopback interface; its `seen` has what was asked. `go` lets a body go on, `gone` is released
    each time that somebody has gone away."""
    server = Server(("127.0.0.1", 0), Handler)
    server.seen = []
    server.go = threading.Event()
    server.asked = threading.Event()
    server.gone = threading.Semaphore(0)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.host = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.go.set()
    server.asked.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def asking_node(start_node):
    return start_node("--allow-private-targets")


@pytest.fixture
def asker(asking_node, outside):
    """An actor whose namespace may ask the outside."""
    node = asking_node
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


def test_a_secret_is_put_on_and_code_never_sees_it(asking_node, outside):
    """The server echoes `x-sent` in a header; the secret is scrubbed from it."""
    client = asking_node.client
    path = "/admin/v1/namespaces/app/secrets/KEY"
    body = {"modules": {"main.js": CODE}, "main": "main.js",
            "egress": {"allow": [outside.host], "inject": {"127.0.0.1": {"X-Sent": "k={{secret:KEY}}"}}}}
    assert client.put("/v1/app", json=body).status == 200
    actor = Class(client, "a", "app", "Asker")
    assert actor.call("ask", outside.url + "/x").json["result"][1] == "unavailable"  # it is not set
    assert outside.seen == []
    assert client.put(path, json={"value": "real-secret"}).status == 204
    mine = {"headers": {"x-sent": "mine"}}
    assert actor.call("ask", outside.url + "/x", mine).json["result"][:2] == [200, "k=***********"]
    assert client.put(path, json={"value": "another"}).status == 204
    assert actor.call("ask", outside.url + "/x", mine).json["result"][:2] == [200, "k=*******"]
    assert client.get("/v1/app").json["egress"] == body["egress"]


def test_a_namespace_has_a_rate(asking_node, outside):
    body = {"modules": {"main.js": CODE}, "main": "main.js",
            "egress": {"allow": [outside.host], "requests_per_minute": 2}}
    assert asking_node.client.put("/v1/app", json=body).status == 200
    actor = Class(asking_node.client, "a", "app", "Asker")
    results = [actor.call("ask", outside.url + "/x").json["result"][:2] for _ in range(4)]
    assert results[:2] == [[200, ""], [200, ""]] and results[3][1] == "rate_limited", results


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


# Bodies in pieces

def has_gone(outside):
    return outside.gone.acquire(timeout=WAIT_SECONDS)


def test_code_reads_the_first_piece_before_the_last_was_sent(asker, outside):
    assert asker.call("first", outside.url + "/dribble").json == {"result": "first"}
    assert not outside.go.is_set()
    outside.go.set()
    assert asker.call("rest").json == {"result": ["last", None]}


def test_a_body_that_breaks_off_is_an_error_that_says_why(asker, outside):
    assert asker.call("first", outside.url + "/breaks-off").json == {"result": "first"}
    outside.go.set()
    text, name, code, message = asker.call("rest").json["result"]
    assert (text, name, code) == ("", "Error", "unavailable") and outside.host in message


def test_who_cancels_a_body_closes_its_connection(asker, outside):
    assert asker.call("first", outside.url + "/endless").json == {"result": "xxxxx"}
    assert asker.call("cancel").status == 200
    assert has_gone(outside)


def test_a_signal_ends_a_request_before_its_head_and_within_its_body(asker, outside):
    assert asker.call("abortBeforeHead", outside.url).json == {"result": "AbortError"}
    assert has_gone(outside)
    assert asker.call("abortWithin", outside.url).json == {"result": "enough"}
    assert has_gone(outside)


def test_what_an_actor_reads_ends_with_it(asker, outside):
    assert asker.call("first", outside.url + "/endless").status == 200
    assert asker.client.delete(asker.path).status in (200, 204)
    assert has_gone(outside)


def test_what_a_run_reads_ends_with_it(asking_node, outside):
    code = f'async () => (await (await fetch("{outside.url}/endless")).body.getReader().read()).value.length > 0'
    body = {"code": code, "grants": {"fetch": [outside.host]}}
    answer = asking_node.client.post("/v1/runs/Store/a/execute", json=body)
    assert answer.json.get("result") is True, answer
    assert has_gone(outside)


def test_a_node_that_stops_waits_for_no_body(asker, asking_node, outside):
    assert asker.call("first", outside.url + "/endless").status == 200
    asking_node.stop()
    assert has_gone(outside)


def test_a_response_without_a_body_has_none_and_an_empty_one_is_empty(asker, outside):
    assert asker.call("bodies", outside.url).json == {"result": [[204, True, ""], [200, False, ""], [200, True, ""]]}


def test_more_bodies_than_an_actor_may_have_open_are_refused_until_some_are_closed(asker, outside):
    opened, reasons = asker.call("open", outside.url + "/waiting", 70).json["result"]
    assert opened == 64 and reasons == [["overloaded", True]] * 6
    assert asker.call("close").status == 200
    for _ in range(64):
        assert has_gone(outside)
    assert asker.call("open", outside.url + "/waiting", 1).json == {"result": [1, []]}


def test_a_body_is_passed_on_as_it_is(asker, outside):
    answer = asker.client.get(f"{asker.path}/fetch/x", headers={"x-url": outside.url + "/large"})
    assert (answer.status, len(answer.body)) == (200, 700_000)


def open_through(node, asker, url):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(node.url).netloc, timeout=WAIT_SECONDS)
    connection.request("GET", f"{asker.path}/fetch/x", headers={"x-url": url})
    answer = connection.getresponse()
    assert (answer.status, answer.read(5)[:5]) in [(200, b"first"), (200, b"xxxxx")]
    return connection, answer


def test_a_client_has_the_first_piece_before_the_last_was_sent(asking_node, asker, outside):
    connection, answer = open_through(asking_node, asker, outside.url + "/dribble")
    outside.go.set()
    assert answer.read() == b"last"
    connection.close()


def test_a_body_that_breaks_off_does_so_for_the_client_it_is_passed_on_to(asking_node, asker, outside):
    connection, answer = open_through(asking_node, asker, outside.url + "/breaks-off")
    outside.go.set()
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()


@pytest.mark.parametrize("path", ["/endless", "/waiting"])
def test_a_client_that_goes_away_ends_what_is_passed_on_to_it(asking_node, asker, outside, path):
    connection, answer = open_through(asking_node, asker, outside.url + path)
    answer.close()
    connection.close()
    assert has_gone(outside)


def peak_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) // 1024


def test_a_body_of_100_mb_costs_little_memory_on_its_way(asker, asking_node, outside):
    assert asker.call("count", outside.url + "/large").json == {"result": [700_000, True]}
    before = peak_mb(asking_node.pid)
    assert asker.call("count", outside.url + "/huge").json == {"result": [HUGE_MB * MB, True]}
    assert peak_mb(asking_node.pid) - before < 16
    isolates = [peak_mb(pid) for pid in Isolates(asking_node).by_depth()[2]]
    assert max(isolates) - min(isolates) < 40  # some are warm, and have read nothing
