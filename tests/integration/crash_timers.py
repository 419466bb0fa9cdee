"""The timers of a crash campaign: what was set, what fired, and what came to the webhooks.

    once      due within seconds, with `in` or `at`, some with a webhook; the name is never used again
    far       due in an hour; later it is moved to be due soon, or deleted and must never fire
    beat      every second, catch_up all: each repetition has its event, whatever was killed meanwhile
    skip      every second, catch_up one: repetitions without an event are counted in `missed`
    minute    cron, catch_up all
    hook      every second, with a webhook

Events are read from the watch stream of each actor, which goes on after the last id that it has seen; a
firing must be recorded once. A webhook's receiver says 500 now and then, or closes the connection: then it
must come again. Nothing may be seen before its time by this machine's clock.
"""

import asyncio
import collections
import json
import random
import time

from crash_base import LOST, Operation, Violation, check

ONCE_MS_MAX = 3000
HOUR_MS = 3600 * 1000
KEPT_EVENTS = 1000
KEPT_SECONDS = 9 * 60  # of the 10 minutes that are promised: the look comes later than the event
HOOK_SECONDS = 60      # a delivery that a kill cut short is repeated after its guard


def now_ms():
    return int(time.time() * 1000)


class Timer:
    """One that was acknowledged and fires once."""

    def __init__(self, actor, name, at, has_hook):
        self.actor, self.name, self.at, self.has_hook = actor, name, at, has_hook


class Receiver:
    """Webhooks: how often each firing came, and how often it was taken."""

    def __init__(self, seed, stats):
        self.rng = random.Random(f"{seed}/hooks")
        self.stats = stats
        self.came = collections.Counter()   # (actor, timer, scheduled)
        self.taken = collections.Counter()
        self.violation = None
        self.writers = set()

    async def open(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    def url(self, actor):
        return f"http://127.0.0.1:{self.port}/{actor}"

    def close(self):
        self.server.close()
        for writer in list(self.writers):
            writer.close()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while await self.one(reader, writer):
                pass
        except LOST:
            pass
        except Violation as e:
            self.violation = e
        finally:
            self.writers.discard(writer)
            writer.close()

    async def one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in head if line.startswith(b"content-length:"))
        actor = head[0].split(b" ")[1][1:].decode()
        data = json.loads(await reader.readexactly(length))
        seen_ms = now_ms()
        firing = actor, data["timer"], data["scheduled"]
        check(data["scheduled"] <= min(data["fired"], seen_ms), "a webhook came before its time:", data, seen_ms)
        self.came[firing] += 1
        self.stats["webhooks again"] += self.came[firing] > 1
        chance = self.rng.random() if self.came[firing] == 1 else 1
        if chance < 0.03:
            self.stats["webhooks dropped"] += 1
            return False
        status = b"500 No" if chance < 0.08 else b"200 OK"
        self.stats["webhooks refused"] += chance < 0.08
        if status.startswith(b"200"):
            self.taken[firing] += 1
            self.stats["webhooks taken"] += 1
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)
        await writer.drain()
        return True


