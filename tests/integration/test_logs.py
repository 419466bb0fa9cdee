"""Section 4, logs: what code logs, and exceptions that nobody caught, as a stream of server-sent events."""

import itertools
import select
import subprocess
import threading
import time

import pytest

from client import Client, Events, expect_problem, wait_until
from cluster import Cluster, client_program
from test_classes import Class, deploy
from test_tokens import bearer, create

CODE = """
import { DurableObject } from "cloudflare:workers";
export class Talker extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    if (ctx.id.name === "stillborn") throw new RangeError("no room");
  }
  say(level, ...things) { console[level](...things); }
  flood(lines, characters) { for (let i = 0; i < lines; i++) console.log("x".repeat(characters)); }
  throws() { throw new TypeError("not today"); }
  later() { setTimeout(() => { throw new Error("lost"); }, 1); }
  rejects() { Promise.reject(new Error("forgotten")); }
  async ring() { await this.ctx.storage.setAlarm(Date.now()); }
  alarm() { throw new Error("rang in vain"); }
  async grows() { const a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1)); }
}
export class Other extends DurableObject {
  say(text) { console.log(text); }
}
export default { fetch() { console.warn("of the module"); return new Response("ok"); } };
"""
STREAMS_MAX = 64

_numbers = itertools.count(1)


@pytest.fixture
def ns(client):
    name = f"logs-{next(_numbers)}"
    assert deploy(client, CODE, name).status == 200
    return name


@pytest.fixture
def talker(client, ns):
    return Class(client, "a/b", ns, "Talker")


def listen(node, ns, **parameters):
    stream = Events(f"/v1/{ns}/logs", node.url, **parameters)
    assert stream.status == 200
    return stream.joined()


def said(event):
    """A line without its time, which is checked."""
    assert event.name == "log" and event.id is None, event
    assert abs(event.data["time"] / 1000 - time.time()) < 600
    return {name: value for name, value in event.data.items() if name != "time"}


def line(text, level="log", class_name="Talker", actor="a/b"):
    return {"class": class_name, "id": actor, "level": level, "text": text}


def test_what_code_logs_is_shown_with_its_actor_and_level(shared_node, talker, ns):
    with listen(shared_node, ns) as stream:
        for level in ["log", "debug", "info", "warn", "error"]:
            talker.call("say", level, "one\ntwo", {"a": 1})
            assert said(stream.next()) == line("one\ntwo { a: 1 }", level)


def test_a_module_logs_without_a_class(shared_node, client, ns):
    with listen(shared_node, ns) as stream:
        assert client.get(f"/w/{ns}/x").status == 200
        assert said(stream.next()) == line("of the module", "warn", None, None)


def test_a_stream_is_of_a_class_or_an_actor_where_it_says_so(shared_node, client, talker, ns):
    other = Class(client, "o", ns, "Other")
    second = Class(client, "second", ns, "Talker")
    with listen(shared_node, ns, **{"class": "Talker"}) as of_class, \
            listen(shared_node, ns, **{"class": "Talker", "id": "second", "follow": "true"}) as of_actor, \
            listen(shared_node, "elsewhere") as of_others:
        other.call("say", "1")
        talker.call("say", "log", "2")
        second.call("say", "log", "3")
        assert [said(e)["text"] for e in of_class.take(2)] == ["2", "3"]
        assert said(of_actor.next()) == line("3", actor="second")
        assert deploy(client, CODE, "elsewhere").status == 200
        Class(client, "e", "elsewhere", "Other").call("say", "4")
        assert said(of_others.next())["text"] == "4"


def test_a_long_text_is_cut_and_nothing_is_kept_for_who_comes_later(shared_node, talker, ns):
    talker.call("say", "log", "before")
    with listen(shared_node, ns) as stream:
        talker.call("say", "log", "é" * 5000)
        assert said(stream.next())["text"] == "é" * 4096


def test_comments_keep_an_idle_stream_alive(shared_node, ns):
    with listen(shared_node, ns) as stream:
        stream.socket.settimeout(60)  # they come every 15 s
        assert [stream.response.readline() for _ in range(2)] == [b"\n", b":\n"]


