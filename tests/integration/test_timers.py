"""Timers: API section 3."""

import threading
import time

import pytest

from client import Actor, expect_problem, quote, wait_until
from receiver import Receiver, Watch, answer
from thin import once

LIMIT = 64 * 1024


def now_ms():
    return int(time.time() * 1000)


class Timers:
    def __init__(self, actor):
        self.actor, self.client, self.path = actor, actor.client, f"{actor.path}/timers"

    def put(self, name, body, **named):
        return self.client.put(f"{self.path}/{quote(name)}", json=body, **named)

    def set(self, name, **body):
        answer = self.put(name, body)
        assert answer.status == 200, answer
        return answer.json

    def get(self, name):
        return self.client.get(f"{self.path}/{quote(name)}")

    def delete(self, name):
        return self.client.delete(f"{self.path}/{quote(name)}")

    def list(self):
        answer = self.client.get(self.path)
        assert answer.status == 200, answer
        return answer.json["timers"]

    def is_gone(self, name):
        return self.get(name).status == 404


@pytest.fixture
def timers(actor):
    return Timers(actor)


@pytest.fixture
def open_node(start_node):
    """A node whose webhooks may go to loopback."""
    return start_node("--allow-private-targets")


def timers_of(node, actor_id="a"):
    return Timers(Actor(node.client, actor_id))


# The resource


def test_put_answers_with_the_timer(timers):
    at = now_ms() + 3600_000
    got = timers.set("t", at=at, every=1000, payload={"x": [1]}, catch_up="all")
    assert got["name"] == "t" and got["at"] == at and got["every"] == 1000
    assert got["payload"] == {"x": [1]} and got["catch_up"] == "all"
    assert got["state"] == "scheduled" and "error" not in got
    assert timers.get("t").json == got
    assert timers.list() == [got]


def test_in_counts_from_now(timers):
    """From the request, however long the node has slept before it."""
    for _ in range(10):
        last = now_ms()
        wait_until(lambda: now_ms() >= last + 30)
        before = now_ms()
        at = timers.set("t", **{"in": 3600_000})["at"]
        assert before + 3600_000 <= at <= now_ms() + 3600_000 + 50


def test_cron_alone_is_due_at_its_next_time(timers):
    at = timers.set("t", cron="0 9 * * mon-fri", tz="Europe/Berlin")["at"]
    got = time.gmtime(at / 1000)
    assert at > now_ms() and at % 60_000 == 0 and got.tm_min == 0 and got.tm_hour in (7, 8)
    assert got.tm_wday < 5
    assert timers.get("t").json["tz"] == "Europe/Berlin"


def test_the_list_holds_every_timer(timers):
    for name in ("b", "a", "c"):
        timers.set(name, **{"in": 3600_000})
    assert [t["name"] for t in timers.list()] == ["a", "b", "c"]


def test_a_deleted_timer_is_gone(timers):
    timers.set("t", **{"in": 3600_000})
    assert timers.delete("t").status == 204
    expect_problem(timers.get("t"), 404, "no_such_timer")
    assert timers.list() == []
    assert timers.delete("t").status == 204


def test_a_put_replaces_the_timer(timers):
    timers.set("t", **{"in": 3600_000}, every=5000, payload=1)
    at = now_ms() + 7200_000
    got = timers.set("t", at=at)
    assert got["at"] == at and "every" not in got and "payload" not in got
    assert len(timers.list()) == 1


def test_the_alarm_shows_in_the_actor(timers):
    at = now_ms() + 3600_000
    timers.set("alarm", at=at)
    assert timers.actor.info().json["alarm"] == at
    timers.delete("alarm")
    assert timers.actor.info().json["alarm"] is None


@pytest.mark.parametrize("body", [
    {}, [], 1, {"at": 1, "in": 1}, {"every": 1000}, {"at": "soon"}, {"at": -1}, {"at": 1.5},
    {"in": -1}, {"in": None}, {"in": 1000, "every": 999}, {"in": 1000, "every": "1s"},
    {"cron": "* * * *"}, {"cron": "60 * * * *"}, {"cron": ""}, {"cron": "0 0 30 2 *"},
    {"cron": "* * * * *", "tz": "Mars/Olympus"}, {"cron": "* * * * *", "tz": "+01:00"}, {"cron": "* * * * *", "tz": ""}, {"in": 1000, "webhook": ""},
    {"in": 1000, "tz": "UTC"}, {"in": 1000, "every": 1000, "cron": "* * * * *"},
    {"in": 1000, "catch_up": "some"}, {"in": 1000, "catch_up": 1}, {"in": 1000, "extra": 1},
    {"in": 1000, "webhook": "ftp://example.com/"}, {"in": 1000, "webhook": "example.com"},
    {"in": 1000, "webhook": "http://"}, {"in": 1000, "webhook": 1},
    {"in": 1000, "webhook": "http://example.com/a b"}, {"at": 8640000000000001},
])
def test_invalid_input_is_400(timers, body):
    expect_problem(timers.put("t", body), 400, "bad_request")
    assert timers.list() == []


