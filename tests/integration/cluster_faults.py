#!/usr/bin/python3
"""Lets faults happen to a cluster of real processes under load, and counts what is lost, doubled or late.

Writers add to counters of shared actors and read them, through any node, and repeat at another one what
they got no answer to; what they saw must have one order that agrees with real time (cluster_load.py).
Timers with webhooks are set meanwhile; each must be delivered, and none before its time. The faults:

    kill       kill -9 of the node that owns an actor; how long until the next write of that actor is acknowledged
    kill more  kill -9 of as many nodes as a majority can spare, and one more
    stop       SIGTERM, and a start
    pause      SIGSTOP for longer or shorter than others wait
    drain      a drain and its end, under clients that repeat nothing: none of their requests may fail
    cut        nothing goes between a node and the others
    cut one    nothing goes from a node to another one

The last two need --partitions: a network namespace of its own, and a user for each node, by which routes
are told apart (`ip rule`). Not in here: full disks (test_disk_full.py), clock steps, delay and loss.

Exit code 0: nothing was violated, and each kind of fault came at least once. Else 1.
"""

import argparse
import collections
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from client import Actor, Client, wait_until  # noqa: E402
from cluster_load import AGAIN, LOST, Load, Steady  # noqa: E402
from cluster_nodes import SMALL, Cluster  # noqa: E402
from receiver import Receiver  # noqa: E402

KINDS = ["kill", "kill more", "stop", "pause", "drain"]
PARTITIONS = ["cut", "cut one"]
PATIENCE_SECONDS = 90
SLOW_SECONDS = 0.2  # of a request while a node is drained: it is told
FIRST_USER = 61000  # of node 1, in the namespace


class Timers:
    """Set through any node, one after the other; `missing` are those that were not delivered."""

    def __init__(self, campaign):
        self.campaign = campaign
        self.receiver = Receiver()
        self.set = {}   # name: when it is due
        self.taken = {}  # name: when it came first
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._set), threading.Thread(target=self._take)]
        for t in self.threads:
            t.start()

    def _set(self):
        rng = random.Random(f"{self.campaign.options.seed}/timers")
        number = 0
        while not self.is_over.wait(0.1):
            number += 1
            name = f"t{number}"
            body = {"in": rng.randrange(0, 4000), "webhook": self.receiver.url}
            while not self._put(rng, f"/v1/test/Store/timers-{number % 8}/timers/{name}", body, name):
                time.sleep(0.05)

    def _put(self, rng, path, body, name):
        try:
            node = rng.choice(self.campaign.cluster.running())
            client = Client(node.url, timeout=5)
            answer = client.put(path, json=body)
            client.close()
        except (*LOST, IndexError):
            return False
        if answer.status in AGAIN:
            return False
        assert answer.status == 200, answer
        self.set[name] = answer.json["at"]
        return True

    def _take(self):
        while True:
            at, _, document, _ = self.receiver.received.get()
            if document is None:
                return
            self.taken.setdefault(document["timer"], (at, document["scheduled"]))

    def missing(self):
        return [name for name in list(self.set) if name not in self.taken]

    def stop(self):
        self.is_over.set()
        self.threads[0].join()

    def finish(self):
        wait_until(lambda: not self.missing(), PATIENCE_SECONDS, "delivery of every timer")
        self.receiver.received.put((0, None, None, None))
        self.threads[1].join()
        self.receiver.close()
        for name, (came, scheduled) in self.taken.items():
            assert came * 1000 >= scheduled, f"the timer {name} came before its time"