def test_an_exception_that_is_answered_is_a_line_with_its_stack(shared_node, talker, ns):
    with listen(shared_node, ns) as stream:
        expect_problem(talker.call("throws"), 500, "actor_exception")
        shown = said(stream.next())
        assert shown["level"] == "error"
        head, frame = shown["text"].split("\n")[:2]
        assert head == "TypeError: not today" and frame.startswith("    throws@main.js:")


def test_exceptions_that_nobody_caught_are_lines(shared_node, client, talker, ns):
    with listen(shared_node, ns) as stream:
        for method, text in [("later", "Uncaught Error: lost"), ("rejects", "Uncaught (in promise) Error: forgotten"),
                             ("ring", "Error: rang in vain")]:
            assert talker.call(method).status == 200
            shown = said(stream.next())
            assert shown["level"] == "error" and shown["text"].split("\n")[0] == text
        expect_problem(Class(client, "stillborn", ns, "Talker").call("throws"), 500, "actor_exception")
        assert said(stream.next())["text"].startswith("RangeError: no room\n")


def test_what_is_asked_for_wrongly_is_no_line(shared_node, talker, ns):
    with listen(shared_node, ns) as stream:
        expect_problem(talker.call("nothing"), 404, "no_such_method")
        talker.call("say", "log", "after")
        assert said(stream.next()) == line("after")


def test_how_an_isolate_was_stopped_is_a_line(shared_node, talker, ns):
    with listen(shared_node, ns) as stream:
        answer = talker.call("grows").json
        assert (answer["code"], answer["status"]) == ("actor_exception", 500) and "memory" in answer["message"]
        assert said(stream.next())["text"].split("\n")[0] == f"{answer['name']}: {answer['message']}"


def test_lines_of_a_run_are_in_its_answer_alone(shared_node, talker, ns):
    with listen(shared_node, ns) as stream:
        answer = talker.client.post(f"{talker.path}/execute", json={"code": "() => console.log('run')"})
        assert answer.json["logs"] == [{"level": "log", "text": "run"}]
        talker.call("say", "log", "after")
        assert said(stream.next()) == line("after")


def test_who_reads_too_slowly_loses_lines_and_hears_how_many(shared_node, client, talker, ns):
    floods, lines = 100, 40  # a flood has room in the queue of a stream that is read
    with listen(shared_node, ns, receive_bytes=4096) as slow, listen(shared_node, ns) as quick:
        for _ in range(floods):
            assert talker.call("flood", lines, 4000).status == 200
            time_of_window_is_over(talker)
            for _ in range(lines):
                assert quick.next().name == "log"
        seen = 0
        kinds = set()
        while seen < floods * lines:
            event = slow.next()
            kinds.add(event.name)
            seen += event.data["count"] if event.name == "lost" else 1
        assert seen == floods * lines and kinds == {"log", "lost"}
        talker.call("say", "log", "after")
        assert [said(stream.next())["text"] for stream in (slow, quick)] == ["after"] * 2


def time_of_window_is_over(talker):
    """The prelude lets a megabyte a second through: another actor, another window."""
    talker.path = "/".join([*talker.path.split("/")[:-1], str(next(_numbers))])


def test_a_request_for_logs_that_is_wrong_is_refused(client, ns):
    for query, status, code in [("class=1a", 400, "invalid_id"), ("id=a", 400, "bad_request"),
                                ("class=A&id=", 400, "invalid_id"), ("follow=yes", 400, "bad_request"),
                                ("since=1", 400, "bad_request"), ("class=%ff", 400, "invalid_id")]:
        expect_problem(client.get(f"/v1/{ns}/logs?{query}"), status, code)
    expect_problem(client.get("/v1/No/logs"), 400, "invalid_id")
    expect_problem(client.post(f"/v1/{ns}/logs"), 405, "method_not_allowed")


def test_streams_are_bounded_in_number(start_node):
    node = start_node("--workers", "2")
    streams = [listen(node, "app") for _ in range(STREAMS_MAX)]
    told = expect_problem(node.client.get("/v1/app/logs"), 429, "overloaded", retryable=True)
    assert told["limit"] == {"name": "log_streams", "value": STREAMS_MAX}
    streams.pop().close()
    wait_until(lambda: opens_another(node, streams))
    for stream in streams:
        stream.close()