@pytest.mark.parametrize("host", [
    "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0.0.0.0", "10.1.2.3",
    "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[::1]", "[::]",
    "[fe80::1]", "[fd00::1]", "[fc00::1]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]",
    "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "user:password@127.0.0.1:8080"])
def test_a_webhook_to_a_literal_private_address_is_400(timers, host):
    expect_problem(timers.put("t", {"in": 3600_000, "webhook": f"http://{host}/hook"}), 400,
                   "bad_request")


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "172.32.0.1", "[2606:4700::1111]",
                                  "localhost"])
def test_other_webhooks_are_taken(timers, host):
    url = f"https://{host}:8443/hook?a=b"
    assert timers.set("t", **{"in": 3600_000}, webhook=url)["webhook"] == url


def test_names_have_1_to_255_bytes(timers):
    timers.set("n" * 255, **{"in": 3600_000})
    doc = expect_problem(timers.put("n" * 256, {"in": 1}), 413, "too_large")
    assert doc["limit"] == {"name": "name_bytes", "value": 255}


def test_a_payload_has_at_most_64_kib(timers):
    timers.set("t", **{"in": 3600_000}, payload="x" * (LIMIT - 3))
    doc = expect_problem(timers.put("t", {"in": 1, "payload": "x" * LIMIT}), 413, "too_large")
    assert doc["limit"] == {"name": "payload_bytes", "value": LIMIT}
    assert len(timers.get("t").json["payload"]) == LIMIT - 3


@once
def test_an_actor_has_at_most_10_000_timers(node):
    timers = timers_of(node)
    for i in range(10_000):
        assert timers.put(str(i), {"in": 3600_000}).status == 200
    doc = expect_problem(timers.put("one more", {"in": 3600_000}), 413, "too_large")
    assert doc["limit"] == {"name": "timers", "value": 10_000}
    assert timers.put("77", {"in": 7200_000}).status == 200
    assert timers.delete("78").status == 204
    assert timers.put("one more", {"in": 3600_000}).status == 200
    assert len(timers.list()) == 10_000


def test_a_repeated_put_with_a_key_moves_nothing(timers):
    first = timers.put("t", {"in": 3600_000}, idempotency_key="k")
    wait_until(lambda: now_ms() + 3600_000 > first.json["at"], what="another due time")
    again = timers.put("t", {"in": 3600_000}, idempotency_key="k")
    assert again.is_replay and again.json == first.json
    assert timers.get("t").json["at"] == first.json["at"]


# Firing


def test_a_one_shot_fires_once_at_its_time_and_is_gone(timers, shared_node):
    with Watch(shared_node, timers.actor.path, since=0) as watch:
        at = now_ms() + 300
        timers.set("t", at=at, payload={"x": 1})
        event_id, data = watch.next_timer()
        assert now_ms() >= at
    assert set(data) == {"timer", "payload", "scheduled", "fired"}
    assert data["timer"] == "t" and data["payload"] == {"x": 1}
    assert data["scheduled"] == at <= data["fired"] <= now_ms() + 50
    expect_problem(timers.get("t"), 404, "no_such_timer")
    assert timers.list() == []
    version, n = event_id.split(".")
    assert int(version) == timers.actor.info().json["version"] and n == "0"


def test_a_timer_without_a_payload_fires_with_null(timers, shared_node):
    with Watch(shared_node, timers.actor.path) as watch:
        timers.set("t", **{"in": 0})
        assert watch.next_timer()[1]["payload"] is None


def test_a_timer_in_the_past_fires_at_once(timers, shared_node):
    with Watch(shared_node, timers.actor.path) as watch:
        timers.set("t", at=1)
        assert watch.next_timer()[1]["scheduled"] == 1


def test_keys_keep_their_versions_when_a_timer_fires(timers):
    version = timers.actor.put("k", 1).version
    timers.set("t", **{"in": 0})
    wait_until(lambda: timers.is_gone("t"), what="the firing")
    assert timers.actor.get("k").version == version
    assert timers.actor.info().json["version"] > version