class Campaign:
    def __init__(self, options):
        self.options = options
        self.rng = random.Random(options.seed)
        self.stats = collections.Counter()
        self.failovers = []
        self.drained_slowest = 0.0
        flags = [*SMALL, "--allow-private-targets"]
        prefix = as_own_user if options.partitions else None
        self.cluster = Cluster(options.data, flags, shards=options.shards, prefix=prefix)
        self.load = None

    def say(self, text):
        if not self.options.quiet:
            print(text, flush=True)

    # Faults

    def victims(self, count):
        return self.rng.sample(self.cluster.running(), count)

    def kill(self):
        """Of an owner, under a client of another node that writes to its actor."""
        victim = self.rng.choice(self.cluster.running())
        self.cluster.spread()
        name = self.cluster.actor_led_by(victim, prefix="failover")
        node = self.rng.choice(self.cluster.others(victim))
        client = Client(node.url, timeout=30)
        actor = Actor(client, name)
        assert actor.put("k", 0).status == 204
        began = time.monotonic()
        victim.kill9()
        wait_until(lambda: actor.put("k", 1).status == 204, PATIENCE_SECONDS, "a new owner")
        self.failovers.append(time.monotonic() - began)
        client.close()
        self.go_on()
        victim.start()

    def kill_more(self):
        count = (len(self.cluster.nodes) + 1) // 2  # one more than a majority can spare
        for victim in self.victims(count):
            victim.kill9()
        time.sleep(self.rng.uniform(0, 1))

    def stop(self):
        victim = self.victims(1)[0]
        victim.stop()
        self.go_on()
        victim.start()

    def pause(self):
        victim = self.victims(1)[0]
        victim.pause()
        time.sleep(self.rng.choice([0.2, 0.7, 1.5, 4]))
        victim.resume()

    def drain(self):
        self.cluster.spread()
        victim, other = self.victims(2)
        path = f"/admin/v1/cluster/members/{victim.id}"
        with Steady(other, prefix=f"steady-{self.stats['drain']}") as steady:
            wait_until(lambda: steady.answered > 50, PATIENCE_SECONDS, "load")
            assert other.client.post(f"{path}/drain").status == 204
            wait_until(lambda: all(s["leader"] not in (victim.id, None) for s in victim.cluster()["shards"]),
                       PATIENCE_SECONDS, "draining")
            so_far = steady.answered
            wait_until(lambda: steady.answered > so_far + 50, PATIENCE_SECONDS, "load")
        assert other.client.post(f"{path}/undrain").status == 204
        assert not steady.failures, f"failed while node {victim.id} was drained: {steady.failures}"
        self.drained_slowest = max(self.drained_slowest, steady.slowest)
        if steady.slowest > SLOW_SECONDS:
            at, actor = steady.slowest_began
            self.say(f"  node {victim.id} drained: actor {actor} by node {other.id} took "
                     f"{1000 * steady.slowest:.0f} ms from {1000 * at:.0f} on")

    def cut(self):
        victim = self.victims(1)[0]
        others = self.cluster.others(victim)
        rules = [rule for other in others for rule in (*silence(victim, other), *silence(other, victim))]
        self.with_rules(rules)

    def cut_one(self):
        victim, other = self.victims(2)
        self.with_rules(silence(victim, other))

    def with_rules(self, rules):
        for rule in rules:
            ip("rule", "add", *rule)
        time.sleep(self.rng.choice([0.5, 2, 5]))
        for rule in rules:
            ip("rule", "del", *rule)

    # The campaign

    def go_on(self):
        """Until the load has made progress from here on."""
        so_far = self.load.count()
        wait_until(lambda: self.load.count() > so_far + 2 * len(self.load.threads), PATIENCE_SECONDS, "progress")

    def one(self, kind):
        began = time.monotonic()
        getattr(self, kind.replace(" ", "_"))()
        for node in self.cluster.nodes.values():
            if node.process is None:
                node.start()
            node.check()
        self.go_on()
        self.cluster.settle(seconds=PATIENCE_SECONDS)
        self.stats[kind] += 1
        self.say(f"{kind}: {time.monotonic() - began:.1f} s, {self.load.count()} acknowledged so far")

    def kinds(self):
        """Each as often as the others, in any order."""
        kinds = []
        while len(kinds) < self.options.faults:
            some = KINDS + (PARTITIONS if self.options.partitions else [])
            self.rng.shuffle(some)
            kinds += some
        return kinds[:self.options.faults]

    def run(self):
        self.cluster.grow(self.options.nodes)
        timers = Timers(self)
        self.load = Load(self.cluster.nodes.values(), writers=self.options.writers, actors=self.options.actors,
                         seed=self.options.seed, pause=0.005)
        try:
            with self.load:
                for kind in self.kinds():
                    self.one(kind)
        finally:
            timers.stop()
        for node in self.cluster.running():
            self.load.check(node)
        timers.finish()
        self.stats.update({"acknowledged": self.load.acknowledged, "repeated": self.load.repeated,
                           "replayed": self.load.replayed, "timers fired": len(timers.taken)})
        self.cluster.finish()

    def tell(self):
        self.say("\n".join(f"{n:9} {what}" for what, n in sorted(self.stats.items())))
        if self.failovers:
            times = sorted(self.failovers)
            p99 = times[min(len(times) - 1, len(times) * 99 // 100)]
            self.say(f"failover: p50 {statistics.median(times):.2f} s, p99 {p99:.2f} s, of {len(times)}")
        self.say(f"drained: no request failed, the slowest took {1000 * self.drained_slowest:.0f} ms")
        for what in [*KINDS, *(PARTITIONS if self.options.partitions else []), "acknowledged", "repeated",
                     "timers fired"]:
            assert self.stats[what] > 0, f"nothing was shown: 0 {what}"


# Partitions


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def user_of(node_id):
    return FIRST_USER + node_id


def as_own_user(node):
    """A user of its own tells a node's packets from those of the others."""
    user = str(user_of(node.id))
    os.makedirs(node.data, exist_ok=True)
    os.chmod(os.path.dirname(node.certs), 0o711)
    subprocess.run(["chown", "-R", user, node.data, node.certs], check=True)
    return ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]


def silence(node, other):
    """What the node sends on connections that it has dialled. The kernel's answers on those that others
    have dialled are packets of its user as well: they pass, for a node sends nothing of its own on these."""
    port = other.peer.rpartition(":")[2]
    user = user_of(node.id)
    return [["pref", "10", "uidrange", f"{user}-{user}", "ipproto", "tcp", "dport", port, "blackhole"]]


def enter_namespace():
    """Begins again in a network namespace of its own, where local routes come after ours."""
    if os.environ.get("CLUSTER_FAULTS_INSIDE") != "1":
        os.environ["CLUSTER_FAULTS_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    ip("link", "set", "lo", "up")
    ip("rule", "add", "pref", "100", "lookup", "local")
    ip("rule", "del", "pref", "0")


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--nodes", type=int, default=3)
    p.add_argument("--faults", type=int, default=200)
    p.add_argument("--shards", type=int, default=8)
    p.add_argument("--writers", type=int, default=8)
    p.add_argument("--actors", type=int, default=8)
    p.add_argument("--partitions", action="store_true", help="cut nodes off as well; needs root")
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument("--data", help="a directory that is kept; else one is made, and removed where all went well")
    p.add_argument("--quiet", action="store_true")
    return p.parse_args(arguments)


def run(options):
    """The campaign; raises AssertionError where something is violated."""
    made = None
    if options.data is None:
        made = options.data = tempfile.mkdtemp(prefix="dormouse-faults-")
        os.chmod(made, 0o755)
    campaign = Campaign(options)
    try:
        campaign.run()
        campaign.tell()
    finally:
        for node in campaign.cluster.running():
            node.kill9()
    if made is not None:
        shutil.rmtree(made)
    return campaign


def main():
    options = parse(sys.argv[1:])
    if options.partitions:
        enter_namespace()
    print(f"SEED={options.seed}", flush=True)
    try:
        run(options)
    except AssertionError as e:
        print(f"VIOLATED (seed {options.seed}; data in {options.data}): {e}")
        sys.exit(1)
    print("0 lost, 0 doubled, one order, every timer fired")


if __name__ == "__main__":
    main()
