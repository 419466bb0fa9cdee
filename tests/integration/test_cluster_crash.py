"""What nodes of a cluster do for each other: where one is killed, stops, is drained, replaced, or is a stranger."""

import os
import signal
import socket
import subprocess
import time

import pytest

from client import Actor, Client, expect_problem, wait_until
from cluster_load import Load, Steady
from cluster_nodes import DEADLINE_SECONDS, SHARDS, SMALL, Certs, Cluster, free_port
from node import Node, program


@pytest.fixture
def new_cluster(tmp_path, request):
    """new_cluster("--workers", "2") has no node yet; all of its nodes end with the test."""
    clusters = []

    def make(*options, **named):
        cluster = Cluster(tmp_path / f"cluster{len(clusters)}", [*SMALL, *options], **named)
        clusters.append(cluster)
        return cluster

    yield make
    for cluster in clusters:
        cluster.finish()
    if getattr(request.node, "went_well", False):
        for cluster in clusters:
            cluster.discard()


@pytest.fixture(scope="module")
def _shared():
    """For tests that leave a cluster as it was, or can be made well by starting what they killed."""
    kept = {}
    yield kept
    if "three" in kept:
        kept["three"].finish()
        kept["three"].discard()


@pytest.fixture
def three(_shared, tmp_path_factory, request):
    """Nodes 1, 2 and 3, each of which has every shard."""
    if "three" not in _shared:
        _shared["three"] = Cluster(tmp_path_factory.mktemp("three"), SMALL).grow(3)
    cluster = _shared["three"]
    cluster.heal()
    yield cluster
    if not getattr(request.node, "went_well", False):
        _shared.pop("three").finish()


@pytest.fixture
def own_three(new_cluster):
    return new_cluster().grow(3)


def put_all(node, count, prefix="a", value="v"):
    for i in range(count):
        answer = Actor(node.client, f"{prefix}-{i}").put("k", f"{value}-{i}")
        assert answer.status == 204, answer


def expect_all(node, count, prefix="a", value="v"):
    for i in range(count):
        answer = Actor(node.client, f"{prefix}-{i}").get("k")
        assert answer.status == 200 and answer.json == f"{value}-{i}", answer


# Members


def test_a_node_that_joins_is_a_member_and_gets_its_share_of_the_shards(new_cluster):
    cluster = new_cluster("--workers", "2").grow(3)
    cluster.spread()
    said = cluster.nodes[2].cluster()
    assert {m["id"]: m["peer"] for m in said["members"]} == {i: n.peer for i, n in cluster.nodes.items()}
    assert {m["id"]: m["address"] for m in said["members"]} == \
        {i: n.url.partition("://")[2] for i, n in cluster.nodes.items()}
    assert [s["id"] for s in said["shards"]] == list(range(SHARDS))
    leads = [sum(s["leader"] == i for s in said["shards"]) for i in cluster.nodes]
    assert min(leads) >= 1 and sum(leads) == SHARDS, leads


# Crashes


def test_the_others_go_on_where_an_owner_is_killed(three):
    three.spread()
    victim = three.nodes[2]
    others = three.others(victim)
    actor = three.actor_led_by(victim)
    with Load(others) as load:
        wait_until(lambda: load.count() > 200, DEADLINE_SECONDS, "load")
        victim.kill9()
        wait_until(lambda: Actor(Client(others[0].url), actor).put("k", 1).status == 204, DEADLINE_SECONDS,
                   "a new owner")
        so_far = load.count()
        wait_until(lambda: load.count() > so_far + 200, DEADLINE_SECONDS, "load after the kill")
    load.check(others[1])
    wait_until(lambda: {m["id"]: m["state"] for m in others[0].cluster()["members"]}
               == {1: "up", 2: "down", 3: "up"}, DEADLINE_SECONDS, "it to be called down")


def test_a_killed_node_comes_back_and_catches_up(three):
    victim = three.nodes[3]
    victim.kill9()
    put_all(three.nodes[1], 24)
    victim.start()
    three.settle()
    wait_until(lambda: all(s["lag"] == 0 for s in three.nodes[1].cluster()["shards"]), DEADLINE_SECONDS,
               "catching up")
    three.nodes[1].kill9()  # two of three have what was written while the third was away
    wait_until(lambda: Actor(victim.client, "a-0").get("k").status == 200, DEADLINE_SECONDS, "a new owner")
    expect_all(victim, 24)


