"""Section 4: classes with code, called over HTTP; and code that runs once."""

import itertools
import threading

import pytest

from client import Actor, Client, expect_problem, wait_until

COUNTER = """
import { DurableObject } from "cloudflare:workers";
let loaded = 0;
export class Counter extends DurableObject {
  constructor(ctx, env) { super(ctx, env); this.calls = 0; this.born = ++loaded; }
  async increment(by = 1) {
    const value = ((await this.ctx.storage.get("n")) ?? 0) + by;
    await this.ctx.storage.put("n", value);
    return value;
  }
  remember() { return ++this.calls; }
  throws() { throw new TypeError("not today"); }
  async throwsAfterWriting() { await this.ctx.storage.put("n", -1); throw new Error("after"); }
  who() { return { name: this.ctx.id.name, id: this.ctx.id.toString() }; }
  async callOther(name) { return await this.env.Counter.getByName(name).increment(5); }
  async otherThrows(name) {
    try { await this.env.Counter.getByName(name).throws(); } catch (e) { return [e.name, e.message]; }
  }
  async ring(ms) { await this.ctx.storage.setAlarm(Date.now() + ms); return await this.ctx.storage.getAlarm(); }
  async alarm() {
    const rings = ((await this.ctx.storage.get("rings")) ?? 0) + 1;
    await this.ctx.storage.put({ rings, pending: await this.ctx.storage.getAlarm() });
    if (rings < this.env.FAILURES + 1) throw new Error("again");
  }
  async onTimer(name, payload) { await this.ctx.storage.put("timer", [name, payload]); }
  values() { return [new Date(5), new Map([["a", 1]]), new Set([1]), 2n ** 70n, undefined, new Uint8Array([1, 2])]; }
  cannot() { return () => 1; }
  spin() { for (;;); }
  #hidden() {}
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname == "/pieces") {
      const pieces = new TransformStream();
      const writer = pieces.writable.getWriter();
      (async () => {
        for (let i = 0; i < 100; i++) await writer.write(new Uint8Array(10000).fill(i));
        await writer.close();
      })();
      return new Response(pieces.readable);
    }
    return new Response(`${request.method} ${url.pathname}${url.search} ${await request.text()}`,
      { status: 202, headers: { "x-seen": request.headers.get("x-sent") ?? "" } });
  }
}
export default {
  async fetch(request, env) {
    return Response.json({ n: await env.Counter.getByName("of-module").increment(), path: new URL(request.url).pathname });
  },
};
"""


def deploy(client, source=COUNTER, namespace="app", **more):
    body = {"modules": {"main.js": source}, "main": "main.js", "env": {"FAILURES": 0}, **more}
    return client.put(f"/v1/{namespace}", json=body)


_numbers = itertools.count(1)


class Class(Actor):
    def call(self, method, *arguments, **more):
        return self.client.post(f"{self.path}/call/{method}", json=list(arguments), **more)


@pytest.fixture
def counter(client, request):
    """An actor of the class Counter, which is deployed in the namespace of the test."""
    namespace = f"classes-{next(_numbers)}"
    assert deploy(client, namespace=namespace).status == 200
    return Class(client, "a", namespace, "Counter")


def test_a_method_is_called_with_its_arguments_and_its_result_answered(counter):
    assert counter.call("increment", 2).json == {"result": 2}
    assert counter.call("increment").json == {"result": 3}
    assert counter.client.post(f"{counter.path}/call/increment").json == {"result": 4}


def test_what_code_stores_and_the_routes_of_storage_are_one_key_space(counter):
    counter.call("increment", 7)
    assert counter.get("n").json == 7
    assert counter.put("n", 40).status == 204
    assert counter.call("increment", 2).json == {"result": 42}


def test_what_an_actor_remembers_lives_until_it_sleeps(counter):
    assert counter.call("remember").json == {"result": 1}
    assert counter.call("remember").json == {"result": 2}
    assert counter.client.get(counter.path).json["state"] == "awake"
    assert counter.client.post(f"{counter.path}/hibernate").status == 204
    wait_until(lambda: counter.client.get(counter.path).json["state"] == "hibernated")
    assert counter.call("remember").json == {"result": 1}


