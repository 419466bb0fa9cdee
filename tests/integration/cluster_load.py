"""Load on a cluster: clients that repeat what they got no answer to at another node, and what they saw.

Each actor is a counter, and a list of who added to it. An `add` answers the new count, a `read` the count as
it is: so the order of all operations is known, and whether it agrees with real time.
"""

import http.client
import json
import random
import threading
import time

from client import Actor, Client

REQUEST_SECONDS = 5
AGAIN = (429, 503, 504, 507)
UNANSWERED_MAX = 100  # that are kept, to be told
LOST = (OSError, http.client.HTTPException)  # or an answer that was cut off


class History:
    """What was seen of one actor; under the mutex of its load."""

    def __init__(self):
        self.seen = []   # (began, ended, count, is_read)
        self.added = {}  # key: the count that it was answered


class Load:
    """`writers` threads, each on one actor of `actors` at a time, until `stop`."""

    def __init__(self, nodes, writers=8, actors=8, seed=1, prefix="load", reads=0.3, pause=0.0):
        self.nodes = list(nodes)  # that clients know; others may take their places meanwhile
        self.prefix = prefix
        self.reads = reads
        self.pause = pause
        self.mutex = threading.Lock()
        self.histories = [History() for _ in range(actors)]
        self.is_over = threading.Event()
        self.failures = []
        self.unanswered = []  # requests that had to be repeated: what came of them, and when (wall clock)
        self.acknowledged = 0
        self.repeated = 0
        self.replayed = 0
        self.slowest = 0.0
        self.last_acknowledged = 0.0
        self.threads = [threading.Thread(target=self._run, args=(w, random.Random(f"{seed}/{w}")))
                        for w in range(writers)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Each ends what it is at first, so nothing is left in doubt."""
        self.is_over.set()
        for t in self.threads:
            t.join()

    def count(self):
        with self.mutex:
            return self.acknowledged

    # One writer

    def _run(self, w, rng):
        connection = Connections(self, rng)
        number = 0
        try:
            while not self.is_over.is_set():
                number += 1
                self._one(connection, rng, f"{w}-{number}")
                if self.pause:
                    self.is_over.wait(self.pause)
        except BaseException as e:  # pylint: disable=broad-except
            with self.mutex:
                self.failures.append(f"writer {w}: {e!r}")
        finally:
            connection.close()

    def _one(self, connection, rng, key):
        at = rng.randrange(len(self.histories))
        path = f"/v1/test/Store/{self.prefix}-{at}"
        is_read = rng.random() < self.reads
        began = time.monotonic()
        if is_read:
            answer = connection.until_answered("GET", f"{path}/kv/count", None, None)
            assert answer.status in (200, 404), answer
            count = answer.json if answer.status == 200 else 0
        else:
            body = json.dumps({"do": [{"add": "count"}, {"append": "who", "items": [key]}]})
            answer = connection.until_answered("POST", f"{path}/txn", body, key)
            assert answer.status == 200, answer
            count = answer.json["results"][0]["value"]
        ended = time.monotonic()
        self._note(self.histories[at], key, began, ended, count, is_read)

    def _note(self, history, key, began, ended, count, is_read):
        with self.mutex:
            history.seen.append((began, ended, count, is_read))
            if not is_read:
                history.added[key] = count
            self.acknowledged += 1
            self.slowest = max(self.slowest, ended - began)
            self.last_acknowledged = ended

    # What must hold

    def check(self, node):
        """Nothing lost, nothing doubled, and all in an order that agrees with real time."""
        assert not self.failures, self.failures
        client = Client(node.url)
        for at, history in enumerate(self.histories):
            name = f"{self.prefix}-{at}"
            check_history(history, name)
            if not history.added:
                continue
            who = Actor(client, name).get("who")
            assert who.status == 200, who
            by_count = [key for key, _ in sorted(history.added.items(), key=lambda item: item[1])]
            assert who.json == by_count, f"{name}: lost, doubled or out of order"
            assert Actor(client, name).get("count").json == len(by_count), name
        client.close()


def check_history(history, name):
    """Every add counted once. Whatever began after another operation had ended saw as much, and an add more."""
    counts = sorted(history.added.values())
    assert counts == list(range(1, len(counts) + 1)), f"{name}: counts are missing or twice"
    ends = sorted((ended, count) for _, ended, count, _ in history.seen)
    newest, at = 0, 0
    for began, _, count, is_read in sorted(history.seen):
        while at < len(ends) and ends[at][0] < began:
            newest = max(newest, ends[at][1])
            at += 1
        assert count >= newest + (0 if is_read else 1), \
            f"{name}: {'a read' if is_read else 'an add'} saw {count} after {newest} had been seen"


class Connections:
    """To one node at a time; to the next where it does not answer."""

    def __init__(self, load, rng):
        self.load, self.rng = load, rng
        self.client = None
        self.url = None

    def close(self):
        if self.client is not None:
            self.client.close()
            self.client = None

    def _pick(self):
        urls = [n.url for n in self.load.nodes if n.process is not None]
        self.url = self.rng.choice(urls)
        self.client = Client(self.url, timeout=REQUEST_SECONDS)

    def until_answered(self, method, path, body, key):
        headers = {"Dormouse-Timeout": str(REQUEST_SECONDS * 1000 - 1000)}
        if key is not None:
            headers["Idempotency-Key"] = key
        if body is not None:
            headers["Content-Type"] = "application/json"
        attempts = 0
        while True:
            answer = self._try(method, path, body, headers)
            attempts += 1
            if answer is not None and answer.status not in AGAIN:
                with self.load.mutex:
                    self.load.repeated += attempts > 1
                    self.load.replayed += answer.is_replay
                return answer
            if answer is not None:
                self._note(method, path, answer)
            self.close()
            time.sleep(0.02)

    def _try(self, method, path, body, headers):
        try:
            if self.client is None:
                self._pick()
            return self.client.request(method, path, body, headers=headers)
        except (*LOST, IndexError) as e:
            self._note(method, path, e)
            self.close()
            return None

    def _note(self, method, path, what):
        with self.load.mutex:
            if len(self.load.unanswered) < UNANSWERED_MAX:
                self.load.unanswered.append(f"{time.time():.3f} {self.url} {method} {path}: {what!r}")


class Steady:
    """A client that repeats nothing: every request at one node must be answered, and well."""

    def __init__(self, node, actors=16, prefix="steady"):
        self.node, self.actors, self.prefix = node, actors, prefix
        self.is_over = threading.Event()
        self.failures = []
        self.answered = 0
        self.slowest = 0.0
        self.slowest_began = None  # wall clock, as in the logs, and the number of its actor
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def _run(self):
        client = Client(self.node.url, ca=self.node.ca)
        number = 0
        while not self.is_over.is_set():
            number += 1
            actor = Actor(client, f"{self.prefix}-{number % self.actors}")
            began = time.monotonic()
            try:
                answers = [actor.put("k", number), actor.get("k")]
            except OSError as e:
                self.failures.append(repr(e))
                return
            took = time.monotonic() - began
            if took > self.slowest:
                self.slowest, self.slowest_began = took, (time.time() - took, number % self.actors)
            if [a.status for a in answers] != [204, 200] or answers[1].json != number:
                self.failures.append(repr(answers))
            self.answered += 2
        client.close()
