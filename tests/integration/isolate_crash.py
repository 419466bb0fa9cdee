"""Isolates killed at random moments under load: nothing acknowledged is lost or doubled, callers hear that they may
try again, and sockets of actors that sleep stay open.

    isolate_crash.py --kills 500

Each call of a ledger counts up and keeps its key with its number, in one batch with its answer. So at the end, with
every call repeated until it is answered, a ledger's count, its keys and what the callers heard must agree.
`--plant torn` is a class that does these two things apart, with a commit between them: that must be found.
"""

import argparse
import json
import os
import random
import select
import sys
import tempfile
import threading
import time
import uuid

import websocket

from client import Actor, Client, wait_until
from node import Node

CLASSES = """
import { DurableObject } from "cloudflare:workers";
export class Ledger extends DurableObject {
  async add(key) {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    BETWEEN
    await this.ctx.storage.put(`key/${key}`, n);
    return n;
  }
  async all() {
    const keys = await this.ctx.storage.list({ prefix: "key/" });
    return [(await this.ctx.storage.get("n")) ?? 0, [...keys].map(([key, n]) => [key.slice(4), n])];
  }
}
export class Sleeper extends DurableObject {
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket, message) { socket.send(message); }
}
"""
PLANTS = {"": "", "torn": "await this.ctx.storage.sync();"}
LEDGERS, WRITERS, SLEEPERS = 8, 16, 20
ZYGOTE_EACH = 50  # kills
SECONDS = 30


class Violation(AssertionError):
    pass


class Isolates:
    """Those of a node, found among its descendants: a zygote's outer process, the zygote, and what it has forked."""

    def __init__(self, node):
        self.node = node

    @staticmethod
    def _processes():
        """{pid: (its parent, whether it is an isolate)}"""
        found = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                    ppid = int(f.read().rpartition(")")[2].split()[1])
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    found[int(name)] = (ppid, f.read().startswith(b"dormouse-isolate"))
            except OSError:
                continue  # it has ended
        return found

    def by_depth(self):
        """[outer processes, zygotes, children]"""
        processes = self._processes()
        depths = [[], [], []]
        for pid, (_, is_isolate) in processes.items():
            depth, at = -1, pid
            while at in processes and at != self.node.pid:
                depth += processes[at][1]
                at = processes[at][0]
            if is_isolate and at == self.node.pid:
                depths[depth].append(pid)
        return depths

    def kill_one(self, rng, depth):
        pids = self.by_depth()[depth]
        if not pids:
            return False
        try:
            os.kill(rng.choice(pids), 9)
            return True
        except ProcessLookupError:
            return False


class Callers:
    def __init__(self, node, seed):
        self.node = node
        self.heard = [{} for _ in range(LEDGERS)]  # of each ledger: what was answered, by key
        self.mutex = threading.Lock()
        self.counts = {"acknowledged": 0, "cut_off": 0, "refused": 0, "replayed": 0}
        self.problems = []
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(random.Random(f"{seed}/{n}"),)) for n in range(WRITERS)]

    def count(self, name):
        with self.mutex:
            self.counts[name] += 1

    def _run(self, rng):
        client = Client(self.node.url)
        try:
            while not self.is_over.is_set():
                self._one(client, rng.randrange(LEDGERS))
        except BaseException as e:  # pylint: disable=broad-except
            self.problems.append(repr(e))
        client.close()

    def _one(self, client, ledger):
        """Until it is acknowledged, so nothing is left in doubt."""
        key = uuid.uuid4().hex
        path = Actor(client, f"l{ledger}", "crash", "Ledger").path + "/call/add"
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            answer = client.post(path, json=[key], headers={"Idempotency-Key": key})
            if answer.status == 200:
                with self.mutex:
                    self.heard[ledger][key] = answer.json["result"]
                self.count("acknowledged")
                if answer.is_replay:
                    self.count("replayed")
                return
            problem = answer.json
            if not problem.get("retryable"):
                raise Violation(f"a caller heard what it may not repeat: {answer}")
            self.count("cut_off" if problem["maybe_applied"] else "refused")
            self.is_over.wait(0.01)
        raise Violation("a call was not acknowledged in time")


