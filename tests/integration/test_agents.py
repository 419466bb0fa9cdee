"""The Agent base class of the module "dormouse": state, calls, schedules, queue, messages, at /agents/{class}/{name}."""

import itertools
import json
import time

import pytest
import websocket

from client import Actor, expect_problem, wait_until

AGENT = """
import { Agent, callable, getAgentByName, routeAgentRequest } from "dormouse";

export class MyCounter extends Agent {
  initialState = { count: 0 };
  onStart() { this.started = (this.started ?? 0) + 1; }
  add(by) { this.setState({ count: this.state.count + by }); return this.state.count; }
  hidden() { return "secret"; }
  async slow(stream, n) { for (let i = 0; i < n; i++) stream.send({ i }); stream.end("done"); }
  fails() { throw new RangeError("no more"); }
  who(...args) { return { name: this.name, args, started: this.started }; }
  validateStateChange(next, source) { if (next.count < 0) throw new Error("below zero"); this.source = source?.id ?? source; }
  onMessage(connection, message) {
    if (message === "state") { connection.send(JSON.stringify(connection.setState({ seen: (connection.state?.seen ?? 0) + 1 }))); return; }
    if (message === "everybody") { this.broadcast(`from ${connection.id}`, [connection.id]); return; }
    if (message === "who") { connection.send(JSON.stringify([...this.getConnections()].map((one) => one.id).sort())); return; }
    connection.send(`own ${message}`);
  }
  shouldConnectionBeReadonly(connection) { return new URL(connection.uri).searchParams.has("readonly"); }
  shouldSendProtocolMessages(connection) { return !new URL(connection.uri).searchParams.has("quiet"); }
  onRequest(request) { return new Response(`${request.method} ${new URL(request.url).pathname} ${this.state.count}`); }

  async note(payload, what) {
    const notes = (await this.ctx.storage.get("notes")) ?? [];
    await this.ctx.storage.put("notes", [...notes, [payload, what?.type ?? "queue"]]);
  }
  async failsTwice(payload, item) {
    const tries = ((await this.ctx.storage.get("tries")) ?? 0) + 1;
    await this.ctx.storage.put("tries", tries);
    if (tries <= 2) throw new Error("not yet");
    await this.note(payload);
  }
  async never() { await this.ctx.storage.put("nevers", ((await this.ctx.storage.get("nevers")) ?? 0) + 1); throw new Error("never"); }
  onError(error) { this.ctx.storage.put("error", error.message); }
  do(method, ...args) { return this[method](...args.map((arg) => arg?.date ? new Date(arg.date) : arg)); }
  say(method, ...args) { return this.messages[method](...args); }
  timers() { return this.ctx.timers.list(); }
  async setTimer(name, spec) { return await this.ctx.timers.set(name, spec); }
  async onTimer(name, payload) { await this.ctx.storage.put("timer", [name, payload]); }
}
callable()(MyCounter.prototype.add);
callable()(MyCounter.prototype.fails);
callable({ description: "who it is" })(MyCounter.prototype.who);
callable({ streaming: true })(MyCounter.prototype.slow);

export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname === "/by-name") {
      return Response.json(await (await getAgentByName(env.MyCounter, "named")).who(1));
    }
    return (await routeAgentRequest(request, env)) ?? new Response("nobody", { status: 404 });
  },
};
"""

_numbers = itertools.count(1)


class Agents(Actor):
    def call(self, method, *arguments):
        answer = self.client.post(f"{self.path}/call/{method}", json=list(arguments))
        assert answer.status == 200, answer
        return answer.json["result"]

    def do(self, *arguments):
        return self.call("do", *arguments)

    def connect(self, query="", name=None):
        ns = self.path.split("/")[2]
        url = f"{self.client.url.replace('http', 'ws', 1)}/agents/my-counter/{name or self.id}?ns={ns}&{query}"
        return websocket.create_connection(url, timeout=30)


@pytest.fixture
def agent(shared_node):
    ns = f"agents-{next(_numbers)}"
    body = {"modules": {"main.js": AGENT}, "main": "main.js"}
    assert shared_node.client.put(f"/v1/{ns}", json=body).status == 200
    found = Agents(shared_node.client, "a", ns, "MyCounter")
    found.client.url = shared_node.url
    found.id, found.ns = "a", ns
    return found


def heard(socket):
    return json.loads(socket.recv())


def greeted(socket):
    """The three messages of a connection; gives the state."""
    identity, state, servers = heard(socket), heard(socket), heard(socket)
    assert identity == {"type": "cf_agent_identity", "name": "a", "agent": "my-counter", "stateFollows": True}
    assert servers["type"] == "cf_agent_mcp_servers"
    assert state["type"] == "cf_agent_state"
    return state["state"]


def rpc(socket, method, *args, id="1"):
    socket.send(json.dumps({"type": "rpc", "id": id, "method": method, "args": args}))


def test_a_connection_is_told_who_it_is_and_the_state(agent):
    agent.call("add", 3)
    assert greeted(agent.connect()) == {"count": 3}