def test_repetitions_are_counted_from_the_scheduled_time(timers, shared_node):
    with Watch(shared_node, timers.actor.path) as watch:
        at = timers.set("t", **{"in": 100}, every=1000, catch_up="all")["at"]  # however slow we are
        got = [watch.next_timer()[1] for _ in range(3)]
    assert [e["scheduled"] for e in got] == [at, at + 1000, at + 2000]
    assert all(e["fired"] >= e["scheduled"] for e in got)
    following = timers.get("t").json["at"]
    assert following >= at + 3000 and (following - at) % 1000 == 0
    assert timers.delete("t").status == 204


def before_due(act):
    """The due time for which `act(at)` was through before it came: a slow machine gets more time."""
    for margin_ms in (500, 2000, 8000, 30000):
        at = now_ms() + margin_ms
        act(at)
        if now_ms() < at:
            return at
    raise AssertionError("30 s were not enough")


def test_timers_that_are_moved_or_deleted_do_not_fire(timers, shared_node):
    def move_and_delete(at):
        timers.set("moved", at=at)
        timers.set("deleted", at=at)
        timers.set("moved", at=at + 3600_000)
        timers.delete("deleted")

    at = before_due(move_and_delete)
    with Watch(shared_node, timers.actor.path, since=timers.actor.info().json["version"]) as watch:
        timers.set("last", at=at + 300)
        assert watch.next_timer()[1]["timer"] == "last"


def test_deleting_the_actor_takes_its_timers(timers, shared_node):
    def set_and_destroy(at):
        timers.set("t", at=at)
        timers.set("alarm", at=at)
        assert timers.actor.destroy().status == 204

    at = before_due(set_and_destroy)
    assert timers.list() == []
    with Watch(shared_node, timers.actor.path) as watch:
        timers.set("later", at=at + 300)
        assert watch.next_timer()[1]["timer"] == "later"
    assert not timers.actor.info().json["keys"]


def test_many_that_are_due_at_once_all_fire(node):
    timers = timers_of(node)
    at = now_ms() + 1500
    with Watch(node, timers.actor.path) as watch:
        for i in range(500):
            timers.set(f"t{i}", at=at)
        for i in range(20):
            timers_of(node, f"other{i}").set("t", at=at)
        got = {watch.next_timer()[1]["timer"] for _ in range(500)}
    assert got == {f"t{i}" for i in range(500)}
    assert timers.list() == []
    wait_until(lambda: not any(timers_of(node, f"other{i}").list() for i in range(20)))


def test_a_hibernated_actor_fires(node):
    timers = timers_of(node)
    timers.set("t", **{"in": 1000})
    node.client.post(f"{timers.actor.path}/hibernate")
    with Watch(node, timers.actor.path, since=0) as watch:
        assert watch.next_timer()[1]["timer"] == "t"


def test_who_fires_without_a_watcher_can_be_read_later(node):
    timers = timers_of(node)
    timers.set("t", **{"in": 0})
    wait_until(lambda: timers.is_gone("t"), what="the firing")
    node.restart(kill=True)
    with Watch(node, timers.actor.path, since=0) as watch:
        assert watch.next_timer()[1]["timer"] == "t"


def test_kill_9_between_due_and_fire_loses_nothing(node):
    timers = timers_of(node)
    at = now_ms() + 400
    for i in range(50):
        timers.set(f"t{i}", at=at)
    node.kill9()
    wait_until(lambda: now_ms() > at)
    node.start()
    timers = timers_of(node)
    with Watch(node, timers.actor.path, since=0) as watch:
        got = [watch.next_timer()[1] for _ in range(50)]
    assert sorted(e["timer"] for e in got) == sorted(f"t{i}" for i in range(50))
    assert all(e["fired"] >= e["scheduled"] == at for e in got)
    assert timers.list() == []


def test_an_actor_woken_by_its_timer_knows_its_address(node):
    timers = timers_of(node, "who am I")
    timers.set("t", **{"in": 500}, every=1000)
    node.restart()
    timers = timers_of(node, "who am I")
    wait_until(lambda: timers.get("t").json["at"] < now_ms() + 1000)
    info = timers.actor.info().json
    assert (info["namespace"], info["class"], info["id"]) == ("test", "Store", "who am I")


