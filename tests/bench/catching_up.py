"""A node that was away while the others wrote gigabytes, for tests/bench/run: how fast it has them, and what
writers lose meanwhile."""

import json
import mmap
import os
import re
import select
import subprocess
import sys
import time
import urllib.request

import clusters

VALUE_BYTES = 64 * 1024
FILL_ACTORS = 2048
DISK_BYTES = 1 << 30
DISK_WRITE_BYTES = 4 << 20
BEFORE_SECONDS = 10  # of writers, before the node comes back; and after it has caught up
WARM_SECONDS = 3
LAG_MAX = 10
CATCH_UP_SECONDS = 600
MB_BAR = 150


def disk_mb_per_second(directory):
    """Sequential writes of a new file, past the page cache, until they are durable."""
    path = os.path.join(directory, "disk")
    piece = mmap.mmap(-1, DISK_WRITE_BYTES)  # aligned, as O_DIRECT wants it
    piece.write(os.urandom(DISK_WRITE_BYTES))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DIRECT, 0o600)
    try:
        began = time.monotonic()
        for _ in range(DISK_BYTES // DISK_WRITE_BYTES):
            if os.write(fd, piece) != DISK_WRITE_BYTES:
                sys.exit("the disk took less than it was given")
        os.fsync(fd)
        return DISK_BYTES / 1e6 / (time.monotonic() - began)
    finally:
        os.close(fd)
        os.unlink(path)


def metrics(url):
    """Sums over workers and peers, by name."""
    sums = {}
    with urllib.request.urlopen(url + "/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            seen = re.match(r"(\w+)(?:\{.*\})? (\S+)$", line)
            if seen:
                sums[seen[1]] = sums.get(seen[1], 0.0) + float(seen[2])
    return sums


class Writers:
    """The load generator, until `stop`; what the nodes have written for it is counted by themselves."""

    def __init__(self, bench, url, connections):
        # Its last word is of no use: it is ended while requests are under way.
        self.process = subprocess.Popen(
            [bench.load, "--op", "put", "--connections", str(connections), "--seconds", "86400", url],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self):
        if self.process.poll() is not None:
            sys.exit("the writers ended before their time")
        self.process.kill()
        self.process.wait()


def written(urls):
    return sum(metrics(url)["dormouse_batches_total"] for url in urls)


def rate_of(urls, seconds):
    before, began = written(urls), time.monotonic()
    select.select([], [], [], seconds)
    return (written(urls) - before) / (time.monotonic() - began)


def fill(bench, url, megabytes):
    """New values; MB that were acknowledged."""
    keys = max(1, megabytes * 1000000 // VALUE_BYTES // FILL_ACTORS)
    actors = megabytes * 1000000 // VALUE_BYTES // keys
    out = subprocess.run([bench.load, "--json", "--op", "fill", "--actors", str(actors), "--keys", str(keys),
                          "--value-bytes", str(VALUE_BYTES), "--connections", "16", "--seconds", "3600", url],
                         check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout
    if not out:
        sys.exit("the generator failed")
    return json.loads(out)["acknowledged"] * VALUE_BYTES / 1e6


def behind(url):
    """How many shards have a replica that lacks what the others have."""
    shards = clusters.call(url + "/admin/v1/cluster", seconds=30)["shards"]
    return sum(s["lag"] is None or s["lag"] >= LAG_MAX or s["leader"] is None or
               len(s["replicas"]) < clusters.NODES for s in shards)


def come_back(bench, urls, start, say):
    """The node starts under load; when it had all, and what came as copies of stores."""
    before, began = written(urls[:-1]), time.monotonic()
    start()
    seen = {"ready_seconds": time.monotonic() - began}
    told = began
    while True:
        left = behind(urls[0])
        now = metrics(urls[-1])
        passed = time.monotonic() - began
        if time.monotonic() - told > 1 or left == 0:
            told = time.monotonic()
            say(f"  {passed:5.1f} s: {left} shards are behind, {now['dormouse_snapshots_taken_total']:.0f} copies "
                f"taken, {now['dormouse_snapshot_received_bytes_total'] / 1e6:.0f} MB of copies came")
        if left == 0:
            break
        if passed > CATCH_UP_SECONDS:
            sys.exit(f"not caught up within {CATCH_UP_SECONDS} s")
        select.select([], [], [], 0.1)
    seen["seconds"] = time.monotonic() - began
    seen["rate_during"] = (written(urls) - before) / seen["seconds"]  # the node counts from 0
    seen["copies"] = now["dormouse_snapshots_taken_total"]
    seen["copied_mb"] = now["dormouse_snapshot_received_bytes_total"] / 1e6
    return seen


def one_round(bench, daemon, version, ports, say):
    seen = {"disk_mb": disk_mb_per_second(bench.dir)}
    servers, url = clusters.start_dormouse(bench, daemon, version, ports)
    urls = [f"http://127.0.0.1:{port}" for port in ports[:clusters.NODES]]
    servers[-1].process.kill()
    servers[-1].process.wait()
    say(f"  {bench.options.megabytes} MB are written while node {clusters.NODES} is away")
    began = time.monotonic()
    seen["missed_mb"] = fill(bench, url, bench.options.megabytes)
    seen["fill_seconds"] = time.monotonic() - began
    writers = Writers(bench, url, bench.options.writers)
    select.select([], [], [], WARM_SECONDS)
    seen["rate_before"] = rate_of(urls[:-1], BEFORE_SECONDS)

    def start():
        data = os.path.join(bench.dir, f"cluster-{clusters.NODES}")
        servers[-1] = bench.start("Dormouse", version, [daemon, "--data", data, "--listen",
                                                        urls[-1].removeprefix("http://")]).await_ready_line()

    seen.update(come_back(bench, urls, start, say))
    seen["rate_after"] = rate_of(urls, BEFORE_SECONDS)
    writers.stop()
    for server in servers:
        server.stop()
    return seen


def rows(bench, rounds):
    for seen in rounds:
        what = f"a node that missed {seen['missed_mb']:,.0f} MB catches up"
        rate = seen["missed_mb"] / seen["seconds"]
        bar = min(0.5 * seen["disk_mb"], MB_BAR)
        yield [what, f"{rate:,.0f} MB/s: {seen['seconds']:.1f} s, {seen['copies']:.0f} copies of "
               f"{seen['copied_mb']:,.0f} MB", f"disk, sequential: {seen['disk_mb']:,.0f} MB/s",
               f"{rate / seen['disk_mb']:.2f}", f">= {bar:,.0f} MB/s", "met" if rate >= bar else "missed", ""]
        kept = seen["rate_during"] / seen["rate_before"]
        yield [f"{what}: {bench.options.writers} writers meanwhile", f"{seen['rate_during']:,.0f}/s",
               f"before, two nodes: {seen['rate_before']:,.0f}/s; after, three: {seen['rate_after']:,.0f}/s",
               f"{kept:.2f}", ">= 0.7", "met" if kept >= 0.7 else "missed", ""]
