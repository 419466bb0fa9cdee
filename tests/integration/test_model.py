"""Section 3 as a whole: random operations, in one order per actor that agrees with real time."""

import json
import os
import random
import threading
import time

import pytest

from client import Actor, Client
from model import Model, Refused

KEYS = ["a", "a/1", "a/2", "b", "counter", "é", "list", "日/x"]
SEED = int(os.environ.get("SEED", "20"))


def shown(value):
    """For comparisons by text: 1, 1.0 and True differ."""
    return json.dumps(value, sort_keys=True)


def random_value(rng):
    return rng.choice([
        rng.randrange(-5, 5), rng.randrange(-2**63, 2**63), rng.random(), None, True, "text" * rng.randrange(9),
        [1, [rng.randrange(9)]], {"k": rng.randrange(9), "é": []}, "x" * rng.randrange(3000)])


def random_list(rng):
    parameters = {}
    if rng.random() < 0.4:
        parameters["prefix"] = rng.choice(["", "a", "a/", "日", "x"])
    for name in ["start", "startAfter", "end"]:
        if rng.random() < 0.25:
            parameters[name] = rng.choice([*KEYS, "", "a/11", "zz"])
    if rng.random() < 0.5:
        parameters["limit"] = rng.randrange(1, 6)
    if rng.random() < 0.5:
        parameters["reverse"] = rng.random() < 0.5
    if rng.random() < 0.3:
        parameters["values"] = rng.random() < 0.5
    return parameters


def random_action(rng):
    kind, key = rng.random(), rng.choice(KEYS)
    if kind < 0.25:
        return {"put": key, "value": random_value(rng)}
    if kind < 0.38:
        return {"delete": key}
    if kind < 0.58:
        key = rng.choice(["counter", "counter", key])
        return {"add": key} if rng.random() < 0.5 else {"add": key, "by": rng.choice([2, -3, 0.5, 2**62])}
    if kind < 0.72:
        return {"append": rng.choice(["list", "list", key]), "items": [rng.randrange(9)] * rng.randrange(3)}
    if kind < 0.88:
        return {"get": key}
    return {"list": random_list(rng)}


def random_checks(rng, seen):
    """Checks that hold now and then: on versions and values that were seen before."""
    checks = []
    for _ in range(rng.randrange(3)):
        key = rng.choice(KEYS)
        kind = rng.randrange(3)
        entry = seen.get(key)
        if kind == 0:
            checks.append({"key": key, "exists": rng.random() < 0.7})
        elif kind == 1:
            checks.append({"key": key, "version": entry[1] if entry else rng.randrange(1, 99)})
        else:
            checks.append({"key": key, "equals": entry[0] if entry else 1})
    return checks


# One client an actor: every answer is known beforehand


