"""Section 3, the actor itself: its description, its end."""

from client import Actor, expect_problem

NOBODY = {"exists": False, "state": "hibernated", "version": None, "keys": 0, "bytes": 0,
          "alarm": None}


def test_the_description_has_all_its_members(actor):
    version = actor.put("k", "abc").version
    info = actor.info().json
    shard, owner = info.pop("shard"), info.pop("owner")
    assert 0 <= shard < 64 and owner == 1
    assert info == {"namespace": "test", "class": "Store", "id": actor.id, "exists": True,
                    "state": "awake", "version": version, "keys": 1, "bytes": 5, "alarm": None}


def test_where_nothing_exists_the_description_says_so(actor):
    info = actor.info().json
    assert {name: info[name] for name in NOBODY} == NOBODY


def test_describing_an_actor_wakes_nobody(node):
    actor = Actor(node.client, "a")
    actor.put("k", 1)
    node.restart()
    actor = Actor(node.client, "a")
    for _ in range(3):
        info = actor.info().json
        assert info["state"] == "hibernated" and info["keys"] == 1 and info["exists"] is True
    assert actor.get("k").json == 1
    assert actor.info().json["state"] == "awake"


def test_a_store_runs_no_code(actor):
    """What looks like code is a value like any other, and there is nothing to call."""
    code = "export default { fetch() { return new Response('x') } }"
    actor.put("main.js", code)
    actor.put("constructor", {"$other": code})
    version = actor.info().json["version"]
    for method, target in [("POST", "/call/main"), ("POST", "/call/constructor"), ("GET", "/fetch/main.js")]:
        answer = actor.client.request(method, actor.path + target, "[]" if method == "POST" else None)
        assert answer.status in (404, 501), answer
    assert actor.get("main.js").json == code and actor.get("constructor").json == {"$other": code}
    assert actor.info().json["version"] == version


def test_keys_and_bytes_are_counted(actor):
    actor.put("a", "xxxx")           # 1 + 5
    actor.put("bb", "yy")            # 2 + 3
    assert actor.info().json["keys"] == 2 and actor.info().json["bytes"] == 11
    actor.put("a", "x")              # 1 + 2
    assert actor.info().json["bytes"] == 8
    actor.txn([{"delete": "bb"}, {"put": "c", "value": 1}, {"delete": "c"}, {"add": "d"}])
    assert actor.info().json["keys"] == 2 and actor.info().json["bytes"] == 5
    actor.delete("a")
    actor.delete("d")
    assert actor.info().json["keys"] == 0 and actor.info().json["bytes"] == 0


def test_counts_survive_a_restart(node):
    actor = Actor(node.client, "a")
    for i in range(50):
        actor.put(f"k{i}", "x" * i)
    before = actor.info().json
    node.restart(kill=True)
    actor = Actor(node.client, "a")
    actor.put("k0", "")
    after = actor.info().json
    assert after["keys"] == before["keys"] and after["bytes"] == before["bytes"]


def test_deleting_an_actor_takes_all_its_state(actor):
    for i in range(20):
        actor.put(f"k{i}", i)
    answer = actor.destroy()
    assert answer.status == 204 and answer.body == b""
    info = actor.info().json
    assert info["exists"] is False and info["version"] is None
    assert info["keys"] == 0 and info["bytes"] == 0
    assert actor.list().json == {"entries": [], "next": None}
    expect_problem(actor.get("k0"), 404, "no_such_key")


def test_deleting_an_actor_that_is_not_there_is_204(actor):
    assert actor.destroy().status == 204
    assert actor.destroy().status == 204


def test_a_deleted_actor_begins_anew(actor):
    actor.put("old", 1)
    actor.destroy()
    actor.put("new", 2)
    assert [e["key"] for e in actor.list().json["entries"]] == ["new"]
    info = actor.info().json
    assert info["exists"] is True and info["keys"] == 1


def test_a_deleted_actor_stays_deleted_across_a_restart(node):
    actor = Actor(node.client, "a")
    for i in range(100):
        actor.put(f"k{i}", i)
    node.restart()
    actor = Actor(node.client, "a")
    assert actor.destroy().status == 204
    node.restart(kill=True)
    actor = Actor(node.client, "a")
    assert actor.info().json["exists"] is False
    assert actor.list().json["entries"] == []
    actor.put("k5", "again")
    node.restart(kill=True)
    actor = Actor(node.client, "a")
    assert [(e["key"], e["value"]) for e in actor.list().json["entries"]] == [("k5", "again")]


def test_deleting_an_actor_leaves_its_neighbours(client, actor):
    near = [Actor(client, actor.id + str(i)) for i in range(20)]
    for other in near:
        other.put("k", other.id)
    actor.put("k", 1)
    actor.destroy()
    assert all(other.get("k").json == other.id for other in near)


def test_an_actor_without_keys_still_has_its_version(actor):
    actor.put("k", 1)
    actor.delete("k")
    info = actor.info().json
    assert info["keys"] == 0 and (info["exists"] is False or info["version"] > 0)