def test_callable_methods_alone_may_be_called(agent):
    socket = agent.connect()
    greeted(socket)
    rpc(socket, "who", 1, "x")
    assert heard(socket) == {"type": "rpc", "id": "1", "success": True, "done": True,
                             "result": {"name": "a", "args": [1, "x"], "started": 1}}
    for method, why in [("hidden", "Method hidden is not callable"), ("nothing", "Method nothing does not exist"),
                        ("setState", "Method setState is not callable"), ("constructor", "Method constructor is not callable"),
                        ("fails", "no more")]:
        rpc(socket, method, id=method)
        assert heard(socket) == {"type": "rpc", "id": method, "success": False, "error": why}


def test_a_stream_is_heard_in_pieces_and_its_end(agent):
    socket = agent.connect()
    greeted(socket)
    rpc(socket, "slow", 2)
    assert [(m["done"], m.get("result")) for m in (heard(socket), heard(socket), heard(socket))] == [
        (False, {"i": 0}), (False, {"i": 1}), (True, "done")]


def test_a_state_that_a_client_sets_is_heard_by_the_others_and_stored(agent):
    one, other = agent.connect("_pk=one"), agent.connect("_pk=other")
    assert greeted(one) == greeted(other) == {"count": 0}
    one.send(json.dumps({"type": "cf_agent_state", "state": {"count": 5}}))
    assert heard(other) == {"type": "cf_agent_state", "state": {"count": 5}}
    one.send(json.dumps({"type": "cf_agent_state", "state": {"count": -1}}))
    assert heard(one) == {"type": "cf_agent_state_error", "error": "below zero"}
    rpc(other, "add", 1)
    assert heard(one) == heard(other) == {"type": "cf_agent_state", "state": {"count": 6}}
    assert heard(other)["result"] == 6
    assert agent.client.post(f"{agent.path}/hibernate").status == 204
    assert greeted(agent.connect()) == {"count": 6}


def test_a_readonly_connection_sets_nothing_and_a_quiet_one_hears_no_protocol(agent):
    readonly, quiet = agent.connect("readonly"), agent.connect("quiet")
    greeted(readonly)
    readonly.send(json.dumps({"type": "cf_agent_state", "state": {"count": 5}}))
    assert heard(readonly)["error"] == "Connection is readonly"
    quiet.send("hello")
    assert quiet.recv() == "own hello"


def test_connections_outlive_the_agents_sleep_with_what_is_remembered_of_them(agent):
    one, other = agent.connect("_pk=one"), agent.connect("_pk=other")
    greeted(one), greeted(other)
    one.send("state")
    assert one.recv() == '{"seen":1}'
    assert agent.client.post(f"{agent.path}/hibernate").status == 204
    wait_until(lambda: agent.client.get(agent.path).json["state"] == "hibernated")
    one.send("state")
    assert one.recv() == '{"seen":2}'
    one.send("everybody")
    assert other.recv() == "from one"
    one.send("who")
    assert json.loads(one.recv()) == ["one", "other"]


def test_requests_that_are_no_sockets_are_the_classes_own(agent):
    answer = agent.client.get(f"/agents/my-counter/a/some/path?ns={agent.ns}")
    assert (answer.status, answer.body) == (200, b"GET /agents/my-counter/a/some/path 0")


def test_who_is_asked_for_has_to_be_deployed_and_one(agent):
    expect_problem(agent.client.get(f"/agents/nobody/a?ns={agent.ns}"), 404, "no_such_class")
    expect_problem(agent.client.get("/agents/my-counter/a?ns=none"), 404, "no_such_class")
    expect_problem(agent.client.get("/agents/my-counter"), 404, "not_found")
    other = f"agents-{next(_numbers)}"
    body = {"modules": {"main.js": AGENT}, "main": "main.js"}
    assert agent.client.put(f"/v1/{other}", json=body).status == 200
    expect_problem(agent.client.get("/agents/my-counter/a"), 400, "bad_request")


def test_the_entry_module_routes_to_agents(agent):
    answer = agent.client.get(f"/w/{agent.ns}/agents/my-counter/b")
    assert (answer.status, answer.body) == (200, b"GET /agents/my-counter/b 0")
    assert agent.client.get(f"/w/{agent.ns}/agents/nobody/b").body == b"nobody"
    assert agent.client.get(f"/w/{agent.ns}/by-name").json == {"name": "named", "args": [1], "started": 1}


def notes(agent):
    found = agent.get("notes")
    return found.json if found.status == 200 else []


def test_schedules_of_every_kind_call_their_method(agent):
    soon = agent.do("schedule", 0.2, "note", {"n": 1})
    assert soon["type"] == "delayed" and soon["callback"] == "note" and abs(soon["time"] - time.time()) < 5
    agent.do("schedule", {"date": int(time.time() * 1000) + 300}, "note", "dated")
    wait_until(lambda: sorted(notes(agent), key=str) == sorted([[{"n": 1}, "delayed"], ["dated", "scheduled"]], key=str))
    wait_until(lambda: agent.do("getSchedules") == [] and agent.call("timers") == [])


