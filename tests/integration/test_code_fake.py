"""What the command line says of code to a server, and makes of its answers: the server is a fake."""

import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from fake_server import FakeServer, Reset, Stream, document, problem  # noqa: E402
from test_sdk_fake import (ANSWER, NOT_FOUND, OK, UNREACHABLE, USAGE, error, out, run, start)  # noqa: E402

ACTOR = "app/Room/user/42"
PATH = "/v1/app/Room/user%2F42"


@pytest.fixture
def server():
    with FakeServer() as fake:
        yield fake


def body(server):
    return json.loads(server.requests[-1].body)


# ---- call ----

def test_arguments_are_json_and_what_is_none_is_a_text(server):
    server.script(document({"result": {"n": 3}}))
    assert out(server, "call", ACTOR, "say", "hello there", "1", '{"a":[true]}', '"5"', "null") == '{"n":3}\n'
    request = server.requests[-1]
    assert (request.method, request.target) == ("POST", PATH + "/call/say")
    assert body(server) == ["hello there", 1, {"a": [True]}, "5", None]
    assert "idempotency-key" not in request.headers


def test_a_call_without_arguments_sends_none_and_json_shows_all(server):
    server.script(document({"result": None}))
    assert out(server, "--json", "call", ACTOR, "list") == '{"result":null}\n'
    assert body(server) == []


def test_arguments_may_come_from_a_file(server, tmp_path):
    (tmp_path / "a.json").write_text("[1,2]")
    server.script(document({"result": 3}))
    assert out(server, "call", ACTOR, "add", "--file", str(tmp_path / "a.json")) == "3\n"
    assert body(server) == [1, 2]
    run(server, "call", ACTOR, "add", "1", "--file", str(tmp_path / "a.json"), code=USAGE)


def test_what_a_class_throws_is_shown_with_its_stack(server):
    thrown = problem(500, "actor_exception", detail="The class threw.", retryable=False, name="RangeError",
                     message="too many", stack="RangeError: too many\n    at add (src/index.ts:3:5)")
    server.script(thrown)
    said = run(server, "call", ACTOR, "add", code=ANSWER).stderr.decode()
    assert "actor_exception: too many" in said and "at add (src/index.ts:3:5)" in said
    server.script(thrown)
    told = error(server, "call", ACTOR, "add", code=ANSWER)
    assert (told["name"], told["detail"]) == ("RangeError", "too many") and "src/index.ts" in told["stack"]


def test_a_method_that_is_not_there_ends_with_3(server):
    server.script(problem(404, "no_such_method"))
    assert error(server, "call", ACTOR, "nope", code=NOT_FOUND)["code"] == "no_such_method"


def test_a_call_is_repeated_only_with_a_key_where_it_may_have_acted(server):
    server.script(Reset())
    run(server, "call", ACTOR, "add", code=UNREACHABLE)
    assert len(server.requests) == 1
    server.script(Reset())
    server.script(document({"result": 1}))
    assert out(server, "call", ACTOR, "add", "--idempotency-key", "k1") == "1\n"
    assert [r.headers.get("idempotency-key") for r in server.requests[1:]] == ["k1", "k1"]


# ---- execute ----

def test_execute_sends_code_input_grants_and_limits(server, tmp_path):
    (tmp_path / "code.js").write_text("async (input, api) => input")
    server.script(document({"result": [1], "logs": [], "usage": {}}))
    shown = out(server, "execute", ACTOR, str(tmp_path / "code.js"), "--input", '{"a":1}',
                "--grant-storage", "write", "--grant-fetch", "a.example", "--grant-fetch", "b.example:8080",
                "--grant-actor", "Counter", "--cpu", "500ms", "--wall", "2s", "--memory", "32")
    assert shown == "[1]\n"
    assert (server.requests[-1].method, server.requests[-1].target) == ("POST", PATH + "/execute")
    assert body(server) == {
        "code": "async (input, api) => input", "input": {"a": 1},
        "grants": {"storage": "write", "fetch": ["a.example", "b.example:8080"], "actors": ["Counter"]},
        "limits": {"cpu_ms": 500, "wall_ms": 2000, "memory_mb": 32}}


def test_execute_grants_nothing_by_itself_and_reads_standard_input(server):
    server.script(document({"result": None, "logs": [], "usage": {}}))
    out(server, "execute", ACTOR, "-", stdin=b"() => null")
    assert body(server) == {"code": "() => null", "grants": {"storage": None}, "limits": {}}


def test_a_run_that_fails_ends_with_1_and_logs_go_to_standard_error(server):
    failed = document({"error": {"code": "cpu_exceeded", "message": "over 500 ms"},
                       "logs": [{"level": "log", "text": "began"}], "usage": {"cpu_ms": 500}})
    server.script(failed)
    done = run(server, "execute", ACTOR, "-", stdin=b"x", code=ANSWER)
    assert done.stdout == b"" and done.stderr == b"began\ndormouse: cpu_exceeded: over 500 ms\n"
    server.script(document({"result": 1, "logs": ["plain"], "usage": {}}))
    shown = start(server, "execute", ACTOR, "/dev/null")
    assert shown.communicate(timeout=30) == (b"1\n", b"plain\n") and shown.returncode == OK


