"""Section 7, status and metrics of code: what it took, how its isolates ended, what they are locked down by."""

import itertools
import json
import re
import time

import pytest

from client import expect_problem, wait_until
from test_classes import Class, deploy
from test_cli_deploy import dormouse
from test_tokens import bearer, create

CODE = """
import { DurableObject } from "cloudflare:workers";
export class Worker extends DurableObject {
  work(ms) { const until = Date.now() + ms; while (Date.now() < until); return ms; }
  hold(megabytes) { this.held = new Uint8Array(megabytes << 20).fill(1); }
  throws() { throw new Error("no"); }
  grows() { const a = []; for (;;) a.push(new Uint8Array(16 << 20).fill(1)); }
  async ask(url) { try { return (await fetch(url)).status; } catch (e) { return String(e.message); } }
}
export default { fetch: () => new Response("ok") };
"""
ENDINGS = {"done", "idle", "deployed", "slept", "room", "moved", "cpu", "wall", "memory", "threw", "aborted",
           "reset", "protocol", "died", "unborn"}
MB = 1 << 20

_numbers = itertools.count(1)


@pytest.fixture
def own(start_node):
    node = start_node("--workers", "2")
    assert deploy(node.client, CODE).status == 200
    return node


def status(node):
    """What other workers have done shows a moment later."""
    answer = node.client.get("/admin/v1/status")
    assert answer.status == 200
    return answer.json


def ended(node):
    return {reason: n for reason, n in status(node)["code"]["ended"].items() if n > 0}


def metrics(node):
    """{name with labels: value}"""
    lines = node.client.get("/metrics").body.decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def worker(node, actor="a"):
    return Class(node.client, actor, "app", "Worker")


def test_status_says_what_locks_isolates_down(own):
    before = status(own)
    assert (before["node"], before["workers"]) == (1, 2) and re.fullmatch(r"\d+\.\d+\.\d+.*", before["version"])
    assert before["isolates"]["no_code"] is None
    assert worker(own).call("work", 0).status == 200
    wait_until(lambda: "seccomp" in status(own)["isolates"]["layers"])
    after = status(own)
    assert {"no_new_privs", "subreaper"} <= set(after["launcher"]["layers"])
    told = metrics(own)
    assert told['dormouse_lockdown_layer{program="isolate",layer="seccomp"}'] == 1
    assert told['dormouse_lockdown_layer{program="launcher",layer="no_new_privs"}'] == 1


def await_steady_memory(node):
    """All that are kept warm are there, and have been looked at: what is counted stays as it is."""
    seen = []

    def is_steady():
        told = status(node)["isolates"]
        seen.append((told["alive"], told["memory_bytes"]))
        time.sleep(0.2)  # between two looks; the condition is that five of them say the same
        return len(seen) >= 5 and max(b for _, b in seen[-5:]) - min(b for _, b in seen[-5:]) < MB \
            and len({alive for alive, _ in seen[-5:]}) == 1

    wait_until(is_steady)


def test_live_isolates_and_their_memory_are_counted(own):
    assert worker(own).call("hold", 40).status == 200
    await_steady_memory(own)
    wait_until(lambda: worker(own).info().json["code"]["memory_bytes"] > 40 * MB)
    wait_until(lambda: status(own)["isolates"]["memory_bytes"] > 40 * MB)
    held = status(own)["isolates"]["memory_bytes"]
    wait_until(lambda: status(own)["code"]["sessions"] == 1)
    told = status(own)
    assert told["code"]["sessions"] == 1 and told["isolates"]["alive"] >= told["isolates"]["warm"] + 1
    assert told["isolates"]["started"] >= told["isolates"]["alive"] and told["isolates"]["zygotes_started"] >= 1
    assert held > 40 * MB and metrics(own)["dormouse_isolate_memory_bytes"] > 40 * MB
    assert metrics(own)["dormouse_code_sessions"] == 1
    wait_until(lambda: own.client.post(f"{worker(own).path}/hibernate").status == 204 and
               status(own)["code"]["sessions"] == 0)
    wait_until(lambda: status(own)["isolates"]["memory_bytes"] < held - 30 * MB)
    wait_until(lambda: ended(own) == {"slept": 1})


