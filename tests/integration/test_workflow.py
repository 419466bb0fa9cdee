"""Section 6: runs of workflows, over HTTP and from code."""

import itertools
import time

import pytest

from client import Actor, expect_problem, wait_until
from cluster import Cluster
from test_classes import deploy

FLOWS = """
import { WorkflowEntrypoint, DurableObject } from "cloudflare:workers";
import { NonRetryableError } from "cloudflare:workflows";

const SOON = { retries: { limit: 2, delay: 20, backoff: "constant" } };

export class Tally extends DurableObject {
  async add(what) {
    const list = (await this.ctx.storage.get("list")) ?? [];
    await this.ctx.storage.put("list", [...list, what]);
    return list.length + 1;
  }
}

const tally = (env, event, what) => env.Tally.getByName(event.instanceId).add(what);

export class Sum extends WorkflowEntrypoint {
  async run(event, step) {
    const a = await step.do("first", async () => event.payload.a + 1);
    await step.sleep("nap", event.payload.nap ?? 10);
    const b = await step.do("second", async () => a + event.payload.b);
    return { sum: b, id: event.instanceId, of: event.workflowName, at: event.timestamp instanceof Date };
  }
}

export class Retries extends WorkflowEntrypoint {
  async run(event, step) {
    return step.do("flaky", SOON, async (ctx) => {
      await tally(this.env, event, ctx.attempt);
      if (ctx.attempt < event.payload) throw new RangeError(`attempt ${ctx.attempt}`);
      return { ...ctx.step, attempt: ctx.attempt, limit: ctx.config.retries.limit };
    });
  }
}

export class Final extends WorkflowEntrypoint {
  async run(event, step) {
    await step.do("never again", SOON, async () => { throw new NonRetryableError("no way"); });
  }
}

export class Saga extends WorkflowEntrypoint {
  async run(event, step) {
    const undo = (name) => ({ rollback: async ({ ctx, output, error }) => {
      await tally(this.env, event, `undo ${ctx.step.name} ${output} ${error.message}`);
      if (name === "b") throw new NonRetryableError("cannot");
    } });
    await step.do("a", async () => "A", undo("a"));
    await step.do("b", SOON, async () => "B", undo("b"));
    await step.do("c", async () => "C");
    await step.do("d", async () => { throw new NonRetryableError("d failed"); });
  }
}

export class Waits extends WorkflowEntrypoint {
  async run(event, step) {
    const got = await step.waitForEvent("approval", { type: "approved", timeout: event.payload?.timeout ?? "1 day" });
    await step.do("after", () => tally(this.env, event, "after"));
    return { by: got.payload, type: got.type, at: got.timestamp instanceof Date };
  }
}

export class Parallel extends WorkflowEntrypoint {
  async run(event, step) {
    const names = ["a", "b", "c"];
    const done = await Promise.all(names.map((name) => step.do(name, async () => name.toUpperCase())));
    const [event1, slow] = await Promise.all([
      step.waitForEvent("go", { type: "go" }),
      step.do("slow", async () => { await scheduler.wait(300); return "slow"; }),
    ]);
    return [...done, event1.payload, slow];
  }
}

export class Races extends WorkflowEntrypoint {
  async run(event, step) {
    const first = await Promise.race([
      step.sleep("short", 30).then(() => "short"),
      step.do("long", async () => { await scheduler.wait(200); return "long"; }),
    ]);
    await step.do(`after ${first}`, () => tally(this.env, event, first));
    await step.sleep("nap", event.payload);
    return first;
  }
}

export class Twice extends WorkflowEntrypoint {
  async run(event, step) {
    await step.do("same", async () => 1);
    await step.do("same", async () => 2);
  }
}

export class Large extends WorkflowEntrypoint {
  async run(event, step) {
    return (await step.do("large", async () => "x".repeat(event.payload))).length;
  }
}

export class Bad extends WorkflowEntrypoint {
  async run(event, step) {
    const { kind } = event.payload;
    if (kind === "name") await step.do("n".repeat(256), async () => 1);
    if (kind === "type") await step.waitForEvent("w", { type: "t".repeat(101) });
    if (kind === "sleep") await step.sleep("long", "366 days");
    if (kind === "function") await step.do("none");
    if (kind === "hung") await new Promise(() => {});
    if (kind === "backoff") await step.do("b", { retries: { limit: 1, delay: 1, backoff: "cubic" } }, async () => 1);
    if (kind === "value") await step.do("fn", async () => () => 1);
    if (kind === "timeout") await step.do("t", { timeout: 50, retries: { limit: 0, delay: 0 } }, () => new Promise(() => {}));
    if (kind === "memory") await step.do("m", async () => { await scheduler.wait(200); const all = []; for (;;) all.push(new Array(1e6).fill(1)); });
  }
}

export class Until extends WorkflowEntrypoint {
  async run(event, step) {
    await step.sleepUntil("then", event.payload.date ? new Date(event.payload.at) : event.payload.at);
    return Date.now();
  }
}

export class Defaults extends WorkflowEntrypoint {
  async run(event, step) {
    await step.do("plain", async (ctx) => {
      await tally(this.env, event, ctx.config);
      throw new Error("first");
    });
  }
}

export class Steps extends WorkflowEntrypoint {
  async run(event, step) {
    const order = [];
    for (let n = 0; n < event.payload.steps; n++) {
      order.push(await step.do(`step ${n}`, () => tally(this.env, event, n)));
      if (n === event.payload.rest) await step.sleep("rest", event.payload.ms ?? "1 day");
    }
    return order;
  }
}

export class Long extends WorkflowEntrypoint {
  async run(event, step) {
    await step.do("long", async () => { await tally(this.env, event, "begun"); await scheduler.wait(event.payload); });
    await step.do("after", () => tally(this.env, event, "after"));
  }
}

export class Starter extends DurableObject {
  async start(id) {
    const made = await this.env.Sum.create({ id, params: { a: 1, b: 2 } });
    return made.id;
  }
  async startTwice(id) {
    await this.env.Sum.create({ id, params: { a: 1, b: 2 } });
    try { await this.env.FLOW.create({ id }); } catch (e) { return e.message; }
  }
  async batch(ids) {
    return (await this.env.Sum.createBatch(ids.map((id) => ({ id, params: { a: 1, b: 1 } })))).map((made) => made.id);
  }
  async status(id) { return (await this.env.Sum.get(id)).status(); }
  async approve(id, payload) { await (await this.env.Waits.get(id)).sendEvent({ type: "approved", payload }); }
  async control(id, verb, options) { const one = await this.env.Waits.get(id); await one[verb](options); return one.status(); }
}
"""

