"""A cluster of one's own on loopback: its certificates, its nodes, and what it says of itself.

Every node of a cluster has a loopback address of its own, drawn by the process and the node, so fixed ports
are free there whatever else runs on the machine."""

import itertools
import os
import subprocess

from client import wait_until
from node import Node, program

PEER_PORT = 7421
OPTIONS = ["--shards", "8", "--memory", "64M", "--workers", "1", "--max-disk", "1G"]
_hosts = itertools.count(2)


def client_program():
    return os.path.join(os.path.dirname(program()), "dormouse")


def command(*arguments, url=None, code=0, environment=None):
    """What `dormouse` printed."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DORMOUSE_")}
    done = subprocess.run([client_program(), *(["--url", url] if url else []), *map(str, arguments)],
                          env={**clean, **(environment or {})}, capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == code, done
    return done.stdout


def own_host():
    pid = os.getpid()
    return f"127.{1 + (pid >> 8) % 250}.{pid & 255}.{next(_hosts)}"


class Cluster:
    """`nodes` are by their ids. Nodes are given what they need as flags; later starts may have others."""

    def __init__(self, directory, count=3, options=(), binary=None):
        self.directory = str(directory)
        self.certs = os.path.join(self.directory, "certs")
        self.options = [*OPTIONS, *options]
        self.binary = binary
        self.nodes = {}
        os.makedirs(self.directory, exist_ok=True)
        try:
            for number in range(1, count + 1):
                self.begin() if number == 1 else self.join(number)
            self.await_replicas(3 if count >= 3 else 1)
        except BaseException:
            self.finish()
            raise

    def make(self, number, flags, environment=None, certs=None):
        """A node that is not started yet, with the certificate of its number."""
        certs = certs or self.certs
        if not os.path.isdir(f"{certs}/node-{number}"):
            command("cluster", "certs", "--dir", certs, "--node-id", number)
        host = own_host()
        node = Node(f"{self.directory}/node-{number}", environment=environment, starts=False,
                    binary=self.binary)
        node.peer = f"{host}:{PEER_PORT}"
        node.flags = ["--node-id", str(number), "--peer-listen", node.peer, "--cluster-certs",
                      f"{certs}/node-{number}", *flags]
        node.options = [*self.options, *node.flags]
        return node

    def begin(self):
        self.nodes[1] = self.make(1, ["--cluster-init"])
        self.nodes[1].start()

    def join_token(self, by=1, **ttl):
        answer = self.nodes[by].client.post("/admin/v1/cluster/join-tokens", json=ttl)
        assert answer.status == 201, answer
        return answer.json["token"]

    def joiner(self, number, by=1, token=None):
        token = token or self.join_token(by)
        options = ["--join", self.nodes[by].peer]
        node = self.make(number, options, {"DORMOUSE_JOIN_TOKEN": token})
        node.options = [o for o in node.options if o != "--shards" and o != self.options[1]]
        return node

    def join(self, number, by=1):
        self.nodes[number] = self.joiner(number, by)
        self.nodes[number].start()
        return self.nodes[number]

    # What it says

    def running(self):
        return [n for n in self.nodes.values() if n.process is not None]

    def said(self, by=None):
        node = by or self.running()[0]
        answer = node.client.get("/admin/v1/cluster")
        assert answer.status == 200, answer
        return answer.json

    def states(self, by=None):
        return {m["id"]: m["state"] for m in self.said(by)["members"]}

    def leads(self, number, by=None):
        return [s["id"] for s in self.said(by)["shards"] if s["leader"] == number]

    def await_replicas(self, count, without=(), lag=0):
        """Every shard has a leader and so many replicas that lag no more, and all running nodes say so."""
        left = []

        def is_so():
            left[:] = [(number, s) for number, node in self.nodes.items() if node.process is not None
                       for s in self.said(node)["shards"]
                       if s["leader"] is None or len(s["replicas"]) != count or s["lag"] > lag
                       or set(without) & set(s["replicas"])]
            return not left
        try:
            wait_until(is_so, 60, f"{count} replicas of each shard")
        except AssertionError as e:
            raise AssertionError(f"{e}: {left}, {self.states()}") from None

    def finish(self):
        """The end of a test: nodes that run stop as they should."""
        errors = []
        for node in self.nodes.values():
            try:
                node.finish()
            except AssertionError as e:
                errors.append(e)
        if errors:
            raise errors[0]