def test_what_a_class_throws_is_named(counter):
    answer = counter.call("throws")
    expect_problem(answer, 500, "actor_exception")
    assert (answer.json["name"], answer.json["message"]) == ("TypeError", "not today")
    assert "main.js" in answer.json["stack"]
    assert answer.json["maybe_applied"] is False


def test_what_was_written_before_an_exception_stays(counter):
    expect_problem(counter.call("throwsAfterWriting"), 500, "actor_exception")
    assert counter.get("n").json == -1


@pytest.mark.parametrize("method", ["constructor", "toString", "nothing", "ctx", "fetch", "alarm", "__proto__"])
def test_what_is_no_method_of_the_class_is_no_such_method(counter, method):
    expect_problem(counter.call(method), 404, "no_such_method")


def test_store_runs_no_code(client):
    store = Class(client, "a", "app")
    expect_problem(store.call("get"), 404, "no_such_method")
    expect_problem(client.get(f"{store.path}/fetch/x"), 404, "no_such_method")
    expect_problem(client.get("/w/nothing-here/x"), 404, "no_such_class")


def test_arguments_that_are_no_array_are_refused(counter):
    expect_problem(counter.client.post(f"{counter.path}/call/increment", json={"by": 1}), 400, "bad_request")


def test_the_hexadecimal_id_addresses_the_same_actor(counter):
    counter.call("increment", 3)
    who = counter.call("who").json["result"]
    assert who["name"] == "a"
    other = Class(counter.client, who["id"], counter.path.split("/")[2], "Counter")
    assert other.call("increment", 1).json == {"result": 4}


def test_values_beyond_json_show_in_results(counter):
    assert counter.call("values").json == {"result": [
        {"$date": 5}, {"$map": [["a", 1]]}, {"$set": [1]}, {"$bigint": str(2**70)}, {"$undefined": True},
        {"$bytes": "AQI="}]}


def test_a_value_that_cannot_be_cloned_is_a_data_clone_error(counter):
    answer = counter.call("cannot")
    expect_problem(answer, 500, "actor_exception")
    assert answer.json["name"] == "DataCloneError"


def test_actors_call_each_other(counter):
    assert counter.call("callOther", "b").json == {"result": 5}
    assert counter.call("callOther", "b").json == {"result": 10}
    assert counter.call("otherThrows", "b").json == {"result": ["TypeError", "not today"]}


def test_a_repeated_call_with_its_key_acts_once(counter):
    headers = {"Idempotency-Key": "k1"}
    first = counter.call("increment", 5, headers=headers)
    again = counter.call("increment", 5, headers=headers)
    assert (first.json, first.is_replay) == ({"result": 5}, False)
    assert (again.json, again.is_replay) == ({"result": 5}, True)
    expect_problem(counter.call("increment", 6, headers=headers), 422, "idempotency_mismatch")
    assert counter.get("n").json == 5


def test_one_actor_is_one_thread(counter, shared_node):
    results = []

    def run():
        mine = Class(Client(shared_node.url), "a", counter.path.split("/")[2], "Counter")
        for _ in range(20):
            results.append(mine.call("increment").json["result"])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(results) == list(range(1, 81))


def test_an_alarm_rings_and_is_gone(counter):
    due = counter.call("ring", 200).json["result"]
    assert counter.client.get(counter.path).json["alarm"] == due
    wait_until(lambda: counter.get("rings").status == 200)
    assert counter.get("rings").json == 1
    assert counter.get("pending").json is None
    wait_until(lambda: counter.client.get(counter.path).json["alarm"] is None)


def test_an_alarm_that_throws_rings_again(client):
    assert deploy(client, namespace="rings-again", env={"FAILURES": 1}).status == 200
    actor = Class(client, "a", "rings-again", "Counter")
    actor.call("ring", 1)
    wait_until(lambda: actor.get("rings").status == 200 and actor.get("rings").json == 2)