class Single:
    """One client with one actor; each answer is compared with the model's."""

    def __init__(self, url, name, seed):
        self.url, self.name = url, name
        self.rng = random.Random(seed)
        self.model = Model()
        self.last = 0      # the highest version ever seen, across deletes of the actor
        self.kept = []     # (do, checks, key, status, body) of keyed transactions
        self.keys_made = 0

    def begin(self, url):
        self.client = Client(url)
        self.actor = Actor(self.client, self.name)

    def version_of_write(self, version):
        assert version > self.last, "a version did not grow"
        self.last = version
        return version

    def do_put(self):
        key, value = self.rng.choice(KEYS), random_value(self.rng)
        entry = self.model.keys.get(key)
        condition = self.rng.randrange(6)
        named, holds = {}, True
        if condition == 0:
            named, holds = {"if_none_match": "*"}, entry is None
        elif condition == 1:
            version = entry[1] if entry and self.rng.random() < 0.7 else 1 + self.rng.randrange(5)
            named, holds = {"if_match": f'"{version}"'}, entry is not None and entry[1] == version
        answer = self.actor.put(key, value, **named)
        assert answer.status == (204 if holds else 412), (key, entry, named, answer)
        if holds:
            version = self.version_of_write(answer.version)
            self.model.txn([{"put": key, "value": value}], [], version)

    def do_get(self):
        key = self.rng.choice(KEYS)
        answer, entry = self.actor.get(key), self.model.get(key)
        assert answer.status == (404 if entry is None else 200), (key, entry, answer)
        if entry is not None:
            assert shown(answer.json) == shown(entry["value"]) and answer.version == entry["version"]

    def do_delete(self):
        key = self.rng.choice(KEYS)
        answer = self.actor.delete(key)
        existed = self.model.keys.pop(key, None) is not None
        assert answer.headers["dormouse-existed"] == ("true" if existed else "false")
        if existed:
            self.model.version = self.version_of_write(self.actor.info().json["version"])

    def do_list(self):
        parameters = random_list(self.rng)
        texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in parameters.items()}
        entries, cursor = [], None
        limit = parameters.pop("limit", 100)
        while True:
            page = self.actor.list(**texts, **({"cursor": cursor} if cursor else {})).json
            entries += page["entries"]
            assert len(page["entries"]) <= limit
            cursor = page["next"]
            if cursor is None:
                break
        assert shown(entries) == shown(self.model.list(**parameters, limit=10**6)), parameters

    def do_txn(self):
        do = [random_action(self.rng) for _ in range(self.rng.randrange(5))]
        checks = random_checks(self.rng, self.model.keys)
        named = {}
        if self.rng.random() < 0.3:
            self.keys_made += 1
            named = {"idempotency_key": f"key-{self.keys_made}"}
        answer = self.actor.txn(do, checks, **named)
        self.compare(answer, do, checks)
        if named and answer.status in (200, 409):
            self.kept.append((do, checks, named, answer.status, answer.body))

    def compare(self, answer, do, checks):
        version = answer.json["version"] if answer.status == 200 else None
        try:
            results, wrote = self.model.txn(do, checks, version)
        except Refused as refused:
            assert answer.status == refused.status, (do, checks, answer)
            assert answer.json["code"] == refused.code
            assert answer.json.get("failed") == refused.failed
            return
        assert answer.status == 200, (do, checks, answer)
        assert shown(answer.json["results"]) == shown(results), (do, answer)
        if wrote:
            self.version_of_write(version)
        else:
            assert version == self.model.version

    def do_repeat(self):
        if self.kept:
            do, checks, named, status, body = self.rng.choice(self.kept)
            answer = self.actor.txn(do, checks, **named)
            assert answer.is_replay and (answer.status, answer.body) == (status, body), answer

    def do_info(self):
        info = self.actor.info().json
        assert info["exists"] is (self.model.version is not None)
        assert info["version"] == self.model.version and info["keys"] == len(self.model.keys)

    def do_destroy(self):
        assert self.actor.destroy().status == 204
        self.model = Model()

    def work(self, count):
        choices = [(self.do_put, 8), (self.do_get, 6), (self.do_delete, 4), (self.do_list, 4),
                   (self.do_txn, 14), (self.do_repeat, 2), (self.do_info, 2), (self.do_destroy, 1)]
        verbs = self.rng.choices([c for c, _ in choices], weights=[w for _, w in choices], k=count)
        for verb in verbs:
            verb()
        for key in KEYS:
            answer, entry = self.actor.get(key), self.model.get(key)
            held = answer.json if answer.status == 200 else None
            assert shown(held) == shown(entry and entry["value"])