def test_an_interval_goes_on_until_it_is_cancelled(agent):
    every = agent.do("scheduleEvery", 1, "note", "tick")
    assert agent.do("scheduleEvery", 1, "note", "tick")["id"] == every["id"], "the same is the same"
    wait_until(lambda: len(notes(agent)) >= 2)
    assert agent.do("cancelSchedule", every["id"]) is True
    assert agent.do("cancelSchedule", every["id"]) is False
    assert agent.do("getSchedules") == []


def test_schedules_are_found_by_id_type_and_time(agent):
    daily = agent.do("schedule", "0 9 * * 1-5", "note", "report", {"name": "report", "tz": "Europe/Berlin"})
    late = agent.do("schedule", 3600, "note", "late")
    assert daily["id"] == "report" and daily["type"] == "cron"
    assert agent.do("schedule", "0 9 * * 1-5", "note", "again", {"name": "report"})["id"] == "report"
    assert [s["id"] for s in agent.do("getSchedules", {"type": "cron"})] == ["report"]
    assert agent.do("getSchedule", late["id"])["payload"] == "late"
    assert agent.do("getSchedule", "report")["payload"] == "again"
    assert agent.do("getSchedule", "none") == {"$undefined": True}


@pytest.mark.parametrize("arguments", [
    ["schedule", "x y z", "note"], ["schedule", -1, "note"], ["schedule", 1, "nothing"], ["scheduleEvery", 0.5, "note"],
    ["schedule", True, "note"], ["queue", "nothing"]])
def test_what_is_no_schedule_is_refused_and_leaves_nothing(agent, arguments):
    answer = agent.client.post(f"{agent.path}/call/do", json=arguments)
    assert answer.status == 500 and answer.json["code"] == "actor_exception", answer
    assert agent.do("getSchedules") == [] and agent.call("timers") == [] and agent.do("getQueues") == []


def test_a_schedule_survives_the_node(start_node):
    node = start_node()
    node.client.put("/v1/app", json={"modules": {"main.js": AGENT}, "main": "main.js"})
    agent = Agents(node.client, "a", "app", "MyCounter")
    agent.do("schedule", 1, "note", "after")
    agent.do("queue", "note", "queued")
    node.restart(kill=True)
    agent = Agents(node.client, "a", "app", "MyCounter")
    wait_until(lambda: ["after", "delayed"] in notes(agent) and ["queued", "queue"] in notes(agent))


def test_a_queue_keeps_its_order_and_tries_again(agent):
    agent.do("queue", "failsTwice", "first", {"id": "f", "retry": {"maxAttempts": 3, "baseDelayMs": 1}})
    agent.do("queue", "note", "second")
    wait_until(lambda: notes(agent) == [["first", "queue"], ["second", "queue"]])
    assert agent.get("tries").json == 3
    wait_until(lambda: agent.do("getQueues") == [])


def test_what_fails_for_good_leaves_the_queue_and_is_told(agent):
    agent.do("queue", "never", None, {"retry": {"maxAttempts": 2, "baseDelayMs": 1}})
    agent.do("queue", "note", "next")
    wait_until(lambda: notes(agent) == [["next", "queue"]])
    assert agent.get("nevers").json == 2 and agent.get("error").json == "never"


def test_named_timers_of_code_call_on_timer(agent):
    assert agent.call("setTimer", "mine", {"in": 50, "payload": {"a": 1}})["name"] == "mine"
    wait_until(lambda: agent.get("timer").status == 200 and agent.get("timer").json == ["mine", {"a": 1}])
    answer = agent.client.post(f"{agent.path}/call/setTimer", json=["mine", {"in": -1}])
    assert answer.status in (400, 500), answer
    assert agent.client.get(f"{agent.path}/timers").json == {"timers": []}


def test_a_conversation_is_a_tree_with_branches_and_pages(agent):
    ids = [agent.call("say", "add", {"role": "user", "content": str(i)})["id"] for i in range(5)]
    assert [m["content"] for m in agent.call("say", "history")["messages"]] == ["0", "1", "2", "3", "4"]
    page = agent.call("say", "history", {"limit": 2})
    assert [m["content"] for m in page["messages"]] == ["3", "4"] and page["next"] == ids[2]
    page = agent.call("say", "history", {"limit": 2, "from": page["next"]})
    assert [m["content"] for m in page["messages"]] == ["1", "2"]
    branch = agent.call("say", "add", {"parentId": ids[1], "role": "user", "content": "else"})
    assert [m["content"] for m in agent.call("say", "history")["messages"]] == ["0", "1", "else"]
    assert [m["id"] for m in agent.call("say", "branches")] == [ids[4], branch["id"]]
    assert [m["content"] for m in agent.call("say", "children", ids[1])] == ["2", "else"]
    agent.call("say", "setHead", ids[4])
    assert len(agent.call("say", "history")["messages"]) == 5
    again = agent.call("say", "add", {"id": "same", "content": "x"})
    assert agent.call("say", "add", {"id": "same", "content": "y"}) == again, "a message of one id is one"
    agent.call("say", "clear")
    assert agent.call("say", "history")["messages"] == []