def test_a_named_timer_calls_on_timer(counter):
    answer = counter.client.put(f"{counter.path}/timers/tick", json={"in": 1, "payload": {"a": 1}})
    assert answer.status == 200
    wait_until(lambda: counter.get("timer").status == 200)
    assert counter.get("timer").json == ["tick", {"a": 1}]


def test_fetch_sees_the_request_and_its_answer_is_the_answer(counter):
    answer = counter.client.request("PUT", f"{counter.path}/fetch/x/y?z=1", body=b"hello", headers={"X-Sent": "s"})
    assert (answer.status, answer.body) == (202, b"PUT /x/y?z=1 hello")
    assert answer.headers["x-seen"] == "s"
    assert counter.client.get(f"{counter.path}/fetch").body == b"GET / "


def test_a_body_that_is_made_in_pieces_is_whole(counter):
    answer = counter.client.get(f"{counter.path}/fetch/pieces")
    assert answer.body == b"".join(bytes([i]) * 10000 for i in range(100))


def test_the_module_answers_below_w(counter):
    namespace = counter.path.split("/")[2]
    assert counter.client.get(f"/w/{namespace}/p/q").json == {"n": 1, "path": "/p/q"}
    assert counter.client.get(f"/w/{namespace}/p").json["n"] == 2


def test_a_new_version_is_taken_up_and_state_stays(counter):
    namespace = counter.path.split("/")[2]
    counter.call("increment", 3)
    second = COUNTER.replace("+ by;", "+ by * 100;")
    assert deploy(counter.client, second, namespace).json["version"] == 2
    assert counter.call("increment", 1).json == {"result": 103}


@pytest.mark.parametrize("source, line", [("export class A {\n  x( {\n}", 3), ("import 'nowhere';", 1),
                                          ("let a = 1;\nthrow new TypeError('at load');", 2)])
def test_code_that_does_not_parse_or_link_is_refused_with_its_place(client, source, line):
    answer = deploy(client, source, "wrong")
    expect_problem(answer, 400, "invalid_code")
    assert (answer.json["file"], answer.json["line"]) == ("main.js", line)


def test_a_class_that_is_not_exported_is_refused(client):
    expect_problem(deploy(client, "export const a = 1;", "wrong", classes=["Counter"]), 400, "invalid_code")


def test_what_is_acknowledged_survives_the_node(node):
    assert deploy(node.client).status == 200
    actor = Class(node.client, "a", "app", "Counter")
    assert actor.call("increment", 5).json == {"result": 5}
    node.kill9()
    node.start()
    actor = Class(node.client, "a", "app", "Counter")
    assert actor.call("increment", 1).json == {"result": 6}


# Execute


def execute(client, code, **more):
    return client.post("/v1/runs/Store/a/execute", json={"code": code, **more})


def test_a_run_answers_its_result_what_it_logged_and_what_it_took(client):
    answer = execute(client, 'async (input, api) => { console.log("seen", input); return input + 1; }', input=41)
    assert answer.status == 200
    assert answer.json["result"] == 42
    assert answer.json["logs"] == [{"level": "log", "text": "seen 41"}]
    assert set(answer.json["usage"]) == {"cpu_ms", "wall_ms", "peak_memory_bytes"}


def test_a_run_may_be_a_module(client):
    assert execute(client, "export default async function (input) { return [input]; }", input=1).json["result"] == [1]


def test_two_runs_share_nothing(client):
    code = "async () => { globalThis.seen = (globalThis.seen ?? 0) + 1; return [globalThis.seen, Math.random()]; }"
    first, second = execute(client, code).json["result"], execute(client, code).json["result"]
    assert first[0] == second[0] == 1
    assert first[1] != second[1]