def catch_up(node, mode, down_ms=2600):
    """A timer of one second that is missed while the node is down; what fires afterwards."""
    def set_and_kill(at):
        if node.process is None:
            node.start()
        timers_of(node, str(at)).set("t", at=at, every=1000, catch_up=mode)
        node.kill9()

    at = before_due(set_and_kill)
    wait_until(lambda: now_ms() > at + down_ms)
    node.start()
    up = now_ms()
    timers = timers_of(node, str(at))
    with Watch(node, timers.actor.path, since=0) as watch:
        got = [watch.next_timer()[1]["scheduled"]]
        while got[-1] < up + 1000:
            got.append(watch.next_timer()[1]["scheduled"])
    assert all((s - at) % 1000 == 0 for s in got) and got == sorted(set(got))
    missed = [s for s in got if s <= at + down_ms]
    return at, missed, timers.get("t").json


def test_one_firing_stands_for_all_that_were_missed(node):
    _, missed, timer = catch_up(node, "one")
    assert len(missed) <= 1 and timer["missed"] >= 2


def test_all_fires_each_that_was_missed(node):
    at, missed, timer = catch_up(node, "all")
    assert missed == [at, at + 1000, at + 2000] and "missed" not in timer


def test_none_fires_none_that_was_missed(node):
    _, missed, timer = catch_up(node, "none")
    assert missed == [] and timer["missed"] >= 3


def test_all_catches_up_at_most_1000(timers, shared_node):
    with Watch(shared_node, timers.actor.path) as watch:
        at = now_ms() - 1500_000
        timers.set("t", at=at, every=1000, catch_up="all")
        got = [watch.next_timer()[1]["scheduled"] for _ in range(1000)]
    missed = timers.get("t").json["missed"]
    assert got == [at + 1000 * (missed + i) for i in range(1000)]
    assert 500 <= missed <= (now_ms() - at) // 1000 + 1 - 1000
    timers.delete("t")


# Webhooks


def test_a_webhook_gets_the_firing_and_then_the_timer_is_gone(open_node):
    timers = timers_of(open_node)
    with Receiver() as receiver, Watch(open_node, timers.actor.path) as watch:
        at = now_ms() + 300
        timers.set("t", at=at, payload={"raw": {"$bytes": "AAE="}}, webhook=receiver.url)
        when, path, data, headers = receiver.next()
        assert when * 1000 >= at and path == "/hook"
        assert headers["content-type"] == "application/json"
        assert data == watch.next_timer()[1]
        assert set(data) == {"timer", "payload", "scheduled", "fired"}
        assert data["payload"] == {"raw": {"$bytes": "AAE="}} and data["scheduled"] == at
        wait_until(lambda: timers.is_gone("t"), what="the end of the timer")
        assert receiver.received.empty()


def test_a_failed_delivery_is_retried_after_2_s_doubling(open_node):
    timers = timers_of(open_node)
    looked_at = threading.Event()

    def answer_302(handler):
        looked_at.wait(20)  # the error of the first attempt is still shown
        answer(handler, 302)
    with Receiver(500, answer_302) as receiver:
        timers.set("t", **{"in": 0}, webhook=receiver.url)
        first, _, data, _ = receiver.next()
        wait_until(lambda: "error" in timers.get("t").json, what="the error")
        shown = timers.get("t").json
        assert "500" in shown["error"] and shown["state"] == "scheduled"
        looked_at.set()
        second, _, again, _ = receiver.next()
        third, _, last, _ = receiver.next()
        assert data == again == last
        assert second - first >= 1.9 and third - second >= 3.9  # a busy machine may take longer
        wait_until(lambda: timers.is_gone("t"), what="the delivery")


def test_a_repetition_goes_on_after_its_webhook(open_node):
    timers = timers_of(open_node)
    with Receiver() as receiver:
        at = timers.set("t", **{"in": 0}, every=1000, webhook=receiver.url, catch_up="all")["at"]
        got = [receiver.next()[2]["scheduled"] for _ in range(3)]
        assert got == [at, at + 1000, at + 2000]


def test_redirects_are_not_followed(open_node):
    timers = timers_of(open_node)
    with Receiver() as other:
        def redirect(handler):
            answer(handler, 307, location=other.url)
        with Receiver(*[redirect] * 7) as receiver:
            timers.set("t", **{"in": 0}, webhook=receiver.url)
            receiver.next()
            wait_until(lambda: "error" in timers.get("t").json, what="the error")
            assert "307" in timers.get("t").json["error"]
            receiver.next()
            assert other.received.empty()


def test_a_receiver_that_is_not_there_is_an_error_and_then_a_delivery(open_node):
    timers = timers_of(open_node)
    with Receiver(listens=False) as receiver:  # the port is its own, and refuses whoever comes
        timers.set("t", **{"in": 0}, webhook=receiver.url)
        wait_until(lambda: "error" in timers.get("t").json, what="the error")
        receiver.listen()
        assert receiver.next()[2]["timer"] == "t"
        wait_until(lambda: timers.is_gone("t"), what="the delivery")


