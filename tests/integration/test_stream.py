"""Section 4: what fetch() answers in pieces leaves in pieces."""

import http.client
import itertools
import urllib.parse

import pytest

from client import Actor, wait_until
from test_classes import deploy
from test_cluster import make_cluster, three  # noqa: F401  (fixtures)

STREAMER = """
import { DurableObject } from "cloudflare:workers";
const encoder = new TextEncoder();
export class Streamer extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.go = []; this.events = []; this.sent = 0; }
  next() { return new Promise((resolve) => this.go.push(resolve)); }
  release() { this.go.shift()?.(); return this.go.length; }
  waits() { return this.go.length; }
  log() { return this.events; }
  count() { return this.sent; }
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const stream = new TransformStream();
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    const say = (text) => writer.write(encoder.encode(text));
    const run = {
      "/pieces": async () => {
        for (let n = 0; n < 3; n++) { await say(`piece ${n}\\n`); await this.next(); }
        await writer.close();
      },
      "/writes": async () => {
        for (let n = 0; n < 20; n++) { await this.ctx.storage.put("n", n); await say(`${n}\\n`); }
        await writer.close();
      },
      "/breaks": async () => { await say("half"); await writer.abort(new Error("no more")); },
      "/many": async () => {
        const piece = new Uint8Array(65536).fill(120);
        for (let n = 0; n < +searchParams.get("n"); n++) { await writer.write(piece); this.sent++; }
        await writer.close();
      },
      "/dies": async () => { await say("half"); await this.next(); this.ctx.abort("enough"); },
    }[pathname];
    request.signal.addEventListener("abort", () => this.events.push("aborted"));
    run().catch((error) => this.events.push(error.name));
    return new Response(stream.readable, { status: 201, headers: { "content-type": "text/plain", "x-seen": pathname } });
  }
}
export default { fetch(request, env) { return env.Streamer.getByName("of-module").fetch(request); } };
"""

SECONDS = 60

_numbers = itertools.count(1)


class Streamer(Actor):
    def __init__(self, node, actor_id="a", namespace="app"):
        super().__init__(node.client, actor_id, namespace, "Streamer")
        self.node = node

    def call(self, method, *arguments):
        answer = self.client.post(f"{self.path}/call/{method}", json=list(arguments))
        assert answer.status == 200, answer
        return answer.json["result"]

    def read(self, path, method="GET", headers=None):
        """The answer, whose body is read as it comes."""
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.node.url).netloc, timeout=SECONDS)
        connection.request(method, f"{self.path}/fetch{path}", headers=headers or {})
        answer = connection.getresponse()
        answer.connection = connection
        return answer


@pytest.fixture
def streamer(shared_node):
    namespace = f"streams-{next(_numbers)}"
    assert deploy(shared_node.client, STREAMER, namespace).status == 200
    return Streamer(shared_node, "a", namespace)


def test_a_piece_is_there_before_the_next_one_is_made(streamer):
    answer = streamer.read("/pieces")
    assert (answer.status, answer.headers["x-seen"], answer.headers["content-type"]) == (201, "/pieces", "text/plain")
    for n in range(3):
        assert answer.readline() == f"piece {n}\n".encode()
        wait_until(lambda: streamer.call("waits") == 1, what="the piece to be sent")
        streamer.call("release")
    assert answer.read() == b""
    answer.connection.close()


def test_a_piece_comes_once_the_write_before_it_is_durable(streamer):
    answer = streamer.read("/writes")
    for n in range(20):
        assert answer.readline() == f"{n}\n".encode()
        assert streamer.get("n").json >= n
    answer.connection.close()


def test_a_body_that_breaks_off_is_not_taken_for_whole(streamer):
    answer = streamer.read("/breaks")
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert cut.value.partial in (b"half", b"")


def test_a_body_whose_actor_is_restarted_breaks_off(streamer):
    answer = streamer.read("/dies")
    assert answer.read1(4) == b"half"
    wait_until(lambda: streamer.call("waits") == 1, what="the piece to be sent")
    streamer.call("release")
    with pytest.raises((http.client.IncompleteRead, OSError)):
        while answer.read(1):
            pass
        raise OSError("ended without a word")


def test_a_client_that_goes_away_is_told_to_the_class(streamer):
    answer = streamer.read("/pieces")
    assert answer.readline() == b"piece 0\n"
    answer.close()
    answer.connection.sock.close()
    wait_until(lambda: "aborted" in streamer.call("log"), what="the class to hear of it")


def test_a_client_that_reads_slowly_holds_the_class_back(streamer):
    answer = streamer.read("/many?n=1600")  # 100 MiB
    assert answer.read(65536) == b"x" * 65536
    seen = []

    def stands_still():
        seen.append(streamer.call("count"))
        return len(seen) > 20 and len(set(seen[-20:])) == 1
    wait_until(stands_still, what="the class to wait")
    assert seen[-1] < 400
    assert len(answer.read()) == 1599 * 65536
    answer.connection.close()


def test_a_head_has_the_fields_and_no_body(streamer):
    answer = streamer.read("/pieces", "HEAD")
    assert answer.status == 201 and answer.headers["x-seen"] == "/pieces" and answer.read() == b""
    answer.connection.close()


def test_an_answer_that_is_kept_under_a_key_is_whole(streamer):
    for _ in range(2):
        answer = streamer.read("/writes", headers={"Idempotency-Key": "k"})
        assert answer.read() == b"".join(b"%d\n" % n for n in range(20))
        answer.connection.close()


def test_over_http2(streamer):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(http1=False, http2=True, timeout=SECONDS) as two:
        with two.stream("GET", f"{streamer.node.url}{streamer.path}/fetch/pieces") as answer:
            lines = answer.iter_lines()
            for n in range(3):
                assert next(lines).rstrip() == f"piece {n}"
                wait_until(lambda: streamer.call("waits") == 1, what="the piece to be sent")
                streamer.call("release")
        with pytest.raises(httpx.HTTPError):
            two.get(f"{streamer.node.url}{streamer.path}/fetch/breaks")


def test_actors_of_all_workers_stream(start_node):
    node = start_node("--workers", "2")
    assert deploy(node.client, STREAMER).status == 200
    for n in range(8):
        actor = Streamer(node, f"a{n}")
        answer = actor.read("/many?n=20")
        assert len(answer.read()) == 20 * 65536
        answer.connection.close()


def test_actors_of_other_nodes_stream(three):  # noqa: F811
    node = three.nodes[1]
    assert deploy(node.client, STREAMER).status == 200
    actors = [Streamer(node, f"a{n}") for n in range(12)]
    assert {actor.info().json["owner"] for actor in actors} == {1, 2, 3}
    for actor in actors:
        answer = actor.read("/pieces")
        for n in range(3):
            assert answer.readline() == f"piece {n}\n".encode()
            wait_until(lambda a=actor: a.call("waits") == 1, what="the piece to be sent")
            actor.call("release")
        assert answer.read() == b""
        answer.connection.close()


def test_the_module_passes_an_answer_on(streamer):
    path = f"/w/{streamer.path.split('/')[2]}/writes"
    assert streamer.client.get(path).body == b"".join(b"%d\n" % n for n in range(20))