_numbers = itertools.count(1)


class Flow(Actor):
    def start(self, params=None, **more):
        return self.client.post(f"{self.path}/workflow", json={} if params is None else {"params": params}, **more)

    def status(self):
        got = self.client.get(f"{self.path}/workflow")
        assert got.status == 200, got
        return got.json

    def event(self, event_type, payload=None):
        return self.client.post(f"{self.path}/workflow/events", json={"type": event_type, "payload": payload})

    def control(self, verb, body=None):
        return self.client.post(f"{self.path}/workflow/{verb}", **({} if body is None else {"json": body}))

    def until(self, *statuses, seconds=20):
        wait_until(lambda: self.status()["status"] in statuses, seconds, f"{self.id} is {statuses}")
        return self.status()

    def run(self, params=None):
        assert self.start(params).status == 201
        return self.until("complete", "errored")

    def tally(self):
        got = self.client.get(f"{self.path.rsplit('/', 2)[0]}/Tally/{self.id}/kv/list")
        return got.json if got.status == 200 else []

    def step(self, name):
        return next(step for step in self.status()["steps"] if step["name"] == name)


@pytest.fixture
def flows(client):
    """flows("Sum") is an actor of that workflow."""
    namespace = f"flows-{next(_numbers)}"
    assert deploy(client, FLOWS, namespace, bindings={"FLOW": "Sum"}).status == 200
    return lambda name, actor_id="run-1": Flow(client, actor_id, namespace, name)


def test_a_run_ends_with_its_output_and_tells_of_its_steps(flows):
    flow = flows("Sum")
    begun = time.time() * 1000
    got = flow.start({"a": 1, "b": 2})
    assert (got.status, got.json) == (201, {"status": "running"})
    told = flow.until("complete")
    assert told["output"] == {"sum": 4, "id": "run-1", "of": "Sum", "at": True}
    assert told["error"] is None
    assert [(s["name"], s["attempts"], s["status"]) for s in told["steps"]] == [
        ("first", 1, "complete"), ("nap", 1, "complete"), ("second", 1, "complete")]
    assert [s.get("output") for s in told["steps"]] == [2, None, 4]
    assert all(begun - 1000 < s["started"] <= s["ended"] for s in told["steps"]), told


