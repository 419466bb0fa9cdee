"""Clusters: forming one, entering it and leaving it; what holds while nodes come, go and die."""

import json
import os
import re
import subprocess
import time
import uuid

import pytest

from client import Actor, expect_problem, wait_until
from cluster import Cluster, command
from node import Node
from test_command_line import expect_refused, run

USAGE = 2


@pytest.fixture
def make_cluster(tmp_path, request):
    """make_cluster(3) gives a cluster; all of them end with the test."""
    made = []

    def make(*arguments, **named):
        made.append(Cluster(tmp_path / f"cluster{len(made)}", *arguments, **named))
        return made[-1]

    yield make
    for cluster in made:
        cluster.finish()
    if getattr(request.node, "went_well", False):
        for cluster in made:
            for node in cluster.nodes.values():
                node.discard()


@pytest.fixture
def three(make_cluster):
    return make_cluster(3)


def actors(node, count=24):
    return [Actor(node.client, f"a{n}") for n in range(count)]


def put(actor, key, value):
    """Until it is acknowledged: a write may be repeated, for it has a key."""
    token = {"Idempotency-Key": str(uuid.uuid4())}
    wait_until(lambda: actor.put(key, value, headers=token).status == 204, what="a write")


def expect_everywhere(cluster, key, value, count=24):
    for node in cluster.running():
        for actor in actors(node, count):
            answer = actor.get(key)
            assert (answer.status, answer.json) == (200, value), (actor.path, answer)


# Forming


def test_any_node_answers_for_any_actor(three):
    """Actors of all shards, so each node owns some and forwards for others."""
    assert set(three.states().values()) == {"up"} and set(three.states()) == {1, 2, 3}
    for n, actor in enumerate(actors(three.nodes[1])):
        put(actor, "k", "v")
    expect_everywhere(three, "k", "v")
    for actor in actors(three.nodes[3]):
        put(actor, "k", "w")
    expect_everywhere(three, "k", "w")
    assert {actor.info().json["owner"] for actor in actors(three.nodes[2])} == {1, 2, 3}


def test_the_data_of_a_single_node_becomes_that_of_a_cluster(tmp_path, make_cluster):
    single = Node(tmp_path / "cluster0" / "node-1", ["--shards", "8", "--workers", "1"], starts=False)
    os.makedirs(tmp_path / "cluster0")
    single.start()
    for actor in actors(single):
        put(actor, "k", "of one")
    versions = [actor.get("k").version for actor in actors(single)]
    single.stop()
    cluster = make_cluster(3)
    assert [actor.get("k").version for actor in actors(cluster.nodes[2])] == versions
    cluster.nodes[1].kill9()
    wait_until(lambda: cluster.leads(1, cluster.nodes[2]) == [] and None not in [
        s["leader"] for s in cluster.said(cluster.nodes[2])["shards"]], what="other leaders")
    expect_everywhere(cluster, "k", "of one")


def test_a_started_cluster_needs_its_flags_no_more(three):
    for actor in actors(three.nodes[1]):
        put(actor, "k", "v")
    node = three.nodes[2]
    node.stop()
    others = [["--node-id", "3"], ["--peer-listen", "127.0.0.1:1"], ["--cluster-certs", "/other"],
              ["--cluster-init"], ["--join", "127.0.0.1:1"]]
    for flags in others:
        result = run("--data", node.data, "--listen", "127.0.0.1:0", *flags)
        expect_refused(result, f"{flags[0]}.*the data directory says", USAGE)
    node.environment = {}
    node.options = ["--workers", "1", "--memory", "64M"]
    node.start()  # none of them
    three.await_replicas(3)
    node.stop()
    node.options = [*node.options, *node.flags]  # the same, but for the token, which is used up
    node.start()
    three.await_replicas(3)
    expect_everywhere(three, "k", "v")


# The list of actors


def listed(node, limit, namespace="test"):
    """All pages, as this node says: {id: actor}; nobody is in two."""
    found, cursor = {}, None
    while True:
        after = f"&cursor={cursor}" if cursor else ""
        answer = node.client.get(f"/admin/v1/namespaces/{namespace}/actors?limit={limit}{after}")
        assert answer.status == 200, answer
        page = answer.json["actors"]
        ids = [a["id"] for a in page]
        assert len(page) <= limit and ids == sorted(ids)
        assert not found or not page or max(found) < ids[0]
        found.update((a["id"], a) for a in page)
        cursor = answer.json["next"]
        if cursor is None:
            return found


