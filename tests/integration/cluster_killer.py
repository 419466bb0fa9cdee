"""A cluster whose clients are outside programs, and whose busiest leader is killed every few seconds."""

import collections
import threading
import time

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
