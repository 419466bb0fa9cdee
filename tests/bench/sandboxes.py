"""Sandboxes: making one, running programs in it, sleeping and waking with a disk of 400 MB, forks, for tests/bench/run."""

import http.client
import json
import os
import statistics
import sys
import time

from classes import connect, spread, verdict

MADE = 30
EXECS = 200
PAUSE_SECONDS = 0.3  # between two that are made: disks are kept warm
# 25 000 files, 400 MB: as fourteen packages of npm have them.
FILL = ("import os\n"
        "for d in range(250):\n"
        "    os.makedirs(f'/srv/tree/{d}')\n"
        "    for f in range(100): open(f'/srv/tree/{d}/{f}', 'wb').write(os.urandom(16384))\n"
        "print(len(os.listdir('/srv/tree')))")
CHANGE = "import os; open('/srv/changed', 'wb').write(os.urandom(10 << 20))"


def ask(connection, method, path, body=None, want=(200, 201, 204)):
    connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in want:
        sys.exit(f"{method} {path}: {answer.status} {text!r}")
    return json.loads(text) if text else None


def timed(run):
    began = time.monotonic_ns()
    run()
    return (time.monotonic_ns() - began) / 1e6


def first_output(connection, path):
    """Of an exec that streams: until its first byte is here."""
    connection.request("POST", f"{path}/exec", json.dumps({"cmd": ["echo", "here"]}),
                       {"Content-Type": "application/json", "Accept": "text/event-stream"})
    answer = connection.getresponse()
    seen = b""
    while b"event: stdout" not in seen:
        piece = answer.read1()
        if not piece:
            sys.exit(f"no output: {seen!r}")
        seen += piece
    done = time.monotonic_ns()
    answer.read()
    return done


def made_times(connection):
    times = []
    for i in range(MADE):
        path = f"/v1/bench/Store/made{os.getpid()}-{i}/sandboxes/s"
        began = time.monotonic_ns()
        ask(connection, "PUT", path, {})
        times.append((first_output(connection, path) - began) / 1e6)
        ask(connection, "DELETE", path)
        time.sleep(PAUSE_SECONDS)
    return times


def sandbox_round(bench):
    connection = connect(bench)
    path = f"/v1/bench/Store/box{time.monotonic_ns()}/sandboxes/s"
    made = made_times(connection)
    ask(connection, "PUT", path, {})
    true = [timed(lambda: ask(connection, "POST", f"{path}/exec", {"cmd": ["true"]})) for _ in range(EXECS)]
    python = lambda code: ask(connection, "POST", f"{path}/exec", {"cmd": ["python3", "-c", code], "timeout_ms": 120000})
    if python(FILL)["stdout"].strip() != "250":
        sys.exit("the disk could not be filled")
    first_sleep = timed(lambda: ask(connection, "POST", f"{path}/sleep"))
    wakes, sleeps = [], []
    for _ in range(5):
        wakes.append(timed(lambda: ask(connection, "POST", f"{path}/wake")))
        python(CHANGE)
        sleeps.append(timed(lambda: ask(connection, "POST", f"{path}/sleep")))
    ask(connection, "POST", f"{path}/wake")
    ask(connection, "POST", f"{path}/snapshots", {"name": "n"})
    forks = [timed(lambda: ask(connection, "POST", f"{path}/fork", {"id": f"fork{time.monotonic_ns()}", "name": "s"}))
             for _ in range(10)]
    ask(connection, "DELETE", path)
    p50 = statistics.median
    return {"made": p50(made), "true": p50(true), "first_sleep": first_sleep, "wake": p50(wakes), "sleep": p50(sleeps),
            "fork": p50(forks)}


def sandbox_rows(bench, rounds):
    for name, what, bar in [("made", "a sandbox, from PUT to the first byte of an exec: p50", 15), ("true", "exec true in one that runs: p50", 4),
                            ("wake", "wake with a disk of 400 MB, 25 000 files: p50", 25), ("sleep", "sleep of that disk with 10 MB changed: p50", 500),
                            ("fork", "fork of it, once it has a snapshot: p50", 100), ("first_sleep", "sleep with all of it new", None)]:
        seen = [r[name] for r in rounds]
        yield [what, spread(seen, "{:,.1f} ms"), "", "", f"<= {bar} ms" if bar else "",
               verdict(statistics.median(seen) <= bar) if bar else "", ""]


KNOWN = {"sandbox": (sandbox_round, sandbox_rows)}
