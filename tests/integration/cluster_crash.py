#!/usr/bin/python3
"""Kills nodes of a cluster of three, one after the other, under writers that repeat what is not answered.

    top_builddir=$PWD/build tests/integration/cluster_crash.py --seconds 600 --seed 7

Each writer adds 1 to counters through any node, with an Idempotency-Key for each addition. In the end every
counter must be, on every node, what was acknowledged: more is doubled, less is lost."""

import argparse
import collections
import http.client
import random
import shutil
import sys
import tempfile
import threading
import time
import uuid

from client import Actor, Client
from cluster import Cluster

ACTORS = 12
WRITERS = 6
LAG = 200  # entries that a replica may be behind while there are writes
AGAIN = (429, 503, 504)


class Writers:
    """Threads that write until they are told to stop."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.lock = threading.Lock()
        self.acknowledged = collections.Counter()
        self.retries = 0
        self.wrong = []  # answers that should not have been
        self.is_stopping = False
        self.threads = [threading.Thread(target=self.write, args=(random.Random(f"{seed}/{i}"),))
                        for i in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def write(self, choose):
        while not self.is_stopping and not self.wrong:
            actor = f"a{choose.randrange(ACTORS)}"
            if self.add(choose, actor):
                with self.lock:
                    self.acknowledged[actor] += 1

    def add(self, choose, actor):
        """Until it is acknowledged, by whichever node. An addition that was begun is always ended."""
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Dormouse-Timeout": "5000"}
        while True:
            client = Client(choose.choice([n.url for n in self.cluster.nodes.values() if n.url]), timeout=10)
            try:
                answer = Actor(client, actor).txn([{"add": "n"}], headers=headers)
                if answer.status == 200:
                    return True
                if answer.status not in AGAIN:
                    self.wrong.append(answer)
                    return False
            except (OSError, http.client.HTTPException):
                pass  # its node has just died
            finally:
                client.close()
            with self.lock:
                self.retries += 1
            time.sleep(0.05)

    def stop(self):
        self.is_stopping = True
        for thread in self.threads:
            thread.join()


def kill_one(cluster, choose):
    """kill -9, or SIGTERM, and a start after a while."""
    node = cluster.nodes[choose.choice(list(cluster.nodes))]
    if choose.random() < 0.6:
        node.kill9()
    else:
        node.stop()
    time.sleep(choose.choice([0, 0.3, 2]))
    node.start()
    if choose.random() < 0.7:
        cluster.await_replicas(3, lag=LAG)
    else:
        time.sleep(2 * choose.random())  # the next one dies before this one has caught up


def differences(cluster, acknowledged):
    for number, node in cluster.nodes.items():
        for actor, wanted in sorted(acknowledged.items()):
            found = Actor(node.client, actor).get("n").json
            if found != wanted:
                yield f"{actor} is {found} on node {number}, and {wanted} were acknowledged"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    print(f"SEED={options.seed}", flush=True)
    choose = random.Random(options.seed)
    directory = tempfile.mkdtemp(prefix="dormouse-cluster-crash-")
    cluster = Cluster(directory, 3, ["--workers", options.workers])
    writers = Writers(cluster, options.seed)
    kills = 0
    try:
        until = time.monotonic() + options.seconds
        while time.monotonic() < until and not writers.wrong:
            kill_one(cluster, choose)
            kills += 1
    finally:
        writers.stop()
    cluster.await_replicas(3)
    bad = [*map(repr, writers.wrong), *differences(cluster, writers.acknowledged)]
    cluster.finish()
    print(*bad, f"{kills} kills, {sum(writers.acknowledged.values())} acknowledged, {writers.retries} retried, "
          f"{len(bad)} wrong", sep="\n")
    if not bad:
        shutil.rmtree(directory)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