def in_threads(jobs):
    """Runs all; the first exception of any is raised."""
    failures = []

    def guard(job):
        try:
            job()
        except BaseException as e:  # noqa: B036 - raised again below
            failures.append(e)
    threads = [threading.Thread(target=guard, args=(job,)) for job in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("seed", range(SEED, SEED + 2))
def test_random_operations_answer_as_the_model_does_across_restarts(node, seed):
    print(f"SEED={seed}")
    singles = [Single(node.url, f"single {i}", f"{seed}/{i}") for i in range(6)]
    for kill in [True, False, True, None]:
        for single in singles:
            single.begin(node.url)
        in_threads([lambda s=single: s.work(200) for single in singles])
        for single in singles:
            single.client.close()
        if kill is not None:
            node.restart(kill)


# Many clients on one actor: the versions give the order


class History:
    """What several clients asked of one actor, and when."""

    def __init__(self):
        self.events = []  # dicts: began, ended, do, checks, status, doc
        self.mutex = threading.Lock()
        self.seen = {}

    def note(self, **event):
        with self.mutex:
            self.events.append(event)


def hammer(url, name, history, seed, count):
    rng = random.Random(seed)
    client = Client(url)
    actor = Actor(client, name)
    for _ in range(count):
        do = [random_action(rng) for _ in range(rng.randrange(1, 5))]
        checks = random_checks(rng, history.seen) if rng.random() < 0.4 else []
        began = time.monotonic()
        answer = actor.txn(do, checks)
        ended = time.monotonic()
        doc = answer.json
        assert answer.status in (200, 400, 409), answer
        history.note(began=began, ended=ended, do=do, checks=checks, status=answer.status, doc=doc)
        if answer.status == 200:
            for action, result in zip(do, doc["results"]):
                if "get" in action and result is not None:
                    history.seen[action["get"]] = (result["value"], result["version"])
    client.close()


def verify_order(events):
    """Replays the committed ones by version; each result must be the model's at that place. Gives the
    states by version, in order."""
    model, states = Model(), [(0, Model())]
    committed = sorted((e for e in events if e["status"] == 200),
                       key=lambda e: (e["doc"]["version"] or 0, not e["writes"], e["began"]))
    for e in committed:
        version = e["doc"]["version"]
        results, wrote = model.txn(e["do"], e["checks"], version)
        assert shown(e["doc"]["results"]) == shown(results), (e, results)
        assert wrote == e["writes"], e
        if wrote:
            assert version > states[-1][0], "two batches have one version"
            states.append((version, model.copy()))
        else:
            assert (version or 0) == states[-1][0], e
    return states


def verify_time(events, states):
    """What had ended before another began comes before it; a refusal fits a state it can have seen."""
    versions = [version for version, _ in states]
    by_version = dict(states)
    ended = sorted(((e["ended"], e["doc"]["version"] or 0) for e in events if e["status"] == 200))
    began = sorted(((e["began"], e["doc"]["version"] or 0) for e in events if e["status"] == 200),
                   reverse=True)
    for e in events:
        least = max((v for at, v in ended if at < e["began"]), default=0)
        if e["status"] == 200:
            version = e["doc"]["version"] or 0
            assert version > least or (version == least and not e["writes"]), ("back in time", e, least)
            continue
        most = min((v for at, v in began if at > e["ended"]), default=versions[-1])
        fits = []
        for version in versions:
            if least <= version <= most:
                try:
                    by_version[version].copy().txn(e["do"], e["checks"], 2**53)
                except Refused as refused:
                    fits.append(refused.status == e["status"] and
                                refused.failed == e["doc"].get("failed"))
        assert any(fits), ("refused though nothing was wrong", e)


def will_write(e):
    """Whether a committed transaction wrote: all of its writes, or a delete that found something."""
    for action, result in zip(e["do"], e["doc"]["results"]):
        if "put" in action or "add" in action or "append" in action:
            return True
        if "delete" in action and result["existed"]:
            return True
    return False


@pytest.mark.parametrize("seed", range(SEED, SEED + 2))
def test_concurrent_operations_are_linearizable_across_restarts(node, seed):
    print(f"SEED={seed}")
    histories = {f"shared {i}": History() for i in range(2)}
    for phase, kill in enumerate([True, False, None]):
        in_threads([lambda n=name, h=history, c=c: hammer(node.url, n, h, f"{seed}/{phase}/{n}/{c}", 120)
                    for name, history in histories.items() for c in range(5)])
        if kill is not None:
            node.restart(kill)
    for name, history in histories.items():
        for e in history.events:
            e["writes"] = e["status"] == 200 and will_write(e)
        states = verify_order(history.events)
        verify_time(history.events, states)
        statuses = {e["status"] for e in history.events}
        assert statuses == {200, 400, 409}, "the mix is to show all of them"
        last = states[-1][1]
        client = Client(node.url)
        page = Actor(client, name).list().json
        client.close()
        assert shown(page["entries"]) == shown(last.list())
