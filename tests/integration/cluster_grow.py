#!/usr/bin/python3
"""Joins a fourth node to three under load, and says whether anybody noticed and whether all is even then.

    top_builddir=$PWD/build tests/integration/cluster_grow.py --preload-mb 256

Writers add to counters of shared actors and read them, through the three; what they saw must have one order
that agrees with real time (cluster_load.py). No request may have to be repeated, for whatever reason. From
its start on the fourth node has a client of its own as well. Values that were there before must be whole on
the fourth node in the end, as far as it has replicas of their shards.

Even is: replicas of the fullest node and of the emptiest are within 10 % of each other or differ by one at
most, and so are leaderships.

Exit code 0: all of that, and shards have moved to the fourth node, some of them as copies of stores. Else 1.
"""

import argparse
import collections
import contextlib
import hashlib
import os
import random
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from client import Actor, Client, wait_until  # noqa: E402
from cluster_load import Load, Steady  # noqa: E402
from cluster_nodes import Cluster  # noqa: E402

NODES = 3
REPLICAS = 3
VALUE_BYTES = 64 * 1024
PRELOADERS = 8
BEFORE_SECONDS = 5  # under load, before the fourth node comes
AFTER = 200  # requests once all is even
PATIENCE_SECONDS = 120


def is_even(counts):
    """Within 10 % of each other, or a difference of one."""
    return max(counts) - min(counts) <= 1 or max(counts) * 0.9 <= min(counts)


def replicas_of(said, ids):
    counts = collections.Counter(r for s in said["shards"] for r in s["replicas"])
    return [counts[i] for i in ids]


def leads_of(said, ids):
    counts = collections.Counter(s["leader"] for s in said["shards"])
    return [counts[i] for i in ids]