class Watcher:
    """The timer events of one actor, each once, whatever happened to the streams that brought them."""

    def __init__(self, campaign, path):
        self.campaign, self.path = campaign, path
        self.events = {}                             # id: data; in the order of their coming
        self.firings = collections.defaultdict(set)  # timer: scheduled
        self.news = []                               # data of events that no look has seen
        self.last_id = "0"

    async def follow(self):
        while True:
            try:
                await self.read(self.last_id, self.note)
            except LOST:
                pass
            self.campaign.stats["streams cut"] += 1
            await self.campaign.alive.wait()
            await asyncio.sleep(0.01)

    def note(self, event, event_id, data):
        """After a reset the state comes first, under an id that is newer than the events after it."""
        if event == "timer":
            self.take(event_id, data)
            self.last_id = event_id
        self.campaign.stats["resets of streams"] += event == "reset"
        return True

    def take(self, event_id, data):
        seen_ms = now_ms()
        if event_id in self.events:
            check(self.events[event_id] == data, self.path, "an event has changed:", event_id)
            return
        check(data["scheduled"] <= min(data["fired"], seen_ms), self.path, "fired before its time:", data, seen_ms)
        check(data["scheduled"] not in self.firings[data["timer"]], self.path, "fired twice:", data)
        self.events[event_id] = data
        self.news.append(data)
        self.firings[data["timer"]].add(data["scheduled"])
        self.campaign.stats["firings"] += 1

    async def kept(self):
        """All ids that a stream from the beginning brings, until the last one that is known."""
        found, last = {}, next(reversed(self.events), None)

        def note(event, event_id, data):
            if event == "timer":
                found[event_id] = data
            return event != "timer" or event_id != last  # a reset has the id of the state
        if last is not None:
            await self.read("0", note)
        return found

    async def read(self, since, note):
        """Calls note(event, id, data) for each event until it says False, or the stream ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.campaign.node.port,
                                                       limit=8 * 1024 * 1024)
        try:
            writer.write(f"GET {self.path}/watch?since={since} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 5") or head.startswith(b"HTTP/1.1 429"):
                return
            check(head.startswith(b"HTTP/1.1 200"), self.path, "watch answered", head)
            text = ""
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                text += (await reader.readexactly(size + 2))[:-2].decode()
                *blocks, text = text.split("\n\n")
                for block in blocks:
                    fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                    if "event" in fields and not note(fields["event"], fields.get("id"),
                                                      json.loads(fields.get("data", "null"))):
                        return
                if size == 0:
                    return
        finally:
            writer.close()


def put(timers, actor, name, body, key):
    return ("PUT", f"{timers.paths[actor]}/timers/{name}", json.dumps(body).encode(), key)


class Set(Operation):
    """Due soon; with `of`, one that was far is moved."""

    kind = "timer"

    def __init__(self, timers, actor, rng, key, of=None):
        self.timers, self.actor, self.name = timers, actor, of or key
        body = {"payload": {"key": key}}
        if rng.random() < 0.3:
            body["webhook"] = timers.receiver.url(f"timers-{actor}")
        self.has_hook = "webhook" in body
        self.asked_ms = now_ms()
        if rng.random() < 0.5:
            body["in"] = rng.randrange(ONCE_MS_MAX)
            self.asked_ms += body["in"]
        else:
            body["at"] = self.asked_ms = self.asked_ms + rng.randrange(-500, ONCE_MS_MAX)
        self.is_exact = "at" in body
        super().__init__(*put(timers, actor, self.name, body, key))

    def kept(self, answer):
        check(answer.status == 200, "a timer was answered", answer.status, answer.body)
        at = answer.json["at"]
        check(at == self.asked_ms if self.is_exact else at >= self.asked_ms, self.path, "is due at", at, "and not",
              self.asked_ms)
        self.timers.far[self.actor].pop(self.name, None)
        timer = Timer(self.actor, self.name, at, self.has_hook)
        self.timers.once[self.actor][self.name] = self.timers.open[self.actor][self.name] = timer


class SetFar(Operation):
    kind = "timer far"

    def __init__(self, timers, actor, rng, key):
        super().__init__(*put(timers, actor, key, {"in": HOUR_MS}, key))
        self.timers, self.actor, self.name = timers, actor, key

    def kept(self, answer):
        check(answer.status == 200, "a timer was answered", answer.status, answer.body)
        self.timers.far[self.actor][self.name] = answer.json["at"]


class DropFar(Operation):
    kind = "timer deleted"

    def __init__(self, timers, actor, name, key):
        super().__init__("DELETE", f"{timers.paths[actor]}/timers/{name}", b"", key)
        self.timers, self.actor, self.name = timers, actor, name

    def kept(self, answer):
        check(answer.status == 204, "the deletion of a timer was answered", answer.status, answer.body)
        del self.timers.far[self.actor][self.name]


class Timers:
    """All timers of the campaign; every look is taken while no writer writes."""

    def __init__(self, campaign, actors, patience):
        self.campaign, self.patience = campaign, patience
        self.stats = campaign.stats
        self.paths = [f"/v1/crash/Store/timers-{i}" for i in range(actors)]
        self.watchers = [Watcher(campaign, path) for path in self.paths]
        self.once = [{} for _ in self.paths]       # name: Timer
        self.open = [{} for _ in self.paths]       # those of them that have not done all they have to
        self.far = [{} for _ in self.paths]        # name: due in an hour
        self.repeating = [{} for _ in self.paths]  # name: (first, every_ms)
        self.came_to = [{} for _ in self.paths]    # name: the first repetition that has not come
        self.receiver = Receiver(campaign.options.seed, campaign.stats)
        self.down = []                             # (from, to): nobody could fire

    async def begin(self, connection):
        await self.receiver.open()
        for i, path in enumerate(self.paths):
            for name, body in [
                    ("beat", {"in": 100 * i, "every": 1000, "catch_up": "all"}),
                    ("skip", {"in": 100 * i, "every": 1000, "catch_up": "one"}),
                    ("minute", {"cron": "* * * * *", "catch_up": "all"}),
                    ("hook", {"in": 100 * i, "every": 1000, "catch_up": "all",
                              "webhook": self.receiver.url(f"timers-{i}")})]:
                answer = await connection.request("PUT", f"{path}/timers/{name}", json.dumps(body).encode())
                check(answer.status == 200, "a timer was answered", answer.status, answer.body)
                self.repeating[i][name] = (answer.json["at"], 60_000 if name == "minute" else 1000)
                self.came_to[i][name] = answer.json["at"]
        return [asyncio.create_task(w.follow()) for w in self.watchers]

    def next_operation(self, rng, key, own_far):
        """`own_far`: (actor, name) of far timers that this writer has set, and nobody else touches."""
        actor = rng.randrange(len(self.paths))
        if own_far and rng.random() < 0.4:
            actor, name = own_far.pop()
            is_moved = rng.random() < 0.5
            return Set(self, actor, rng, key, of=name) if is_moved else DropFar(self, actor, name, key)
        if rng.random() < 0.2:
            own_far.append((actor, key))
            return SetFar(self, actor, rng, key)
        return Set(self, actor, rng, key)

    # What must hold

    async def verify(self, connection, whole=False):
        """Waits until all that is due has fired; then what is left must be what is not yet due."""
        due_ms = now_ms()
        hooks_ms = due_ms if whole else due_ms - HOOK_SECONDS * 1000
        deadline = time.monotonic() + self.patience
        for i in range(len(self.paths)):
            self.verify_fired(i)
            while True:
                missing = self.missing(i, due_ms, hooks_ms)
                if missing is None:
                    break
                check(time.monotonic() < deadline, "never fired:", self.paths[i], *missing)
                check(self.receiver.violation is None, self.receiver.violation)
                await asyncio.sleep(0.02)
        for i in range(len(self.paths)):
            while not await self.verify_list(connection, i, due_ms, whole):
                check(time.monotonic() < deadline, "still there:", self.paths[i])
                await asyncio.sleep(0.02)
            self.verify_fired(i)
            if whole:
                await self.verify_skips(connection, i)
                await self.verify_kept(i)
        self.stats["looks at timers"] += 1

    def missing(self, i, due_ms, hooks_ms):
        """What is due and has not come; None: nothing."""
        for t in list(self.open[i].values()):
            lacks = self.lacks(t, due_ms, hooks_ms)
            if lacks is not None:
                return t.name, t.at, lacks
        firings, taken = self.watchers[i].firings, self.receiver.taken
        for name in ("beat", "minute"):
            at = self.come(i, name, due_ms, lambda at, name=name: at in firings[name])
            if at is not None:
                return name, at, "is not in the watch stream"
        at = self.come(i, "hook", hooks_ms, lambda at: taken[f"timers-{i}", "hook", at] > 0)
        return None if at is None else ("hook", at, "was not delivered")

    def lacks(self, t, due_ms, hooks_ms):
        has_fired = t.at in self.watchers[t.actor].firings[t.name]
        is_taken = not t.has_hook or self.receiver.taken[f"timers-{t.actor}", t.name, t.at] > 0
        if has_fired and is_taken:
            del self.open[t.actor][t.name]
            return None
        if t.at <= due_ms and not has_fired:
            return "is not in the watch stream"
        return "was not delivered" if t.at <= hooks_ms and not is_taken else None

    def come(self, i, name, until_ms, has_come):
        """The first repetition up to then that has not come; None: all have."""
        while self.came_to[i][name] <= until_ms:
            if not has_come(self.came_to[i][name]):
                return self.came_to[i][name]
            self.came_to[i][name] += self.repeating[i][name][1]
        return None

    async def verify_list(self, connection, i, due_ms, whole):
        """False: a timer waits for the news that its webhook was taken."""
        answer = await connection.request("GET", f"{self.paths[i]}/timers")
        check(answer.status == 200, "timers were answered", answer.status, answer.body)
        listed = {t["name"]: t for t in answer.json["timers"]}
        for name in [*self.repeating[i], *self.far[i]]:
            check(name in listed, self.paths[i], "has lost the timer", name)
        for name, t in listed.items():
            check(t["state"] == "scheduled", self.paths[i], "a delivery failed for good:", t)
            known = name in self.repeating[i] or name in self.far[i] or name in self.once[i]
            check(known, self.paths[i], "holds a timer that is gone, or that nobody set:", t)
            once = self.once[i].get(name)
            if once is None or once.at > due_ms:
                continue
            check(once.has_hook, self.paths[i], "fired and is still there:", t)
            if whole:
                return False
        return True

    def verify_fired(self, i):
        """Nothing but what was set, at the times it was set for."""
        news, self.watchers[i].news = self.watchers[i].news, []
        for data in news:
            name, at = data["timer"], data["scheduled"]
            if name in self.repeating[i]:
                first, every_ms = self.repeating[i][name]
                check((at - first) % every_ms == 0, self.paths[i], "fired off its beat:", data)
                continue
            t = self.once[i].get(name)
            check(t is not None, self.paths[i], "fired what was not set, or was deleted:", data)
            check(at == t.at, self.paths[i], "fired for another time than that it was set for:", data, t.at)

    async def verify_skips(self, connection, i):
        """Each repetition has fired or is counted."""
        first, every_ms = self.repeating[i]["skip"]
        while True:
            answer = await connection.request("GET", f"{self.paths[i]}/timers/skip")
            t = answer.json
            passed = (t["at"] - first) // every_ms
            fired = sum(1 for at in self.watchers[i].firings["skip"] if at < t["at"])
            if fired + t.get("missed", 0) == passed:
                break
            check(passed - fired - t.get("missed", 0) == 1, self.paths[i], "skip has passed", passed, "fired", fired,
                  "missed", t.get("missed", 0))
            await asyncio.sleep(0.02)  # its event is on its way
        self.stats["repetitions missed and counted"] += t.get("missed", 0)

    async def verify_kept(self, i):
        watcher = self.watchers[i]
        known = list(watcher.events.items())
        try:
            found = await asyncio.wait_for(watcher.kept(), self.patience)
        except asyncio.TimeoutError:
            raise Violation(f"{watcher.path}: its newest timer event is not kept") from None
        young_ms = now_ms() - KEPT_SECONDS * 1000
        for n, (event_id, data) in enumerate(known):
            if data["fired"] >= young_ms or n >= len(known) - KEPT_EVENTS:
                check(found.get(event_id) == data, watcher.path, "a timer event is lost:", event_id, data)
                self.stats["events kept"] += 1

    def finish(self):
        """What the whole was worth."""
        timers = [t for once in self.once for t in once.values()]
        self.stats["timers due"] = sum(1 for t in timers if t.at <= now_ms())
        self.stats["timers due while down"] = sum(
            1 for t in timers if any(begin <= t.at <= end for begin, end in self.down))
        for name in ("beat", "minute", "hook"):
            self.stats[f"repetitions of {name}"] = sum(len(w.firings[name]) for w in self.watchers)
        self.receiver.close()
