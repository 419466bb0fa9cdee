"""kill -9 at random moments under 64 concurrent writers: a short form of crash.py, and what it would find."""

import asyncio
import collections
import re
import shutil
import types

import pytest

import crash
from crash_base import Violation
from crash_plants import PLANTS
from crash_timers import Receiver, Watcher, now_ms
from thin import once, thin


def run(data, *arguments, node=()):
    """The counts; the data goes, but for what a violation has left."""
    stats = crash.run(crash.parse([*arguments, "--data", str(data), "--", *node]))
    shutil.rmtree(data)
    return stats


def test_nothing_acknowledged_is_lost_doubled_or_half_applied_by_kills(tmp_path):
    stats = run(tmp_path / "data", "--rounds", "5", "--seconds", "0.05", "0.8", "--seed", "2")
    assert stats["kills"] == 5 and stats["retried"] > 0


@once
def test_the_same_holds_with_little_memory_and_several_workers(tmp_path):
    """Checkpoints all the time, and requests that cross workers."""
    stats = run(tmp_path / "data", "--rounds", "3", "--seconds", "0.1", "1", "--seed", "3",
                node=["--memory", "64M", "--workers", "3", "--shards", "7"])
    assert stats["kills"] == 3 and stats["retried"] > 0


@once
def test_the_same_holds_where_each_start_has_another_number_of_workers(tmp_path):
    """Logs are dealt anew, and half of the starts are killed in that."""
    stats = run(tmp_path / "data", "--rounds", "5", "--seconds", "0.1", "0.8", "--seed", "4",
                "--vary-workers", "4", "--kills-at-start", "0.5", node=["--shards", "7"])
    assert stats["kills"] == 5 and stats["retried"] > 0


# The campaign itself: a defect that is put in is found


@pytest.mark.parametrize("plant", thin(PLANTS))
def test_a_planted_defect_is_found(plant):
    options = crash.parse(
        ["--rounds", "3", "--seconds", "0.2", "0.4", "--seed", "5", "--writers", "16", "--actors", "4",
         "--timer-actors", "2", "--patience", "8", "--kills-at-start", "0", "--quiet", "--plant", plant])
    with pytest.raises(Violation) as found:
        crash.run(options)
    assert re.search(PLANTS[plant].expected, str(found.value)), found.value


def test_a_campaign_that_killed_nobody_fails():
    options = crash.parse(["--rounds", "0", "--writers", "4", "--quiet"])
    with pytest.raises(Violation, match="nothing was shown: 0 kills"):
        crash.run(options)


def watcher():
    campaign = types.SimpleNamespace(stats=collections.Counter(), options=types.SimpleNamespace(seed=1))
    return Watcher(campaign, "/v1/crash/Store/t")


@pytest.mark.parametrize("scheduled, fired, what", [
    (1000, 1000, "before its time"), (0, -1, "before its time"), (-5, 0, None)])
def test_a_firing_before_its_time_is_found(scheduled, fired, what):
    data = {"timer": "t", "payload": None, "scheduled": now_ms() + scheduled, "fired": now_ms() + fired}
    if what is None:
        watcher().take("7.0", data)
    else:
        with pytest.raises(Violation, match=what):
            watcher().take("7.0", data)


def test_an_event_that_comes_again_must_be_the_same():
    w = watcher()
    data = {"timer": "t", "payload": None, "scheduled": 1, "fired": 2}
    w.take("7.0", data)
    w.take("7.0", dict(data))
    with pytest.raises(Violation, match="has changed"):
        w.take("7.0", {**data, "payload": 1})
    with pytest.raises(Violation, match="fired twice"):
        w.take("8.0", data)


def test_a_webhook_before_its_time_is_found():
    async def post():
        receiver = Receiver(1, collections.Counter())
        await receiver.open()
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        body = b'{"timer":"t","payload":null,"scheduled":%d,"fired":%d}' % (now_ms() + 5000, now_ms() + 5000)
        writer.write(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert await reader.read() == b""
        writer.close()
        receiver.close()
        return receiver.violation
    assert "before its time" in str(asyncio.run(post()))