def test_a_leader_that_dies_while_all_rests_is_replaced(three):
    """Nobody sends heartbeats of groups then; that the node is gone is noticed all the same."""
    put_all(three.nodes[1], 24)
    wait_until(lambda: all(n.metric("dormouse_groups_resting") == SHARDS + 1 for n in three.running()),
               DEADLINE_SECONDS, "rest of all groups")
    three.spread()
    three.nodes[1].kill9()
    for i in range(24):
        wait_until(lambda i=i: Actor(three.nodes[2].client, f"a-{i}").put("k", f"w-{i}").status == 204,
                   DEADLINE_SECONDS, "a new owner")
    expect_all(three.nodes[3], 24, value="w")


def test_a_repeat_at_another_node_acts_once(three):
    three.spread()
    for round_number in range(3):
        for i in range(SHARDS):
            answers = [Actor(node.client, f"once-{i}").txn([{"add": "n"}], idempotency_key=f"r{round_number}")
                       for node in three.running()]
            assert [a.status for a in answers] == [200] * 3, answers
            assert [a.is_replay for a in answers] == [False, True, True], answers
            assert {a.json["results"][0]["value"] for a in answers} == {round_number + 1}, answers


def test_a_replica_whose_entries_are_gone_gets_a_copy_of_the_store(new_cluster):
    """While it is away the logs of the others are recycled."""
    cluster = new_cluster().grow(3)
    away = cluster.nodes[3]
    away.kill9()
    actor = Actor(cluster.nodes[1].client, "large")
    value = os.urandom(1 << 20)
    owner = cluster.leader_of("large")
    before = owner.metric("dormouse_checkpoints_total")
    count = 0

    def has_recycled():
        nonlocal count
        for _ in range(16):
            count += 1
            wait_until(lambda: actor.put_bytes(f"k{count}", value).status == 204, DEADLINE_SECONDS, "a write")
        return owner.metric("dormouse_checkpoints_total") > before + 2 and count >= 96
    wait_until(has_recycled, DEADLINE_SECONDS, "checkpoints")
    away.start()
    cluster.settle()
    wait_until(lambda: all(s["lag"] == 0 for s in owner.cluster()["shards"]), DEADLINE_SECONDS, "catching up")
    assert "snapshot_installed" in away.stderr
    cluster.nodes[1].kill9()
    there = Actor(away.client, "large")
    wait_until(lambda: there.get("k1").status == 200, DEADLINE_SECONDS, "a new owner")
    for i in range(1, count + 1):
        assert there.get(f"k{i}").body == value, i


# Stopping and draining


def test_no_request_at_another_node_fails_while_a_node_stops(three):
    three.spread()
    with Steady(three.nodes[1]) as first, Steady(three.nodes[3], prefix="other") as second:
        wait_until(lambda: first.answered > 100 and second.answered > 100, DEADLINE_SECONDS, "load")
        three.nodes[2].stop()
        so_far = first.answered, second.answered
        wait_until(lambda: first.answered > so_far[0] + 100 and second.answered > so_far[1] + 100,
                   DEADLINE_SECONDS, "load after the stop")
    assert not first.failures and not second.failures, (first.failures, second.failures)


def test_a_drained_node_leads_nothing_until_that_ends(three):
    three.spread()
    node = three.nodes[2]
    with Steady(three.nodes[1]) as steady:
        answer = three.nodes[3].client.post("/admin/v1/cluster/members/2/drain")
        assert answer.status == 204, answer
        wait_until(lambda: all(s["leader"] not in (2, None) for s in node.cluster()["shards"]),
                   DEADLINE_SECONDS, "draining")
        assert {m["id"]: m["state"] for m in node.cluster()["members"]} == {1: "up", 2: "draining", 3: "up"}
        assert Actor(node.client, "x").put("k", 1).status == 204
        assert node.client.post("/admin/v1/cluster/members/2/undrain").status == 204
        three.spread()
    assert not steady.failures, steady.failures
    three.settle()


def test_a_dead_node_is_removed_and_another_takes_its_place(own_three):
    put_all(own_three.nodes[1], 24)
    own_three.nodes[2].kill9()
    assert own_three.nodes[1].client.delete("/admin/v1/cluster/members/2").status == 204
    del own_three.nodes[2]
    own_three.join(4)
    own_three.settle()
    expect_all(own_three.nodes[4], 24)
    own_three.nodes[1].kill9()
    wait_until(lambda: Actor(own_three.nodes[4].client, "a-0").get("k").status == 200, DEADLINE_SECONDS,
               "a new owner")
    expect_all(own_three.nodes[4], 24)


