"""A node's broker for sandboxes, end to end: secrets of the cluster, the authority that it makes, the egress process and
the audit log, with a namespace of the test's own in place of a sandbox (tests/lib/box_node.c)."""

import array
import json
import os
import shutil
import signal
import socket
import threading

import pytest

from client import quote, wait_until
from egress_box import TRUST, Box, Inside
from node import built_program, program
from test_audit import audit
from test_fetch import outside  # noqa: F401 -- a fixture

SECRET = "sk-real-0123456789abcdef"


def hand_over(path, sockets):
    """Whoever connects there is given the sockets, once."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen(1)
        connection, _ = listener.accept()
        with connection:
            fds = array.array("i", [s.fileno() for s in sockets])
            connection.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
            connection.recv(1)


class Broker:
    def __init__(self, node, directory):
        self.node, self.directory = node, directory
        self.ca = str(directory / "ca.pem")
        self.opened = 0

    def open(self, name, inside, rules):
        self.opened += 1
        path = str(self.directory / f"socket{self.opened}")
        thread = threading.Thread(target=hand_over, args=[path, inside.sockets], daemon=True)
        thread.start()
        wait_until(lambda: os.path.exists(path))
        answer = self.set_rules(name, rules, path)
        assert answer.status == 204, answer
        thread.join()

    def set_rules(self, name, rules, path="/none"):
        return self.node.client.get(f"/admin/v1/audit?box={quote(path)}&name={name}&rules={quote(json.dumps(rules))}")

    def close(self, name):
        assert self.node.client.get(f"/admin/v1/audit?close={name}").status == 204

    def fetch_ca(self):
        def has_come():
            pem = self.node.client.get("/admin/v1/audit?ca=1").body
            with open(self.ca, "wb") as f:
                f.write(pem)
            return pem.startswith(b"-----BEGIN CERTIFICATE-----")
        wait_until(has_come)


@pytest.fixture
def brokered(start_node, tmp_path):
    """A node that opens boxes, where the programs that it starts are found."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ["dormouse-launcher", "dormouse-egress", "dormouse-isolate"]:
        os.symlink(os.path.join(os.path.dirname(program()), name), folder / name)
    binary = str(folder / "dormoused")
    shutil.copy2(built_program("tests/lib/box_node"), binary)
    return start_node("--allow-private-targets", "--workers", "1", binary=binary)


@pytest.fixture
def inside(tmp_path):
    made = Inside(tmp_path / "inside")
    yield made
    made.close()


def curl(inside, broker, url, *options, ok=True):
    fake = type("Box", (), {"inside": inside, "trust": {name: broker.ca for name in TRUST}})()
    return Box.curl(fake, url, *options, ok=ok)


def egress_pid(node):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f, open(f"/proc/{pid}/stat", encoding="ascii") as s:
                parent = int(s.read().rsplit(")", 1)[1].split()[1])
                is_ours = b"dormouse-egress" in f.read() and parent_of(parent) == node.pid
            if is_ours:
                return int(pid)
        except OSError:
            pass
    return None


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as s:
        return int(s.read().rsplit(")", 1)[1].split()[1])


def test_a_sandbox_asks_with_the_clusters_secrets_under_the_clusters_authority(brokered, inside, outside, tmp_path):
    broker, c = Broker(brokered, tmp_path), brokered.client
    rules = {"allow": [outside.host], "inject": {"127.0.0.1": {"X-Sent": "k={{secret:KEY}}"}}}
    broker.open("dev", inside, rules)
    broker.fetch_ca()
    url, via = outside.url + "/x", ["--proxy", "http://127.0.0.1:3128"]
    wait_until(lambda: curl(inside, broker, url, *via, ok=False).status == 503)  # the secret is not set
    assert c.put("/admin/v1/namespaces/app/secrets/KEY", json={"value": SECRET}).status == 204
    result = curl(inside, broker, url, *via)
    assert result.status == 200 and "x-seen: k=" + "*" * len(SECRET) in result.heads[-1], result
    denied = curl(inside, broker, "https://evil.example.org/y")  # trusted: its certificate is checked
    assert denied.status == 403 and json.loads(denied.body)["code"] == "egress_denied"
    wait_until(lambda: len([r for r in audit(c)["records"] if r["sandbox"] == "dev"]) >= 3)
    records = audit(c)["records"]
    assert records[-2] == {**records[-2], "namespace": "app", "class": "Agent", "actor": "a", "sandbox": "dev",
                           "method": "GET", "host": "127.0.0.1", "path": "/x", "status": 200, "secrets": ["KEY"]}
    assert records[-1] == {**records[-1], "host": "evil.example.org", "port": 443, "code": "egress_denied"}
    assert SECRET not in json.dumps(records)

    assert broker.set_rules("dev", {"allow": []}).status == 204
    wait_until(lambda: curl(inside, broker, url, *via).status == 403)
    assert broker.set_rules("dev", {"allow": ["a b"]}).status == 400
    broker.close("dev")
    for held in inside.sockets:
        held.close()
    wait_until(lambda: curl(inside, broker, url, *via, ok=False).code == 7)


def test_a_sandbox_keeps_its_sockets_when_the_broker_is_killed(brokered, inside, outside, tmp_path):
    broker = Broker(brokered, tmp_path)
    broker.open("dev", inside, {"allow": [outside.host]})
    via = ["--proxy", "http://127.0.0.1:3128", "--max-time", "20"]
    wait_until(lambda: curl(inside, broker, outside.url, *via, ok=False).status == 200)
    for _ in range(3):
        os.kill(egress_pid(brokered), signal.SIGKILL)
        wait_until(lambda: curl(inside, broker, outside.url, *via, ok=False).status == 200)


def test_the_authority_is_made_once_and_its_key_is_sealed(brokered, tmp_path):
    broker = Broker(brokered, tmp_path)
    broker.fetch_ca()
    with open(broker.ca, "rb") as f:
        first = f.read()
    brokered.restart(kill=True)
    broker.fetch_ca()
    with open(broker.ca, "rb") as f:
        assert f.read() == first
    brokered.stop()
    for folder, _, files in os.walk(brokered.data):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                assert b"PRIVATE KEY" not in f.read(), name