def make_by_turns(nodes, count):
    """Actors made through any of the nodes: {id: version}."""
    versions = {}
    for n in range(count):
        actor = Actor(nodes[n % len(nodes)].client, f"a{n:03}")
        put(actor, "k", "v")
        versions[actor.id] = actor.get("k").version
    return versions


def versions_of(actors_listed):
    return {id: a["version"] for id, a in actors_listed.items()}


def test_each_node_lists_the_actors_of_all(make_cluster):
    """Of four nodes each lacks a replica of some shards; and of two workers one asks the other."""
    cluster = make_cluster(4, options=["--workers", "2"])
    wait_until(lambda: set.intersection(*(set(s["replicas"]) for s in cluster.said()["shards"])) == set(),
               what="shards on all nodes")
    nodes = cluster.running()
    versions = make_by_turns(nodes, 40)
    assert len({actor.info().json["owner"] for actor in
                (Actor(nodes[0].client, id) for id in versions)}) > 1
    for node in nodes:
        for limit in 3, 40, 1000:
            found = listed(node, limit)
            assert versions_of(found) == versions
            assert all(a["class"] == "Store" and a["bytes"] == 3 for a in found.values())


def test_the_list_wakes_nobody_on_any_node(three):
    versions = make_by_turns(three.running(), 12)
    for node in three.running():
        node.stop()
        node.start()
        three.await_replicas(3)
    for node in three.running():
        found = listed(node, 5)
        assert versions_of(found) == versions
        assert {a["state"] for a in found.values()} == {"hibernated"}
    woken = three.nodes[1]
    Actor(woken.client, "a003").get("k")
    for node in three.running():
        states = {id: a["state"] for id, a in listed(node, 5).items()}
        assert [id for id, state in states.items() if state == "awake"] == ["a003"]


def test_a_list_waits_for_new_leaders_where_some_have_died(three):
    versions = make_by_turns(three.running(), 24)
    for victim in [2, 3]:
        three.nodes[victim].kill9()
        for node in three.running():
            assert versions_of(listed(node, 7)) == versions
        three.nodes[victim].start()
        three.await_replicas(3)
    for node in three.running():
        assert versions_of(listed(node, 7)) == versions


def test_there_is_no_list_while_a_shard_has_no_leader(three):
    """Rather none than one that lacks some."""
    versions = make_by_turns(three.running(), 24)
    for victim in [1, 2]:
        three.nodes[victim].kill9()
    path = "/admin/v1/namespaces/test/actors"
    answer = three.nodes[3].client.get(path, headers={"Dormouse-Timeout": "1500"})
    expect_problem(answer, 503, "unavailable", retryable=True)
    three.nodes[1].start()
    wait_until(lambda: three.nodes[3].client.get(path).status == 200, what="a list")
    for node in three.running():
        assert versions_of(listed(node, 7)) == versions


# Reads that may be stale


STALE = {"Dormouse-Consistency": "stale"}


def staleness(answer):
    return int(answer.headers["dormouse-staleness-ms"])


def await_key(node_id, actor, key):
    """Until the node has it in a replica of its own."""
    def is_there():
        answer = actor.get(key, headers=STALE)
        return answer.status == 200 and answer.headers["dormouse-owner"] == str(node_id)
    wait_until(is_there, what="a replica that has the key")


def stale_reads(actor):
    """Each kind of them: [GET, HEAD, listing, description, GET of no key]."""
    return [actor.get("k", headers=STALE), actor.head("k", headers=STALE),
            actor.client.get(f"{actor.path}/kv", headers=STALE), actor.info(headers=STALE),
            actor.get("none", headers=STALE)]


def reads_under_one_leader(actor):
    """Leaderships may move while a cluster is young: (leader, stale reads), of a time when this one did not."""
    while True:
        before, answers, after = actor.get("k"), stale_reads(actor), actor.get("k")
        assert before.status == after.status == 200
        assert "dormouse-staleness-ms" not in before.headers
        if before.headers["dormouse-owner"] == after.headers["dormouse-owner"]:
            return int(before.headers["dormouse-owner"]), answers