def check(node, callers):
    """Every ledger against what its callers heard."""
    for number, heard in enumerate(callers.heard):
        ledger = Actor(node.client, f"l{number}", "crash", "Ledger")
        answers = []

        def is_read(path=ledger.path):  # the zygote may have been the last that was killed
            answers.append(node.client.post(path + "/call/all", json=[]))
            if answers[-1].status != 200 and not answers[-1].json.get("retryable"):
                raise Violation(f"a ledger cannot be read: {answers[-1]}")
            return answers[-1].status == 200
        wait_until(is_read, SECONDS, "reading of a ledger")
        count, keys = answers[-1].json["result"]
        keys = dict(keys)
        for key, n in heard.items():
            if keys.get(key) != n:
                raise Violation(f"ledger {number}: {key} was acknowledged as {n} and is {keys.get(key)}")
        if len(keys) != len(heard) or sorted(keys.values()) != list(range(1, count + 1)):
            raise Violation(f"ledger {number}: counted to {count}, has {len(keys)} keys, acknowledged {len(heard)}")


def open_sleepers(node):
    sockets = []
    for number in range(SLEEPERS):
        sleeper = Actor(node.client, f"s{number}", "crash", "Sleeper")
        sockets.append(websocket.create_connection(node.url.replace("http", "ws", 1) + sleeper.path + "/ws", timeout=SECONDS))
        wait_until(lambda s=sleeper: node.client.post(s.path + "/hibernate").status == 204
                   and s.info().json["state"] == "hibernated", what="sleep")
    return sockets


def answer_pings(sockets, is_over):
    """As a client does that is there."""
    while not is_over.is_set():
        for socket in select.select(sockets, [], [], 0.5)[0]:
            socket.recv_data_frame(control_frame=True)


def run(options, node):
    rng = random.Random(options.seed)
    source = CLASSES.replace("BETWEEN", PLANTS[options.plant])
    deployed = node.client.put("/v1/crash", json={"modules": {"main.js": source}, "main": "main.js"})
    assert deployed.status == 200, deployed
    sockets = open_sleepers(node)
    isolates, callers = Isolates(node), Callers(node, options.seed)
    kills = {"children": 0, "zygotes": 0}
    callers.threads.append(threading.Thread(target=answer_pings, args=(sockets, callers.is_over)))
    for thread in callers.threads:
        thread.start()
    deadline = time.monotonic() + 60 + options.kills
    try:
        while sum(kills.values()) < options.kills and not callers.problems:
            if time.monotonic() > deadline:
                raise Violation(f"only {kills} in time")
            time.sleep(rng.uniform(0, options.pause))  # the moment of the next kill
            is_zygote = sum(kills.values()) % ZYGOTE_EACH == ZYGOTE_EACH - 1
            if isolates.kill_one(rng, 1 if is_zygote else 2):
                kills["zygotes" if is_zygote else "children"] += 1
    finally:
        callers.is_over.set()
        for thread in callers.threads:
            thread.join()
    if callers.problems:
        raise Violation(callers.problems[0])
    check(node, callers)
    for number, socket in enumerate(sockets):
        socket.send(f"still {number}")
        if socket.recv() != f"still {number}":
            raise Violation(f"the socket of sleeper {number} was closed")
        socket.close()
    stats = {**{f"killed_{name}": n for name, n in kills.items()}, **callers.counts, "sockets": len(sockets)}
    print(json.dumps(stats), flush=True)
    idle = [name for name in ["killed_children", "cut_off", "acknowledged"] if stats[name] == 0]
    if idle or (options.kills >= ZYGOTE_EACH and kills["zygotes"] == 0):
        raise Violation(f"nothing was shown: {stats}")
    return stats


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two kills, at most")
    parser.add_argument("--plant", choices=PLANTS, default="")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory() as directory:
        node = Node(os.path.join(directory, "data"))
        try:
            run(options, node)
        except Violation as e:
            sys.exit(f"violation: {e}")
        finally:
            node.finish()


if __name__ == "__main__":
    main()
