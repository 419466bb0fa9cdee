"""Another number of workers at each start, on the same data; and what all workers share."""

import itertools
import os
import re
import subprocess
import time

import pytest

from client import Actor, expect_problem, wait_until
from node import program
from receiver import Receiver
from thin import once, thin

ACTORS = 40
MIB = 1024 * 1024


def described(data):
    """What the DORMOUSE file says."""
    with open(os.path.join(data, "DORMOUSE"), encoding="ascii") as f:
        return dict(line.strip().split(" = ") for line in f)


def logs(data):
    return sorted(name for name in os.listdir(data) if name.startswith("wal-"))


def logs_in_use(data):
    said = described(data)
    generation = int(said.get("wal_generation", 0))
    suffix = f".{generation}" if generation else ""
    return sorted(f"wal-{n}{suffix}" for n in range(int(said["wals"])))


def check(data):
    return subprocess.run([program(), "--check", data], capture_output=True, text=True, timeout=60,
                          check=False)


def events(node, name):
    return re.findall(rf'"event":"{name}".*', node.stderr)


class Contents:
    """What was written and acknowledged, on actors of every shard."""

    def __init__(self):
        self.values = {}
        self.version = {}
        self.rounds = 0

    def write(self, node):
        self.rounds += 1
        for i in range(ACTORS):
            actor = Actor(node.client, f"actor {i}")
            key = f"k{i * self.rounds % 7}"
            value = f"{self.rounds}-{i} " + "x" * (i * 97 % 3000)
            if i % 5 == self.rounds % 5:
                assert actor.delete(key).status == 204
                self.values.pop((i, key), None)
            else:
                assert actor.put(key, value).status == 204
                self.values[i, key] = value
            first = actor.txn([{"add": "n"}], idempotency_key=f"round-{self.rounds}")
            assert first.status == 200 and not first.is_replay
            version = first.json["version"]
            assert version > self.version.get(i, 0)
            self.version[i] = version

    def expect(self, node):
        for i in range(ACTORS):
            actor = Actor(node.client, f"actor {i}")
            for number in (1, self.rounds):
                repeat = actor.txn([{"add": "n"}], idempotency_key=f"round-{number}")
                assert repeat.status == 200 and repeat.is_replay, repeat
            found = {e["key"]: e["value"] for e in actor.list().json["entries"]}
            assert found.pop("n") == self.rounds
            assert found == {key: v for (j, key), v in self.values.items() if i == j}
            assert actor.info().json["version"] == self.version[i]
        listed = node.client.get("/admin/v1/namespaces/test/actors?limit=1000").json["actors"]
        assert {f"actor {i}" for i in range(ACTORS)} <= {a["id"] for a in listed}


def start_with(node, workers):
    node.options = ["--workers", str(workers), *node.options[2:]]
    node.start()
    assert logs(node.data) == logs_in_use(node.data) and len(logs(node.data)) == workers


@once
def test_data_is_all_there_with_any_number_of_workers(start_node):
    node = start_node("--workers", "1", "--shards", "7")
    contents = Contents()
    contents.write(node)
    for workers, kill in [(3, True), (2, False), (1, True), (5, True), (1, True), (2, True)]:
        if kill:
            node.kill9()
        else:
            node.stop()
        start_with(node, workers)
        contents.expect(node)
        contents.write(node)
        node.restart(kill=True)  # and once more with the same number
        contents.expect(node)
    assert len(events(node, "workers_changed")) == 6
    node.stop()
    result = check(node.data)
    assert result.returncode == 0 and ": 0 problems in " in result.stdout, result


def test_timers_fire_after_a_change(start_node):
    """A timer that came due while nothing ran, one that is due later, and one that repeats."""
    node = start_node("--workers", "1", "--allow-private-targets")
    with Receiver() as receiver:
        for i in range(8):
            actor = Actor(node.client, f"actor {i}")
            for name, body in [("soon", {"in": 300}), ("every", {"in": 200, "every": 60_000})]:
                body = {**body, "webhook": receiver.url, "payload": [i, name]}
                assert node.client.put(f"{actor.path}/timers/{name}", json=body).status == 200
            assert node.client.put(f"{actor.path}/timers/later", json={"in": 3600_000}).status == 200
        node.kill9()
        time.sleep(0.4)  # they come due with nobody there
        start_with(node, 3)
        got = set()
        while len(got) < 16:
            document = receiver.next()[2]
            got.add(tuple(document["payload"]))
        assert got == {(i, name) for i in range(8) for name in ("soon", "every")}
        for workers in (2, 1):
            node.kill9()
            start_with(node, workers)
            for i in range(8):
                path = f"{Actor(node.client, f'actor {i}').path}/timers"
                wait_until(lambda at=path: node.client.get(f"{at}/soon").status == 404)
                names = [t["name"] for t in node.client.get(path).json["timers"]]
                assert names == ["every", "later"]


def test_without_the_flag_the_data_keeps_its_number(start_node):
    node = start_node("--workers", "3", "--shards", "5")
    contents = Contents()
    contents.write(node)
    node.stop()
    node.options = []
    before = described(node.data)
    node.start()
    contents.expect(node)
    assert described(node.data) == before and before["wals"] == "3"
    assert events(node, "workers_changed") == []


