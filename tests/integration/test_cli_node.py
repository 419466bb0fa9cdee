"""The command line against a real node: the same commands as against the scripted server."""
import json
import os
import subprocess
import time

import pytest

BUILD = os.environ.get("top_builddir", "build")
ACTOR = "app/Store/user/42"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    data = tmp_path_factory.mktemp("node")
    node = subprocess.Popen([os.path.join(BUILD, "dormoused"), "--data", str(data / "data"),
                             "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                            stderr=open(data / "log", "wb"))
    ready = json.loads(node.stdout.readline())
    assert ready["event"] == "ready"
    yield ready["url"]
    node.terminate()
    assert node.wait(30) == 0


@pytest.fixture(params=["--url", "--http2"], ids=["http1", "http2"])
def dormouse(request, url):
    options = ["--url", url] + ([request.param] if request.param == "--http2" else [])

    def run(*arguments, code=0, stdin=b""):
        done = subprocess.run([os.path.join(BUILD, "dormouse"), *options, *arguments],
                              input=stdin, capture_output=True, timeout=60)
        assert done.returncode == code, done
        return done.stdout if code == 0 else done.stderr

    run("delete", ACTOR, "--actor")
    return run


def test_values_go_in_and_come_out(dormouse):
    first = json.loads(dormouse("--json", "put", ACTOR, "a/b", '{"n":18446744073709551615}'))
    shown = json.loads(dormouse("--json", "get", ACTOR, "a/b"))
    assert shown == {**first, "value": {"n": 18446744073709551615}}
    version = str(first["version"])
    dormouse("put", ACTOR, "a/b", "2", "--if-absent", code=4)
    dormouse("put", ACTOR, "a/b", "2", "--if-version", version)
    dormouse("put", ACTOR, "a/b", "3", "--if-version", version, code=4)
    assert dormouse("get", ACTOR, "a/b") == b"2\n"
    assert dormouse("delete", ACTOR, "a/b") == b"deleted\n"
    assert dormouse("delete", ACTOR, "a/b") == b"was not there\n"
    dormouse("get", ACTOR, "a/b", code=3)
    dormouse("put", ACTOR, "a/b", "nonsense", code=1)


def test_bytes_stay_bytes(dormouse):
    data = bytes(range(256)) * 100
    dormouse("put", ACTOR, "k", "--raw", "-", stdin=data)
    assert dormouse("get", ACTOR, "k") == data
    assert list(json.loads(dormouse("--json", "get", ACTOR, "k"))["value"]) == ["$bytes"]


def fill(dormouse, count):
    keys = ["k%05d" % i for i in range(count)]
    for at in range(0, count, 100):
        do = [{"put": key, "value": {"key": key}} for key in keys[at:at + 100]]
        dormouse("txn", ACTOR, "-", stdin=json.dumps({"do": do}).encode())
    return keys


def test_a_list_walks_all_pages(dormouse):
    keys = fill(dormouse, 2300)
    entries = [json.loads(line) for line in dormouse("--json", "list", ACTOR).splitlines()]
    assert [e["key"] for e in entries] == keys
    assert all(e["value"] == {"key": e["key"]} and e["version"] > 0 for e in entries)
    backward = dormouse("--json", "list", ACTOR, "--reverse", "--keys", "--start", "k00010",
                        "--end", "k02000", "--limit", "1500").splitlines()
    assert [json.loads(line)["key"] for line in backward] == keys[500:2000][::-1]


def test_a_transaction_commits_whole_or_not_at_all(dormouse):
    body = '{"if":[{"key":"k","exists":false}],"do":[{"put":"k","value":1},{"add":"n","by":2}]}'
    assert json.loads(dormouse("--json", "txn", ACTOR, body))["committed"] is True
    assert b'"failed":0' in dormouse("--json", "txn", ACTOR, body, code=4)
    assert dormouse("get", ACTOR, "n") == b"2\n"


def test_a_key_given_twice_acts_once(dormouse):
    body, key = '{"do":[{"add":"n"}]}', os.urandom(8).hex()
    for _ in range(3):
        dormouse("txn", ACTOR, body, "--idempotency-key", key)
    assert dormouse("get", ACTOR, "n") == b"1\n"
    dormouse("txn", ACTOR, '{"do":[{"add":"n","by":5}]}', "--idempotency-key", key, code=1)


def test_an_actor_is_shown_and_goes_whole(dormouse):
    dormouse("put", ACTOR, "k", "1")
    shown = json.loads(dormouse("--json", "get", ACTOR))
    assert shown["exists"] is True and shown["id"] == "user/42" and shown["keys"] == 1
    dormouse("delete", ACTOR, "--actor")
    dormouse("get", ACTOR, "k", code=3)


def test_a_step_runs_once_and_keeps_its_output(dormouse):
    begun = json.loads(dormouse("--json", "steps", "begin", ACTOR, "fetch", "--lease", "1m"))
    assert begun["state"] == "run" and begun["attempt"] == 1
    lease = begun["lease"]
    dormouse("steps", "extend", ACTOR, "fetch", lease, "2m")
    assert b"lease_lost" in dormouse("steps", "finish", ACTOR, "fetch", "other", "1", code=4)
    dormouse("steps", "finish", ACTOR, "fetch", lease, '{"ok":true}')
    assert b"lease_lost" in dormouse("steps", "finish", ACTOR, "fetch", lease, "2", code=4)
    assert json.loads(dormouse("--json", "steps", "begin", ACTOR, "fetch")) == {
        "state": "done", "output": {"ok": True}}
    shown = json.loads(dormouse("--json", "steps", "list", ACTOR))
    assert (shown["name"], shown["state"], shown["output"]) == ("fetch", "done", {"ok": True})
    assert b"fetch  done" in dormouse("steps", "list", ACTOR)


def test_a_watch_tells_what_was_written_since(dormouse):
    first = json.loads(dormouse("--json", "put", ACTOR, "a", "1"))["version"]
    dormouse("put", ACTOR, "b", '{"n":2}')
    dormouse("delete", ACTOR, "a")
    lines = dormouse("--json", "watch", ACTOR, "--since", str(first), "--count", "2").splitlines()
    put, delete = (json.loads(line) for line in lines)
    assert put["event"] == "put" and put["data"]["key"] == "b" and put["data"]["value"] == {"n": 2}
    assert delete["event"] == "delete" and delete["data"]["key"] == "a"
    assert put["id"] == "%d.0" % put["data"]["version"]
    assert dormouse("watch", ACTOR, "--for", "300ms") == b""


def test_a_watch_from_now_on_hears_what_comes(dormouse, url):
    dormouse("put", ACTOR, "k", "1")
    process = subprocess.Popen([os.path.join(BUILD, "dormouse"), "--url", url, "watch", ACTOR],
                               stdout=subprocess.PIPE)
    os.set_blocking(process.stdout.fileno(), False)
    line, deadline = None, time.monotonic() + 30
    while not line and time.monotonic() < deadline:  # until the stream is open
        dormouse("put", ACTOR, "k", "2")
        line = process.stdout.readline()
    assert line.startswith(b"put ") and line.endswith(b" k 2\n")
    process.terminate()
    process.wait(10)


def test_an_actor_sleeps_when_told(dormouse):
    dormouse("put", ACTOR, "k", "1")
    dormouse("hibernate", ACTOR)
    deadline = time.monotonic() + 30
    while json.loads(dormouse("--json", "get", ACTOR))["state"] != "hibernated":
        assert time.monotonic() < deadline
    assert dormouse("get", ACTOR, "k") == b"1\n"


def test_the_node_is_ready(dormouse, url):
    assert dormouse("status").startswith((url + " is ready").encode())


def test_a_benchmark_runs_without_a_failure(dormouse):
    result = json.loads(dormouse("--json", "bench", "--clients", "4", "--time", "500ms"))
    assert result["failed"] == 0 and result["put"]["count"] > 0 and result["get"]["count"] > 0
