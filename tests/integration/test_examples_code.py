"""The classes of examples/, deployed as they are and used on a real node."""

import http.server
import json
import pathlib
import threading

import pytest
import websocket

from client import Actor, expect_problem, wait_until
from test_cli_deploy import dormouse

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def deploy(node, name, *options):
    dormouse(node, "deploy", EXAMPLES / name, *options)
    return node


def call(actor, method, *arguments):
    answer = actor.client.post(f"{actor.path}/call/{method}", json=list(arguments))
    assert answer.status == 200, answer
    return answer.json["result"]


# counter


@pytest.fixture
def counters(node):
    return deploy(node, "counter")


def test_a_counter_counts_and_is_there_after_kill_9(counters):
    visits = Actor(counters.client, "visits", "counter", "Counter")
    assert [call(visits, "increment"), call(visits, "increment", 5), call(visits, "value")] == [1, 6, 6]
    counters.restart(kill=True)
    visits = Actor(counters.client, "visits", "counter", "Counter")
    assert call(visits, "increment") == 7
    assert visits.get("value").json == 7, "storage and keys are one"
    call(visits, "reset")
    assert visits.info().json["keys"] == 0


def test_a_counter_loses_no_increment_of_many_at_a_time(counters):
    from client import Client

    def run():
        actor = Actor(Client(counters.url), "busy", "counter", "Counter")
        for _ in range(50):
            call(actor, "increment")

    threads = [threading.Thread(target=run) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert call(Actor(counters.client, "busy", "counter", "Counter"), "value") == 400


def test_what_a_counter_throws_comes_back(counters):
    answer = counters.client.post("/v1/counter/Counter/x/call/increment", json=["one"])
    problem = answer.json
    assert (answer.status, problem["code"], problem["name"]) == (500, "actor_exception", "RangeError")
    assert problem["message"] == "not a whole number: one"
    expect_problem(counters.client.post("/v1/counter/Counter/x/call/nope", json=[]), 404, "no_such_method")


def test_the_entry_module_routes_to_counters(counters):
    c = counters.client
    assert c.post("/w/counter/home").json == {"name": "home", "value": 1}
    assert c.get("/w/counter/home").json == {"name": "home", "value": 1}
    assert c.delete("/w/counter/home").status == 405
    assert c.get("/w/counter/").status == 404


# rate-limiter


def test_a_limiter_gives_so_many_at_once_and_then_says_when(node):
    deploy(node, "rate-limiter", "--var", "BURST=3", "--var", "PER_MINUTE=1")
    bucket = Actor(node.client, "ada", "limits", "RateLimiter")
    taken = [call(bucket, "take") for _ in range(4)]
    assert [t["allowed"] for t in taken] == [True, True, True, False]
    assert 0 < taken[3]["retry_after_ms"] <= 60_000
    refused = node.client.get("/w/limits/ada")
    assert refused.status == 429 and 0 < int(refused.headers["retry-after"]) <= 60
    assert call(Actor(node.client, "bob", "limits", "RateLimiter"), "take")["allowed"] is True


def test_a_full_bucket_leaves_nothing_behind(node):
    deploy(node, "rate-limiter", "--var", "BURST=3", "--var", "PER_MINUTE=600")
    bucket = Actor(node.client, "ada", "limits", "RateLimiter")
    assert call(bucket, "take", 3)["allowed"] is True
    assert bucket.info().json["keys"] == 1
    wait_until(lambda: bucket.info().json["keys"] == 0, what="the alarm")
    assert call(bucket, "take", 3)["allowed"] is True


# chat


class Visitor:
    def __init__(self, node, name, room="lobby"):
        url = node.url.replace("http:", "ws:") + f"/v1/chat/Room/{room}/ws?name={name}"
        self.socket = websocket.create_connection(url, timeout=30)

    def say(self, text):
        self.socket.send(text)

    def hear(self):
        return json.loads(self.socket.recv())

    def leave(self):
        self.socket.close()


def test_a_room_tells_everybody_what_is_said_and_who_comes_and_goes(node):
    deploy(node, "chat")
    ada = Visitor(node, "ada")
    assert ada.hear() == {"history": []}
    bob = Visitor(node, "bob")
    assert bob.hear() == {"history": []}
    assert ada.hear() == {"joined": "bob"}
    ada.say("hello")
    for visitor in [ada, bob]:
        said = visitor.hear()["said"]
        assert (said["from"], said["text"]) == ("ada", "hello") and said["at"] > 1_600_000_000_000
    assert node.client.get("/v1/chat/Room/lobby/fetch/").json["here"] == ["ada", "bob"]
    bob.leave()
    assert ada.hear() == {"left": "bob"}
    ada.leave()


def test_sockets_stay_open_while_a_room_sleeps(node):
    deploy(node, "chat")
    ada, bob = Visitor(node, "ada"), Visitor(node, "bob")
    room = Actor(node.client, "lobby", "chat", "Room")
    assert [ada.hear(), ada.hear(), bob.hear()] == [{"history": []}, {"joined": "bob"}, {"history": []}]
    assert node.client.post(room.path + "/hibernate").status == 204
    wait_until(lambda: room.info().json["state"] == "hibernated", what="sleep")
    ada.socket.send("ping")
    assert ada.socket.recv() == "pong"
    assert room.info().json["state"] == "hibernated", "it was answered for it"
    bob.say("still here")
    assert [v.hear()["said"]["from"] for v in [ada, bob]] == ["bob", "bob"]
    ada.leave()
    bob.leave()


def test_a_room_remembers_the_last_that_was_said(node):
    deploy(node, "chat", "--var", "HISTORY=3")
    ada = Visitor(node, "ada")
    ada.hear()
    for n in range(5):
        ada.say(f"line {n}")
        ada.hear()
    ada.leave()
    eve = Visitor(node, "eve")
    assert [said["text"] for said in eve.hear()["history"]] == ["line 2", "line 3", "line 4"]
    eve.socket.send_binary(b"x")
    assert "error" in eve.hear()
    eve.leave()


# agent


class Model(http.server.ThreadingHTTPServer):
    """Speaks as a model would: it repeats the last message, and says how many there were."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Model.Handler)
        self.asked = []
        self.refuses = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.asked.append(asked)
            status = 200
            if self.server.refuses > 0:
                self.server.refuses -= 1
                status = 503
            content = f"{len(asked['messages'])}: {asked['messages'][-1]['content']}"
            body = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass


@pytest.fixture
def model():
    with Model() as server:
        yield server
        server.shutdown()


@pytest.fixture
def ada(start_node, model):
    """An agent whose model is ours."""
    node = start_node("--allow-private-targets")
    port = model.server_address[1]
    deploy(node, "agent", "--var", f"MODEL_URL=http://127.0.0.1:{port}/v1/chat/completions",
           "--allow", f"127.0.0.1:{port}")
    return Actor(node.client, "ada", "agent", "Agent")


def test_an_agent_asks_its_model_and_remembers(ada, model):
    assert call(ada, "ask", "What is a dormouse?") == "2: What is a dormouse?"
    assert call(ada, "ask", "And a mouse?") == "4: And a mouse?"
    assert [m["role"] for m in model.asked[1]["messages"]] == ["system", "user", "assistant", "user"]
    assert [m["content"] for m in call(ada, "messages")] == [
        "What is a dormouse?", "2: What is a dormouse?", "And a mouse?", "4: And a mouse?"]
    call(ada, "forget")
    assert call(ada, "messages") == []


def test_a_turn_that_fails_leaves_nothing_and_can_be_tried_again(ada, model):
    model.refuses = 1
    answer = ada.client.post(f"{ada.path}/call/ask", json=["hello"])
    assert answer.status == 500 and "the model answered 503" in answer.json["message"]
    assert call(ada, "messages") == []
    assert call(ada, "ask", "hello") == "2: hello"


def test_a_reminder_comes_by_itself(ada, model):
    call(ada, "remind", "water the plants", 200)
    wait_until(lambda: len(call(ada, "messages")) == 2, what="the reminder")
    assert call(ada, "messages")[0]["content"] == "Reminder: water the plants"


def test_an_agent_reaches_its_model_and_nobody_else(start_node, model):
    node = start_node("--allow-private-targets")
    port = model.server_address[1]
    deploy(node, "agent", "--var", f"MODEL_URL=http://127.0.0.1:{port}/v1/chat/completions")
    answer = node.client.post("/v1/agent/Agent/ada/call/ask", json=["hello"])
    assert answer.status in (403, 500) and model.asked == []
