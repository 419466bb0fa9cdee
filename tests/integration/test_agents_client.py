"""The client of the npm package agents, as it is, against a node (tests/agents)."""

import json
import os
import queue
import socket
import subprocess
import threading

import pytest

from test_agents import AGENT

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "agents")
SECONDS = 30

pytestmark = pytest.mark.skipif(not os.path.exists(os.path.join(FOLDER, "node_modules")),
                                reason="the npm package agents is not installed")


class Driver:
    def __init__(self, url):
        self.process = subprocess.Popen(["node", os.path.join(FOLDER, "client.js"), url.split("//")[1]],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.events = []
        self.answers = queue.Queue()
        self.heard = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            with self.heard:
                if "on" in said:
                    self.events.append(said)
                    self.heard.notify_all()
                else:
                    self.answers.put(said)

    def ask(self, verb, **command):
        self.process.stdin.write(json.dumps({"verb": verb, **command}) + "\n")
        self.process.stdin.flush()
        answer = self.answers.get(timeout=SECONDS)
        assert answer["done"] == verb, answer
        return answer

    def result(self, verb, **command):
        answer = self.ask(verb, **command)
        assert "error" not in answer, answer
        return answer.get("result")

    def wait(self, on, **fields):
        """For an event that has these; those before it are gone."""
        def found():
            for i, event in enumerate(self.events):
                if event["on"] == on and all(event[name] == value for name, value in fields.items()):
                    del self.events[:i + 1]
                    return event
            return None

        with self.heard:
            event = self.heard.wait_for(found, SECONDS)
            assert event, (on, fields, self.events)
            return event

    def end(self):
        self.process.stdin.close()
        self.process.wait(SECONDS)


@pytest.fixture
def driver(start_node):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node = start_node("--listen", f"127.0.0.1:{port}")  # the client knows one address
    answer = node.client.put("/v1/app", json={"modules": {"main.js": AGENT}, "main": "main.js"})
    assert answer.status == 200, answer
    found = Driver(node.url)
    found.node = node
    yield found
    found.end()


def test_the_client_gets_identity_and_state_calls_and_streams(driver):
    driver.result("connect", id=1)
    assert driver.wait("identity", id=1)["agent"] == "my-counter"
    assert driver.result("state", id=1) == {"count": 0}
    assert driver.result("call", id=1, method="add", args=[2]) == 2
    driver.wait("state", id=1, state={"count": 2}, source="server")
    assert driver.result("stream", id=1, method="slow", args=[3]) == {"chunks": [{"i": 0}, {"i": 1}, {"i": 2}], "last": "done"}
    assert driver.ask("call", id=1, method="fails", args=[])["error"] == "no more"
    assert driver.ask("call", id=1, method="hidden", args=[])["error"] == "Method hidden is not callable"
    assert driver.result("fetch", path="x") == "GET /agents/my-counter/a/x 2"


def test_clients_follow_each_others_state(driver):
    driver.result("connect", id=1)
    driver.result("connect", id=2)
    driver.result("set", id=1, state={"count": 7})
    driver.wait("state", id=2, state={"count": 7}, source="server")
    driver.result("set", id=1, state={"count": -7})
    assert driver.wait("state_error", id=1)["error"] == "below zero"


def test_a_client_that_reconnects_after_the_nodes_death_misses_no_state(driver):
    driver.result("connect", id=1)
    for _ in range(3):
        before = driver.result("call", id=1, method="add", args=[1])
        driver.node.kill9()
        driver.wait("close", id=1)
        driver.node.start()
        driver.wait("state", id=1, state={"count": before}, source="server")
        driver.wait("identity", id=1)
        assert driver.result("state", id=1) == {"count": before}
