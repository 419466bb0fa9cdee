"""Workflows under kill -9 of isolates and of the node: every step's result is committed once, none is lost, none is
stuck, and a step that has ended is never run again.

    workflow_crash.py --workflows 10000 --kills 300

An outside server stands for what steps do to the world: it takes one effect for each idempotency key, however
often it is asked, and answers with what it made of the first. A run carries the number of its step along, so the server
sees where a step comes again after the one that follows it. `--plant again` is a workflow that keeps no step: that must be
found.
"""

import argparse
import http.server
import json
import os
import random
import socketserver
import sys
import tempfile
import threading
import time
import uuid

from client import Actor, Client
from isolate_crash import Isolates, Violation
from node import Node

STEPS = 10
FLOW = """
import { WorkflowEntrypoint } from "cloudflare:workers";
export class Flow extends WorkflowEntrypoint {
  async run(event, step) {
    const tokens = [];
    for (let n = 0; n < event.payload.steps; n++) {
      if (n === 5) await step.sleep("pause", 50);
      const effect = async () => {
        const answer = await fetch(`${this.env.SERVER}/${event.instanceId}/${n}`, { method: "POST" });
        if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
        return answer.text();
      };
      tokens.push(STEP);
    }
    return tokens;
  }
}
"""
RETRIES = '{ retries: { limit: 1000, delay: 50, backoff: "constant" } }'
PLANTS = {"": f"await step.do(`step ${{n}}`, {RETRIES}, effect)", "again": "await effect()"}
STARTERS = 8
ISOLATES_EACH = 3  # kills of isolates for one of the node
NODE_SECONDS = 60


class Server:
    """One effect for each key; where each instance is."""

    def __init__(self):
        self.effects, self.at, self.asked, self.problems = {}, {}, 0, []
        self.mutex = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                token = outer.take(self.path[1:])
                self.send_response(200)
                self.send_header("content-length", str(len(token)))
                self.end_headers()
                self.wfile.write(token.encode())

            def log_message(self, *_):
                pass

        class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads, request_queue_size = True, 512

            def handle_error(self, *_):
                pass  # whoever asked was killed

        self.http = Threads(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def take(self, key):
        instance, number = key.rsplit("/", 1)
        with self.mutex:
            self.asked += 1
            if int(number) < self.at.get(instance, 0):
                self.problems.append(f"{key} was run again after step {self.at[instance]} had begun")
            self.at[instance] = max(self.at.get(instance, 0), int(number))
            return self.effects.setdefault(key, uuid.uuid4().hex)

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def until_answered(node, seconds, ask):
    """Through kills: what is not answered is asked again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        client = Client(node.url, timeout=10)
        try:
            answer = ask(client)
            if answer.status < 500 and answer.status != 429:
                return answer
        except OSError:
            pass
        except Exception as e:  # pylint: disable=broad-except
            if type(e).__module__ != "http.client":
                raise
        finally:
            client.close()
        time.sleep(0.05)
    raise Violation("a request was not answered in time")


def path_of(client, name):
    return Actor(client, name, "crash", "Flow").path + "/workflow"


def start_all(node, names, problems):
    def run(mine):
        try:
            for name in mine:
                got = until_answered(node, NODE_SECONDS, lambda c, n=name: c.post(
                    path_of(c, n), json={"params": {"steps": STEPS}}))
                if got.status not in (201, 409):  # 409: what was killed before its answer had started it
                    raise Violation(f"a start was refused: {got}")
        except BaseException as e:  # pylint: disable=broad-except
            problems.append(repr(e))
    threads = [threading.Thread(target=run, args=(names[i::STARTERS],)) for i in range(STARTERS)]
    for thread in threads:
        thread.start()
    return threads


def look_at(node, server, name):
    """Whether it is complete; then everything must agree."""
    told = until_answered(node, NODE_SECONDS, lambda c: c.get(path_of(c, name))).json
    if told["status"] != "complete":
        if told["status"] not in ("queued", "running", "waiting"):
            raise Violation(f"{name} is {told['status']}: {told['error']}")
        return False
    effects = [server.effects.get(f"{name}/{n}") for n in range(STEPS)]
    if told["output"] != effects:
        raise Violation(f"{name} ended with {told['output']}, the server has {effects}")
    kept = [s["output"] for s in told["steps"] if s["type"] == "do"]
    if kept != effects:
        raise Violation(f"{name}: the journal has {kept}, the server {effects}")
    return True


def kill(node, isolates, kills, rng):
    if kills["isolates"] >= ISOLATES_EACH * (kills["nodes"] + 1):
        node.restart(kill=True)
        kills["nodes"] += 1
    elif isolates.kill_one(rng, 2):
        kills["isolates"] += 1


def run(options, node):
    rng, server = random.Random(options.seed), Server()
    deployed = node.client.put("/v1/crash", json={
        "modules": {"main.js": FLOW.replace("STEP)", PLANTS[options.plant] + ")")}, "main": "main.js",
        "env": {"SERVER": f"http://{server.host}"}, "egress": {"allow": [server.host]}})
    assert deployed.status == 200, deployed
    names, problems = [f"w{n}" for n in range(options.workflows)], []
    isolates, kills = Isolates(node), {"isolates": 0, "nodes": 0}
    threads = start_all(node, names, problems)
    waiting, began = set(names), time.monotonic()
    deadline, next_kill = began + options.seconds, began + options.pause
    try:
        while waiting:
            if problems or server.problems:
                raise Violation((problems + server.problems)[0])
            if time.monotonic() > deadline:
                raise Violation(f"{len(waiting)} runs are stuck, such as {sorted(waiting)[:3]}")
            if sum(kills.values()) < options.kills and time.monotonic() >= next_kill:
                kill(node, isolates, kills, rng)
                next_kill = time.monotonic() + rng.uniform(0, 2 * options.pause)
            if any(t.is_alive() for t in threads):
                time.sleep(0.05)
                continue
            for name in rng.sample(sorted(waiting), min(20, len(waiting))):
                if look_at(node, server, name):
                    waiting.discard(name)
    finally:
        for thread in threads:
            thread.join()
        server.close()
    stats = {"workflows": len(names), "effects": len(server.effects), "asked": server.asked, **kills,
             "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(stats), flush=True)
    if problems or server.problems:
        raise Violation((problems + server.problems)[0])
    if len(server.effects) != STEPS * len(names):
        raise Violation(f"{len(server.effects)} effects of {STEPS * len(names)}")
    return stats


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workflows", type=int, default=10000)
    parser.add_argument("--kills", type=int, default=100000, help="at most")
    parser.add_argument("--pause", type=float, default=1, help="seconds between two kills, on average")
    parser.add_argument("--seconds", type=float, default=3600, help="until what has not ended counts as stuck")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--plant", choices=PLANTS, default="")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory() as directory:
        node = Node(os.path.join(directory, "data"), ["--allow-private-targets"])
        try:
            run(options, node)
        except Violation as e:
            sys.exit(f"violation: {e}")
        finally:
            node.finish()


if __name__ == "__main__":
    main()