def test_a_member_that_lives_goes_when_others_have_what_it_holds(new_cluster):
    cluster = new_cluster()
    cluster.begin()
    cluster.join(2)
    put_all(cluster.nodes[1], 24)
    assert cluster.nodes[2].client.delete("/admin/v1/cluster/members/1").status == 204
    wait_until(lambda: all(s["leader"] == 2 and s["replicas"] == [2] for s in cluster.nodes[2].cluster()["shards"]),
               DEADLINE_SECONDS, "the data of node 1 on node 2")
    wait_until(lambda: "not a member" in cluster.nodes[2].stderr, DEADLINE_SECONDS, "node 1 to be refused")
    cluster.nodes[1].kill9()
    expect_all(cluster.nodes[2], 24)


# Who is let in


def test_a_node_with_data_of_another_cluster_is_not_started(new_cluster, tmp_path):
    cluster = new_cluster()
    cluster.begin()
    single = Node(tmp_path / "single", SMALL)
    single.stop()
    run = cluster.refused(cluster.make(2, cluster.join_flags(), data=single.data))
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    other = new_cluster()
    member = other.begin()
    member.stop()
    run = cluster.refused(cluster.make(2, cluster.join_flags(), data=member.data))
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr


def test_a_certificate_of_another_node_is_refused(new_cluster):
    cluster = new_cluster()
    first = cluster.begin()
    node = cluster.make(2, cluster.join_flags(), certs=cluster.certs.of(3))
    with start_until(node, lambda said: "node" in said or "certificate" in said):
        pass
    assert len(first.cluster()["members"]) == 1


class start_until:
    """A start that does not end by itself, until it has said something."""

    def __init__(self, node, has_said):
        self.node, self.has_said = node, has_said
        self.path = node.stderr_path + ".refused"

    def said(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def __enter__(self):
        with open(self.path, "wb") as stderr:
            self.process = subprocess.Popen(self.node.command, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=stderr)
        wait_until(lambda: self.has_said(self.said()) or self.process.poll() is not None, DEADLINE_SECONDS,
                   "a word")
        assert self.has_said(self.said()), self.said()
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(DEADLINE_SECONDS) != 77
        finally:
            self.process.kill()


def test_garbage_on_the_port_of_nodes_ends_that_connection_alone(three):
    host, port = three.nodes[1].peer.split(":")
    for garbage in [b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\xff\xff" + bytes(70000), b""]:
        with socket.create_connection((host, int(port)), timeout=30) as s:
            try:
                s.sendall(garbage)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except ConnectionError:
                pass
    put_all(three.nodes[2], 8)
    expect_all(three.nodes[3], 8)
    three.settle()


# What all nodes know


def test_a_node_counts_what_it_has_to_do_with_the_others(three):
    """Shards are led by some node each; one that does not lead an actor's sends its requests on."""
    asked = three.nodes[2]
    actor_id = three.actor_led_by(three.nodes[3], "counted")
    sent, taken = "dormouse_requests_forwarded_total", "dormouse_requests_of_nodes_total"
    owner = three.nodes[3]
    before = asked.metric(sent), owner.metric(taken)
    assert Actor(asked.client, actor_id).put("k", 1).status == 204

    def has_counted():
        led = sum(n.metric("dormouse_shards_led") for n in three.running())
        return (asked.metric(sent) > before[0] and owner.metric(taken) > before[1]
                and led == SHARDS + 1  # the meta group's, too
                and asked.metric("dormouse_peer_connected") >= 4)

    wait_until(has_counted, DEADLINE_SECONDS, "the counts")


def test_a_revoked_token_opens_nothing_on_any_node(own_three):
    made = own_three.nodes[2].client.post("/admin/v1/tokens", json={"namespace": "*", "scopes": ["admin", "call"]})
    assert made.status == 201, made
    admin = {"Authorization": f"Bearer {made.json['token']}"}
    made = own_three.nodes[3].client.post("/admin/v1/tokens", json={"namespace": "test", "scopes": ["call"]},
                                      headers=admin)
    assert made.status == 201, made
    call = {"Authorization": f"Bearer {made.json['token']}"}
    for node in own_three.running():
        wait_until(lambda n=node: Actor(n.client, "a").get("k").status == 401, DEADLINE_SECONDS,
                   "the first token to be known")
        wait_until(lambda n=node: Actor(n.client, "a").put("k", 1, headers=call).status == 204,
                   DEADLINE_SECONDS, "the token to be known")
    assert own_three.nodes[1].client.delete(f"/admin/v1/tokens/{made.json['id']}", headers=admin).status == 204
    for node in own_three.running():
        wait_until(lambda n=node: Actor(n.client, "a").get("k", headers=call).status == 401,
                   DEADLINE_SECONDS, "the revocation")