def test_a_workflow_runs_once(flows):
    flow = flows("Sum")
    flow.run({"a": 1, "b": 2})
    expect_problem(flow.start({"a": 1, "b": 2}), 409, "conflict")
    key = {"idempotency_key": "k"}
    other = flows("Sum", "keyed")
    first = other.start({"a": 1, "b": 2}, **key)
    again = other.start({"a": 1, "b": 2}, **key)
    assert (first.status, again.status, again.is_replay) == (201, 201, True)


def test_what_was_never_started_is_not_there(flows):
    flow = flows("Sum")
    for got in (flow.client.get(f"{flow.path}/workflow"), flow.event("t"), flow.control("pause"),
                flow.control("restart")):
        expect_problem(got, 404, "no_such_workflow")


def test_other_classes_have_no_runs_and_workflows_no_methods(flows):
    tally, flow = flows("Tally"), flows("Sum")
    expect_problem(tally.start(), 404, "no_such_method")
    expect_problem(Flow(flow.client, "a").start(), 404, "no_such_method")
    expect_problem(flow.client.post(f"{flow.path}/call/run", json=[]), 404, "no_such_method")
    expect_problem(flow.control("sing"), 404, "not_found")


@pytest.mark.parametrize("needed", [1, 3])
def test_a_step_is_retried_as_often_as_it_says(flows, needed):
    flow = flows("Retries")
    told = flow.run(needed)
    assert told["output"] == {"name": "flaky", "count": 1, "attempt": needed, "limit": 2}
    assert flow.tally() == list(range(1, needed + 1))
    assert flow.step("flaky")["attempts"] == needed


def test_a_step_that_fails_too_often_ends_the_run(flows):
    flow = flows("Retries")
    told = flow.run(9)
    assert told["status"] == "errored" and told["output"] is None
    assert (told["error"]["name"], told["error"]["message"]) == ("RangeError", "attempt 3")
    assert flow.tally() == [1, 2, 3]
    step = flow.step("flaky")
    assert (step["status"], step["attempts"], step["error"]["message"]) == ("errored", 3, "attempt 3")


def test_a_non_retryable_error_ends_a_step_at_once(flows):
    flow = flows("Final")
    told = flow.run()
    assert told["status"] == "errored" and told["error"]["message"] == "no way"
    assert flow.step("never again")["attempts"] == 1


def test_rollbacks_run_in_reverse_order_and_one_that_fails_keeps_no_other_from_it(flows):
    flow = flows("Saga")
    told = flow.run()
    assert told["status"] == "errored" and told["error"]["message"] == "d failed"
    assert flow.tally() == ["undo b B d failed", "undo a A d failed"]
    assert [(s["name"], s["type"], s["status"]) for s in told["steps"]][-2:] == [
        ("b (rollback)", "rollback", "errored"), ("a (rollback)", "rollback", "complete")]


def test_an_event_ends_a_wait(flows):
    flow = flows("Waits")
    flow.start()
    flow.until("waiting")
    assert flow.event("other").status == 202
    assert flow.event("approved", {"by": "me"}).status == 202
    told = flow.until("complete")
    assert told["output"] == {"by": {"by": "me"}, "type": "approved", "at": True}
    assert flow.tally() == ["after"]


def test_an_event_before_the_wait_is_kept_for_it(flows):
    flow = flows("Parallel")
    flow.start()
    assert flow.event("go", 1).status == 202
    assert flow.event("go", 2).status == 202
    assert flow.until("complete")["output"] == ["A", "B", "C", 1, "slow"]


def test_a_wait_that_nothing_ends_times_out(flows):
    flow = flows("Waits")
    told = flow.run({"timeout": 100})
    assert told["status"] == "errored"
    assert "timed out after 100ms" in told["error"]["message"] and "approval" in told["error"]["message"]
    assert flow.step("approval")["status"] == "errored"
    expect_problem(flow.event("approved"), 409, "conflict")


