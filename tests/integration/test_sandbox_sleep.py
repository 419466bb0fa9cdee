"""Sleep, wake, snapshots and forks of sandboxes: API section 5."""

import glob
import os

import pytest
from client import expect_problem, wait_until
from node import Node
from sandbox import Sandbox, make


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path / "data")
    yield node
    node.finish()
    node.discard()


def layers(node):
    return sorted(name for name in os.listdir(f"{node.data}/layers") if "." not in name) \
        if os.path.isdir(f"{node.data}/layers") else []


def disks(node):
    return [name for name in os.listdir(f"{node.data}/sandboxes") if len(name) == 36]


def post(box, verb, body=None):
    return box.client.post(f"{box.path}/{verb}", json={} if body is None else body)


TREE = """
mkdir -p /srv/t/sub && cd /srv/t && echo data > f && chmod 4750 f && ln f hard && ln -s f soft
mkfifo fifo; echo x > sub/y; chown 1000:100 sub/y; touch -d @1000000000 sub/y
rm /etc/hosts; rm -r /usr/share/perl5; mkdir /usr/share/perl5; echo changed >> /etc/hostname
"""
SHOW = """
cd /srv/t; for i in f hard soft fifo sub/y; do stat -c '%n %F %a %u %g %s %h %N' $i; done
stat -c %Y sub/y; ls /etc/hosts 2>/dev/null; ls /usr/share/perl5; cat /etc/hostname f
"""


def test_it_sleeps_and_wakes_as_it_was(node):
    box = make(node.client)
    box.sh(TREE)
    before = box.sh(SHOW)
    box.run("sh", "-c", "sleep 5000 & true")
    assert post(box, "sleep").json == {"state": "asleep"}
    got = box.get()
    assert got["state"] == "asleep" and got["slept"] > 0 and got["usage"]["memory_bytes"] == 0
    assert len(layers(node)) == 1 and disks(node) == []
    assert not glob.glob("/sys/fs/cgroup/unified/dormouse-*/s*/x")
    assert box.sh(SHOW) == before
    assert "5000" not in box.sh("ps -eo args")
    assert box.get()["state"] == "running"


def test_each_sleep_adds_what_changed(node):
    box = make(node.client)
    for i in range(4):
        box.sh(f"echo {i} > /srv/f{i}; echo {i} > /srv/same")
        assert post(box, "sleep").status == 200
        assert len(layers(node)) == i + 1
    assert post(box, "sleep").status == 200  # it sleeps already
    box.sh("true")
    assert post(box, "sleep").status == 200
    assert box.sh("cat /srv/f0 /srv/f3 /srv/same") == "0\n3\n3\n"


def test_a_change_of_a_layer_below_is_a_change_above(node):
    box = make(node.client)
    box.sh("mkdir /srv/d; echo 1 > /srv/d/a; echo 1 > /srv/d/b")
    post(box, "sleep")
    box.sh("rm /srv/d/a; mv /srv/d/b /srv/d/c; echo 2 >> /srv/d/c")
    post(box, "sleep")
    assert box.sh("ls /srv/d; cat /srv/d/c") == "c\n1\n2\n"
    box.sh("rm -r /srv/d; mkdir /srv/d")
    post(box, "sleep")
    assert box.sh("ls /srv/d") == ""


def test_wake_wakes(node):
    box = make(node.client)
    box.sh("true")
    post(box, "sleep")
    assert post(box, "wake").json == {"state": "running"}
    assert box.get()["state"] == "running"


def test_it_sleeps_by_itself(node):
    box = make(node.client, sleep_after_ms=1000)
    box.sh("echo kept > /srv/kept")
    wait_until(lambda: box.get()["state"] == "asleep" and disks(node) == [])
    assert box.sh("cat /srv/kept") == "kept\n"


def test_one_that_works_does_not_sleep(node):
    box = make(node.client, sleep_after_ms=1000)
    pid = post(box, "processes", {"cmd": ["sh", "-c", "while :; do :; done"]}).json["pid"]
    waited = box.client.post(f"{box.path}/processes/{pid}/wait", json={"exit": True, "timeout_ms": 3500})
    expect_problem(waited, 504, "timeout", retryable=True)
    assert box.get()["state"] == "running"


def test_a_sleeping_one_survives_kill_9(node):
    box = make(node.client)
    box.sh(TREE)
    before = box.sh(SHOW)
    post(box, "sleep")
    node.kill9()
    node.start()
    box = Sandbox(node.client, box.actor.id)
    assert box.get()["state"] == "asleep"
    assert box.sh(SHOW) == before
    assert box.delete().status == 204
    assert layers(node) == [] and disks(node) == []