def test_a_read_that_may_be_stale_is_answered_by_the_node_that_is_asked(three):
    put(Actor(three.nodes[1].client, "a"), "k", "v")
    for number, node in three.nodes.items():
        actor = Actor(node.client, "a")
        await_key(number, actor, "k")
        leader, answers = reads_under_one_leader(actor)
        assert [a.status for a in answers] == [200, 200, 200, 200, 404]
        assert answers[0].json == "v" and answers[2].json["entries"][0]["value"] == "v"
        assert answers[3].json["keys"] == 1
        assert number == leader or answers[3].json["state"] == "hibernated"
        for answer in answers:
            assert answer.headers["dormouse-owner"] == str(number)
            assert (staleness(answer) == 0) == (number == leader), answer
        not_modified = {**STALE, "If-None-Match": answers[0].headers["etag"]}
        assert actor.get("k", headers=not_modified).status == 304
        wait_until(lambda: staleness(actor.get("k", headers=STALE)) < 1000, what="news of the leader")
        expect_problem(actor.get("k", headers={"Dormouse-Consistency": "strong"}), 400, "bad_request")


def test_a_stale_answer_has_all_that_is_older_than_it_says(three):
    """Acknowledged before the question, less the staleness: it is in the answer, or in what came after."""
    writer = Actor(three.nodes[1].client, "a")
    put(writer, "n", 0)
    leader = writer.info().json["owner"]
    followers = [Actor(n.client, "a") for number, n in three.nodes.items() if number != leader]
    acknowledged, shown = [(time.monotonic(), 0)], 0
    for n in range(1, 400):
        put(writer, "n", n)
        acknowledged.append((time.monotonic(), n))
        asked = time.monotonic()
        answer = followers[n % 2].get("n", headers=STALE)
        oldest = asked - staleness(answer) / 1000
        expected = [value for when, value in acknowledged if when < oldest]
        got = answer.json if answer.status == 200 else -1
        assert not expected or got >= expected[-1], (answer, acknowledged[-1], oldest)
        shown += 1 if expected else 0
    assert shown > 0
    wait_until(lambda: all(a.get("n", headers=STALE).json == 399 for a in followers), what="all replicas")


def test_stale_reads_go_on_where_a_shard_has_no_leader(three):
    versions = make_by_turns(three.running(), 8)
    node = three.nodes[3]
    for id in versions:
        await_key(3, Actor(node.client, id), "k")
    for victim in [1, 2]:
        three.nodes[victim].kill9()
    for id in versions:  # it takes some of them for its own until it has missed the others for a while
        assert Actor(node.client, id).get("k", headers=STALE).json == "v"
    for id in versions:
        actor = Actor(node.client, id)
        answer = actor.get("k", headers={"Dormouse-Timeout": "500"})
        assert answer.status in (503, 504), answer
        stale = actor.get("k", headers=STALE)
        assert stale.json == "v" and stale.headers["dormouse-owner"] == "3"
        wait_until(lambda: staleness(actor.get("k", headers=STALE)) > staleness(stale), what="an older answer")


def test_a_node_without_a_replica_asks_the_leader(make_cluster):
    cluster = make_cluster(4)
    for actor in actors(cluster.nodes[1]):
        put(actor, "k", "v")

    def asks(number, actor):
        answer = actor.get("k", headers=STALE)
        return answer.json == "v" and staleness(answer) == 0 and answer.headers["dormouse-owner"] != str(number)

    def somebody_asks():
        """Which nodes are without changes while the cluster is young."""
        replicas = {s["id"]: s["replicas"] for s in cluster.said()["shards"]}
        for number, node in cluster.nodes.items():
            for actor in actors(node):
                if number not in replicas[actor.info().json["shard"]]:
                    return asks(number, actor)
        return False
    wait_until(somebody_asks, what="an answer of a leader")


# Entering


def expect_turned_away(node, token, pattern):
    """A start that ends because the cluster does not let the node in: one sentence behind its log."""
    result = run(*node.command[1:], "--join-token", token)
    assert result.returncode == 1 and result.stdout == "", result
    lines = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1 and re.search(pattern, lines[0]), result
    assert not os.path.exists(os.path.join(node.data, "DORMOUSE"))


def test_a_token_lets_one_node_in_once(make_cluster):
    cluster = make_cluster(1)
    token = cluster.join_token()
    for wrong in ["dm_" + 43 * "x", "x"]:
        expect_turned_away(cluster.joiner(2, token=wrong), wrong, "token")
    cluster.nodes[2] = cluster.joiner(2, token=token)
    cluster.nodes[2].start()
    expect_turned_away(cluster.joiner(3, token=token), token, "token")
    cluster.nodes[3] = cluster.joiner(3, by=2)  # any member is asked
    cluster.nodes[3].start()
    cluster.await_replicas(3)