def test_what_was_first_in_a_race_stays_first(flows):
    flow = flows("Races")
    flow.start("1 day")
    flow.until("waiting")
    assert flow.control("pause").json == {"status": "paused"}  # so that it is replayed
    assert flow.control("resume").json == {"status": "running"}
    flow.until("waiting")
    assert flow.tally() == ["short"]
    assert [s["name"] for s in flow.status()["steps"]] == ["short", "long", "after short", "nap"]


def test_a_name_that_is_used_twice_is_an_error_that_names_it(flows):
    told = flows("Twice").run()
    assert told["status"] == "errored" and '"same"' in told["error"]["message"]
    assert [s["name"] for s in told["steps"]] == ["same"]


def test_an_output_may_have_a_mebibyte(flows):
    assert flows("Large", "fits").run(1024 * 1024 - 5)["output"] == 1024 * 1024 - 5
    flow = flows("Large", "too large")
    told = flow.run(1024 * 1024)
    assert told["status"] == "errored" and told["error"]["name"] == "too_large" and '"large"' in told["error"]["message"]
    assert flow.step("large")["attempts"] == 1


@pytest.mark.parametrize("kind, says", [
    ("name", "nnn"), ("type", '"ttt'), ("sleep", '"long"'), ("function", '"none"'), ("hung", "cannot happen"),
    ("backoff", '"b"'), ("value", '"fn"'), ("timeout", '"t"'),
])
def test_what_a_run_gets_wrong_is_named(flows, kind, says):
    told = flows("Bad").run({"kind": kind})
    assert told["status"] == "errored", told
    assert says in told["error"]["message"], told


def test_bad_requests_change_nothing(flows):
    flow = flows("Waits")
    base = f"{flow.path}/workflow"
    for body, code in (("[1]", "bad_request"), ("{", "bad_request"), ('{"more":1}', "bad_request")):
        expect_problem(flow.client.post(base, body, content_type="application/json"), 400, code)
    got = expect_problem(flow.start("x" * (1024 * 1024)), 413, "too_large")
    assert got["limit"] == {"name": "params_bytes", "value": 1024 * 1024}
    expect_problem(flow.client.get(base), 404, "no_such_workflow")
    flow.start()
    flow.until("waiting")
    for body in ({}, {"type": 1}, {"type": ""}, {"type": "a", "more": 1}, []):
        expect_problem(flow.client.post(f"{base}/events", json=body), 400, "bad_request")
    got = expect_problem(flow.event("t" * 101), 413, "too_large")
    assert got["limit"] == {"name": "event_type_bytes", "value": 100} and "ttt" in got["detail"]
    got = expect_problem(flow.event("t", "x" * (1024 * 1024)), 413, "too_large")
    assert got["limit"]["name"] == "payload_bytes"
    expect_problem(flow.control("pause", {"from": "x"}), 400, "bad_request")
    expect_problem(flow.control("restart", {"from": "none"}), 404, "no_such_step")
    assert [s["name"] for s in flow.status()["steps"]] == ["approval"]


def test_a_paused_run_goes_on_where_it_was(flows):
    flow = flows("Waits")
    flow.start()
    flow.until("waiting")
    assert flow.control("pause").json == {"status": "paused"}
    assert flow.event("approved", 1).status == 202
    time.sleep(0.2)  # nothing is to happen
    assert flow.status()["status"] == "paused" and flow.tally() == []
    assert flow.control("resume").status == 200
    assert flow.until("complete")["output"]["by"] == 1


def test_a_terminated_run_is_never_revived(flows):
    flow = flows("Waits")
    flow.start()
    flow.until("waiting")
    assert flow.control("terminate").json == {"status": "terminated"}
    for verb in ("resume", "pause"):
        expect_problem(flow.control(verb), 409, "conflict")
    expect_problem(flow.event("approved"), 409, "conflict")
    assert flow.control("terminate").status == 200
    assert flow.status()["status"] == "terminated" and flow.tally() == []


def test_a_run_that_ended_is_not_terminated(flows):
    flow = flows("Sum")
    flow.run({"a": 1, "b": 2})
    expect_problem(flow.control("terminate"), 409, "conflict")
    assert flow.status()["status"] == "complete"


def test_a_restart_begins_anew(flows):
    flow = flows("Retries")
    flow.run(2)
    assert flow.control("restart").json == {"status": "running"}
    flow.until("complete")
    assert flow.tally() == [1, 2, 1, 2]


