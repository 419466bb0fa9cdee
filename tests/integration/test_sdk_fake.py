"""The C SDK and the command line against a server that misbehaves on purpose.

    top_builddir=build pytest tests/integration/test_sdk_fake.py
"""
import json
import os
import pty
import re
import socket
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from fake_server import Answer, FakeServer, Reset, Slow, Stream, document, problem  # noqa: E402

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("top_builddir", "build")
DORMOUSE = os.path.join(BUILD, "dormouse")
WRAPPER = os.environ.get("DORMOUSE_WRAPPER", "").split()  # such as: valgrind -q --error-exitcode=99
OK, ANSWER, USAGE, NOT_FOUND, CONDITION, UNREACHABLE = range(6)
ACTOR = "app/Store/user/42"


@pytest.fixture
def server():
    with FakeServer() as fake:
        yield fake


def environment(url):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DORMOUSE_")}
    return {**clean, "DORMOUSE_URL": url, "http_proxy": "http://127.0.0.1:9/"}


def start(server, *arguments, **more):
    return subprocess.Popen([*WRAPPER, DORMOUSE, *arguments], env=environment(server.url),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def run(server, *arguments, code=OK, stdin=b"", timeout=30):
    url = server if isinstance(server, str) else server.url
    done = subprocess.run([*WRAPPER, DORMOUSE, *arguments], env=environment(url), input=stdin,
                          capture_output=True, timeout=timeout)
    assert done.returncode == code, (arguments, done)
    if code == OK:
        assert done.stderr == b"", done
    else:
        assert done.stderr != b"", done
    return done


def out(*arguments, **more):
    return run(*arguments, **more).stdout.decode()


def error(*arguments, **more):
    return json.loads(run(*arguments[:1], "--json", *arguments[1:], **more).stderr)["error"]


def free_port():
    """A port that stays ours, and on which nobody listens."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken


# ---- values ----

def test_a_value_is_put_read_and_deleted(server):
    assert out(server, "put", ACTOR, "a/b c", '{"n":18446744073709551615}') == "version 1\n"
    assert server.requests[-1].target == "/v1/app/Store/user%2F42/kv/a%2Fb%20c"
    assert out(server, "get", ACTOR, "a/b c") == '{"n":18446744073709551615}\n'
    assert json.loads(out(server, "--json", "get", ACTOR, "a/b c")) == {
        "key": "a/b c", "version": 1, "value": {"n": 18446744073709551615}}
    assert out(server, "get", ACTOR, "a/b c", "--show-version") == "1\n"
    assert out(server, "delete", ACTOR, "a/b c") == "deleted\n"
    assert out(server, "delete", ACTOR, "a/b c") == "was not there\n"
    run(server, "get", ACTOR, "a/b c", code=NOT_FOUND)


def test_bytes_come_back_as_they_went(server, tmp_path):
    data = bytes(range(256)) * 3
    (tmp_path / "value").write_bytes(data)
    run(server, "put", ACTOR, "k", "--raw", "-", stdin=data)
    assert server.requests[-1].headers["content-type"] == "application/octet-stream"
    assert run(server, "get", ACTOR, "k").stdout == data
    run(server, "put", ACTOR, "k", "--raw", "--file", str(tmp_path / "value"))
    assert run(server, "get", ACTOR, "k", "--raw").stdout == data


def test_a_large_value_goes_without_waiting_for_permission(server):
    value = json.dumps("x" * 1900000)
    run(server, "put", ACTOR, "k", "-", stdin=value.encode())
    assert "expect" not in server.requests[-1].headers
    assert out(server, "get", ACTOR, "k") == value + "\n"


def test_text_becomes_a_json_string(server):
    run(server, "put", ACTOR, "k", "--text", 'say "hi"\n')
    assert json.loads(server.requests[-1].body) == 'say "hi"\n'


def test_a_value_that_is_no_json_is_the_servers_to_refuse(server):
    assert error(server, "put", ACTOR, "k", "{", code=ANSWER)["code"] == "bad_request"
    assert len(server.requests) == 1


def test_conditions_travel_and_a_failed_one_is_exit_code_4(server):
    run(server, "put", ACTOR, "k", "1", "--if-absent")
    failed = error(server, "put", ACTOR, "k", "2", "--if-absent", code=CONDITION)
    assert failed["code"] == "version_mismatch" and failed["status"] == 412
    run(server, "put", ACTOR, "k", "2", "--if-version", "1")
    run(server, "put", ACTOR, "k", "3", "--if-version", "1", code=CONDITION)
    run(server, "delete", ACTOR, "k", "--if-version", "1", code=CONDITION)
    run(server, "delete", ACTOR, "k", "--if-version", "2")
    assert len(server.requests) == 6  # a definite answer is never asked for again


def test_an_actor_is_shown_and_deleted(server):
    run(server, "put", ACTOR, "k", "1")
    shown = json.loads(out(server, "--json", "get", ACTOR))
    assert shown["exists"] is True and shown["id"] == "user/42"
    assert "exists" in out(server, "get", ACTOR)
    run(server, "delete", ACTOR, code=USAGE)  # a whole actor only when it is said
    assert out(server, "delete", ACTOR, "--actor") == "deleted\n"
    done = subprocess.run([DORMOUSE, "get", ACTOR], env=environment(server.url),
                          capture_output=True)
    assert done.returncode == NOT_FOUND
    run(server, "hibernate", ACTOR)


# ---- lists ----

def fill(server, count):
    rows = {"k%05d" % i: (i + 1, "application/json", b'{"i":%d}' % i) for i in range(count)}
    server.store.actors[("app", "Store", "user/42")] = rows
    server.store.version = count


def test_a_list_walks_all_pages_once(server):
    fill(server, 2500)
    lines = out(server, "--json", "list", ACTOR).splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["k%05d" % i for i in range(2500)]
    assert json.loads(lines[7]) == {"key": "k00007", "value": {"i": 7}, "version": 8}
    assert len(server.requests) == 3
    assert len({r.connection for r in server.requests}) == 1  # one connection for all


def test_a_list_in_json_is_read_like_one_in_msgpack(server):
    server.script(document({"entries": [{"key": "a", "value": [1.5, None], "version": 3}],
                            "next": None}))
    assert out(server, "--json", "list", ACTOR) == '{"key":"a","value":[1.5,null],"version":3}\n'


def test_ranges_limits_and_order_are_passed_on(server):
    fill(server, 50)
    keys = [json.loads(line)["key"] for line in out(
        server, "--json", "list", ACTOR, "--prefix", "k000", "--start", "k00010", "--end",
        "k00040", "--limit", "3", "--reverse", "--keys").splitlines()]
    assert keys == ["k00039", "k00038", "k00037"]
    assert server.requests[-1].query == {"prefix": "k000", "start": "k00010", "end": "k00040",
                                         "limit": "3", "reverse": "true", "values": "false"}


def test_a_table_aligns_and_defuses_control_characters(server):
    server.script(document({"entries": [{"key": "a", "value": 1, "version": 3},
                                        {"key": "\x1b[31m\u009b\n", "value": 2, "version": 10}],
                            "next": None}))
    lines = out(server, "list", ACTOR).splitlines()
    assert lines[0].split() == ["KEY", "VERSION", "VALUE"]
    assert len(lines) == 3 and "\x1b" not in lines[2] and "\\x1b[31m\\x9b\\x0a" in lines[2]
    assert len({line.rindex(" ") for line in lines}) == 1


def test_a_page_that_fails_is_asked_for_again(server):
    fill(server, 1500)
    server.script(problem(503, "unavailable", when="cursor="))
    assert len(out(server, "--json", "list", ACTOR).splitlines()) == 1500
    assert len(server.requests) == 3


@pytest.mark.parametrize("body", [b"{}", b'{"entries":[{"key":1}],"next":null}', b"[", b"",
                                  b'{"entries":[],"next":7}'])
def test_a_page_that_is_none_is_a_protocol_error(server, body):
    server.script(Answer(200, body, {"Content-Type": "application/json"}))
    assert error(server, "list", ACTOR, code=ANSWER)["code"] == "protocol"


# ---- transactions, timers, steps ----

def test_a_transaction_commits_or_says_which_check_failed(server):
    body = '{"if":[{"key":"k","exists":false}],"do":[{"put":"k","value":1},{"get":"k"}]}'
    answer = json.loads(out(server, "--json", "txn", ACTOR, body))
    assert answer == {"committed": True, "version": 1,
                      "results": [{"version": 1}, {"value": 1, "version": 1}]}
    failed = error(server, "txn", ACTOR, "-", stdin=body.encode(), code=CONDITION)
    assert failed["code"] == "conflict" and failed["failed"] == 0
    assert "version 1" in out(server, "txn", ACTOR, '{"do":[{"get":"k"}]}')


def test_timers_are_set_shown_listed_and_deleted(server):
    run(server, "timers", "set", ACTOR, "daily", "--cron", "0 9 * * 1-5", "--tz", "Europe/Berlin",
        "--payload", '{"a":[1]}', "--catch-up", "none")
    assert json.loads(server.requests[-1].body) == {
        "cron": "0 9 * * 1-5", "tz": "Europe/Berlin", "catch_up": "none", "payload": {"a": [1]}}
    run(server, "timers", "set", ACTOR, "soon", "--in", "90s", "--every", "2m")
    assert json.loads(server.requests[-1].body) == {"in": 90000, "every": 120000}
    run(server, "timers", "set", ACTOR, "beat", "--every", "10s")
    assert json.loads(server.requests[-1].body) == {"in": 10000, "every": 10000}
    lines = out(server, "--json", "timers", "list", ACTOR).splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["daily", "soon", "beat"]
    assert "2027-01-15 08:00:00.000Z" in out(server, "timers", "list", ACTOR)
    assert "Europe/Berlin" in out(server, "timers", "get", ACTOR, "daily")
    run(server, "timers", "delete", ACTOR, "daily")
    run(server, "timers", "get", ACTOR, "daily", code=NOT_FOUND)
    asked = len(server.requests)
    run(server, "timers", "set", ACTOR, "bad", "--payload", '1,"in":5', code=USAGE)
    assert len(server.requests) == asked


def test_a_step_is_begun_finished_and_found_done(server):
    begun = json.loads(out(server, "--json", "steps", "begin", ACTOR, "fetch", "--lease", "30s",
                           "--input", '{"u":1}'))
    assert begun == {"state": "run", "attempt": 1, "lease": "lease-1"}
    assert json.loads(server.requests[-1].body) == {"lease_ms": 30000, "input": {"u": 1}}
    done = subprocess.run([DORMOUSE, "--json", "steps", "begin", ACTOR, "fetch"],
                          env=environment(server.url), capture_output=True)
    assert done.returncode == CONDITION
    assert json.loads(done.stdout) == {"state": "busy", "retry_after_ms": 1500}
    run(server, "steps", "extend", ACTOR, "fetch", "lease-1", "1m")
    assert json.loads(server.requests[-1].body) == {"lease": "lease-1", "extend_ms": 60000}
    lost = error(server, "steps", "finish", ACTOR, "fetch", "other", "1", code=CONDITION)
    assert lost["code"] == "lease_lost"
    run(server, "steps", "finish", ACTOR, "fetch", "lease-1", '{"ok":true}')
    assert json.loads(out(server, "--json", "steps", "begin", ACTOR, "fetch")) == {
        "state": "done", "output": {"ok": True}}
    assert json.loads(out(server, "--json", "steps", "list", ACTOR))["state"] == "done"
    assert "done" in out(server, "steps", "list", ACTOR)
    run(server, "steps", "begin", ACTOR, "other")
    run(server, "steps", "fail", ACTOR, "other", "lease-1", '"no"', "--retry-in", "5s")
    assert json.loads(server.requests[-1].body) == {"lease": "lease-1", "error": "no",
                                                    "retry_in_ms": 5000}


# ---- the cluster ----

def test_status_shows_members_and_shards(server):
    text = out(server, "status")
    assert "is ready" in text and "127.0.0.1:7421" in text
    shown = json.loads(out(server, "--json", "status"))
    assert shown["ready"] is True and shown["cluster"]["shards"][0]["leader"] == 1


def test_a_node_that_is_not_ready_is_exit_code_5_at_once(server):
    server.script(problem(503, "unavailable", "shard 3 has no leader", retry_after=9,
                          when="/readyz"))
    done = subprocess.run([DORMOUSE, "status"], env=environment(server.url), capture_output=True)
    assert done.returncode == UNREACHABLE and b"shard 3 has no leader" in done.stdout
    assert len([r for r in server.requests if r.path == "/readyz"]) == 1


def test_status_without_the_scope_shows_what_it_may(server):
    for path in ("/admin/v1/status", "/admin/v1/cluster"):
        server.script(problem(403, "forbidden", when=path))
    assert out(server, "status").endswith("is ready\n")


def test_the_cluster_is_summed_up(server):
    server.store.cluster.grow(3, 4)
    text = out(server, "cluster", "status")
    lines = text.splitlines()
    assert lines[0].split() == ["MEMBER", "STATE", "LEADS", "REPLICAS", "ADDRESS"]
    assert lines[1].split() == ["1", "up", "2", "4", "h1:7420"]
    assert "4 shards of 3 replicas, each with a leader; the slowest replica is 3 entries behind" in text
    shown = json.loads(out(server, "--json", "cluster", "status"))
    assert shown["members"][2] == {"id": 3, "state": "up", "address": "h3:7420", "leads": 1, "replicas": 4}
    assert (shown["shards"], shown["without_leader"], shown["lag_max"]) == (4, 0, 3)
    assert (shown["replicas_min"], shown["replicas_max"]) == (3, 3)


def test_a_shard_without_a_leader_is_exit_code_5(server):
    server.store.cluster.grow(3, 4)
    server.store.cluster.shards[2].update(leader=None, replicas=[1, 3], lag=None)
    done = subprocess.run([DORMOUSE, "cluster", "status"], env=environment(server.url), capture_output=True)
    assert done.returncode == UNREACHABLE
    text = done.stdout.decode()
    assert "4 shards of 2 to 3 replicas, 1 without a leader" in text
    assert text.splitlines()[-1].split() == ["2", "[1,3]"]


def test_members_are_listed(server):
    server.store.cluster.grow(2, 1)
    assert out(server, "cluster", "members").splitlines()[2].split() == ["2", "up", "h2:7420", "h2:7421"]
    lines = out(server, "--json", "cluster", "members").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2]


def test_a_token_to_join_is_printed_alone_and_asked_for_once(server):
    assert out(server, "cluster", "join-token") == "dm_join\n"
    assert server.requests[-1].body == b""
    assert json.loads(out(server, "--json", "cluster", "join-token", "--ttl", "10m"))["token"] == "dm_join"
    assert json.loads(server.requests[-1].body) == {"ttl_ms": 600000}
    server.script(Reset(apply=True))
    run(server, "cluster", "join-token", code=UNREACHABLE)  # there may be one: another is for people to ask for
    assert len(server.requests) == 3
    run(server, "cluster", "join-token", "--ttl", "soon", code=USAGE)


def test_a_member_is_drained_and_comes_back(server):
    server.store.cluster.grow(3, 9)
    assert out(server, "cluster", "drain", "2") == "member 2 is draining: 2 shards left\n"
    assert out(server, "cluster", "drain", "2", "--wait") == "member 2 is drained\n"
    assert [s["leader"] for s in server.store.cluster.shards].count(2) == 0
    assert out(server, "cluster", "undrain", "2") == "member 2 is up\n"
    assert server.store.cluster.members[1]["state"] == "up"


def test_a_drain_that_takes_too_long_is_exit_code_5(server):
    server.store.cluster.grow(2, 9)
    done = subprocess.run([DORMOUSE, "--json", "cluster", "drain", "2", "--wait", "--for", "100ms"],
                          env=environment(server.url), capture_output=True)
    assert done.returncode == UNREACHABLE
    shown = json.loads(done.stdout)
    assert shown["member"] == 2 and shown["state"] == "draining" and shown["shards_left"] > 0


def test_a_member_is_removed_and_its_replicas_go(server):
    server.store.cluster.grow(3, 1)
    assert json.loads(out(server, "--json", "cluster", "remove", "1", "--wait")) == {
        "member": 1, "state": "removed", "shards_left": 0}
    assert server.store.cluster.shards[0]["replicas"] == [2, 3]


def test_a_change_of_the_cluster_is_repeated_until_it_is_answered(server):
    server.store.cluster.grow(3, 1)
    server.script(Reset(apply=True))
    server.script(problem(503, "unavailable", maybe_applied=True))
    assert out(server, "cluster", "undrain", "2") == "member 2 is up\n"
    assert [r.path for r in server.requests] == 3 * ["/admin/v1/cluster/members/2/undrain"]
    assert "idempotency-key" not in server.requests[0].headers


def test_changes_that_cannot_be_are_told_by_their_exit_codes(server):
    run(server, "cluster", "drain", "7", code=NOT_FOUND)
    for member in ["0", "x", "4294967296", "-1"]:
        run(server, "cluster", "remove", "--", member, code=USAGE)
    run(server, "cluster", "drain", code=USAGE)
    run(server, "cluster", "nonsense", code=USAGE)
    server.script(problem(409, "conflict", "No other member could lead the shards of node 1."))
    assert "No other member" in error(server, "cluster", "drain", "1", code=CONDITION)["detail"]


def test_progress_of_a_drain_is_shown_on_a_terminal(server):
    server.store.cluster.grow(2, 1000)
    controller, terminal = pty.openpty()
    process = subprocess.Popen([DORMOUSE, "cluster", "drain", "2", "--wait"], env=environment(server.url),
                               stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    shown = b""
    while not re.search(rb"member 2 is draining \d+ shards left", shown):
        shown += os.read(controller, 4096)
    process.kill()
    process.wait(30)
    os.close(controller)


def test_actors_are_listed_page_by_page(server):
    for i in range(1200):
        server.store.actors[("app", "Store", "a%04d" % i)] = {}
    server.store.actors[("app", "Other", "x")] = {}
    assert len(out(server, "--json", "actors", "app").splitlines()) == 1201
    assert len(out(server, "--json", "actors", "app", "--class", "Other").splitlines()) == 1
    assert len(out(server, "--json", "actors", "app", "--limit", "1100").splitlines()) == 1100
    assert "Store" in out(server, "actors", "app", "--prefix", "a0001")
    run(server, "actors", "No!", code=USAGE)


def test_any_request_can_be_sent(server):
    text = out(server, "request", "PUT", "/v1/app/Store/a/kv/k", "7", "--header",
               "Content-Type: application/json", "--include")
    assert text.startswith("204\n") and 'etag: "1"' in text.lower()
    assert "idempotency-key" not in server.requests[-1].headers
    run(server, "request", "GET", "/nowhere", code=NOT_FOUND)
    run(server, "request", "GET", "nowhere", code=USAGE)


# ---- retries ----

def keys_of(server):
    return {r.headers.get("idempotency-key") for r in server.requests}


def test_503_is_tried_again_after_the_time_the_server_wants(server):
    server.script(problem(503, "unavailable", retry_after=1))
    run(server, "put", ACTOR, "k", "1")
    first, second = server.requests
    assert second.at - first.at >= 1.0


def test_pauses_between_attempts_grow(server):
    server.script(*[problem(503, "unavailable") for _ in range(6)])
    run(server, "put", ACTOR, "k", "1")
    at = [r.at for r in server.requests]
    assert len(at) == 7
    for number, (one, other) in enumerate(zip(at, at[1:])):
        assert other - one >= 0.025 * 2 ** number  # half of it is random


def test_a_write_that_may_have_been_applied_is_repeated_under_its_key_and_acts_once(server):
    server.script(Reset(apply=True))
    assert out(server, "put", ACTOR, "k", "1") == "version 1\n"
    assert len(server.requests) == 2 and server.store.applied == 1
    assert len(keys_of(server)) == 1 and None not in keys_of(server)


def test_an_answer_cut_off_in_its_middle_is_asked_for_again(server):
    body = b'{"committed":true,"version":1,"results":[]}'
    server.script(Answer(200, body, {"Content-Type": "application/json"}, cut=10))
    run(server, "txn", ACTOR, '{"do":[{"put":"k","value":1}]}')
    assert len(server.requests) == 2 and len(keys_of(server)) == 1
    fill(server, 10)
    server.script(Answer(200, b"x" * 100, {"Content-Type": "application/json"}, cut=50))
    assert len(out(server, "--json", "list", ACTOR).splitlines()) == 10


def test_a_503_in_doubt_is_repeated_under_its_key(server):
    server.script(problem(503, "unavailable", maybe_applied=True))
    run(server, "delete", ACTOR, "k")
    assert len(server.requests) == 2 and len(keys_of(server)) == 1


def test_each_call_has_a_key_of_its_own_unless_one_is_given(server):
    run(server, "put", ACTOR, "k", "1")
    run(server, "put", ACTOR, "k", "1")
    assert len(keys_of(server)) == 2
    run(server, "put", ACTOR, "k", "2", "--idempotency-key", "mine")
    run(server, "put", ACTOR, "k", "2", "--idempotency-key", "mine")
    assert server.store.applied == 3
    assert error(server, "put", ACTOR, "k", "3", "--idempotency-key", "mine",
                 code=ANSWER)["code"] == "idempotency_mismatch"
    run(server, "put", ACTOR, "k", "1", "--idempotency-key", "not visible", code=USAGE)


def test_without_a_key_a_request_in_doubt_is_not_repeated(server):
    server.script(problem(503, "unavailable", maybe_applied=True))
    failed = error(server, "request", "POST", "/v1/app/Store/a/txn", "{}", code=UNREACHABLE)
    assert failed["maybe_applied"] is True and len(server.requests) == 1
    server.script(Reset(apply=False))
    failed = error(server, "request", "POST", "/v1/app/Store/a/txn", "{}", code=UNREACHABLE)
    assert failed["code"] == "unreachable" and failed["maybe_applied"] is True
    assert len(server.requests) == 2


def test_without_a_key_a_refusal_that_did_nothing_is_repeated(server):
    server.script(problem(429, "overloaded"))
    run(server, "request", "POST", "/v1/app/Store/a/txn", '{"do":[]}')
    assert len(server.requests) == 2


def test_what_will_not_help_is_not_repeated(server):
    for status, code in ((400, "invalid_value"), (401, "unauthenticated"), (403, "forbidden"),
                         (413, "too_large"), (500, "internal"), (501, "not_implemented")):
        server.script(problem(status, code))
        assert error(server, "put", ACTOR, "k", "1", code=ANSWER)["code"] == code
    assert len(server.requests) == 6


def test_doubt_of_an_earlier_attempt_stays_with_the_last_error(server):
    server.script(problem(503, "unavailable", maybe_applied=True),
                  problem(429, "rate_limited", retry_after=100))
    failed = error(server, "put", ACTOR, "k", "1", code=ANSWER)
    assert failed["code"] == "rate_limited" and failed["maybe_applied"] is True
    assert failed["retry_after_ms"] == 100000
    server.script(problem(503, "unavailable", maybe_applied=True, retry_after=100))
    assert b"may have happened" in run(server, "put", ACTOR, "k", "1", code=UNREACHABLE).stderr


def test_a_definite_answer_ends_the_doubt(server):
    server.script(problem(503, "unavailable", maybe_applied=True))
    run(server, "put", ACTOR, "k", "1")
    server.script(problem(503, "unavailable", maybe_applied=True))
    failed = error(server, "put", ACTOR, "k", "2", "--if-version", "77", code=CONDITION)
    assert failed["maybe_applied"] is False


def test_an_answer_of_a_proxy_is_judged_by_its_status(server):
    server.script(Answer(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}))
    run(server, "put", ACTOR, "k", "1")
    server.script(Answer(404, b"<html>", {"Content-Type": "text/html"}))
    run(server, "get", ACTOR, "k", code=NOT_FOUND)


def test_redirects_are_not_followed(server):
    server.script(Answer(307, b"", {"Location": server.url + "/elsewhere"}))
    assert error(server, "txn", ACTOR, "{}", code=ANSWER)["code"] == "protocol"
    assert len(server.requests) == 1


def test_a_connection_that_the_server_closed_meanwhile_costs_no_error(server):
    fill(server, 2500)
    first = document({"entries": [], "next": "1000"})
    first.headers["Connection"] = "close"
    server.script(first)
    assert len(out(server, "--json", "list", ACTOR).splitlines()) == 1500


# ---- deadlines ----

def test_a_slow_answer_ends_at_the_deadline_in_doubt(server):
    server.script(Slow(30))
    began = time.monotonic()
    failed = error(server, "--deadline", "700ms", "put", ACTOR, "k", "1", code=UNREACHABLE)
    assert time.monotonic() - began < 15
    assert failed["code"] == "timeout" and failed["status"] == 0
    assert failed["maybe_applied"] is True
    server.script(Slow(30))
    failed = error(server, "--deadline", "700ms", "list", ACTOR, code=UNREACHABLE)
    assert failed["maybe_applied"] is False


def test_the_server_is_told_the_time_that_is_left(server):
    server.script(problem(503, "unavailable", retry_after=1))
    run(server, "--deadline", "20s", "put", ACTOR, "k", "1")
    first, second = (int(r.headers["dormouse-timeout"]) for r in server.requests)
    assert 10000 < first <= 20000 and second <= first - 1000
    run(server, "put", ACTOR, "k", "1")
    assert 20000 < int(server.requests[-1].headers["dormouse-timeout"]) <= 30000


def test_a_wish_beyond_the_deadline_is_not_waited_for(server):
    server.script(problem(503, "unavailable", retry_after=60))
    began = time.monotonic()
    failed = error(server, "--deadline", "30s", "put", ACTOR, "k", "1", code=UNREACHABLE)
    assert time.monotonic() - began < 15 and failed["retry_after_ms"] == 60000


def test_nobody_there_is_exit_code_5_without_doubt():
    taken = free_port()
    url = "http://127.0.0.1:%d" % taken.getsockname()[1]
    began = time.monotonic()
    failed = error(url, "--deadline", "1s", "put", ACTOR, "k", "1", code=UNREACHABLE)
    assert failed["code"] == "unreachable" and failed["maybe_applied"] is False
    assert failed["retryable"] is True
    assert 0.3 < time.monotonic() - began < 15  # it did try more than once
    taken.close()


def test_a_server_that_comes_up_meanwhile_is_found():
    taken = free_port()
    port = taken.getsockname()[1]
    fake = FakeServer(port)
    process = start(fake, "put", ACTOR, "k", "1")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    taken.close()
    with fake:
        assert process.communicate(timeout=20)[0] == b"version 1\n"


# ---- watching ----

def event(kind, ident, data):
    line = "id: %s\n" % ident if ident else ""
    return "event: %s\n%sdata: %s\n\n" % (kind, line, json.dumps(data))


def watched(server, *arguments, **more):
    return [json.loads(line) for line in
            out(server, "--json", "watch", ACTOR, *arguments, **more).splitlines()]


def streams_of(server):
    return [r for r in server.requests if r.path.endswith("/watch")]


def test_events_are_printed_as_they_come(server):
    server.script(Stream(": hello\n\n", event("put", "3.0", {"key": "k", "value": 1, "version": 3}),
                         event("delete", "4.0", {"key": "k", "version": 4}),
                         event("clear", "5.0", {"version": 5}), stay_open=True))
    events = watched(server, "--count", "3", "--prefix", "k&")
    assert [e["event"] for e in events] == ["put", "delete", "clear"]
    assert events[0] == {"event": "put", "id": "3.0",
                         "data": {"key": "k", "value": 1, "version": 3}}
    assert streams_of(server)[0].query == {"prefix": "k&"}
    server.script(Stream(event("put", "3.0", {"key": "k\x1b", "value": {"a": 1}, "version": 3}),
                         stay_open=True))
    assert out(server, "watch", ACTOR, "--count", "1") == 'put 3.0 k\\x1b {"a":1}\n'


def test_a_broken_stream_goes_on_after_its_last_event(server):
    server.script(Stream(event("put", "3.0", {"key": "a", "value": 1, "version": 3}),
                         event("put", "3.1", {"key": "b", "value": 1, "version": 3}),
                         "event: put\nid: 4.0\ndata: {\"key\""),
                  Stream(event("put", "4.0", {"key": "c", "value": 1, "version": 4})),
                  Stream(event("put", "5.0", {"key": "d", "value": 1, "version": 5}),
                         stay_open=True))
    events = watched(server, "--count", "4", "--since", "2")
    assert [e["data"]["key"] for e in events] == ["a", "b", "c", "d"]
    first, second, third = streams_of(server)
    assert first.query == {"since": "2"} and "last-event-id" not in first.headers
    assert second.headers["last-event-id"] == "3.1" and second.query == {"since": "3.1"}
    assert third.headers["last-event-id"] == "4.0"


def test_a_stream_that_broke_before_its_first_event_misses_nothing(server):
    fill(server, 7)
    server.script(Stream(": open\n\n"),
                  Stream(event("put", "8.0", {"key": "a", "value": 1, "version": 8}),
                         stay_open=True))
    watched(server, "--count", "1")
    first, second = streams_of(server)
    assert "since" not in first.query and second.query == {"since": "7"}


def test_events_without_an_id_do_not_move_the_place(server):
    server.script(Stream(event("reset", "", {}),
                         event("put", "", {"key": "a", "value": 1, "version": 3})),
                  Stream(event("put", "9.0", {"key": "b", "value": 1, "version": 9}),
                         stay_open=True))
    assert len(watched(server, "--count", "3", "--since", "2")) == 3
    assert streams_of(server)[1].query == {"since": "2"}


def test_a_refusal_that_passes_is_waited_out(server):
    server.script(problem(503, "unavailable", when="/watch"),
                  Stream(event("put", "1.0", {"key": "a", "value": 1, "version": 1}),
                         stay_open=True))
    assert len(watched(server, "--count", "1", "--since", "0")) == 1


def test_a_refusal_that_stays_ends_the_watch(server):
    server.script(problem(403, "forbidden", when="/watch"))
    assert error(server, "watch", ACTOR, "--since", "0", code=ANSWER)["code"] == "forbidden"


def test_a_watch_gives_up_after_its_deadline_without_a_stream(server):
    server.script(*[problem(503, "unavailable", when="/watch") for _ in range(50)])
    began = time.monotonic()
    error(server, "--deadline", "1s", "watch", ACTOR, "--since", "0", code=UNREACHABLE)
    assert time.monotonic() - began < 15
    silent = Answer(200, b"", delay_s=30, when="/watch")
    server.steps = [silent]
    began = time.monotonic()
    failed = error(server, "--deadline", "1s", "watch", ACTOR, "--since", "0", code=UNREACHABLE)
    assert failed["code"] == "timeout" and time.monotonic() - began < 15


def test_a_watch_ends_by_itself_when_asked(server):
    server.script(Stream(": quiet\n\n", stay_open=True))
    began = time.monotonic()
    assert watched(server, "--for", "1s") == []
    assert time.monotonic() - began < 15


def test_a_stream_of_nonsense_is_a_protocol_error(server):
    server.script(Stream("data: {nonsense\n\n"))
    assert error(server, "watch", ACTOR, "--since", "0", code=ANSWER)["code"] == "protocol"


def test_events_reach_a_pipe_at_once(server):
    server.script(Stream(event("put", "3.0", {"key": "k", "value": 1, "version": 3}),
                         stay_open=True))
    process = start(server, "watch", ACTOR)
    assert process.stdout.readline() == b"put 3.0 k 1\n"
    process.terminate()
    process.communicate(timeout=10)


# ---- the command line itself ----

@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["get"], ["get", ACTOR, "k", "more"], ["get", "app/Store", "k"],
    ["put", ACTOR, "k"], ["put", ACTOR, "k", "1", "--file", "x"], ["put", ACTOR, "k", "--file", "/"],
    ["get", "App/Store/a", "k"], ["get", "app/Store/..", "k"], ["get", ACTOR, ""],
    ["--deadline", "soon", "status"], ["--url", "ftp://h", "status"], ["get", "--nonsense", ACTOR],
    ["put", ACTOR, "k", "1", "--if-version", "x"], ["timers"], ["timers", "nonsense"],
    ["list", ACTOR, "--limit", "0"], ["steps", "begin", ACTOR], ["bench", "--clients", "0"],
    ["--token", "a\nb", "status"], ["watch", ACTOR, "--for", "1"],
])
def test_mistakes_are_exit_code_2_and_send_nothing(server, arguments):
    run(server, *arguments, code=USAGE)
    assert server.requests == []


COMMANDS = ["status", "get", "put", "delete", "list", "txn", "watch", "timers", "timers list",
            "timers get", "timers set", "timers delete", "steps", "steps list", "steps begin",
            "steps finish", "steps fail", "steps extend", "deploy", "versions", "rollback", "dev",
            "logs", "call", "execute", "actors", "hibernate", "request", "bench"]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help_and_version(server, command):
    text = out(server, *command.split(), "--help")
    assert text.startswith("Usage: dormouse") and "--json" in text
    assert re.fullmatch(r"dormouse \d+\.\d+\.\d+.*\n", out(server, *command.split(), "--version"))


def options_of(server, command):
    text = out(server, *command.split(), "--help")
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*(?==|\s)", text.split("\n\n", 1)[1]))


def completed(*words):
    script = ("source %s; COMP_WORDS=(dormouse %s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _dormouse;"
              'printf "%%s\\n" "${COMPREPLY[@]}"' %
              (os.path.join(SOURCE, "deploy/completion/dormouse"),
               " ".join("'%s'" % word for word in words)))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_completion_and_man_page_know_the_options_that_help_tells(server, command):
    options = options_of(server, command)
    assert len(options) >= 7
    assert completed(*command.split(), "--") == options
    with open(os.path.join(SOURCE, "deploy/man/dormouse.1.scd")) as page:
        text = page.read()
    assert {option for option in options if option not in text} == set()


def test_completion_knows_commands_and_subcommands():
    assert completed("") >= {c for c in COMMANDS if " " not in c}
    assert completed("timers", "") >= {"list", "get", "set", "delete"}
    assert completed("--url", "http://h", "steps", "b") == {"begin"}
    assert completed("timers", "set", "--catch-up", "") == {"one", "all", "none"}
    assert completed("put", "--if-version", "") == set()
    assert completed("execute", "--grant-storage", "") == {"read", "write"}


def test_options_of_every_command_stand_before_or_behind_it(server):
    run(server, "put", ACTOR, "k", "1")
    before = out("http://127.0.0.1:9", "--url", server.url, "--json", "get", ACTOR, "k")
    assert before == out("http://127.0.0.1:9", "get", ACTOR, "k", "--json", "--url", server.url)


def test_the_token_goes_to_the_server_alone(server):
    run(server, "--token", "secret", "status")
    assert {r.headers["authorization"] for r in server.requests} == {"Bearer secret"}


def test_url_and_token_may_stand_in_the_environment(server):
    variables = {**environment("http://127.0.0.1:9"), "DORMOUSE_TOKEN": "other"}
    for names, options in [({"DORMOUSE_URL": server.url, "DORMOUSE_TOKEN": "secret"}, []),
                           ({}, ["--url", server.url, "--token", "secret"])]:
        server.requests.clear()
        done = subprocess.run([DORMOUSE, *options, "status"], env={**variables, **names},
                              capture_output=True, timeout=30)
        assert done.returncode == OK, done
        assert {r.headers["authorization"] for r in server.requests} == {"Bearer secret"}


def test_output_that_cannot_be_written_is_an_error(server):
    fill(server, 1000)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([DORMOUSE, "list", ACTOR], env=environment(server.url), stdout=full,
                              stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == ANSWER and b"standard output" in done.stderr


def test_progress_shows_on_a_terminal_after_a_second_and_is_cleared(server):
    server.script(Slow(4))
    controller, terminal = pty.openpty()
    done = subprocess.run([DORMOUSE, "put", ACTOR, "k", "1"], env=environment(server.url),
                          stdout=subprocess.PIPE, stderr=terminal, timeout=30)
    os.close(terminal)
    shown = os.read(controller, 65536).decode()
    os.close(controller)
    assert done.stdout == b"version 1\n"
    assert "waiting for " + server.url in shown
    seconds = [int(n) for n in re.findall(r"\((\d+) s\)", shown)]  # a slow machine may skip one
    assert len(seconds) >= 2 and seconds == sorted(set(seconds))
    assert shown.endswith("\r\x1b[K")


def test_a_benchmark_measures_writes_and_reads_and_cleans_up(server):
    result = json.loads(out(server, "--json", "bench", "--clients", "4", "--time", "1s", "--size",
                            "50", "--actors", "3", "--keys", "5", "--reads", "50"))
    assert result["failed"] == 0 and result["put"]["count"] > 0 and result["get"]["count"] > 0
    assert 0 < result["put"]["p50_ms"] <= result["put"]["p99_ms"] <= result["put"]["max_ms"]
    puts = [r for r in server.requests if r.method == "PUT"]
    assert len(puts) >= result["put"]["count"] and all(len(r.body) == 50 for r in puts)
    assert server.store.actors == {}
    text = out(server, "bench", "--clients", "1", "--time", "200ms", "--reads", "0")
    assert "put" in text and "get" not in text


def test_a_benchmark_of_nobody_ends_with_the_error():
    taken = free_port()
    url = "http://127.0.0.1:%d" % taken.getsockname()[1]
    assert run(url, "--deadline", "300ms", "bench", "--time", "20s", code=UNREACHABLE)
    taken.close()


def test_http2_with_prior_knowledge_is_spoken_when_asked():
    listener = socket.create_server(("127.0.0.1", 0))
    url = "http://127.0.0.1:%d" % listener.getsockname()[1]
    process = subprocess.Popen([DORMOUSE, "--http2", "--deadline", "2s", "status"],
                               env=environment(url), stderr=subprocess.PIPE)
    connection, _ = listener.accept()
    assert connection.recv(24, socket.MSG_WAITALL) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    process.terminate()
    process.communicate(timeout=10)
    connection.close()
    listener.close()
