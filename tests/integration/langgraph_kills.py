#!/usr/bin/python3
"""The public validation of LangGraph's checkpoint savers, round after round, against three nodes whose leader is killed
every few seconds: of the shard that leads most. Every test of every round has to pass."""

import argparse
import collections
import sys
import tempfile
import threading
import time

import sdk_js
from cluster_nodes import Cluster, free_port


class FixedPorts(Cluster):
    """Nodes that clients find again where they were."""

    def make(self, *arguments, **named):
        node = super().make(*arguments, **named)
        listen = ["--listen", f"127.0.0.1:{free_port()}"]
        node.options = [*node.options, *listen]
        node.later_options = [*node.later_options, *listen]
        return node


def busiest(cluster):
    """The node that leads most shards."""
    count = collections.Counter(s["leader"] for s in cluster.any().cluster()["shards"] if s["leader"])
    return cluster.nodes[count.most_common(1)[0][0]]


class Killer(threading.Thread):
    """Kills the node that leads most, lets the others take over, and starts it again; every few seconds."""

    def __init__(self, cluster, every_seconds):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.every_seconds = every_seconds
        self.kills = 0
        self.error = None
        self.is_over = threading.Event()

    def run(self):
        try:
            due = time.monotonic() + self.every_seconds
            while not self.is_over.wait(max(0, due - time.monotonic())):
                due = time.monotonic() + self.every_seconds
                node = busiest(self.cluster)
                node.kill9()
                self.kills += 1
                self.is_over.wait(self.every_seconds / 3)
                node.start()
                self.cluster.settle()
        except BaseException as e:  # whatever it is, the run has failed
            self.error = e

    def finish(self):
        self.is_over.set()
        self.join()
        if self.error is not None:
            raise self.error


def campaign(cluster, rounds, every_seconds, seconds):
    """Tests that passed, kills, and how long it took."""
    sdk_js.build(sdk_js.LANGGRAPH)
    urls = [node.url for node in cluster.nodes.values()]
    killer = Killer(cluster, every_seconds)
    began = time.monotonic()
    killer.start()
    try:
        passed = sdk_js.run_vitest("validation", urls, {"ROUNDS": str(rounds)}, seconds)
    finally:
        killer.finish()
    return passed, killer.kills, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--every", type=float, default=5, help="seconds from one kill to the next")
    parser.add_argument("--seconds", type=float, default=1800, help="gives up after so long")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        cluster = FixedPorts(directory)
        try:
            cluster.grow(3)
            passed, kills, seconds = campaign(cluster, options.rounds, options.every, options.seconds)
        finally:
            cluster.finish()
    print(f"{passed} tests in {options.rounds} rounds passed over {kills} kills of the busiest leader, {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
