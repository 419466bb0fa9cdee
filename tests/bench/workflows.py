"""Workflows: what their steps cost, and runs that wait; for tests/bench/run."""

import http.client
import json
import os
import statistics
import sys
import threading
import time

import clusters

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workflows.mjs")
RUNS, STEPS = 64, 1000
ALONE_STEPS = 500
STARTERS = 8
WAKE_SECONDS = 10  # over which the due ones of the waiting row are spread
WAKE_RATE = 1000
_runs = 0


def deploy(bench):
    with open(SOURCE) as f:
        body = {"modules": {"main.js": f.read()}, "main": "main.js"}
    bench.request("PUT", "/v1/flows", json.dumps(body).encode())


def ask(connection, method, path, body=None):
    connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        sys.exit(f"{method} {path}: {text}")
    return json.loads(text)


def connect(bench):
    return http.client.HTTPConnection(bench.dormouse_url.removeprefix("http://"), timeout=60)


def start_all(bench, class_name, names, params):
    """With some clients; `params(name)`."""
    def run(mine):
        connection = connect(bench)
        for name in mine:
            ask(connection, "POST", f"/v1/flows/{class_name}/{name}/workflow", {"params": params(name)})
    threads = [threading.Thread(target=run, args=(names[i::STARTERS],)) for i in range(STARTERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def await_end(bench, class_name, names, seconds):
    """What each says in the end."""
    connection, told = connect(bench), {}

    def have_ended():
        for name in names:
            if name not in told:
                one = ask(connection, "GET", f"/v1/flows/{class_name}/{name}/workflow")
                if one["status"] == "errored":
                    sys.exit(f"{name}: {one['error']}")
                if one["status"] != "complete":
                    return False
                told[name] = one
        return True
    clusters.await_true("all runs end", have_ended, seconds)
    return list(told.values())


def steps_round(bench):
    global _runs
    _runs += 1
    put = bench.run_load(bench.dormouse, bench.dormouse_url, "--connections", "1", "--streams", "1")
    alone = f"alone{_runs}"
    start_all(bench, "Steps", [alone], lambda _: {"steps": ALONE_STEPS})
    p50_us = 1000 * await_end(bench, "Steps", [alone], 120)[0]["output"]
    names = [f"r{_runs}-{n}" for n in range(RUNS)]
    before, began = clusters.processor_seconds(bench.dormouse.pid), time.monotonic()
    start_all(bench, "Steps", names, lambda _: {"steps": STEPS})
    told = await_end(bench, "Steps", names, 300)
    seconds = time.monotonic() - began
    every = [s for one in told for s in one["steps"]]
    spent = (max(s["ended"] for s in every) - min(s["started"] for s in every)) / 1000
    return {"rate": len(every) / spent, "p50_us": p50_us, "put_p50_us": put["p50_us"],
            "server_cpu": (clusters.processor_seconds(bench.dormouse.pid) - before) / seconds}


def waiting_round(bench):
    """Many that sleep for a day, and some that are due soon, one after the other."""
    count, due = bench.options.workflows, min(bench.options.workflows, WAKE_SECONDS * WAKE_RATE)
    before = bench.settled_anonymous_bytes()
    tomorrow, began = int(time.time() * 1000) + 86400000, time.monotonic()
    start_all(bench, "Sleeps", [f"s{n}" for n in range(count)], lambda _: {"at": tomorrow})
    connection = connect(bench)
    clusters.await_true("all sleep", lambda: ask(connection, "GET", f"/v1/flows/Sleeps/s{count - 1}/workflow")["status"]
                        == "waiting", 600)
    started = count / (time.monotonic() - began)
    memory = bench.settled_anonymous_bytes()
    pause = 60 if due < 2000 else 120  # until all of them are written
    at = int(time.time() * 1000) + pause * 1000
    names = [f"d{n}" for n in range(due)]
    start_all(bench, "Sleeps", names, lambda name: {"at": at + int(name[1:]) * 1000 // WAKE_RATE})
    told = await_end(bench, "Sleeps", names, 600)
    late = sorted(one["steps"][1]["output"] - one["steps"][0]["ended"] for one in told)
    return {"memory": memory, "before": before, "count": count, "started": started, "due": due,
            "late_ms": late[len(late) // 2], "latest_ms": late[-1]}


def spread(values, form):
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def verdict(is_met):
    return "met" if is_met else "missed"


def steps_rows(bench, rounds):
    rates = [r["rate"] for r in rounds]
    yield [f"steps of {RUNS} workflows, {STEPS} each", spread(rates, "{:,.0f}/s"), "", "", ">= 5,000/s",
           verdict(statistics.median(rates) >= 5000), f"{statistics.median(r['server_cpu'] for r in rounds):.2f}"]
    ratios = [r["p50_us"] / r["put_p50_us"] for r in rounds]
    yield ["a step of one workflow: p50", spread([r["p50_us"] for r in rounds], "{:,.0f} us"),
           "durable PUT: " + spread([r["put_p50_us"] for r in rounds], "{:,.0f} us"), spread(ratios, "{:.2f}"),
           "<= 1.5", verdict(statistics.median(ratios) <= 1.5), ""]


def waiting_rows(bench, rounds):
    r = rounds[0]
    yield [f"{r['count']:,} sleeping workflows: RssAnon", f"{r['memory'] / 1e6:,.0f} MB",
           f"before: {r['before'] / 1e6:,.0f} MB", "", "< 300 MB", verdict(r["memory"] < 300e6),
           f"begun at {r['started']:,.0f}/s"]
    yield [f"{r['due']:,} due at {WAKE_RATE:,}/s: how late the last began", f"{r['latest_ms']:,} ms",
           f"median: {r['late_ms']:,} ms", "", "<= 1,000 ms", verdict(r["latest_ms"] <= 1000), ""]


KNOWN = {"steps": (steps_round, steps_rows), "waiting": (waiting_round, waiting_rows)}