def opens_another(node, streams):
    streams.append(Events("/v1/app/logs", node.url))
    return streams[-1].status == 200


def test_a_stream_ends_with_its_token(start_node):
    node = start_node("--workers", "2")
    root = create(node.client, "*", ["admin", "deploy"])["token"]
    for scope in ["call", "deploy", "admin"]:
        token = create(node.client, "app", [scope], root)["token"]
        expect_problem(node.client.get("/v1/app/logs", headers=bearer(token)), 403, "forbidden")
    made = create(node.client, "app", ["inspect"], root)
    with listen(node, "app", token=made["token"]) as stream:
        expect_problem(node.client.get("/v1/other/logs", headers=bearer(made["token"])), 403, "forbidden")
        assert node.client.delete(f"/admin/v1/tokens/{made['id']}", headers=bearer(root)).status == 204
        assert stream.next() is None


def test_streams_end_when_the_node_stops(start_node):
    node = start_node("--workers", "2")
    with listen(node, "app") as stream:
        node.ask_to_stop()
        assert stream.next() is None
        node.await_end()


def test_a_stream_shows_lines_of_every_worker(start_node):
    node = start_node("--workers", "4", "--shards", "16")
    assert deploy(node.client, CODE).status == 200
    actors = [f"a{i}" for i in range(16)]
    with listen(node, "app") as stream, listen(node, "app") as second:
        for actor in actors:
            assert Class(node.client, actor, "app", "Other").call("say", actor).status == 200
        assert {said(e)["id"] for e in stream.take(16)} == set(actors)
        assert {said(e)["id"] for e in second.take(16)} == set(actors)


def test_the_command_line_follows_logs(shared_node, talker, ns):
    command = [client_program(), "--url", shared_node.url, "logs", "-f", f"{ns}/Talker/a/b"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: talker.call("say", "warn", "two").status == 200 and has_line(process))
        assert process.stdout.readline().rstrip().endswith("Z warn Talker/a/b two")
    finally:
        process.kill()
        process.communicate()


def has_line(process):
    return bool(select.select([process.stdout], [], [], 0.2)[0])


# Several nodes


@pytest.fixture
def three(tmp_path):
    cluster = Cluster(tmp_path / "cluster", 3)
    yield cluster
    cluster.finish()


class Reader(threading.Thread):
    """Reads a stream to its end; `texts` has what came so far."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.texts = stream, []
        self.start()

    def run(self):
        try:
            while (event := self.stream.next()) is not None:
                self.texts.append(event.data["text"] if event.name == "log" else event)
        except AttributeError:
            pass  # the test has closed it


def test_a_stream_at_any_node_shows_lines_of_the_whole_namespace(three):
    one, two, other = three.running()
    wait_until(lambda: deploy(one.client, CODE).status == 200, 60, "a deploy")
    for node in three.running():
        wait_until(lambda: node.client.get("/v1/app").status == 200)
    actors = [f"a{i}" for i in range(24)]
    wait_until(lambda: all(three.leads(number) for number in three.nodes), what="each node leads some shards")

    def all_say(word):
        for actor in actors:
            assert Class(other.client, actor, "app", "Other").call("say", f"{word} {actor}").status == 200
        return {f"{word} {actor}" for actor in actors}

    with listen(one, "app") as first, listen(two, "app", **{"class": "Other"}) as second:
        readers = [Reader(first), Reader(second)]
        rounds = []

        def a_round_is_heard():
            rounds.append(all_say(len(rounds)))
            return any(all(lines <= set(r.texts) for r in readers) for lines in rounds)

        wait_until(a_round_is_heard)  # the other nodes hear a moment later that somebody reads
        last = all_say("last")
        for reader in readers:
            wait_until(lambda: last <= set(reader.texts), what="the last round")
            assert len(reader.texts) == len(set(reader.texts)), "each line once"
            assert all(isinstance(text, str) for text in reader.texts), "nothing is lost"
        three.nodes[1].stop()
        readers[0].join(30)
        assert not readers[0].is_alive(), "the stream ends with its node"
    three.nodes[1].start()