def test_a_run_has_storage_as_it_was_granted(client):
    actor = Actor(client, "granted", "runs")
    path = "/v1/runs/Store/granted/execute"
    write = {"code": 'async (_, api) => { await api.storage.put("k", 1); return await api.storage.get("k"); }'}
    assert client.post(path, json={**write, "grants": {"storage": "write"}}).json["result"] == 1
    assert actor.get("k").json == 1
    for grants in [{}, {"storage": None}, {"storage": "read"}]:
        assert client.post(path, json={**write, "grants": grants}).json["error"]["code"] == "exception"
    read = {"code": 'async (_, api) => api.storage.get("k")', "grants": {"storage": "read"}}
    assert client.post(path, json=read).json["result"] == 1


def test_what_a_run_that_throws_has_written_is_dropped(client):
    code = 'async (_, api) => { await api.storage.put("k", 1); throw new Error("no"); }'
    answer = client.post("/v1/runs/Store/dropped/execute", json={"code": code, "grants": {"storage": "write"}})
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["message"]) == (200, "exception", "no")
    expect_problem(Actor(client, "dropped", "runs").get("k"), 404, "no_such_key")


def test_a_syntax_error_is_invalid_code(client):
    expect_problem(execute(client, "async (input => 1"), 400, "invalid_code")


@pytest.mark.parametrize("code, limits, error", [
    ("async () => { for (;;); }", {"cpu_ms": 200}, "cpu_exceeded"),
    ("async () => { for (;;) await 0; }", {"cpu_ms": 200}, "cpu_exceeded"),
    ("async () => new Promise(() => {})", {"wall_ms": 200}, "wall_exceeded"),
    ("async () => { const all = []; for (;;) all.push({ a: all.length }); }", {"memory_mb": 64}, "memory_exceeded"),
])
def test_a_run_over_a_limit_says_which(client, code, limits, error):
    answer = execute(client, code, limits=limits)
    assert (answer.status, answer.json["error"]["code"]) == (200, error)
    assert execute(client, "async () => 1").json.get("result") == 1, "the node goes on"


@pytest.mark.parametrize("body", [
    {}, {"code": 1}, {"code": "x", "more": 1}, {"code": "x", "limits": {"cpu_ms": 0}},
    {"code": "x", "limits": {"other": 1}}, {"code": "x", "grants": {"storage": "all"}},
    {"code": "x", "grants": {"fetch": "x"}}, {"code": "x", "grants": {"actors": [1]}}, []])
def test_a_run_that_is_asked_for_wrongly_is_refused(client, body):
    expect_problem(client.post("/v1/runs/Store/a/execute", json=body), 400, "bad_request")


FURTHER = """
import { DurableObject } from "dormouse";
export class Notes extends DurableObject {
  constructor(ctx, env) { super(ctx, env); }
  sql() { return this.ctx.storage.sql.exec("select 1").toArray(); }
  async fill(mib) {
    await this.ctx.storage.transaction(async (txn) => {
      for (let i = 0; i < mib; i++) await txn.put("piece" + i, new Uint8Array(1 << 20));
    });
  }
  async through(binding, name) { return await this.env[binding].getByName(name).who(); }
  who() { return [this.ctx.id.name, this.env.GREETING]; }
}
"""


@pytest.fixture
def notes(client):
    namespace = f"classes-{next(_numbers)}"
    answer = deploy(client, FURTHER, namespace, bindings={"NOTES": "Notes"}, env={"GREETING": "hello"})
    assert answer.status == 200, answer
    return Class(client, "a", namespace, "Notes")


def test_a_class_is_bound_under_its_own_name_and_further_ones(notes):
    for binding in ["Notes", "NOTES"]:
        assert notes.call("through", binding, "b").json == {"result": ["b", "hello"]}


def test_sql_throws_not_implemented(notes):
    expect_problem(notes.call("sql"), 501, "not_implemented")


def test_what_a_transaction_writes_has_a_bound_and_beyond_it_nothing_is_written(notes):
    assert notes.call("fill", 15).status == 200
    assert notes.get("piece14").status == 200
    notes.client.delete(notes.path)
    answer = notes.call("fill", 17)
    expect_problem(answer, 500, "actor_exception")
    assert answer.json["name"] == "RangeError" and "16777216" in answer.json["message"]
    expect_problem(notes.get("piece0"), 404, "no_such_key")