def test_a_snapshot_is_restored(node):
    box = make(node.client)
    box.sh("echo one > /srv/f; rm /etc/hosts")
    snapshot = post(box, "snapshots", {"name": "first"})
    assert snapshot.status == 200 and set(snapshot.json) == {"id"}
    assert box.get()["state"] == "running"
    box.sh("echo two > /srv/f; echo more > /srv/g")
    listed = box.client.get(f"{box.path}/snapshots").json["snapshots"]
    assert [(s["id"], s["name"]) for s in listed] == [(snapshot.json["id"], "first")]
    assert post(box, "restore", {"snapshot": snapshot.json["id"]}).status == 200
    assert box.sh("cat /srv/f; ls /srv") == "one\nf\n"
    box.sh("echo three > /srv/f")
    post(box, "sleep")
    assert box.sh("cat /srv/f") == "three\n"
    assert post(box, "restore", {"snapshot": "first"}).status == 200
    assert box.sh("cat /srv/f") == "one\n"
    expect_problem(post(box, "snapshots", {"name": "first"}), 409, "conflict")
    expect_problem(post(box, "restore", {"snapshot": "other"}), 404, "no_such_snapshot")
    expect_problem(post(box, "restore"), 400, "bad_request")


def test_snapshots_are_deleted_and_their_layers_with_them(node):
    box = make(node.client)
    box.sh("echo one > /srv/f")
    got = post(box, "snapshots", {"name": "a"}).json["id"]
    assert len(layers(node)) == 1
    assert box.client.delete(f"{box.path}/snapshots/{got}").status == 204
    expect_problem(box.client.delete(f"{box.path}/snapshots/{got}"), 404, "no_such_snapshot")
    assert layers(node) == []
    assert box.sh("cat /srv/f") == "one\n"


def test_a_fork_goes_its_own_way(node):
    box = make(node.client)
    box.sh("echo shared > /srv/f; head -c 3000000 /dev/urandom > /srv/big")
    answer = post(box, "fork", {"id": box.actor.id + "-fork", "name": "other"})
    assert answer.status == 200, answer
    other = Sandbox(node.client, box.actor.id + "-fork", "other")
    assert other.sh("cat /srv/f; sha256sum < /srv/big") == box.sh("cat /srv/f; sha256sum < /srv/big")
    box.sh("echo mine > /srv/f")
    other.sh("echo theirs > /srv/f")
    assert box.sh("cat /srv/f") == "mine\n" and other.sh("cat /srv/f") == "theirs\n"
    assert len(layers(node)) == 1
    assert box.delete().status == 204
    assert len(layers(node)) == 1  # the fork still has it
    assert other.sh("stat -c %s /srv/big") == "3000000\n"
    assert other.delete().status == 204
    assert layers(node) == []


def test_a_fork_says_what_is_wrong_with_it(node):
    box = make(node.client)
    expect_problem(post(box, "fork"), 400, "bad_request")
    expect_problem(post(box, "fork", {"id": "..", "name": "s"}), 400, "invalid_id")
    expect_problem(post(box, "fork", {"id": "x", "name": "a/b"}), 400, "bad_request")
    expect_problem(post(box, "fork", {"id": box.actor.id, "name": "s"}), 409, "conflict")


def test_kill_9_while_it_falls_asleep_loses_nothing(node):
    box = make(node.client)
    box.sh("head -c 20000000 /dev/urandom > /srv/big; sync; sha256sum /srv/big > /srv/sum; sync")
    import threading
    thread = threading.Thread(target=lambda: _quiet(lambda: post(box, "sleep")))
    thread.start()
    wait_until(lambda: os.path.isdir(f"{node.data}/layers"))
    node.kill9()
    thread.join()
    node.start()
    box = Sandbox(node.client, box.actor.id)
    assert box.sh("sha256sum -c /srv/sum") == "/srv/big: OK\n"


def _quiet(f):
    try:
        f()
    except Exception:  # the node is killed under it
        pass


def test_deleting_the_actor_takes_what_sleeps_as_well(node):
    box = make(node.client)
    other = make(node.client)
    other.sh("echo 1 > /srv/f")
    post(other, "sleep")
    box.sh("echo 1 > /srv/f")
    post(box, "snapshots", {"name": "a"})
    node.kill9()
    node.start()
    assert len(layers(node)) == 2 and len(disks(node)) == 1
    assert node.client.delete(box.actor.path).status == 204
    assert len(layers(node)) == 1 and disks(node) == []
    assert Sandbox(node.client, other.actor.id).sh("cat /srv/f") == "1\n"
