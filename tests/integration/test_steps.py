"""Steps of a worker's own run: API section 6."""

from client import Actor, expect_problem, quote, wait_until

HEX = set("0123456789abcdef")


class Steps:
    def __init__(self, actor):
        self.client, self.path = actor.client, f"{actor.path}/steps"

    def begin(self, name, body=None, **named):
        return self.client.post(f"{self.path}/{quote(name)}", json={} if body is None else body,
                                **named)

    def end(self, name, body, **named):
        return self.client.put(f"{self.path}/{quote(name)}", json=body, **named)

    def lease(self, name, **body):
        got = self.begin(name, body).json
        assert got["state"] == "run", got
        return got["lease"]

    def list(self):
        answer = self.client.get(self.path)
        assert answer.status == 200, answer
        return answer.json["steps"]


def test_the_first_to_ask_gets_the_lease_and_the_others_wait(actor):
    steps = Steps(actor)
    first = steps.begin("fetch", {"lease_ms": 60000, "input": {"url": "x"}})
    assert first.status == 200
    assert first.json["state"] == "run" and first.json["attempt"] == 1
    assert len(first.json["lease"]) >= 32 and set(first.json["lease"]) <= HEX
    assert set(first.json) == {"state", "attempt", "lease"}
    second = steps.begin("fetch", {"lease_ms": 60000})
    assert second.status == 200 and set(second.json) == {"state", "retry_after_ms"}
    assert second.json["state"] == "busy" and 0 < second.json["retry_after_ms"] <= 60000


def test_a_body_may_be_left_out(actor):
    answer = actor.client.post(f"{actor.path}/steps/a")
    assert answer.status == 200 and answer.json["state"] == "run"


def test_a_finished_step_gives_its_output_to_all_who_ask(actor):
    steps = Steps(actor)
    output = {"pages": 12, "raw": {"$bytes": "AAE="}}
    lease = steps.lease("fetch")
    assert steps.end("fetch", {"lease": lease, "output": output}).status == 200
    assert steps.begin("fetch").json == {"state": "done", "output": output}
    assert steps.begin("fetch").json == {"state": "done", "output": output}


def test_null_is_an_output(actor):
    steps = Steps(actor)
    assert steps.end("a", {"lease": steps.lease("a"), "output": None}).status == 200
    assert steps.begin("a").json == {"state": "done", "output": None}


def test_an_attempt_ends_exactly_once(actor):
    steps = Steps(actor)
    lease = steps.lease("a")
    assert steps.end("a", {"lease": lease, "output": 1}).status == 200
    expect_problem(steps.end("a", {"lease": lease, "output": 1}), 409, "lease_lost")
    expect_problem(steps.end("a", {"lease": lease, "error": "x"}), 409, "lease_lost")
    expect_problem(steps.end("a", {"lease": lease, "extend_ms": 1000}), 409, "lease_lost")


def test_an_unknown_lease_ends_nothing(actor):
    steps = Steps(actor)
    lease = steps.lease("a")
    for wrong in ("", "0" * 32, lease[:-1], lease.upper() + "x"):
        expect_problem(steps.end("a", {"lease": wrong, "output": 1}), 409, "lease_lost")
    assert steps.end("a", {"lease": lease, "output": 1}).status == 200


def test_an_error_without_a_retry_is_final(actor):
    steps = Steps(actor)
    lease = steps.lease("a")
    assert steps.end("a", {"lease": lease, "error": {"code": 7}}).status == 200
    assert steps.begin("a").json == {"state": "failed", "error": {"code": 7}}


def test_an_error_with_a_retry_is_run_again_when_that_is_due(actor):
    steps = Steps(actor)
    lease = steps.lease("a")
    assert steps.end("a", {"lease": lease, "error": "e", "retry_in_ms": 200}).status == 200
    got = steps.begin("a").json
    if got["state"] == "busy":
        assert 0 < got["retry_after_ms"] <= 200
    wait_until(lambda: got["state"] == "run" or got.update(steps.begin("a").json), what="the retry")
    assert got["attempt"] == 2 and got["lease"] != lease


def test_a_retry_is_not_run_before_it_is_due(actor):
    steps = Steps(actor)
    lease = steps.lease("a")
    assert steps.end("a", {"lease": lease, "error": "e", "retry_in_ms": 60000}).status == 200
    got = steps.begin("a").json
    assert got["state"] == "busy" and 0 < got["retry_after_ms"] <= 60000


def test_an_expired_lease_is_lost_before_anybody_took_it_over(actor):
    steps = Steps(actor)
    lease = steps.lease("a", lease_ms=50)
    wait_until(lambda: steps.list()[0]["state"] == "waiting", what="the end of the lease")
    expect_problem(steps.end("a", {"lease": lease, "output": 1}), 409, "lease_lost")
    expect_problem(steps.end("a", {"lease": lease, "extend_ms": 60000}), 409, "lease_lost")


def test_an_expired_lease_is_taken_over_by_the_next_attempt(actor):
    steps = Steps(actor)
    old = steps.lease("a", lease_ms=50)
    got = {}
    wait_until(lambda: got.update(steps.begin("a").json) or got["state"] == "run",
               what="the end of the lease")
    assert got["attempt"] == 2 and got["lease"] != old
    expect_problem(steps.end("a", {"lease": old, "output": "old"}), 409, "lease_lost")
    assert steps.end("a", {"lease": got["lease"], "output": "new"}).status == 200
    assert steps.begin("a").json["output"] == "new"


