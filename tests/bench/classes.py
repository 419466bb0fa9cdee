"""Code of users: calls of a class, runs, wakes and isolates, ours and where it has them workerd's, for tests/bench/run."""

import glob
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time

import clusters

FOLDER = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(FOLDER, "classes.mjs")
PACKAGES = os.path.join(os.path.dirname(FOLDER), "differential", "node_modules", "@cloudflare")
CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "storage", disk = (path = "{data}", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "main.mjs", esModule = embed "main.mjs")], compatibilityDate = "2026-11-01",
  bindings = [(name = "BENCH", durableObjectNamespace = "Bench"), (name = "LOADER", workerLoader = ())],
  durableObjectNamespaces = [(className = "Bench", uniqueKey = "bench", enableSql = true)],
  durableObjectStorage = (localDisk = "storage"),
);
"""
ALIVE = 200  # isolates of the memory row
AWAKE = 2000
PAUSE_MS = 100  # between programs that come one by one
WOKEN = 200
IDLE_SECONDS = 12  # an isolate that has had nothing to do ends within them
IDLE_ENDS_SECONDS = 120


def program():
    """workerd, as the differential tests have it or WORKERD names it; None: it is not installed."""
    for path in [os.environ.get("WORKERD", ""), *glob.glob(os.path.join(PACKAGES, "workerd-*", "bin", "workerd"))]:
        if os.access(path, os.X_OK):
            return path
    return None


def start_workerd(bench, port):
    binary = program()
    if binary is None:
        sys.exit("workerd is not installed (deploy/build --tests brings it, or WORKERD names it)")
    folder = os.path.join(bench.dir, "workerd")
    data = os.path.join(folder, "data")
    os.makedirs(data)
    with open(SOURCE) as source, open(os.path.join(folder, "main.mjs"), "w") as copy:
        copy.write(source.read())
    config = os.path.join(folder, "config.capnp")
    with open(config, "w") as f:
        f.write(CONFIG.format(data=data, port=port))
    version = subprocess.run([binary, "--version"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout.split()[-1]
    server = bench.start("workerd", version, [binary, "serve", "--experimental", config])
    bench.workerd, bench.workerd_url = server.await_port(port), f"http://127.0.0.1:{port}"


def deploy(bench):
    with open(SOURCE) as f:
        body = {"modules": {"main.js": f.read()}, "main": "main.js", "classes": ["Bench"]}
    bench.request("PUT", "/v1/bench", json.dumps(body).encode())


# --- measurements: each returns what one round saw ------------------------------------------------


def both(bench, *arguments):
    """The same client against the one and then the other."""
    arguments = ["--protocol", "h1", *arguments]
    seen = {"Dormouse": bench.run_load(bench.dormouse, bench.dormouse_url, *arguments),
            "workerd": bench.run_load(bench.workerd, bench.workerd_url, "--server", "workerd", *arguments)}
    for name, one in seen.items():
        if one["refused"]:  # their times are not those of what is asked
            sys.exit(f"{name} refused requests of {' '.join(arguments)}")
    return seen


def calls_round(bench):
    return {f"{method} {actors}": both(bench, "--op", f"call-{method}", "--actors", str(actors), "--warmup", "5")
            for method in ("read", "put") for actors in (1, 64)}


def execute_round(bench):
    """With a pause after each: the pool is as warm as it is where programs come one by one."""
    return both(bench, "--op", "execute", "--connections", "1", "--actors", "1", "--pause", str(PAUSE_MS))


def call(connection, actor, method, *arguments):
    connection.request("POST", f"/v1/bench/Bench/{actor}/call/{method}", json.dumps(arguments),
                       {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    if answer.status != 200:
        sys.exit(f"{method} of {actor}: {body}")
    return body["result"]


def connect(bench):
    return http.client.HTTPConnection(bench.dormouse_url.removeprefix("http://"), timeout=60)


def isolates(bench):
    """Processes of isolates: by their program, and with no child of their own (a zygote has some)."""
    parents, found = set(), []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline") as f, open(f"/proc/{name}/stat") as stat:
                if f.read().split("\0")[0].endswith("dormouse-isolate"):
                    parents.add(int(stat.read().rpartition(")")[2].split()[1]))
                    found.append(int(name))
        except OSError:
            continue
    return [pid for pid in found if pid not in parents and descends(pid, bench.dormouse.pid)]


def descends(pid, ancestor):
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            with open(f"/proc/{pid}/stat") as f:
                pid = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def private_bytes(pids):
    """Of each; one that has ended meanwhile is left out."""
    sizes = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                sizes.append(1024 * sum(int(n) for n in re.findall(r"^Private_\w+:\s+(\d+)", f.read(), re.M)))
        except OSError:
            continue
    return sorted(sizes)


def await_sleep(bench):
    """All actors have gone to sleep: what is left is the pool."""
    last = set()

    def is_settled():
        nonlocal last
        before, last = last, set(isolates(bench))
        return last == before and last

    clusters.await_true("the isolates of idle actors end", is_settled, IDLE_ENDS_SECONDS, IDLE_SECONDS)
    return last


def memory_round(bench):
    """Private bytes of isolates after one call of a method and after twenty, with many alive."""
    connection, warm = connect(bench), await_sleep(bench)
    seen = {"warm": statistics.median(private_bytes(warm))}
    for name, calls in (("1", 1), ("20", 19)):
        for i in range(ALIVE):
            for n in range(calls):
                call(connection, f"m{i}", *(("put", "x" * 100) if n % 2 else ("read",)))
        sizes = private_bytes(isolates(bench))
        largest = sizes[-ALIVE:]  # those of the pool are smaller
        seen[name] = statistics.median(largest)
    return seen


def awake_round(bench):
    connection, started = connect(bench), time.monotonic()
    for i in range(AWAKE):
        call(connection, f"w{i}", "stay")
    seconds = time.monotonic() - started
    counts = [call(connection, f"w{i}", "read") for i in range(AWAKE)]
    sizes = private_bytes(isolates(bench))
    return {"alive": sum(counts), "seconds": seconds, "private": sum(sizes)}


def wake_round(bench):
    """The first call of an actor that sleeps, with a read of its storage; time of the client included. One wakes
    after the other, with the same pause between them as between programs."""
    connection = connect(bench)
    for i in range(WOKEN):
        call(connection, f"s{i}", "put", "x" * 100)
    await_sleep(bench)
    times = []
    for i in range(WOKEN):
        started = time.monotonic_ns()
        call(connection, f"s{i}", "stored")
        times.append((time.monotonic_ns() - started) / 1000)
        time.sleep(PAUSE_MS / 1000)
    return {"p50_us": statistics.median(times), "p99_us": sorted(times)[int(len(times) * 0.99)]}


def spin(bench, stop, ended):
    """One actor after another runs away, until told to stop; each is stopped at its limit."""
    connection, number = connect(bench), 0
    while not stop.is_set():
        number += 1
        connection.request("POST", f"/v1/bench/Bench/spin{number}/call/spin", "[]",
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        ended.append((answer.status, json.loads(answer.read()).get("code")))


def neighbours_round(bench):
    load = ["--op", "call-read", "--actors", "16", "--connections", "4"]
    alone = bench.run_load(bench.dormouse, bench.dormouse_url, *load)
    stop, ended = threading.Event(), []
    thread = threading.Thread(target=spin, args=(bench, stop, ended))
    thread.start()
    beside = bench.run_load(bench.dormouse, bench.dormouse_url, *load)
    stop.set()
    thread.join()
    return {"alone": alone, "beside": beside, "ended": ended}


# --- rows -----------------------------------------------------------------------------------------


def spread(values, form):
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def verdict(is_met):
    return "met" if is_met else "missed"


def peer(bench):
    return f"workerd {bench.workerd.version}: "


def call_rows(bench, rounds):
    for name in rounds[0]:
        method, actors = name.split()
        ours = [r[name]["Dormouse"]["rate"] for r in rounds]
        theirs = [r[name]["workerd"]["rate"] for r in rounds]
        ratios = [a / b for a, b in zip(ours, theirs)]
        bar = 3 if method == "read" else 5
        what = "reads memory" if method == "read" else "puts 100 bytes"
        yield [f"call that {what}, 64 clients, {actors} actor{'s' if actors != '1' else ''}",
               spread(ours, "{:,.0f}/s"), peer(bench) + spread(theirs, "{:,.0f}/s"), spread(ratios, "{:.2f}"),
               f">= {bar}", verdict(statistics.median(ratios) >= bar), ""]


def execute_rows(bench, rounds):
    p50, p99 = ([r["Dormouse"][p] for r in rounds] for p in ("p50_us", "p99_us"))
    theirs = [r["workerd"]["p50_us"] for r in rounds]
    ratios = [b / a for a, b in zip(p50, theirs)]
    yield ["execute, one client: p50", spread(p50, "{:,.0f} us"), peer(bench) + spread(theirs, "{:,.0f} us"),
           spread(ratios, "{:.2f}"), "<= 1,000 us and >= 3",
           verdict(statistics.median(p50) <= 1000 and statistics.median(ratios) >= 3), ""]
    yield ["execute, one client: p99", spread(p99, "{:,.0f} us"),
           peer(bench) + spread([r["workerd"]["p99_us"] for r in rounds], "{:,.0f} us"), "", "<= 5,000 us",
           verdict(statistics.median(p99) <= 5000), ""]


def wake_rows(bench, rounds):
    p50 = [r["p50_us"] for r in rounds]
    yield ["wake of a class's actor, with a read: p50", spread(p50, "{:,.0f} us"),
           "p99: " + spread([r["p99_us"] for r in rounds], "{:,.0f} us"), "", "<= 2,000 us",
           verdict(statistics.median(p50) <= 2000), ""]


def memory_rows(bench, rounds):
    for name, when in (("1", "after a call"), ("20", "after 20 calls")):
        mb = [r[name] / 1e6 for r in rounds]
        yield [f"private memory of an isolate, {ALIVE} alive, {when}", spread(mb, "{:.2f} MB"),
               "in the pool: " + spread([r["warm"] / 1e6 for r in rounds], "{:.2f} MB"), "", "<= 1.2 MB",
               verdict(statistics.median(mb) <= 1.2), ""]


def awake_rows(bench, rounds):
    alive = min(r["alive"] for r in rounds)
    yield [f"{AWAKE:,} actors of a class awake at once", f"{alive:,}",
           "private: " + spread([r["private"] / 1e6 for r in rounds], "{:,.0f} MB"), "", f">= {AWAKE:,}",
           verdict(alive >= AWAKE), "woken in " + spread([r["seconds"] for r in rounds], "{:.1f} s")]


def neighbours_rows(bench, rounds):
    alone, beside = ([r[which]["p99_us"] for r in rounds] for which in ("alone", "beside"))
    ratios = [b / a for a, b in zip(alone, beside)]
    yield ["p99 of calls beside runaway code", spread(beside, "{:,.0f} us"), "alone: " + spread(alone, "{:,.0f} us"),
           spread(ratios, "{:.2f}"), "<= 2", verdict(statistics.median(ratios) <= 2), ""]


KNOWN = {"call": (calls_round, call_rows), "execute": (execute_round, execute_rows), "wake": (wake_round, wake_rows),
         "isolate-memory": (memory_round, memory_rows), "awake": (awake_round, awake_rows),
         "neighbours": (neighbours_round, neighbours_rows)}
