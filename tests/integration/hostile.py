#!/usr/bin/python3
"""The attack campaign: what a hostile machine can do to a node, one attack after the other, while a good
client goes on asking.

    top_builddir=$PWD/build tests/integration/hostile.py
    top_builddir=$PWD/build tests/integration/hostile.py --only h2-rapid-reset --seconds 10

The attacker (tests/lib/attack) comes from 127.0.0.2, the good client from 127.0.0.1. For each attack a
line says how long the good client waited at worst and for 99 of 100 answers, by what it did; the node's
RssAnon before, at most during, and the given time after; and what the attacker did. It fails where an
answer took longer than --bar-ms, was none, where more than --bar-mb stay behind, and where an attack did
nothing."""

import argparse
import collections
import json
import math
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))

from client import Actor, Client  # noqa: E402
from node import Node  # noqa: E402

MIB = 1024 * 1024
ATTACKER_ADDRESS = "127.0.0.2"
CONNECTIONS = 4       # of the good client: on workers as chance has it
ACTORS = 8            # of its own, likewise
PAUSE_SECONDS = 0.005  # between two of its requests
ANSWER_SECONDS = 30
WARM_SECONDS = 2
SAMPLE_SECONDS = 0.1
LARGE_BYTES = 1000 * 1000
NUMBERS = 300 * 1000  # of an array that takes long to read and to show
KINDS = ["put", "get", "connect+get"]


def attacker():
    """The program."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.path.join(os.environ.get("top_builddir", os.path.join(root, "build")), "tests", "lib", "attack")


def attacks():
    """Names in order: whether the node must speak TLS."""
    out = subprocess.run([attacker(), "--list"], check=True, capture_output=True, text=True).stdout
    return {line.split()[0]: line.endswith(" tls") for line in out.splitlines()}


class Attack:
    """One attack under way; `end` gives what it did."""

    def __init__(self, node, name, *options):
        self.process = subprocess.Popen(
            [attacker(), name, "--port", str(node.port), "--from", ATTACKER_ADDRESS, *map(str, options)],
            stdout=subprocess.PIPE, text=True)

    def has_begun(self):
        """Waits until it has a first connection."""
        assert self.process.stdout.readline() == "attacking\n"

    def end(self):
        out, _ = self.process.communicate()
        assert self.process.returncode == 0, out
        return json.loads(out.splitlines()[-1])


def prepare(node):
    """What attacks ask for."""
    for name, value in ("small", "a value"), ("dear", list(range(100, 100 + NUMBERS))):
        assert Actor(node.client, name, namespace="attack").put("k", value).status == 204
    large = Actor(node.client, "large", namespace="attack").put_bytes("k", os.urandom(LARGE_BYTES))
    assert large.status == 204


class Latencies:
    """Seconds of answers, by what was asked; `failed` says what was none."""

    def __init__(self):
        self.seconds = collections.defaultdict(list)
        self.failed = []

    def worst_ms(self, kind):
        return max(self.seconds[kind], default=math.inf) * 1000

    def p99_ms(self, kind):
        ordered = sorted(self.seconds[kind])
        return ordered[max(0, math.ceil(len(ordered) * 0.99) - 1)] * 1000 if ordered else math.inf

    def count(self):
        return sum(map(len, self.seconds.values()))

    def text(self):
        return ", ".join(f"{kind} {self.worst_ms(kind):.0f}/{self.p99_ms(kind):.0f}" for kind in KINDS)


def _timed(found, kind, want, ask):
    began = time.monotonic()
    try:
        status = ask()
        if status not in want:
            found.failed.append(f"{kind}: {status}")
    except OSError as e:
        found.failed.append(f"{kind}: {e!r}")
    found.seconds[kind].append(time.monotonic() - began)


def _fresh_get(url, ca, path):
    client = Client(url, ANSWER_SECONDS, ca)
    try:
        return client.get(path).status
    finally:
        client.close()


def _behave(url, ca, pipe, end):
    """The good client's process: its turns go on until it is told to stop."""
    if os.geteuid() == 0:
        os.nice(-10)  # it stands for another machine
    found = Latencies()
    clients = [Client(url, ANSWER_SECONDS, ca) for _ in range(CONNECTIONS)]
    turn = 0
    pipe.send("ready")
    while not end.is_set():
        path = Actor(clients[turn % CONNECTIONS], f"good {turn % ACTORS}").kv("k")
        client = clients[turn % CONNECTIONS]
        _timed(found, "put", {204}, lambda: client.put(path, json=turn).status)
        _timed(found, "get", {200}, lambda: client.get(path).status)
        _timed(found, "connect+get", {200}, lambda: _fresh_get(url, ca, path))
        turn += 1
        time.sleep(PAUSE_SECONDS)
    for client in clients:
        client.close()
    pipe.send(found)