def test_a_lease_is_prolonged(actor):
    steps = Steps(actor)
    lease = steps.lease("a", lease_ms=1000)
    assert steps.end("a", {"lease": lease, "extend_ms": 60000}).status == 200
    assert steps.begin("a").json["retry_after_ms"] > 1000


def test_the_list_is_in_the_order_of_the_first_start_and_shows_no_lease(actor):
    steps = Steps(actor)
    leases = {name: steps.lease(name) for name in ("c", "a", "d", "b")}
    assert steps.end("a", {"lease": leases["a"], "output": [1]}).status == 200
    assert steps.end("d", {"lease": leases["d"], "error": "e", "retry_in_ms": 60000}).status == 200
    assert steps.end("b", {"lease": leases["b"], "error": "final"}).status == 200
    listed = steps.list()
    assert [s["name"] for s in listed] == ["c", "a", "d", "b"]
    assert [s["state"] for s in listed] == ["running", "done", "waiting", "failed"]
    assert [s["attempts"] for s in listed] == [1, 1, 1, 1]
    assert listed[1]["output"] == [1] and listed[3]["error"] == "final"
    assert all(s["started"] > 1_600_000_000_000 for s in listed)
    assert listed[0]["ended"] is None and listed[1]["ended"] >= listed[1]["started"]
    for lease in leases.values():
        assert lease not in str(listed)


def test_no_steps_are_an_empty_list(actor):
    assert Steps(actor).list() == []


def test_steps_survive_kill_9_and_hibernation(node):
    actor = Actor(node.client, "run")
    steps = Steps(actor)
    done, held = steps.lease("done"), steps.lease("held")
    assert steps.end("done", {"lease": done, "output": {"x": 1}}).status == 200
    node.restart(kill=True)
    steps = Steps(Actor(node.client, "run"))
    assert [s["name"] for s in steps.list()] == ["done", "held"]
    assert steps.begin("done").json == {"state": "done", "output": {"x": 1}}
    assert steps.begin("held").json["state"] == "busy"
    assert steps.end("held", {"lease": held, "output": 2}).status == 200


def test_a_repeated_request_with_a_key_gets_the_same_lease(actor):
    steps = Steps(actor)
    first = steps.begin("a", idempotency_key="k1")
    again = steps.begin("a", idempotency_key="k1")
    assert again.json == first.json and again.is_replay and not first.is_replay
    lease = first.json["lease"]
    ended = steps.end("a", {"lease": lease, "output": 1}, idempotency_key="k2")
    again = steps.end("a", {"lease": lease, "output": 1}, idempotency_key="k2")
    assert ended.status == again.status == 200 and again.is_replay
    lost = steps.end("a", {"lease": lease, "output": 1}, idempotency_key="k3")
    expect_problem(lost, 409, "lease_lost")
    assert steps.end("a", {"lease": lease, "output": 1}, idempotency_key="k3").is_replay


def test_malformed_bodies_are_refused(actor):
    steps = Steps(actor)
    for body in ({"lease_ms": 0}, {"lease_ms": -1}, {"lease_ms": "1"}, {"lease_ms": 86400001},
                 {"leases": 1}, [], 1, {"lease_ms": 1.5}):
        expect_problem(steps.begin("a", body), 400, "bad_request")
    assert steps.list() == []
    lease = steps.lease("a")
    for body in ({}, {"lease": lease}, {"output": 1}, {"lease": 1, "output": 1},
                 {"lease": lease, "output": 1, "error": 1}, {"lease": lease, "extend_ms": 0},
                 {"lease": lease, "output": 1, "extend_ms": 1000},
                 {"lease": lease, "output": 1, "retry_in_ms": 1}, {"lease": lease, "retry_in_ms": 1},
                 {"lease": lease, "error": 1, "retry_in_ms": -1}, {"lease": lease, "outputs": 1}):
        expect_problem(steps.end("a", body), 400, "bad_request")
    assert steps.end("a", {"lease": lease, "output": 1}).status == 200


def test_an_end_of_a_step_that_was_never_begun_is_404(actor):
    expect_problem(Steps(actor).end("a", {"lease": "x", "output": 1}), 404, "no_such_step")


def test_names_have_1_to_255_bytes(actor):
    steps = Steps(actor)
    assert steps.begin("n" * 255).status == 200
    assert steps.begin("ä/ö ü").status == 200
    doc = expect_problem(steps.begin("n" * 256), 413, "too_large")
    assert doc["limit"] == {"name": "name_bytes", "value": 255}
    expect_problem(actor.client.post(f"{actor.path}/steps/%ff"), 400, "bad_request")
    assert [s["name"] for s in steps.list()] == ["n" * 255, "ä/ö ü"]


def test_an_output_is_as_large_as_a_value_may_be(actor):
    steps = Steps(actor)
    lease = steps.lease("a")
    limit = 2 * 1024 * 1024
    doc = expect_problem(steps.end("a", {"lease": lease, "output": "x" * limit}), 413, "too_large")
    assert doc["limit"] == {"name": "value_bytes", "value": limit}
    assert steps.end("a", {"lease": lease, "output": "x" * (limit - 5)}).status == 200
    assert len(steps.begin("a").json["output"]) == limit - 5


def test_deleting_the_actor_takes_its_steps(actor):
    steps = Steps(actor)
    steps.lease("a")
    assert actor.destroy().status == 204
    assert steps.list() == []
    assert steps.begin("a").json["attempt"] == 1


def test_other_methods_are_405(actor):
    answer = actor.client.get(f"{actor.path}/steps/a")
    expect_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST, PUT"
