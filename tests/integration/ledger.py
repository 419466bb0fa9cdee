"""What a node has acknowledged, and whether it is there."""

import os

from client import Actor, Client, wait_until

MIB = 1 << 20
WRITES_MAX = 300  # of 1 MiB: by then whatever a test waits for has come


class Ledger:
    """Values of random bytes; `known` is what was acknowledged, None where it was deleted."""

    def __init__(self, node, keys=12):
        self.node = node
        self.keys = keys     # of an actor: 12 MiB are more than little memory holds without a checkpoint
        self.known = {}      # (actor, key): bytes
        self.doubted = {}    # (actor, key): what else it may hold
        self.count = 0

    def put(self, size=MIB, actor="hot", key=None, timeout_ms=None):
        """The answer, or None where the node has ended."""
        self.count += 1
        place = actor, key or f"k{self.count % self.keys}"
        value = os.urandom(size)
        headers = {} if timeout_ms is None else {"Dormouse-Timeout": str(timeout_ms)}
        try:
            answer = Actor(self.node.client, actor).put_bytes(place[1], value, headers=headers)
        except OSError:
            self.node.process.wait(30)  # why else would a connection break?
            answer = None
        if answer is not None and answer.status == 204:
            self.known[place] = value
            self.doubted.pop(place, None)
        elif answer is None or answer.json["maybe_applied"]:
            self.doubted.setdefault(place, [self.known.get(place)]).append(value)
        return answer

    def write(self, size):
        for _ in range(size // MIB):
            wait_until(lambda: self.put().status == 204, what="a write")

    def delete(self, actor, key):
        answer = Actor(self.node.client, actor).delete(key)
        assert answer.status == 204, answer
        self.known[actor, key] = None
        self.doubted.pop((actor, key), None)

    def forget(self, actor):
        self.known = {place: value for place, value in self.known.items() if place[0] != actor}

    def check(self, without=()):
        """What is there is what was acknowledged, but of the actors `without`."""
        client = Client(self.node.url)
        for actor, key in self.known.keys() | self.doubted.keys():
            if actor in without:
                continue
            answer = Actor(client, actor).get(key)
            assert answer.status in (200, 404), answer
            found = answer.body if answer.status == 200 else None
            may_be = [self.known.get((actor, key)), *self.doubted.get((actor, key), [])]
            assert found in may_be, f"{actor}, {key}: it holds something else"
        client.close()

    def check_undoubted(self):
        """A read waits for the actor's own writes, which wait for space."""
        self.check(without={actor for actor, _ in self.doubted})


def put_when_taken(ledger, actor):
    """The answer once it is no 429: memory or the log wait for the disk, and soon have room again."""
    answers = []

    def is_taken():
        answers[:] = [ledger.put(actor=actor, timeout_ms=500)]
        return answers[0] is None or answers[0].status != 429

    wait_until(is_taken, seconds=60, what="a write that is not told to come again")
    return answers[0]


def write_until_full(ledger):
    """The answer 507. A write that waits for space gets 504 before that, and whatever is asked of its
    actor waits with it."""
    actor = "hot"
    for i in range(WRITES_MAX):
        answer = put_when_taken(ledger, actor)
        assert answer is not None and answer.status in (204, 504, 507), answer
        if answer.status == 507:
            return answer
        actor = f"another {i}" if answer.status == 504 else actor
    raise AssertionError("no write was refused")
