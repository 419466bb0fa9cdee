"""Clusters of a test's own: nodes with certificates of one CA, that begin, join, are killed and come back."""

import os
import random
import shutil
import signal
import socket
import subprocess

from client import Actor, Client, wait_until
from node import Node, program

SMALL = ("--memory", "64M", "--max-disk", "512M")
SHARDS = 8
DEADLINE_SECONDS = 60


def command_line():
    """The binary of the command line."""
    return os.path.join(os.path.dirname(program()), "dormouse")


def free_port():
    """Below those that the kernel gives to connections: it stays free while its node is down."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        ephemeral = int(f.read().split()[0])
    while True:
        port = random.SystemRandom().randrange(10000, max(ephemeral, 20000))
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Certs:
    """A CA, and certificates of nodes by it: `dormouse cluster certs`."""

    def __init__(self, directory):
        self.directory = str(directory)

    def of(self, node_id):
        """The folder of the node's certificate, made where it is missing."""
        folder = os.path.join(self.directory, f"node-{node_id}")
        if not os.path.exists(folder):
            run = subprocess.run(
                [command_line(), "cluster", "certs", "--dir", self.directory, "--node-id", str(node_id),
                 "--host", "127.0.0.1"], capture_output=True, text=True, check=False)
            assert run.returncode == 0, run
        return folder

    def renew(self, node_id):
        """Another certificate, and another key, in place of the node's."""
        run = subprocess.run(
            [command_line(), "cluster", "certs", "--dir", self.directory, "--node-id", str(node_id),
             "--host", "127.0.0.1", "--renew"], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run

    @property
    def ca(self):
        return os.path.join(self.directory, "ca.pem")


class Member(Node):
    """A node of a cluster; after its first start it knows by itself what it is of."""

    def __init__(self, data, node_id, port, flags, options, certs, first_options=(), prefix=None, ca=None):
        self.id = node_id
        self.certs = certs
        self.prefix = prefix
        self.peer = f"127.0.0.1:{port}"
        self.flags = [*flags, "--node-id", str(node_id), "--peer-listen", self.peer, "--cluster-certs", certs]
        super().__init__(data, [*self.flags, *options, *first_options], ca=ca, starts=False)
        self.later_options = list(options)

    @property
    def command(self):
        return [*(self.prefix(self) if self.prefix else []), *super().command]

    def start(self):
        super().start()
        self.options = self.later_options

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def cluster(self):
        """What it says of the cluster; a connection of its own, for any thread."""
        client = Client(self.url, ca=self.ca)
        try:
            answer = client.get("/admin/v1/cluster")
            assert answer.status == 200, answer
            return answer.json
        finally:
            client.close()

    def is_ready(self):
        client = Client(self.url, ca=self.ca)
        try:
            return client.get("/readyz").status == 200
        finally:
            client.close()

    def metric(self, name):
        """Of all workers together."""
        client = Client(self.url, ca=self.ca)
        try:
            lines = client.get("/metrics").body.decode().splitlines()
        finally:
            client.close()
        values = [float(line.rpartition(" ")[2]) for line in lines
                  if line.startswith(name + " ") or line.startswith(name + "{")]
        assert values, f"there is no metric {name}"
        return sum(values)


class Cluster:
    """Nodes by their ids. Node 1 begins; `grow` adds more, `settle` waits until all is where it should be."""

    def __init__(self, directory, options=SMALL, shards=SHARDS, prefix=None, is_secure=False):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.options = list(options)
        self.shards = shards
        self.prefix = prefix  # a function of the node: what its command begins with
        self.is_secure = is_secure  # the certificates for nodes serve clients as well
        self.environment = {}
        self.certs = Certs(os.path.join(self.directory, "certs"))
        self.nodes = {}

    # Nodes that come and go

    def begin(self, data=None):
        """Node 1, perhaps on the data of a single node."""
        first_options = [] if data else ["--shards", str(self.shards)]
        return self._start(1, ["--cluster-init"], first_options, data)

    def join(self, node_id, seed=None, token=None, **named):
        """A further node, once it is let in and serves."""
        return self._start(node_id, self.join_flags(seed, token), **named)

    def join_flags(self, seed=None, token=None):
        seed = seed or self.any()
        return ["--join", seed.peer, "--join-token", self.join_token(seed) if token is None else token]

    def make(self, node_id, flags, first_options=(), data=None, certs=None):
        """A node that is not started, and not one of ours yet."""
        data = str(data or os.path.join(self.directory, f"data-{node_id}"))
        certs = certs or self.certs.of(node_id)
        options, ca = self.options, None
        if self.is_secure:
            ca = self.certs.ca
            options = [*options, "--tls-cert", os.path.join(certs, "node.pem"),
                       "--tls-key", os.path.join(certs, "node-key.pem")]
        node = Member(data, node_id, free_port(), flags, options, certs, first_options, self.prefix, ca)
        node.environment = dict(self.environment)
        return node

    def _start(self, node_id, flags, first_options=(), data=None):
        node = self.make(node_id, flags, first_options, data)
        self.nodes[node_id] = node
        node.start()
        return node

    def grow(self, size):
        """Begins where there is none, and joins nodes one after the other up to this many."""
        if not self.nodes:
            self.begin()
        for node_id in range(len(self.nodes) + 1, size + 1):
            self.join(node_id)
        self.settle()
        return self

    def heal(self):
        """Starts what is down, and waits until all is well."""
        for node in self.nodes.values():
            if node.process is None:
                node.start()
        self.settle()

    @staticmethod
    def refused(node):
        """How the start of a node that is not let in ends: its exit code and what it says."""
        run = subprocess.run(node.command, capture_output=True, text=True, check=False,
                             timeout=DEADLINE_SECONDS)
        assert run.returncode != 0 and run.stdout == "", run
        return run

    @staticmethod
    def join_token(node, **body):
        """A new token to join with."""
        answer = node.client.post("/admin/v1/cluster/join-tokens", json=body) if body else \
            node.client.post("/admin/v1/cluster/join-tokens")
        assert answer.status == 201, answer
        return answer.json["token"]

    def running(self):
        return [n for n in self.nodes.values() if n.process is not None]

    def any(self):
        return self.running()[0]

    def others(self, *without):
        return [n for n in self.running() if n not in without]

    # Waiting

    def is_settled(self, ids, replicas, seen_by=None):
        """All see the same: these members are up, and every shard is led and has its replicas there."""
        return all(_has_settled(n.cluster(), ids, replicas) and n.is_ready()
                   for n in (seen_by or self.running()))

    def settle(self, replicas=None, seconds=DEADLINE_SECONDS):
        """Waits until the nodes that run are members that are up, and replicas are where they should be."""
        ids = {n.id for n in self.running()}
        replicas = replicas or min(3, len(ids) - 1 + len(ids) % 2)
        try:
            wait_until(lambda: self.is_settled(ids, replicas), seconds, f"settling of {ids}")
        except AssertionError as e:
            seen = "\n".join(f"node {n.id}, ready {n.is_ready()}: {n.cluster()}" for n in self.running())
            raise AssertionError(f"{e}; {replicas} replicas each were wanted\n{seen}") from e

    def spread(self, seconds=DEADLINE_SECONDS):
        """Waits until every node that runs leads something."""
        ids = {n.id for n in self.running()}
        wait_until(lambda: {s["leader"] for s in self.any().cluster()["shards"]} == ids, seconds,
                   "sharing of leaderships")

    def leader_of(self, actor_id, namespace="test"):
        """The node that owns the actor, as soon as there is one."""
        found = []

        def is_led():
            info = Actor(self.any().client, actor_id, namespace).info()
            owner = info.json["owner"] if info.status == 200 else None
            found[:] = [self.nodes[owner]] if owner in self.nodes else []
            return bool(found)
        wait_until(is_led, DEADLINE_SECONDS, f"a leader of {actor_id}")
        return found[0]

    def actor_led_by(self, node, prefix="a"):
        """The id of an actor that this node owns."""
        found = []

        def is_found():
            for i in range(64):
                info = Actor(self.any().client, f"{prefix}-{i}").info()
                if info.status == 200 and info.json["owner"] == node.id:
                    found.append(f"{prefix}-{i}")
                    return True
            return False
        wait_until(is_found, DEADLINE_SECONDS, f"a shard that node {node.id} leads")
        return found[0]

    # The end

    def finish(self):
        """All that run must end by themselves, with 0, and none may have reported a mistake."""
        try:
            running = self.running()
            for node in running:
                node.check()
                node.resume()
                node.ask_to_stop()
            for node in running:
                node.await_end()
            for node in self.nodes.values():
                if os.path.exists(node.stderr_path):
                    node.check()
        finally:
            for node in self.running():
                node.resume()
                node.kill9()

    def discard(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def _has_settled(said, ids, replicas):
    members = {m["id"]: m["state"] for m in said["members"]}
    return members == {i: "up" for i in ids} and all(
        s["leader"] in ids and s["lag"] < 10 and len(s["replicas"]) == replicas and set(s["replicas"]) <= ids
        for s in said["shards"])