def test_a_restart_from_a_step_keeps_those_before_it(flows):
    flow = flows("Sum")
    flow.run({"a": 1, "b": 2})
    before = flow.status()["steps"]
    assert flow.control("restart", {"from": "second"}).status == 200
    told = flow.until("complete")
    assert told["output"]["sum"] == 4
    assert told["steps"][:2] == before[:2] and told["steps"][2]["started"] > before[2]["started"]


def test_code_starts_and_controls_workflows(flows):
    starter, client = flows("Starter"), flows("Starter").client
    call = lambda method, *args: client.post(f"{starter.path}/call/{method}", json=list(args))
    assert call("start", "made").json == {"result": "made"}
    assert flows("Sum", "made").until("complete")["output"]["sum"] == 4
    assert call("status", "made").json["result"]["status"] == "complete"
    assert call("startTwice", "other").json == {"result": "The workflow was started before."}
    assert call("batch", ["b1", "b2", "made"]).json == {"result": ["b1", "b2"]}
    waits = flows("Waits", "w")
    waits.start()
    waits.until("waiting")
    assert call("control", "w", "pause").json["result"]["status"] == "paused"
    assert call("control", "w", "resume").status == 200
    assert call("approve", "w", "yes").status == 200
    assert waits.until("complete")["output"]["by"] == "yes"
    assert call("status", "none").status == 500


def test_a_sleep_until_a_time_ends_then(flows):
    for number, date in enumerate([True, False]):
        at = int(time.time() * 1000) + 300
        told = flows("Until", f"u{number}").run({"at": at, "date": date})
        assert at <= told["output"] < at + 5000, told
        assert told["steps"][0]["ended"] >= at


def test_the_defaults_of_a_step_are_those_of_the_contract(flows):
    flow = flows("Defaults")
    flow.start()
    flow.until("waiting")
    assert flow.tally() == [{"retries": {"limit": 5, "delay": "10 seconds", "backoff": "exponential"}, "timeout": "10 minutes"}]
    step = flow.step("plain")
    assert (step["status"], step["attempts"], step["error"]["message"]) == ("waiting", 1, "first")
    assert 9000 < step["due"] - step["started"] < 12000
    flow.control("terminate")


def test_a_run_of_many_steps_is_replayed_page_by_page(flows):
    flow = flows("Steps")
    assert flow.start({"steps": 1100, "rest": 1050, "ms": 3000}).status == 201  # long enough for its isolate to go
    told = flow.until("complete", seconds=90)
    assert told["output"] == list(range(1, 1101))
    assert len(flow.tally()) == 1100


def test_a_step_under_way_ends_before_the_run_is_paused(flows):
    flow = flows("Long")
    flow.start(500)
    wait_until(lambda: flow.tally() == ["begun"])
    assert flow.control("pause").json == {"status": "paused"}
    wait_until(lambda: flow.step("long")["status"] == "complete" if flow.status()["steps"] else False)
    assert flow.status()["status"] == "paused" and flow.tally() == ["begun"]
    flow.control("resume")
    flow.until("complete")
    assert flow.tally() == ["begun", "after"]


def test_a_long_step_is_shown_while_it_runs_and_stopped_by_terminate(flows):
    flow = flows("Long")
    flow.start(60000)
    wait_until(lambda: flow.status()["steps"])
    step = flow.step("long")
    assert (step["status"], step["attempts"], step["ended"]) == ("running", 1, None)
    assert flow.control("terminate").status == 200
    assert "code" not in flow.info().json, "its code does not run any more"
    assert flow.status()["status"] == "terminated"


def test_deleting_the_actor_takes_its_run_along(flows):
    flow = flows("Waits")
    flow.start()
    flow.until("waiting")
    assert flow.destroy().status == 204
    expect_problem(flow.client.get(f"{flow.path}/workflow"), 404, "no_such_workflow")
    assert flow.start().status == 201
    flow.until("waiting")
    flow.event("approved")
    assert flow.until("complete")["output"]["by"] is None


# What dies


class Own:
    """Runs on a node of the test's own."""

    def __init__(self, node, source=FLOWS):
        self.node = node
        assert deploy(node.client, source, "own").status == 200

    def __call__(self, name, actor_id="run-1"):
        return Flow(self.node.client, actor_id, "own", name)