def test_a_run_whose_json_fails_is_still_printed(server):
    server.script(document({"error": {"code": "exception"}, "logs": [], "usage": {}}))
    process = start(server, "--json", "execute", ACTOR, "/dev/null")
    assert json.loads(process.communicate(timeout=30)[0])["error"] == {"code": "exception"}
    assert process.returncode == ANSWER


@pytest.mark.parametrize("wrong", [
    ["--input", "{"], ["--grant-storage", "all"], ["--cpu", "fast"], ["--memory", "0"], ["--wall", "0s"]])
def test_execute_refuses_what_it_cannot_send(server, wrong):
    run(server, "execute", ACTOR, "/dev/null", *wrong, code=USAGE)
    assert server.requests == []


# ---- versions ----

def test_versions_are_a_table_or_lines_of_json(server):
    versions = [{"version": 3, "created": 1700000000000, "classes": ["A", "B"], "bytes": 9, "of": 1},
                {"version": 2, "created": 1600000000000, "classes": [], "bytes": 8, "of": None}]
    server.script(document({"versions": versions}))
    lines = out(server, "versions", "app").splitlines()
    assert server.requests[-1].target == "/v1/app/versions"
    assert lines[0].split() == ["VERSION", "CREATED", "OF", "BYTES", "CLASSES"]
    assert lines[1].split() == ["3", "2023-11-14", "22:13:20.000Z", "1", "9", "A,", "B"]
    server.script(document({"versions": versions}))
    assert [json.loads(line) for line in out(server, "--json", "versions", "app").splitlines()] == versions


def test_a_rollback_names_the_version_or_leaves_it_to_the_server(server):
    answer = document({"version": 4, "of": 2, "classes": ["A"]})
    server.script(answer)
    assert out(server, "rollback", "app", "2") == "app: version 4 is version 2 again\n"
    assert (server.requests[-1].target, body(server)) == ("/v1/app/rollback", {"version": 2})
    server.script(answer)
    assert json.loads(out(server, "--json", "rollback", "app")) == {"version": 4, "of": 2, "classes": ["A"]}
    assert server.requests[-1].body == b""
    for wrong in ["0", "-1", "x"]:
        run(server, "rollback", "app", "--", wrong, code=USAGE)
    server.script(problem(404, "no_such_deployment"))
    run(server, "rollback", "app", code=NOT_FOUND)


def test_a_rollback_whose_answer_is_lost_is_not_sent_again(server):
    server.script(Reset())
    told = error(server, "rollback", "app", code=UNREACHABLE)
    assert told["maybe_applied"] is True and len(server.requests) == 1


def test_a_namespace_that_is_none_is_not_sent(server):
    for command in [["versions", "App"], ["rollback", "a/b"], ["logs", "-x"]]:
        run(server, command[0], "--", *command[1:], code=USAGE)
    assert server.requests == []


# ---- logs ----

def logs(*lines, stay_open=False):
    events = [f"event: log\ndata: {json.dumps(line)}\n\n" for line in lines]
    stream = Stream(": hello\n\n", *events, stay_open=stay_open)
    stream.when = "/logs"
    return stream


LINE = {"time": 1700000000123, "class": "Room", "id": "lobby/1", "level": "warn", "text": "one\ntwo\x1b[2J"}


def test_logs_show_time_level_actor_and_text(server):
    server.script(logs(LINE, {"time": 1700000000124, "level": "log", "text": "of the module"}))
    assert out(server, "logs", "app") == (
        "2023-11-14 22:13:20.123Z warn Room/lobby/1 one\n    two\\x1b[2J\n"
        "2023-11-14 22:13:20.124Z log - of the module\n")
    assert server.requests[-1].target == "/v1/app/logs"
    server.script(logs(LINE))
    assert json.loads(out(server, "--json", "logs", "app")) == LINE


def test_logs_may_be_of_a_class_or_an_actor(server):
    server.script(logs())
    out(server, "logs", "app/Room")
    assert server.requests[-1].query == {"class": "Room"}
    server.script(logs())
    out(server, "logs", "app/Room/lobby/1")
    assert server.requests[-1].query == {"class": "Room", "id": "lobby/1"}


def test_logs_that_are_followed_go_on_where_the_stream_breaks(server):
    server.script(logs({**LINE, "text": "first"}))
    server.script(logs({**LINE, "text": "second"}, stay_open=True))
    process = start(server, "logs", "-f", "app")
    assert [process.stdout.readline().split()[-1] for _ in range(2)] == [b"first", b"second"]
    process.kill()
    process.communicate()
    assert all(r.query == {"follow": "true"} for r in server.requests)


def test_logs_that_may_not_be_read_end_with_what_the_server_says(server):
    server.script(problem(403, "forbidden"))
    assert error(server, "logs", "-f", "app", code=ANSWER)["code"] == "forbidden"