class GoodClient:
    """Asks all the time, in a process of its own."""

    def __init__(self, node):
        self.pipe, theirs = multiprocessing.Pipe()
        self.ended = multiprocessing.Event()
        self.process = multiprocessing.Process(target=_behave, args=(node.url, node.ca, theirs, self.ended))
        self.process.start()
        assert self.pipe.recv() == "ready"

    def end(self):
        self.ended.set()
        found = self.pipe.recv()
        self.process.join()
        return found


class Row:
    """What one attack showed."""

    def __init__(self, name):
        self.name = name
        self.before = self.most = self.after = 0
        self.latencies = self.work = self.settled_seconds = None

    def faults(self, arguments):
        if self.work["units"] == 0 or self.work["opened"] == 0:
            yield "the attack did nothing"
        if self.latencies.count() == 0:
            yield "the good client did nothing"
        for kind in KINDS:
            if self.latencies.worst_ms(kind) > arguments.bar_ms:
                yield f"{kind} took {self.latencies.worst_ms(kind):.0f} ms"
        if self.latencies.failed:
            yield f"{len(self.latencies.failed)} answers were none, as {self.latencies.failed[0]}"
        if self.after - self.before > arguments.bar_mb * MIB:
            yield f"{(self.after - self.before) / MIB:.1f} MB stayed behind"

    def text(self):
        w = self.work
        settled = "never" if self.settled_seconds is None else f"{self.settled_seconds:.0f} s"
        return (f"{self.name:24} worst/p99 ms: {self.latencies.text()} ({self.latencies.count()})"
                f" | MB: {self.before / MIB:.0f} -> {self.most / MIB:.0f} -> {self.after / MIB:.0f} ({settled})"
                f" | {w['opened']} connections ({w['closed_by_node']} closed, {w['open']} open at the end),"
                f" {w['units']} units, {w['sent_bytes'] / MIB:.1f} MB sent, {w['heard_bytes'] / MIB:.1f} heard")


def peace(node, arguments):
    """How long the good client waits while nobody attacks: what the machine itself takes."""
    good = GoodClient(node)
    time.sleep(arguments.seconds)
    found = good.end()
    print(f"{'(no attack)':24} worst/p99 ms: {found.text()} ({found.count()})", flush=True)


def attack(node, name, arguments):
    row = Row(name)
    good = GoodClient(node)
    time.sleep(WARM_SECONDS)
    row.before = row.most = node.memory_bytes()
    under_way = Attack(node, name, "--seconds", arguments.seconds, "--addresses", arguments.addresses)
    while under_way.process.poll() is None:
        row.most = max(row.most, node.memory_bytes())
        time.sleep(SAMPLE_SECONDS)
    row.work = under_way.end()
    row.latencies = good.end()
    ended = time.monotonic()
    while time.monotonic() < ended + arguments.settle:
        row.after = node.memory_bytes()
        if row.after - row.before <= arguments.bar_mb * MIB:
            row.settled_seconds = time.monotonic() - ended
            if not arguments.whole_settle:
                break
        time.sleep(SAMPLE_SECONDS)
    row.after = node.memory_bytes()
    return row


def make_certificate(directory):
    """Flags for a node with TLS, and the CA of its clients: the certificate itself."""
    cert, key = str(directory / "cert.pem"), str(directory / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return ["--tls-cert", cert, "--tls-key", key], cert


def campaign(names, is_tls, directory, arguments):
    """All of these on one node; the number of attacks with faults."""
    flags, ca = make_certificate(directory) if is_tls else ([], None)
    options = [*flags, *(["--workers", str(arguments.workers)] if arguments.workers else [])]
    node = Node(directory / ("tls" if is_tls else "clear"), options, ca)
    wrong = 0
    try:
        prepare(node)
        peace(node, arguments)
        for name in names:
            row = attack(node, name, arguments)
            faults = list(row.faults(arguments))
            wrong += bool(faults)
            print(row.text(), "|", "FAILED: " + "; ".join(faults) if faults else "ok", flush=True)
            node.check()
    finally:
        node.finish()
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="this attack; may be repeated")
    parser.add_argument("--seconds", type=int, default=15, help="of each attack")
    parser.add_argument("--settle", type=float, default=60, help="seconds until memory must be back")
    parser.add_argument("--whole-settle", action="store_true", help="wait all of them in any case")
    parser.add_argument("--addresses", type=int, default=1, help="from which the attack comes")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--bar-ms", type=float, default=100)
    parser.add_argument("--bar-mb", type=float, default=16)
    parser.add_argument("--directory", help="for the data; a temporary one by default")
    arguments = parser.parse_args()
    known = attacks()
    names = arguments.only or list(known)
    assert all(name in known for name in names), f"the attacks are: {' '.join(known)}"
    wrong = 0
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for is_tls in (False, True):
            these = [name for name in names if known[name] is is_tls]
            if these:
                wrong += campaign(these, is_tls, pathlib.Path(directory), arguments)
    print(f"{len(names) - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