class Preloaded:
    """Random values of actors of their own, and their sums."""

    def __init__(self, cluster, megabytes, seed):
        self.cluster = cluster
        self.sums = {}
        count = megabytes * (1 << 20) // VALUE_BYTES
        self.errors = []
        threads = [threading.Thread(target=self._write, args=(range(t, count, PRELOADERS), f"{seed}/{t}"))
                   for t in range(PRELOADERS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not self.errors, self.errors

    def _write(self, numbers, seed):
        """Back-pressure is waited for: nothing is measured here."""
        rng = random.Random(seed)
        client = Client(rng.choice(self.cluster.running()).url)
        try:
            for number in numbers:
                value = rng.randbytes(VALUE_BYTES)
                actor = Actor(client, f"preloaded-{number}")
                wait_until(lambda a=actor, v=value: a.put_bytes("v", v).status == 204, PATIENCE_SECONDS, "a write")
                self.sums[number] = hashlib.sha256(value).digest()
        except (AssertionError, OSError) as e:
            self.errors.append(repr(e))
        client.close()

    def check(self, node):
        """By what the node has itself, where it has a replica."""
        client = Client(node.url)
        for number, wanted in self.sums.items():
            answer = Actor(client, f"preloaded-{number}").get("v", headers={"Dormouse-Consistency": "stale"})
            assert answer.status == 200, answer
            assert hashlib.sha256(answer.body).digest() == wanted, f"preloaded-{number} is another value"
        client.close()


class Campaign:
    def __init__(self, options):
        self.options = options
        self.stats = {}
        flags = ["--memory", "64M", "--max-disk", f"{512 + 4 * options.preload_mb}M"]
        self.cluster = Cluster(options.data, flags, shards=options.shards)
        self.load = None
        self.copies_before = None

    def say(self, text):
        if not self.options.quiet:
            print(text, flush=True)

    def _is_even(self, node):
        said = node.cluster()
        ids = list(self.cluster.nodes)
        return is_even(replicas_of(said, ids)) and is_even(leads_of(said, ids)) and \
            self.cluster.is_settled(set(ids), REPLICAS)

    def _more(self, count):
        """So many requests of the load from here on."""
        so_far = self.load.count()
        wait_until(lambda: self.load.count() > so_far + count or self.load.failures, PATIENCE_SECONDS, "load")

    def before(self):
        """Leaderships are where they stay, and the load is under way."""
        ids = list(self.cluster.nodes)
        wait_until(lambda: is_even(leads_of(self.cluster.any().cluster(), ids)), PATIENCE_SECONDS, "sharing")
        self._more(2 * self.options.writers)
        began, so_far = time.monotonic(), self.load.count()
        time.sleep(self.options.before_seconds)  # what is compared with: a measurement, nothing is waited for
        self._more(2 * self.options.writers)
        self.stats["requests a second before"] = (self.load.count() - so_far) / (time.monotonic() - began)
        with self.load.mutex:
            self.stats["slowest before, ms"] = 1000 * self.load.slowest
            self.load.slowest = 0.0

    def join(self):
        self.copies_before = self.copies()
        began, so_far = time.monotonic(), self.load.count()
        node = self.cluster.join(NODES + 1)
        self.stats["seconds until it served"] = time.monotonic() - began
        with contextlib.ExitStack() as stack:
            steady = stack.enter_context(Steady(node, prefix="newcomer"))
            try:
                wait_until(lambda: self._is_even(node), self.options.patience, "evenness")
            except AssertionError as e:
                said = node.cluster()
                ids = list(self.cluster.nodes)
                raise AssertionError(f"{e}: {replicas_of(said, ids)} replicas, {leads_of(said, ids)} led, "
                                     f"{said}") from None
            self.stats["seconds until all was even"] = time.monotonic() - began
            self.stats["requests meanwhile"] = self.load.count() - so_far
            self.stats["requests a second meanwhile"] = \
                (self.load.count() - so_far) / (time.monotonic() - began)
            self._more(AFTER)
        with self.load.mutex:
            self.stats["slowest meanwhile, ms"] = 1000 * self.load.slowest
        self.stats["requests by the fourth node"] = steady.answered
        self.stats["slowest by the fourth node (a write and a read), ms"] = 1000 * steady.slowest
        assert not steady.failures, f"{len(steady.failures)} failed by node {node.id}: {steady.failures[:10]}"

    def run(self):
        self.cluster.grow(NODES)
        preloaded = Preloaded(self.cluster, self.options.preload_mb, self.options.seed)
        self.load = Load(self.cluster.nodes.values(), writers=self.options.writers, actors=self.options.actors,
                         seed=self.options.seed, pause=0.005)
        with self.load:
            self.before()
            self.join()
        self.count_work()
        self.tell()
        for node in self.cluster.running():
            self.load.check(node)
        preloaded.check(self.cluster.nodes[NODES + 1])
        self.cluster.finish()
        self.judge()

    def copies(self):
        return {name: sum(n.metric(f"dormouse_snapshot{name}_total") for n in self.cluster.running())
                for name in ("s_sent", "s_failed", "_sent_bytes")}

    def count_work(self):
        copies = {name: n - self.copies_before[name] for name, n in self.copies().items()}
        said, ids = self.cluster.any().cluster(), list(self.cluster.nodes)
        self.stats["replicas of each"] = replicas_of(said, ids)
        self.stats["shards led by each"] = leads_of(said, ids)
        self.stats["shards moved"] = self.stats["replicas of each"][-1]
        self.stats["copies of stores"] = int(copies["s_sent"])
        self.stats["copies that came to nothing"] = int(copies["s_failed"])
        self.stats["MB of copies"] = copies["_sent_bytes"] / 1e6
        self.stats["requests that were repeated"] = self.load.repeated

    def tell(self):
        for what, n in self.stats.items():
            self.say(f"{n:>9.1f} {what}" if isinstance(n, float) else f"{n!s:>9} {what}")

    def judge(self):
        assert self.load.repeated == 0 and not self.load.unanswered, \
            f"{self.load.repeated} requests failed: {self.load.unanswered}"
        for what in ("replicas of each", "shards led by each"):
            assert is_even(self.stats[what]), f"{what}: {self.stats[what]}"
        for what in ("shards moved", "copies of stores", "requests meanwhile", "requests by the fourth node"):
            assert self.stats[what] > 0, f"nothing was shown: 0 {what}"


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--shards", type=int, default=64)
    p.add_argument("--writers", type=int, default=16)
    p.add_argument("--actors", type=int, default=128, help="of the writers")
    p.add_argument("--preload-mb", type=int, default=64)
    p.add_argument("--before-seconds", type=float, default=BEFORE_SECONDS)
    p.add_argument("--patience", type=float, default=300, help="seconds until all must be even")
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument("--data", help="a directory that is kept; else one is made, and removed where all went well")
    p.add_argument("--quiet", action="store_true")
    return p.parse_args(arguments)


def run(options):
    """The campaign; raises AssertionError where a bar is missed."""
    made = None
    if options.data is None:
        made = options.data = tempfile.mkdtemp(prefix="dormouse-grow-")
    campaign = Campaign(options)
    try:
        campaign.run()
    finally:
        for node in campaign.cluster.running():
            node.kill9()
    if made is not None:
        shutil.rmtree(made)
    return campaign


def main():
    options = parse(sys.argv[1:])
    print(f"SEED={options.seed}", flush=True)
    try:
        run(options)
    except AssertionError as e:
        print(f"MISSED (seed {options.seed}; data in {options.data}): {e}")
        sys.exit(1)
    print("no request failed, 0 lost, 0 doubled, one order, all even")


if __name__ == "__main__":
    main()
