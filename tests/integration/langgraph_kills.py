#!/usr/bin/python3
"""The public validation of LangGraph's checkpoint savers, round after round, against three nodes whose leader is killed
every few seconds: of the shard that leads most. Every test of every round has to pass."""

import argparse
import sys
import tempfile
import time

import sdk_js
from cluster_killer import FixedPorts, Killer


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
