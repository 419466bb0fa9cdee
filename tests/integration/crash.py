#!/usr/bin/python3
"""Kills a node at random moments under concurrent writers, and counts what is lost, doubled or half done.

A round: 64 writers send one request at a time, each under an Idempotency-Key, until the node is killed
with SIGKILL. It is started again (now and then killed once more while it recovers). Before any writer
retries, what it holds is compared with what was answered; then each writer repeats the request that it got
no answer to, under the same key, and now every count must be exact. What is written:

    count     adds to counters of a shared actor; a repeat that acts twice, or not, shows in the sum
    register  eight keys of a shared actor in one transaction; they must agree
    log       appends an id to a list of a shared actor; each is there once, in the order of versions
    claim     compare-and-set on a shared key; those that won form one chain of versions
    put       new keys of the writer's own actor, 10 bytes to 200 KB, now and then deleted again
    reborn    an actor that the writer fills, deletes and fills again
    timer     timers of shared actors, of all kinds: crash_timers.py

Exit code 0: nothing was violated, and there was something to violate: each kind of work and fault came at
least once (WORK). Else 1. With --plant a defect of crash_plants.py is put in; it must be found.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from crash_base import LOST, Connection, Operation, Violation, check  # noqa: E402
from crash_plants import PLANTS  # noqa: E402
from crash_timers import Timers, now_ms  # noqa: E402
from node import Node  # noqa: E402

REGISTER_KEYS = 8
TRY_AGAIN = (429, 503, 504, 507)
PRELOAD_BYTES = 16 * 1024
SAMPLE = 200  # of older writes, looked at in every round; all of them at the end
LONG_ROUNDS = 50
CHECK_EVERY = 3  # rounds: --check of what the kill left

# What a campaign must have done, or it has shown nothing; and a long one.
WORK = ["kills", "acknowledged", "in doubt", "retried", "old repeats", "count", "register", "log", "claim", "put",
        "delete", "fill", "destroy", "timer", "timer far", "timer deleted", "timers due", "timers due while down",
        "firings", "repetitions of beat", "repetitions of hook", "webhooks taken", "streams cut", "events kept",
        "data checked"]
WORK_LONG = ["kills at start", "replayed", "repetitions of minute", "repetitions missed and counted",
             "webhooks refused", "webhooks dropped", "webhooks again", "resets of streams"]


def txn(do, checks=()):
    body = {"do": do}
    if checks:
        body["if"] = list(checks)
    return json.dumps(body).encode()


class Shared:
    """What is known of an actor that all writers write."""

    def __init__(self, name):
        self.path = f"/v1/crash/Store/{name}"
        self.count = 0
        self.register = (0, None)                  # version, value
        self.logs = collections.defaultdict(dict)  # key: {id: version}
        self.claims = {}                           # version: the version that it replaced
        self.claim_seen = 0                        # the newest that a writer knows


class Count(Operation):
    kind = "count"

    def __init__(self, shared, rng, key):
        super().__init__("POST", shared.path + "/txn",
                         txn([{"add": "count"}, {"add": "half", "by": 0.5}, {"add": "down", "by": -1}]), key)
        self.shared = shared

    def kept(self, answer):
        check(answer.status == 200, "count answered", answer.status, answer.body)
        self.shared.count += 1
        self.answer = answer.body


class Register(Operation):
    kind = "register"

    def __init__(self, shared, rng, key):
        self.value = f"{key} " + "x" * rng.randrange(400)
        super().__init__("POST", shared.path + "/txn",
                         txn([{"put": f"register/{i}", "value": self.value}
                              for i in range(REGISTER_KEYS)]), key)
        self.shared = shared

    def kept(self, answer):
        check(answer.status == 200, "register answered", answer.status, answer.body)
        self.shared.register = max(self.shared.register, (answer.json["version"], self.value))
        self.answer = answer.body


class Log(Operation):
    kind = "log"

    def __init__(self, shared, rng, key, number):
        self.log = f"log/{number:06}"
        super().__init__("POST", shared.path + "/txn", txn([{"append": self.log, "items": [key]}]), key)
        self.shared = shared

    def kept(self, answer):
        check(answer.status == 200, "log answered", answer.status, answer.body)
        self.shared.logs[self.log][self.key] = answer.json["version"]
        self.answer = answer.body


class Claim(Operation):
    kind = "claim"

    def __init__(self, shared, rng, key):
        self.replaces = shared.claim_seen
        condition = {"key": "claim", "version": self.replaces} if self.replaces else \
            {"key": "claim", "exists": False}
        super().__init__("POST", shared.path + "/txn",
                         txn([{"put": "claim", "value": key}], [condition]), key)
        self.shared = shared

    def kept(self, answer):
        check(answer.status in (200, 409), "claim answered", answer.status, answer.body)
        self.answer = answer.body
        if answer.status == 200:
            version = answer.json["version"]
            self.shared.claims[version] = self.replaces
            self.shared.claim_seen = max(self.shared.claim_seen, version)


class Own:
    """The actor of one writer: its keys with a checksum and version each."""

    def __init__(self, number):
        self.path = f"/v1/crash/Store/own-{number}"
        self.keys = {}
        self.fresh = []  # written since the last look
        self.made = 0


class Put(Operation):
    kind = "put"

    def __init__(self, own, rng, key):
        self.own = own
        size = rng.choice([10, 100, 100, 1000, 1000, 10_000, 200_000 if rng.random() < 0.1 else 100])
        own.made += 1
        self.name = f"k{own.made:08}"
        body = rng.randbytes(size)
        super().__init__("PUT", f"{own.path}/kv/{self.name}", body, key)
        self.octets = True
        self.crc = zlib.crc32(body)

    def kept(self, answer):
        check(answer.status == 204, "put answered", answer.status, answer.body)
        self.own.keys[self.name] = (self.crc, answer.version)
        self.own.fresh.append(self.name)


class Delete(Operation):
    kind = "delete"

    def __init__(self, own, rng, key):
        self.own = own
        self.name = rng.choice(list(own.keys))
        super().__init__("DELETE", f"{own.path}/kv/{self.name}", b"", key)

    def kept(self, answer):
        check(answer.status == 204, "delete answered", answer.status, answer.body)
        check(answer.headers[b"dormouse-existed"] == b"true", "a key was gone before it was deleted:",
              self.path)
        del self.own.keys[self.name]
        self.own.fresh.append(self.name)


class Reborn:
    """An actor of one writer that is deleted and filled again."""

    def __init__(self, number):
        self.path = f"/v1/crash/Store/reborn-{number}"
        self.lives = 0
        self.value = None  # None: it is deleted
        self.version = 0


class Fill(Operation):
    kind = "fill"

    def __init__(self, reborn, rng, key):
        self.reborn = reborn
        self.value = key
        super().__init__("POST", reborn.path + "/txn", txn(
            [{"put": f"{reborn.lives}/{i}", "value": key} for i in range(20)] + [{"list": {"limit": 1000}}]),
            key)

    def kept(self, answer):
        check(answer.status == 200, "fill answered", answer.status, answer.body)
        doc = answer.json
        check(len(doc["results"][-1]["entries"]) == 20, "keys of an earlier life are left in", self.path)
        check(doc["version"] > self.reborn.version, "a version went back in", self.path)
        self.reborn.value, self.reborn.version = self.value, doc["version"]


class Destroy(Operation):
    kind = "destroy"

    def __init__(self, reborn, rng, key):
        self.reborn = reborn
        super().__init__("DELETE", reborn.path, b"", key)

    def kept(self, answer):
        check(answer.status == 204, "destroy answered", answer.status, answer.body)
        self.reborn.value = None
        self.reborn.lives += 1


class Campaign:
    def __init__(self, options):
        self.options = options
        self.rng = random.Random(options.seed)
        self.stats = collections.Counter()
        self.starts = []
        self.start_cpu = []
        self.shared = [Shared(f"shared-{i}") for i in range(options.actors)]
        self.own = [Own(i) for i in range(options.writers)]
        self.reborn = [Reborn(i) for i in range(options.writers)]
        self.far = [[] for _ in range(options.writers)]
        self.timers = Timers(self, options.timer_actors, options.patience)
        self.connect = PLANTS[options.plant] if options.plant else Connection  # of writers
        self.current = [None] * options.writers  # the operation that each writer is at
        self.round = 0
        self.paused = True
        self.alive = asyncio.Event()
        self.at_rest = asyncio.Condition()
        self.resting = 0
        self.preloaded = 0
        self.answered = collections.deque(maxlen=2000)  # operations whose repeat must be a replay
        self.node = None

    # The node

    def begin(self):
        self.node = Node(self.options.data, self.flags())
        self.note_start()

    def note_start(self):
        """On a busy machine most of a start is waiting for others: the processor's time tells."""
        self.starts.append(self.node.start_seconds)
        self.start_cpu.append(self.node.cpu_seconds())

    async def start_again(self):
        """Some starts are cut short: recovery must bear that too."""
        while self.rng.random() < self.options.kills_at_start:
            self.draw_workers()
            await self.kill_while_starting()
        self.draw_workers()
        await asyncio.to_thread(self.node.start)
        self.note_start()

    def draw_workers(self):
        if self.options.vary_workers:
            workers = self.rng.randint(1, self.options.vary_workers)
            self.node.options = [*self.flags(), "--workers", str(workers)]

    def flags(self):
        return ["--allow-private-targets", *self.options.node_options]  # webhooks come to this process

    async def kill_while_starting(self):
        process = await asyncio.create_subprocess_exec(
            *self.node.command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL)
        try:
            await asyncio.wait_for(process.wait(), self.rng.uniform(0, 2 * self.starts[-1]))
            raise Violation(f"a start ended by itself with {process.returncode}")
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            self.stats["kills at start"] += 1

    # Writers

    def next_operation(self, w, rng, number):
        key = f"{w}-{number}"
        shared = rng.choice(self.shared)
        own, reborn = self.own[w], self.reborn[w]
        if rng.random() < 0.1:
            return self.timers.next_operation(rng, key, self.far[w])
        kind = rng.random()
        if kind < 0.30:
            return Count(shared, rng, key)
        if kind < 0.45:
            return Register(shared, rng, key)
        if kind < 0.60:
            return Log(shared, rng, key, self.round)
        if kind < 0.70:
            return Claim(shared, rng, key)
        if kind < 0.90 or not own.keys:
            return Put(own, rng, key)
        if kind < 0.94:
            return Delete(own, rng, key)
        return Destroy(reborn, rng, key) if reborn.value is not None and rng.random() < 0.4 else \
            Fill(reborn, rng, key)

    async def perform(self, connection, operation):
        while True:
            try:
                answer = await connection.request(operation.method, operation.path, operation.body,
                                                  operation.key, operation.octets)
            except LOST:
                self.stats["in doubt"] += not operation.in_doubt
                operation.in_doubt = True
                if self.node.process is not None and self.node.process.poll() is not None \
                        and self.alive.is_set():
                    raise Violation(f"the node ended by itself:\n{self.node.stderr}") from None
                await self.alive.wait()
                self.stats["retried"] += 1
                continue
            if answer.status in TRY_AGAIN:
                self.stats[f"answered {answer.status}"] += 1
                operation.in_doubt = operation.in_doubt or answer.json["maybe_applied"]
                await asyncio.sleep(0.02)
                continue
            if answer.headers.get(b"idempotency-replayed") == b"true":
                check(operation.in_doubt, "a first request was taken for a repeat:", operation.path,
                      operation.key)
                self.stats["replayed"] += 1
            operation.kept(answer)
            self.stats["acknowledged"] += 1
            self.stats[operation.kind] += 1
            return

    async def rest(self):
        async with self.at_rest:
            self.resting += 1
            self.at_rest.notify_all()
            await self.at_rest.wait_for(lambda: not self.paused)
            self.resting -= 1

    async def write(self, w):
        rng = random.Random(f"{self.options.seed}/{w}")
        connection = self.connect(self)
        number = 0
        while True:
            if self.paused:
                await self.rest()
            number += 1
            operation = self.next_operation(w, rng, number)
            self.current[w] = operation
            await self.perform(connection, operation)
            self.current[w] = None
            if hasattr(operation, "answer"):
                self.answered.append(operation)

    async def all_rest(self):
        async with self.at_rest:
            await self.at_rest.wait_for(lambda: self.resting == self.options.writers)

    async def go_on(self):
        async with self.at_rest:
            self.paused = False
            self.at_rest.notify_all()

    # What must hold

    async def get(self, connection, path):
        answer = await connection.request("GET", path)
        check(answer.status in (200, 404), path, "answered", answer.status, answer.body)
        return answer if answer.status == 200 else None

    async def entries(self, connection, path, **query):
        """All of a listing: {key: (value, version)}."""
        found, cursor = {}, None
        while True:
            parts = [f"{k}={v}" for k, v in query.items()] + ["limit=1000"]
            parts += [f"cursor={cursor}"] if cursor else []
            answer = await connection.request("GET", f"{path}/kv?{'&'.join(parts)}")
            check(answer.status == 200, path, "listed with", answer.status, answer.body)
            page = answer.json
            for e in page["entries"]:
                check(e["key"] not in found, "listed twice:", path, e["key"])
                found[e["key"]] = (e.get("value"), e["version"])
            cursor = page["next"]
            if cursor is None:
                return found

    def open_operations(self, kind, shared):
        return [o for o in self.current if o is not None and o.kind == kind and o.shared is shared]

    async def verify_shared(self, connection, shared, whole):
        found = await self.entries(connection, shared.path) if whole else {}
        if not whole:
            for prefix in ["c", "d", "h", "register/", f"log/{self.round:06}"]:
                found.update(await self.entries(connection, shared.path, prefix=prefix))
        self.verify_counters(shared, found)
        self.verify_register(shared, found)
        self.verify_logs(shared, found, whole)
        self.verify_claims(shared, found)

    def verify_counters(self, shared, found):
        open_counts = len(self.open_operations("count", shared))
        count = found.get("count", (0, 0))[0]
        check(shared.count <= count <= shared.count + open_counts, shared.path, "counts", count, "after",
              shared.count, "acknowledged and", open_counts, "open")
        check(found.get("half", (0, 0))[0] == count / 2 and found.get("down", (0, 0))[0] == -count,
              shared.path, "is half applied:", count, found.get("half"), found.get("down"))

    def verify_register(self, shared, found):
        values = {found.get(f"register/{i}") for i in range(REGISTER_KEYS)}
        check(len(values) == 1, shared.path, "is half applied: its register holds", values)
        held = values.pop()
        version, value = shared.register
        if held is None:
            check(value is None, shared.path, "has lost its register of version", version)
            return
        if held == (value, version):
            return
        may_be = {o.value for o in self.open_operations("register", shared)}
        check(held[1] > version and held[0] in may_be, shared.path, "holds", held, "in place of",
              (value, version))

    def verify_logs(self, shared, found, whole):
        keys = list(shared.logs) if whole else [f"log/{self.round:06}"]
        for key in keys:
            known = shared.logs.get(key, {})
            ids = found.get(key, ([], 0))[0]
            check(len(ids) == len(set(ids)), shared.path, key, "has an id twice")
            lost = set(known) - set(ids)
            check(not lost, shared.path, key, "has lost", lost)
            may_be = {o.key for o in self.open_operations("log", shared) if o.log == key}
            check(set(ids) <= set(known) | may_be, shared.path, key, "holds what nobody wrote")
            versions = [known[i] for i in ids if i in known]
            check(versions == sorted(versions), shared.path, key, "is out of order")

    def verify_claims(self, shared, found):
        held = found.get("claim", (None, 0))[1]
        open_claims = self.open_operations("claim", shared)
        newest = max(shared.claims, default=0)
        check(held == newest or (held > newest and open_claims), shared.path, "claims: holds", held,
              "acknowledged", newest)
        replaced = sorted(shared.claims.values())
        check(len(replaced) == len(set(replaced)), shared.path, "two claims replaced one version")
        if not open_claims:
            chain, at = 0, newest
            while at:
                check(at in shared.claims, shared.path, "claims: version", at, "was never acknowledged")
                at = shared.claims[at]
                chain += 1
            check(chain == len(shared.claims), shared.path, "claims are no single chain")

    async def verify_own(self, connection, own, names, may_be_open):
        for name in names:
            if may_be_open is not None and may_be_open.path.endswith(name):
                continue
            answer = await self.get(connection, f"{own.path}/kv/{name}")
            if name not in own.keys:
                check(answer is None, own.path, name, "is back after it was deleted")
                continue
            check(answer is not None, own.path, "has lost", name)
            crc, version = own.keys[name]
            check(answer.version == version and zlib.crc32(answer.body) == crc, own.path, name,
                  "holds something else, version", answer.version, "not", version)

    async def verify_reborn(self, connection, reborn, operation):
        found = await self.entries(connection, reborn.path)
        values = {value for value, _ in found.values()}
        check(len(found) in (0, 20) and len(values) <= 1, reborn.path, "is half applied:", found)
        value = values.pop() if values else None
        may_be = [reborn.value]
        if operation is not None and operation.kind == "fill" and operation.reborn is reborn:
            may_be.append(operation.value)
        if operation is not None and operation.kind == "destroy" and operation.reborn is reborn:
            may_be.append(None)
        check(value in may_be, reborn.path, "holds", value, "and not one of", may_be)

    async def verify_preloaded(self, connection, numbers):
        for number in numbers:
            answer = await self.get(connection, preload_path(number))
            check(answer is not None and answer.body == preload_value(number), "lost or changed:",
                  preload_path(number))

    async def verify_replay(self, connection, operation):
        answer = await connection.request(operation.method, operation.path, operation.body, operation.key)
        check(answer.headers.get(b"idempotency-replayed") == b"true" and answer.body == operation.answer,
              "the record is lost of", operation.path, operation.key, answer.status, answer.body)
        self.stats["old repeats"] += 1

    async def verify(self, whole=False):
        """Everything of this round and a sample of what is older; all of it where `whole`."""
        jobs = []
        for shared in self.shared:
            jobs.append(lambda c, s=shared: self.verify_shared(c, s, whole))
        for own, operation in zip(self.own, self.current):
            names = set(own.keys) if whole else set(own.fresh)
            if not whole and own.keys:
                names.update(self.rng.choices(list(own.keys), k=max(1, SAMPLE // len(self.own))))
            jobs.append(lambda c, o=own, n=names, p=operation: self.verify_own(c, o, n, p))
        for reborn, operation in zip(self.reborn, self.current):
            jobs.append(lambda c, r=reborn, o=operation: self.verify_reborn(c, r, o))
        numbers = range(self.preloaded) if whole else \
            [self.rng.randrange(self.preloaded) for _ in range(SAMPLE)] if self.preloaded else []
        for at in range(0, len(numbers), 500):
            jobs.append(lambda c, n=numbers[at:at + 500]: self.verify_preloaded(c, n))
        if self.answered:
            for operation in self.rng.choices(self.answered, k=20):
                jobs.append(lambda c, o=operation: self.verify_replay(c, o))
        await self.run_jobs(jobs)
        self.stats["checks"] += len(jobs)

    async def run_jobs(self, jobs, at_once=16):
        waiting = collections.deque(jobs)

        async def work():
            connection = Connection(self)
            while waiting:
                await waiting.popleft()(connection)
            connection.drop()
        await asyncio.gather(*[work() for _ in range(at_once)])

    # The campaign

    async def preload(self):
        total = self.options.preload_mb * 1024 * 1024 // PRELOAD_BYTES

        async def put(connection, numbers):
            for number in numbers:
                status = 0
                while status != 204:
                    answer = await connection.request("PUT", preload_path(number), preload_value(number),
                                                      octets=True)
                    status = answer.status
                    check(status == 204 or status in TRY_AGAIN, "preload answered", status, answer.body)
                    if status != 204:
                        await asyncio.sleep(0.05)
        began = time.monotonic()
        step = 200
        await self.run_jobs([lambda c, n=range(at, min(at + step, total)): put(c, n)
                             for at in range(0, total, step)], at_once=32)
        self.preloaded = total
        if total:
            self.say(f"preloaded {self.options.preload_mb} MB in {time.monotonic() - began:.1f} s")

    def say(self, text):
        if not self.options.quiet:
            print(text, flush=True)

    async def one_round(self, writers):
        self.round += 1
        for own in self.own:
            own.fresh.clear()
        before = self.stats["acknowledged"]
        await self.go_on()
        delay = self.rng.uniform(*self.options.seconds)
        done, _ = await asyncio.wait(writers, timeout=delay, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        self.alive.clear()
        killed_ms = now_ms()
        self.node.kill9()  # and from here on nobody begins anything new
        self.paused = True
        self.stats["kills"] += 1
        if self.round % CHECK_EVERY == 0:
            await asyncio.to_thread(self.node.check_data)
            self.stats["data checked"] += 1
        await self.start_again()
        self.timers.down.append((killed_ms, now_ms()))
        await self.verify()   # what was answered, whatever became of the rest
        self.alive.set()
        await self.rest_or_fail(writers)
        await self.verify()   # and now all of it, exactly
        await self.verify_timers(writers)
        if self.round % 10 == 0 or self.options.rounds <= 10:
            self.say(f"round {self.round}: {self.stats['acknowledged'] - before} writes in {delay:.2f} s, "
                     f"ready after {self.starts[-1]:.2f} s; so far {self.summary()}")

    async def rest_or_fail(self, writers):
        await self.before_they_fail(self.all_rest(), writers)

    async def verify_timers(self, writers, whole=False):
        connection = Connection(self)
        await self.before_they_fail(self.timers.verify(connection, whole), writers)
        connection.drop()

    async def before_they_fail(self, work, tasks):
        """Writers and watchers never end but by a violation."""
        working = asyncio.create_task(work)
        await asyncio.wait([working, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                working.cancel()
                task.result()
        await working

    def summary(self):
        s = self.stats
        return (f"{s['kills']} kills (and {s['kills at start']} at a start), "
                f"{s['acknowledged']} acknowledged, {s['in doubt']} in doubt, {s['retried']} retried, "
                f"{s['replayed']} of these replayed, {s['old repeats']} old repeats, {s['firings']} timers fired, "
                f"{s['webhooks taken']} webhooks")

    async def run(self):
        self.begin()
        self.alive.set()
        await self.preload()
        writers = [asyncio.create_task(self.write(w)) for w in range(self.options.writers)]
        writers += await self.timers.begin(Connection(self))
        try:
            await self.all_rest()
            while self.round < self.options.rounds:
                await self.one_round(writers)
            await self.verify(whole=True)
            await self.verify_timers(writers, whole=True)
        finally:
            self.timers.finish()
            for task in writers:
                task.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
        await asyncio.to_thread(self.node.stop)
        await asyncio.to_thread(self.node.start)
        self.note_start()
        self.current = [None] * self.options.writers
        await self.verify(whole=True)
        for i in range(len(self.timers.paths)):
            await self.timers.verify_kept(i)
        await asyncio.to_thread(self.node.stop)
        await asyncio.to_thread(self.node.check_data)


def preload_path(number):
    return f"/v1/preload/Store/{number // 64}/kv/{number % 64:02}"


def preload_value(number):
    return random.Random(number).randbytes(PRELOAD_BYTES)


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--rounds", type=int, default=20, help="kills under load (20)")
    p.add_argument("--writers", type=int, default=64)
    p.add_argument("--actors", type=int, default=16, help="that all writers share")
    p.add_argument("--timer-actors", type=int, default=8, help="likewise")
    p.add_argument("--patience", type=float, default=60, help="seconds that what is due may take to fire (60)")
    p.add_argument("--plant", choices=PLANTS, help="a defect to be found")
    p.add_argument("--preload-mb", type=int, default=0, help="data to be there before the first kill")
    p.add_argument("--seconds", type=float, nargs=2, default=[0.05, 1.5], metavar=("LEAST", "MOST"),
                   help="of load before a kill (0.05 1.5)")
    p.add_argument("--kills-at-start", type=float, default=0.15, help="share of starts cut short (0.15)")
    p.add_argument("--vary-workers", type=int, metavar="MOST",
                   help="each start has another number of workers, up to this")
    p.add_argument("--max-start-seconds", type=float, help="a slower start is a violation")
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument("--data", help="a directory that is kept; else one is made and removed")
    p.add_argument("--quiet", action="store_true")
    p.add_argument("node_options", nargs="*", help="flags for the node, after --")
    return p.parse_args(arguments)


def run(options):
    """The counts of the campaign; raises Violation or AssertionError."""
    made = None
    if options.data is None:
        made = tempfile.mkdtemp(prefix="dormouse-crash-")
        options.data = os.path.join(made, "data")
    campaign = Campaign(options)
    try:
        asyncio.run(campaign.run())
        slowest = max(campaign.starts)
        campaign.say(f"{campaign.summary()}\n"
                     f"start-up: {statistics.median(campaign.starts):.2f} s at the median, "
                     f"{slowest:.2f} s at most, of {len(campaign.starts)}; "
                     f"{max(campaign.start_cpu):.2f} s of a processor at most")
        check(options.max_start_seconds is None or slowest <= options.max_start_seconds,
              f"a start took {slowest:.2f} s")
        campaign.say("\n".join(f"{n:9} {what}" for what, n in sorted(campaign.stats.items())))
        for what in WORK + WORK_LONG * (options.rounds >= LONG_ROUNDS):
            check(campaign.stats[what] > 0, "nothing was shown: 0", what)
        return campaign.stats
    finally:
        if campaign.node is not None and campaign.node.process is not None:
            campaign.node.kill9()
        if made is not None:
            shutil.rmtree(made)


def main():
    options = parse(sys.argv[1:])
    print(f"SEED={options.seed}", flush=True)
    try:
        run(options)
    except (Violation, AssertionError) as e:
        print(f"VIOLATED (seed {options.seed}): {e}")
        sys.exit(1)
    print("0 lost, 0 doubled, 0 half applied, every due timer fired")


if __name__ == "__main__":
    main()