def test_a_join_that_was_refused_is_tried_again_with_other_flags(make_cluster):
    cluster = make_cluster(1)
    node = cluster.joiner(2, token="dm_wrong")
    expect_turned_away(node, "dm_wrong", "token")
    token = cluster.join_token()
    node.environment = {"DORMOUSE_JOIN_TOKEN": token}
    node.options = ["--workers", "1"]  # the directory has the rest
    cluster.nodes[2] = node
    node.start()
    wait_until(lambda: cluster.states()[2] == "up", what="a member that is up")


def expect_shut_out(node, token, pattern):
    """A start that nobody answers: its log says why, and it goes on asking."""
    with open(node.stderr_path, "wb") as stderr:
        process = subprocess.Popen([*node.command, "--join-token", token], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        wait_until(lambda: re.search(pattern, node.stderr), what="a refusal")
        assert process.poll() is None, node.stderr
    finally:
        process.kill()
        process.wait()
    assert not os.path.exists(os.path.join(node.data, "DORMOUSE"))


def test_a_node_of_another_ca_is_not_let_in(tmp_path, make_cluster):
    cluster = make_cluster(1)
    token = cluster.join_token()
    stranger = cluster.make(2, ["--join", cluster.nodes[1].peer], certs=str(tmp_path / "other"))
    expect_shut_out(stranger, token, "peer_down.*certificate")
    assert cluster.states() == {1: "up"}


def test_an_id_is_never_used_again(make_cluster):
    """Neither by a node that has lost its data, nor after it was removed."""
    cluster = make_cluster(3)
    lost = cluster.nodes.pop(3)
    lost.kill9()
    lost.discard()
    expect_turned_away(cluster.joiner(3), cluster.join_token(), "member already")
    wait_until(lambda: cluster.nodes[1].client.delete("/admin/v1/cluster/members/3").status == 204, what="a removal")
    expect_shut_out(cluster.joiner(3), cluster.join_token(), "peer_down.*node 3 is not a member")
    cluster.join(4)
    assert set(cluster.states()) == {1, 2, 4}


# Leaving


def test_a_drained_member_leads_nothing_and_keeps_its_replicas(three):
    url = three.nodes[1].url
    assert command("cluster", "drain", 2, "--wait", url=url) == "member 2 is drained\n"
    wait_until(lambda: three.leads(2, three.nodes[3]) == [], what="no leads")
    assert three.states(three.nodes[3])[2] == "draining"
    assert all(2 in s["replicas"] for s in three.said()["shards"])
    assert command("cluster", "undrain", 2, url=three.nodes[2].url) == "member 2 is up\n"
    wait_until(lambda: three.leads(2) != [], what="leads again")


def test_a_removed_members_replicas_go_to_others(make_cluster):
    cluster = make_cluster(4)
    for actor in actors(cluster.nodes[4]):
        put(actor, "k", "v")
    cluster.nodes[2].kill9()  # dead for good
    del cluster.nodes[2]
    assert command("cluster", "remove", 2, "--wait", url=cluster.nodes[3].url) == "member 2 is removed\n"
    cluster.await_replicas(3, without=[2])
    assert set(cluster.states()) == {1, 3, 4}
    expect_everywhere(cluster, "k", "v")


def test_the_last_members_stay(make_cluster):
    cluster = make_cluster(2)
    client = cluster.nodes[2].client
    assert client.post("/admin/v1/cluster/members/1/drain").status == 204
    expect_problem(client.post("/admin/v1/cluster/members/2/drain"), 409, "conflict")
    expect_problem(client.delete("/admin/v1/cluster/members/7"), 404, "no_such_member")
    assert client.delete("/admin/v1/cluster/members/1").status == 204
    expect_problem(client.delete("/admin/v1/cluster/members/2"), 409, "conflict")


def replicas_of(node, shard):
    return set(node.client.get("/admin/v1/cluster").json["shards"][shard]["replicas"])


def is_even(node):
    """Each shard has three replicas, and each of the four members as many as the others, within one."""
    shards = node.client.get("/admin/v1/cluster").json["shards"]
    held = [sum(member in s["replicas"] for s in shards) for member in (1, 2, 3, 4)]
    return all(len(s["replicas"]) == 3 for s in shards) and max(held) - min(held) <= 1


def test_a_shard_is_moved_by_hand_and_stays(make_cluster):
    """Served all the while; each member holds as many as before in the end, or one more or less."""
    cluster = make_cluster(4)
    one = cluster.nodes[1]
    for actor in actors(one):
        put(actor, "k", "v")
    wait_until(lambda: is_even(one), what="balance")
    shard, outside = next((s["id"], ({1, 2, 3, 4} - set(s["replicas"])).pop())
                          for s in one.client.get("/admin/v1/cluster").json["shards"])
    giver = min(replicas_of(one, shard))
    text = command("cluster", "move-shard", shard, "--from", giver, "--to", outside, "--wait", url=one.url)
    assert f"shard {shard} has moved to member {outside}" in text
    assert replicas_of(one, shard) == {1, 2, 3, 4} - {giver}
    expect_everywhere(cluster, "k", "v")
    wait_until(lambda: is_even(one), what="balance by others")
    assert replicas_of(one, shard) == {1, 2, 3, 4} - {giver}
    there = {"from": giver, "to": outside}
    expect_problem(one.client.post(f"/admin/v1/cluster/shards/{shard}/move", json=there), 409, "conflict")
    expect_problem(one.client.post("/admin/v1/cluster/shards/8/move", json=there), 404, "not_found")
    expect_problem(one.client.post(f"/admin/v1/cluster/shards/{shard}/move", json={"from": giver, "to": 9}),
                   404, "no_such_member")


def test_a_rebalance_ends_when_all_is_even(make_cluster):
    cluster = make_cluster(4)
    text = command("cluster", "rebalance", "--timeout", "60s", url=cluster.nodes[2].url)
    assert "as much as each other" in text
    assert is_even(cluster.nodes[2])
    shown = json.loads(command("--json", "cluster", "rebalance", url=cluster.nodes[1].url))
    assert shown == {"balanced": True, "replicas_left": 0, "leaders_left": 0, "shards_changing": 0}


def test_what_move_shard_takes_is_told(three):
    command("cluster", "move-shard", "1", "--from", "1", url=three.nodes[1].url, code=USAGE)
    command("cluster", "move-shard", "x", "--from", "1", "--to", "2", url=three.nodes[1].url, code=USAGE)
    command("cluster", "rebalance", "--timeout", "soon", url=three.nodes[1].url, code=USAGE)


# Dying


def test_what_was_acknowledged_is_there_whoever_dies(three):
    """Each node once, while the others are written to; a retry acts once, on any node."""
    for victim in [2, 1, 3]:
        three.nodes[victim].kill9()
        survivor = three.running()[0]
        for actor in actors(survivor, 8):
            token = f"{actor.path}-{victim}"
            add = {"headers": {"Idempotency-Key": token}}
            wait_until(lambda: actor.txn([{"add": "n"}], **add).status == 200, what="a write")
            other = Actor(three.running()[-1].client, actor.id)
            answer = other.txn([{"add": "n"}], **add)
            assert answer.status == 200 and answer.is_replay, answer
        three.nodes[victim].start()
        three.await_replicas(3)
    expect_everywhere(three, "n", 3, 8)


def test_two_of_three_away_are_503_and_nothing_is_lost(three):
    for actor in actors(three.nodes[1], 8):
        put(actor, "k", "v")
    for victim in [2, 3]:
        three.nodes[victim].kill9()
    answer = Actor(three.nodes[1].client, "a0").put("k", "w", headers={"Dormouse-Timeout": "1000"})
    assert answer.status in (503, 504), answer
    for victim in [2, 3]:
        three.nodes[victim].start()
    three.await_replicas(3)
    for actor in actors(three.nodes[2], 8)[1:]:
        assert actor.get("k").json == "v"
    assert Actor(three.nodes[3].client, "a0").get("k").json in ("v", "w")


def test_the_command_line_shows_the_cluster(three):
    shown = json.loads(command("--json", "cluster", "status", url=three.nodes[3].url))
    assert {m["id"]: m["replicas"] for m in shown["members"]} == {1: 8, 2: 8, 3: 8}
    assert (shown["shards"], shown["replicas_min"], shown["without_leader"]) == (8, 3, 0)
    text = command("cluster", "members", url=three.nodes[1].url)
    assert all(node.peer in text for node in three.nodes.values())