def test_new_data_gets_a_worker_for_each_processor_but_one(node):
    assert int(described(node.data)["wals"]) == max(1, len(os.sched_getaffinity(0)) - 1)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def test_data_of_the_first_format_can_be_changed(start_node):
    node = start_node("--workers", "2", "--shards", "5")
    contents = Contents()
    contents.write(node)
    node.stop()
    said = described(node.data)
    text = "".join(f"{name} = {said[name]}\n" for name in ["cluster", "address_key", "shards", "wals"])
    text = f"format = 1\n{text}"
    with open(os.path.join(node.data, "DORMOUSE"), "w", encoding="ascii") as f:
        f.write(f"{text}crc32c = {crc32c(text.encode()):08x}\n")
    node.start()
    contents.expect(node)
    assert described(node.data)["format"] == "1"
    node.kill9()
    start_with(node, 3)
    contents.expect(node)
    assert described(node.data)["format"] == "2"


def kill_when(node, workers, condition):
    """A start that is killed as soon as the condition holds. False: it was ready before."""
    command = [*node.command[:node.command.index("--workers")], "--workers", str(workers)]
    with open(node.stderr_path, "ab") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=stderr)
    os.set_blocking(process.stdout.fileno(), False)
    ready = b""
    while not condition() and not ready:
        assert process.poll() is None, node.stderr
        ready = process.stdout.read() or b""
    process.kill()
    process.wait()
    process.stdout.close()
    return not ready


@pytest.mark.parametrize("first, second, third", thin([(1, 3, 2), (3, 2, 1), (2, 5, 2)]))
def test_a_change_that_is_killed_anywhere_is_begun_again_or_done(start_node, first, second, third):
    node = start_node("--workers", str(first), "--shards", "7")
    contents = Contents()
    contents.write(node)
    node.kill9()
    old = described(node.data)

    def made(count):
        return len(set(logs(node.data)) - set(logs_in_use(node.data))) >= count

    assert kill_when(node, second, lambda: made(1))
    assert described(node.data) == old
    result = check(node.data)
    assert result.returncode == 0 and "left over" in result.stdout, result
    assert kill_when(node, third if third != first else second, lambda: made(2) or third == 1)
    assert kill_when(node, second, lambda: described(node.data) != old)
    changed = described(node.data)
    assert int(changed["wals"]) == second
    start_with(node, second)
    assert described(node.data) == changed
    contents.expect(node)
    contents.write(node)
    node.kill9()
    start_with(node, third)
    contents.expect(node)


def test_a_damaged_log_refuses_the_change_and_stays_as_it_is(start_node):
    node = start_node("--workers", "2", "--shards", "5")
    contents = Contents()
    contents.write(node)
    node.stop()
    with open(os.path.join(node.data, "wal-1", "slot-0000"), "r+b", buffering=0) as f:
        f.seek(100)
        byte = f.read(1)
        f.seek(100)
        f.write(bytes([byte[0] ^ 1]))
        before = described(node.data)
        result = subprocess.run([program(), "--data", node.data, "--listen", "127.0.0.1:0", "--workers",
                                 "3"], capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 1 and result.stdout == "", result
        assert re.fullmatch(r"dormoused: .*/wal-1/slot-0000: offset 0: .*\n", result.stderr), result
        assert described(node.data) == before and logs(node.data) == ["wal-0", "wal-1"]
        f.seek(100)
        f.write(byte)
    start_with(node, 3)
    contents.expect(node)


# --max-disk


def actor_of_shard(node, shard):
    for i in range(1000):
        actor = Actor(node.client, f"actor {i}")
        assert actor.put("k", 1).status == 204
        if actor.info().json["shard"] == shard:
            return actor
    raise AssertionError(f"no actor in shard {shard}")


def test_max_disk_is_one_quota_of_all_workers(start_node):
    """One worker's shard may use what the other one leaves, and then both refuse until there is room."""
    limit = 384 * MIB
    node = start_node("--workers", "2", "--shards", "2", "--max-disk", "384M")
    one, other = actor_of_shard(node, 0), actor_of_shard(node, 1)
    value = os.urandom(MIB)
    written = 0
    while True:
        answer = one.put_bytes(f"k{written}", value)
        if answer.status == 507:
            break
        assert answer.status in (204, 429), answer
        written += answer.status == 204
        if answer.status == 429:
            time.sleep(0.05)
    doc = expect_problem(answer, 507, "storage_full", retryable=True)
    assert doc["limit"] == {"name": "max_disk", "value": limit}
    assert one.get(f"k{written}").status == 404  # nothing was written
    # Two logs count 128 MiB each, and half of what they leave would be 64.
    assert 100 <= written <= 128

    def refused():
        answer = other.put_bytes(f"k{next(count)}", value)
        assert answer.status in (204, 429, 507), answer
        return answer.status == 507

    count = itertools.count()
    wait_until(refused)
    assert other.get("k").json == 1
    assert other.delete("absent").status == 204
    assert one.destroy().status == 204
    wait_until(lambda: other.put_bytes("k", value).status == 204)
    wait_until(lambda: one.put_bytes("k", value).status == 204)


def test_a_quota_that_kept_workers_cannot_do_with_is_refused(start_node):
    node = start_node("--workers", "3")
    node.stop()
    result = subprocess.run([program(), "--data", node.data, "--listen", "127.0.0.1:0", "--max-disk",
                             "511M"], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2 and result.stdout == "", result
    assert re.fullmatch(r"dormoused: --max-disk \d+: .* 3 workers .* at least 512M.*\n", result.stderr)
    node.options = ["--workers", "2", "--max-disk", "511M"]
    node.start()
    assert len(logs(node.data)) == 2