def test_a_run_that_waits_has_no_process_and_survives_kill_9(node):
    flows = Own(node)
    runs = {"Waits": None, "Steps": {"steps": 4, "rest": 1, "ms": 6000}}
    for name, params in runs.items():
        flow = flows(name, name)
        flow.start(params)
        flow.until("waiting")
        assert "code" not in flow.info().json
        assert flow.client.post(f"{flow.path}/hibernate").status == 204
        wait_until(lambda flow=flow: flow.info().json["state"] == "hibernated", 5)
    node.restart(kill=True)
    waits = flows("Waits", "Waits")
    assert waits.status()["status"] == "waiting"
    assert waits.event("approved", 1).status == 202
    assert waits.until("complete")["output"]["by"] == 1
    assert flows("Steps", "Steps").until("complete")["output"] == [1, 2, 3, 4]


def test_a_run_that_was_under_way_goes_on_after_kill_9(node):
    flows = Own(node)
    flows("Steps").start({"steps": 300, "rest": -1})
    wait_until(lambda: len(flows("Steps").status()["steps"]) > 20)
    node.restart(kill=True)
    told = flows("Steps").until("complete", seconds=60)
    assert [s["name"] for s in told["steps"]] == [f"step {n}" for n in range(300)]
    tally = flows("Steps").tally()
    assert sorted(set(tally)) == list(range(300)) and len(tally) <= 301, "only what was under way is run again"


def test_new_code_takes_a_run_up_where_it_was(node):
    flows = Own(node)
    flows("Steps").start({"steps": 3, "rest": 1, "ms": 3000})
    flows("Steps").until("waiting")
    assert deploy(node.client, FLOWS.replace("return order;", "return { order, new: true };"), "own").status == 200
    assert flows("Steps").until("complete")["output"] == {"order": [1, 2, 3], "new": True}


@pytest.mark.parametrize("old, new, says", [
    ("`step ${n}`", "`other ${n}`", '"step 0"'),
    ('await step.sleep("rest"', 'if (false) await step.sleep("rest"', '"rest"'),
    ('await step.sleep("rest", event.payload.ms ?? "1 day")', 'await step.do("rest", async () => 1)', '"rest"'),
    ("const order = [];", "return 1;", '"step 0"'),
])
def test_code_that_is_not_that_of_the_journal_ends_the_run(node, old, new, says):
    flows = Own(node)
    flows("Steps").start({"steps": 3, "rest": 1, "ms": 2500})
    flows("Steps").until("waiting")
    assert old in FLOWS
    assert deploy(node.client, FLOWS.replace(old, new), "own").status == 200
    told = flows("Steps").until("errored", "complete")
    assert told["error"]["name"] == "WorkflowDivergedError" and says in told["error"]["message"], told
    assert flows("Steps").tally() == [0, 1], "nothing new was begun"


def test_a_step_that_kills_its_isolate_is_tried_again_later_and_later(node):
    flows = Own(node, FLOWS)
    flows("Bad", "memory").start({"kind": "memory"})
    wait_until(lambda: any(s["attempts"] > 1 for s in flows("Bad", "memory").status()["steps"]), 60)
    assert flows("Bad", "memory").control("terminate").status == 200


def test_runs_go_on_where_the_leader_of_their_shard_was_killed(tmp_path):
    cluster = Cluster(tmp_path / "cluster", 3)
    try:
        flows = Own(cluster.nodes[1])
        asked, waits = [flows("Steps", f"s{n}") for n in range(12)], [flows("Waits", f"w{n}") for n in range(6)]
        for flow in waits:
            assert flow.start().status == 201
            flow.until("waiting")
        for flow in asked:
            assert flow.start({"steps": 60, "rest": 20, "ms": 300}).status == 201
        cluster.nodes.pop(2).kill9()
        for flow in waits:
            wait_until(lambda flow=flow: flow.event("approved", 1).status == 202)
        for flow in asked + waits:
            wait_until(lambda flow=flow: flow.client.get(f"{flow.path}/workflow").status == 200)
            told = flow.until("complete", "errored", seconds=60)
            assert told["status"] == "complete", told
        for flow in asked:
            tally = flow.tally()
            assert sorted(set(tally)) == list(range(60)) and tally == sorted(tally), tally
    finally:
        cluster.finish()