def test_isolates_are_counted_by_how_they_ended(own):
    assert set(status(own)["code"]["ended"]) == ENDINGS
    worker(own, "b").call("grows")
    path = worker(own).path
    for code, limits in [("() => 1", {}), ("() => { for (;;); }", {"cpu_ms": 20}),
                         ("() => new Promise(() => {})", {"wall_ms": 20}), ("throw 1", {})]:
        own.client.post(f"{path}/execute", json={"code": code, "limits": limits})
    worker(own).call("work", 0)
    assert own.client.delete(path).status == 204
    wait_until(lambda: {"done", "cpu", "wall", "threw", "slept"} <= set(ended(own)))
    counted = ended(own)
    assert (counted["done"], counted["cpu"], counted["wall"]) == (1, 1, 1)
    assert metrics(own)['dormouse_code_sessions_ended_total{reason="cpu"}'] == 1
    worker(own).call("work", 0)
    deploy(own.client, CODE)
    worker(own).call("work", 0)
    wait_until(lambda: "deployed" in ended(own))


def test_calls_exceptions_and_cpu_time_are_counted_by_class(own):
    for _ in range(3):
        worker(own).call("work", 50)
    expect_problem(worker(own).call("throws"), 500, "actor_exception")
    own.client.get("/w/app/x")

    def named(name):
        return {c["class"]: c[name] for c in status(own)["code"]["classes"]}

    wait_until(lambda: named("events") == {"Worker": 4, None: 1})
    assert named("exceptions") == {"Worker": 1, None: 0}
    wait_until(lambda: named("cpu_ms")["Worker"] > 0)
    told = metrics(own)
    labels = '{namespace="app",class="Worker"}'
    assert told["dormouse_code_events_total" + labels] == 4 and told["dormouse_code_exceptions_total" + labels] == 1
    assert 0 < told["dormouse_code_cpu_seconds_total" + labels] < 10
    assert told['dormouse_code_events_total{namespace="app",class=""}'] == 1


def test_classes_beyond_the_bound_of_labels_are_one(own):
    for n in range(70):
        own.client.post(f"/v1/n{n}/Store/a/execute", json={"code": "() => 1"})
    wait_until(lambda: status(own)["code"]["events"] == 70)
    classes = status(own)["code"]["classes"]
    assert len(classes) <= 65 and sum(c["events"] for c in classes) == 70
    assert sum(n for name, n in metrics(own).items() if name.startswith("dormouse_code_events_total")) == 70


def test_an_actor_tells_what_its_code_took(own):
    actor = worker(own)
    assert "code" not in actor.info().json
    for _ in range(3):
        actor.call("work", 30)
    told = actor.info().json["code"]
    assert set(told) == {"calls", "cpu_ms", "memory_bytes"}
    assert told["calls"] == 3 and 0 < told["cpu_ms"] < 10_000 and told["memory_bytes"] > 0
    assert "code" not in Class(own.client, "s", "app", "Store").info().json


def test_requests_to_the_outside_are_counted_by_outcome(start_node):
    node = start_node("--allow-private-targets")
    assert deploy(node.client, CODE).status == 200
    worker(node).call("ask", "http://127.0.0.1:1/")
    told = status(node)["egress"]
    assert (told["denied"], told["failed"], told["started"]) == (1, 0, 0), "there is no list"
    assert deploy(node.client, CODE, egress={"allow": ["127.0.0.1:1"]}).status == 200
    worker(node).call("ask", "http://127.0.0.1:1/")
    worker(node).call("ask", "http://127.0.0.1:2/")
    wait_until(lambda: status(node)["egress"]["denied"] == 2)
    told = status(node)["egress"]
    assert (told["answered"], told["failed"], told["started"]) == (0, 1, 1) and "seccomp" in told["layers"]
    outcomes = [n for name, n in metrics(node).items() if name.startswith("dormouse_egress_requests_total")]
    assert sorted(outcomes) == [0, 0, 1, 2]


def test_status_needs_admin(own):
    root = create(own.client, "*", ["admin"])["token"]
    token = create(own.client, "*", ["inspect", "call", "deploy"], root)["token"]
    expect_problem(own.client.get("/admin/v1/status", headers=bearer(token)), 403, "forbidden")
    assert own.client.get("/admin/v1/status", headers=bearer(root)).status == 200


def test_the_command_line_says_what_runs(own):
    assert worker(own).call("work", 0).status == 200
    wait_until(lambda: status(own)["isolates"]["warm"] > 0)
    told = dormouse(own, "status").stdout
    assert re.search(r"^code: 1 awake, \d+ kept warm, .* locked down by .*seccomp", told, re.M), told
    shown = json.loads(dormouse(own, "--json", "status").stdout)
    assert shown["node"]["code"]["sessions"] == 1 and shown["cluster"]["members"][0]["id"] == 1
