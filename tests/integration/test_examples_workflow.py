"""The workflow of examples/, and its workers in Python and C, on a real node."""

import pathlib
import subprocess

import pytest

from client import Actor, expect_problem, wait_until
from node import built_program
from test_cli_deploy import dormouse
from test_workflow import Flow

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def orders(node):
    dormouse(node, "deploy", EXAMPLES / "workflow")
    return lambda name: Flow(node.client, name, "orders", "Order")


def order(flow, amount=30):
    return flow.client.post(f"/w/orders/{flow.id}", json={"item": "lamp", "amount": amount})


def test_an_order_that_is_approved_is_shipped_also_after_kill_9(node, orders):
    assert order(orders("o1")).json == {"id": "o1"}
    orders("o1").until("waiting")
    node.restart(kill=True)
    flow = orders("o1")
    assert flow.event("approval", {"ok": True}).status == 202
    assert flow.until("complete")["output"] == {"payment": "o1/charge", "parcel": "o1/ship"}
    assert flow.client.get("/w/orders/o1").json["status"] == "complete"
    expect_problem(order(flow), 500, "actor_exception")


def test_an_order_that_is_not_approved_is_paid_back(orders):
    flow = orders("o2")
    order(flow)
    flow.until("waiting")
    flow.event("approval", {"ok": False})
    told = flow.until("errored")
    assert told["error"]["message"] == "not approved"
    assert told["steps"][-1]["name"] == "charge (rollback)" and told["steps"][-1]["status"] == "complete"


def test_an_order_of_nothing_fails_before_anything_is_done(orders):
    flow = orders("o3")
    order(flow, 0)
    told = flow.until("errored")
    assert told["error"]["message"] == "not an amount: 0" and told["steps"] == []


# Workers


def worker(language, node, job, remind="3600"):
    program = {"python": ["/usr/bin/python3", EXAMPLES / "steps_worker.py"],
               "c": [built_program("examples/steps_worker")]}[language]
    remind = remind if language == "python" else str(int(1000 * float(remind)))
    return subprocess.Popen([*program, node.url, job, remind], stdout=subprocess.PIPE, text=True)


def names(job):
    return [(s["name"], s["state"], s["attempts"]) for s in job.client.get(f"{job.path}/steps").json["steps"]]


@pytest.mark.parametrize("language", ["python", "c"])
def test_workers_that_die_do_a_job_once(node, language):
    job = Actor(node.client, "letter", "examples")
    first = worker(language, node, "letter")
    wait_until(lambda: names(job) == [("draft", "done", 1)])
    first.kill()
    first.communicate()
    others = [worker(language, node, "letter") for _ in range(2)]
    assert job.put("approval", {"by": "ann"}).status == 204
    said = {w.communicate(timeout=60)[0].splitlines()[-1] for w in others}
    assert [w.returncode for w in others] == [0, 0]
    assert said == {{"python": "sent: Dear reader, approved by ann", "c": 'sent: ["Dear reader","ann"]'}[language]}
    assert names(job) == [("draft", "done", 1), ("send", "done", 1)]


@pytest.mark.parametrize("language", ["python", "c"])
def test_a_worker_reminds_of_what_it_waits_for(node, language):
    job = Actor(node.client, "slow", "examples")
    waits = worker(language, node, "slow", "0.1")
    assert waits.stdout.readline().startswith("reminder")
    assert job.put("approval", {"by": "bob"}).status == 204
    assert "bob" in waits.communicate(timeout=60)[0]
