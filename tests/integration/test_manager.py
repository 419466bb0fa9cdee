"""What a process manager hears of a node: sd_notify(3), as in dormoused(8)."""

import json
import os
import select
import signal
import socket
import subprocess

import pytest

from client import wait_until
from manager import HeldThread, Manager
from node import START_SECONDS, STOP_SECONDS, program
from test_tls import certificates, shown_name  # noqa: F401 -- a fixture


@pytest.fixture
def start_manager(tmp_path):
    managers = []

    def start(watchdog_ms=None):
        managers.append(Manager(tmp_path / f"notify{len(managers)}", watchdog_ms))
        return managers[-1]

    yield start
    for manager in managers:
        manager.close()


def stalled_workers(node):
    events = [json.loads(line) for line in node.stderr.splitlines()]
    return [event["worker"] for event in events if event["event"] == "worker_stalled"]


def test_ready_is_told_after_the_ready_line(start_manager, tmp_path):
    manager = start_manager()
    process = subprocess.Popen(
        [program(), "--data", tmp_path / "data", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **manager.environment})
    try:
        ready = manager.await_field("READY")
        assert select.select([process.stdout], [], [], 0)[0]
        url = json.loads(process.stdout.readline())["url"]
        assert ready == {"READY": "1", "STATUS": f"Serving {url}"}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
        process.stdout.close()


def test_a_start_tells_what_it_does_and_asks_for_time(start_manager, start_node):
    manager = start_manager()
    start_node(environment=manager.environment)
    manager.await_field("READY")
    assert manager.messages[0] == {"STATUS": "Reading the log"}
    granted = [int(m["EXTEND_TIMEOUT_USEC"]) for m in manager.messages[1:-1]]
    assert granted and min(granted) >= 30 * 1000 * 1000


def test_stopping_is_told_before_open_requests_are_finished(start_manager, start_node):
    manager = start_manager()
    node = start_node(environment=manager.environment)
    with socket.create_connection(("127.0.0.1", node.port)) as client:
        client.sendall(b"PUT /v1/test/Store/a/kv/k HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                       b"Content-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        node.process.send_signal(signal.SIGTERM)
        message = manager.await_field("STOPPING")
        assert message == {"STOPPING": "1", "STATUS": "Finishing open requests"}
        assert node.process.poll() is None
        client.sendall(b"1")
        assert client.recv(4096).startswith(b"HTTP/1.1 204 ")
    node.stop()
    manager.read_all()
    assert manager.messages[-1] == message


def test_a_healthy_node_is_alive_again_and_again(start_manager, start_node):
    manager = start_manager(watchdog_ms=2000)
    node = start_node("--workers", "2", environment=manager.environment)
    manager.await_field("READY")
    for _ in range(5):
        assert manager.await_field("WATCHDOG") == {"WATCHDOG": "1"}
    node.stop()


@pytest.mark.parametrize("worker", [0, 1])
def test_a_worker_that_stands_still_lets_the_watchdog_fire(start_manager, start_node, worker):
    manager = start_manager(watchdog_ms=2000)
    node = start_node("--workers", "2", environment=manager.environment)
    manager.await_field("WATCHDOG")
    with HeldThread(node.pid, f"worker-{worker}"):
        manager.await_watchdog()
        wait_until(lambda: worker in stalled_workers(node), what="the name of the worker in the log")
    manager.await_field("WATCHDOG")  # it goes on, and is heard again
    node.stop()


def test_certificate_and_watchdog_are_looked_after_by_one_thread(
        start_manager, start_node, certificates):  # noqa: F811
    manager = start_manager(watchdog_ms=2000)
    node = start_node(*certificates.flags, ca=certificates.ca, environment=manager.environment)
    assert node.url.startswith("https:")
    assert manager.await_field("READY")["STATUS"] == f"Serving {node.url}"
    manager.await_field("WATCHDOG")
    certificates.issue("second")
    wait_until(lambda: shown_name(node) == "second", what="the new certificate")
    manager.read_all()
    manager.await_field("WATCHDOG")


def test_a_manager_without_a_watchdog_is_not_called_while_the_node_serves(
        start_manager, start_node):
    manager = start_manager()
    node = start_node(environment=manager.environment)
    manager.await_field("READY")
    node.stop()
    manager.read_all()
    assert [sorted(m) for m in manager.messages if "EXTEND_TIMEOUT_USEC" not in m] == [
        ["STATUS"], ["READY", "STATUS"], ["STATUS", "STOPPING"]]


def test_a_watchdog_of_another_process_is_not_ours(start_manager, start_node):
    manager = start_manager(watchdog_ms=2000)
    node = start_node(environment={**manager.environment, "WATCHDOG_PID": str(os.getpid())})
    node.stop()
    manager.read_all()
    assert not [m for m in manager.messages if "WATCHDOG" in m]


def test_a_manager_that_is_gone_does_not_matter(start_node, tmp_path):
    node = start_node(environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert node.client.get("/healthz").status == 200
    node.stop()


def test_a_node_that_cannot_start_is_never_ready(start_manager, start_node, tmp_path):
    other = start_node()
    manager = start_manager()
    process = subprocess.run(
        [program(), "--data", tmp_path / "data", "--listen", f"127.0.0.1:{other.port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=START_SECONDS,
        env={**os.environ, **manager.environment})
    assert process.returncode == 1 and process.stderr
    manager.read_all()
    assert manager.messages and not [m for m in manager.messages if "READY" in m]