def test_a_long_answer_is_a_delivery_all_the_same(open_node):
    timers = timers_of(open_node)

    def flood(handler):
        handler.send_response(200)
        handler.send_header("content-length", str(1 << 30))
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            pass
    with Receiver(flood) as receiver:
        timers.set("t", **{"in": 0}, webhook=receiver.url)
        receiver.next()
        wait_until(lambda: timers.is_gone("t"), what="the delivery")


def test_a_slow_receiver_holds_nobody_up(open_node):
    timers = timers_of(open_node)
    go_on = threading.Event()

    def wait(handler):
        go_on.wait(20)
        answer(handler, 200)
    with Receiver(*[wait] * 40) as slow, Receiver() as quick:
        for i in range(40):
            timers.set(f"slow{i}", **{"in": 0}, webhook=slow.url)
        slow.next()
        timers.set("quick", **{"in": 0}, webhook=quick.url.replace("127.0.0.1", "localhost"))
        timers.set("none", **{"in": 0})
        assert quick.next()[2]["timer"] == "quick"
        wait_until(lambda: timers.is_gone("none"), what="the firing")
        go_on.set()
        wait_until(lambda: timers.list() == [], what="the deliveries")


def test_a_name_that_resolves_to_a_private_address_fails_at_delivery(node):
    timers = timers_of(node)
    with Receiver() as receiver:
        timers.set("t", **{"in": 0}, webhook=receiver.url.replace("127.0.0.1", "localhost"))
        wait_until(lambda: "error" in timers.get("t").json, what="the error")
        assert "private" in timers.get("t").json["error"]
        assert receiver.received.empty()


def test_the_environment_s_proxy_is_not_used(open_node, monkeypatch):
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        open_node.restart()
        timers_of(open_node).set("t", **{"in": 0}, webhook=receiver.url)
        assert receiver.next()[1] == "/hook"
        assert proxy.received.empty()


def test_kill_9_during_a_delivery_repeats_it(open_node):
    timers = timers_of(open_node)
    with Receiver(lambda handler: open_node.kill9()) as receiver:
        timers.set("t", **{"in": 0}, webhook=receiver.url)
        _, _, first, _ = receiver.next()
        wait_until(lambda: open_node.process is None)
        open_node.start()
        timers = timers_of(open_node)
        shown = timers.get("t")
        assert shown.status == 200 and shown.json["at"] == first["scheduled"]
        _, _, again, _ = receiver.next()
        assert again == first
        wait_until(lambda: timers.is_gone("t"), what="the delivery")


def test_a_timer_set_anew_during_a_delivery_is_the_new_one(open_node):
    timers = timers_of(open_node)
    at = now_ms() + 3600_000

    def replace(handler):
        timers_of(open_node).client  # this thread's own connection is made below
        put = Timers(Actor(type(open_node.client)(open_node.url), "a")).put("t", {"at": at})
        assert put.status == 200
        answer(handler, 200)
    with Receiver(replace) as receiver:
        timers.set("t", **{"in": 0}, webhook=receiver.url)
        receiver.next()
        wait_until(lambda: timers.get("t").json["at"] == at, what="the new timer")
        timers.set("later", **{"in": 300})
        wait_until(lambda: timers.is_gone("later"), what="the firing")
        assert timers.get("t").json["at"] == at


def test_the_events_of_10_minutes_are_kept_however_many_they_are(node):
    timers = timers_of(node)
    at = now_ms() - 1000_000
    for i in range(3):
        timers.set(f"t{i}", at=at, every=1000, catch_up="all", payload="x" * 1000)
    wait_until(lambda: all(timers.get(f"t{i}").json["at"] > now_ms() for i in range(3)),
               seconds=200, what="the catching up")
    for i in range(3):
        timers.delete(f"t{i}")
    node.restart()
    timers = timers_of(node)
    with Watch(node, timers.actor.path, since=0) as watch:
        ids = [watch.next_timer()[0] for _ in range(3000)]
        timers.set("last", **{"in": 0})
        while True:
            event_id, data = watch.next_timer()
            if data["timer"] == "last":
                break
            ids.append(event_id)
    versions = [int(i.split(".")[0]) for i in ids]
    assert versions == sorted(set(versions)) and len(ids) <= 3100
    with Watch(node, timers.actor.path, since=ids[1500]) as watch:
        assert watch.next_timer()[0] == ids[1501]
