"""Section 1: HTTP/2 by prior knowledge on the same port, through clients that others wrote."""

import email.utils
import json
import re
import shutil
import subprocess
import time

import pytest

from client import Actor, connect, expect_problem

httpx = pytest.importorskip("httpx")
h2_connection = pytest.importorskip("h2.connection")
h2_events = pytest.importorskip("h2.events")


def run(*command, stdin=None):
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    result = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
    assert result.returncode == 0, result
    return result.stdout


@pytest.fixture
def url(shared_node, actor):
    return shared_node.url + actor.path


@pytest.fixture
def two():
    with httpx.Client(http1=False, http2=True, timeout=60) as client:
        yield client


# curl, nghttp, h2load


def curl(*arguments, stdin=None):
    out = run("curl", "-sS", "--http2-prior-knowledge", "-w", "\n%{http_code} %{http_version}", *arguments,
              stdin=stdin)
    body, _, last = out.rpartition(b"\n")
    status, version = last.split()
    assert version == b"2"
    return int(status), body


def test_curl_speaks_http2_by_prior_knowledge(url):
    assert curl("-X", "PUT", f"{url}/kv/k", "-d", '{"a":[1,2]}') == (204, b"")
    assert curl(f"{url}/kv/k") == (200, b'{"a":[1,2]}')
    status, body = curl(f"{url}/kv/absent")
    assert status == 404 and json.loads(body)["code"] == "no_such_key"
    status, body = curl("-X", "POST", f"{url}/txn", "-d", '{"do":[{"add":"n"},{"list":{}}]}')
    assert status == 200 and json.loads(body)["committed"] is True
    assert curl("-X", "DELETE", f"{url}/kv/k") == (204, b"")
    assert b"etag" in run("curl", "-sSI", "--http2-prior-knowledge", f"{url}/kv/n")


def test_curl_moves_megabytes_over_http2(url, tmp_path):
    data = bytes(range(256)) * 8000
    (tmp_path / "data").write_bytes(data)
    status, _ = curl("-T", str(tmp_path / "data"), f"{url}/kv/k", "-H",
                     "Content-Type: application/octet-stream")
    assert status == 204
    assert curl(f"{url}/kv/k") == (200, data)
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    status, body = curl("-T", str(tmp_path / "large"), f"{url}/kv/large")
    assert status == 413 and json.loads(body)["code"] == "too_large"


def test_nghttp_gets_puts_and_multiplexes(url, tmp_path):
    (tmp_path / "body").write_bytes(b'{"n":1}')
    out = run("nghttp", "-v", "-H", ":method: PUT", "-d", str(tmp_path / "body"), f"{url}/kv/k").decode()
    assert re.search(r":status: 204", out) and "GOAWAY" in out
    assert run("nghttp", f"{url}/kv/k") == b'{"n":1}'
    many = run("nghttp", *["-m", "50", f"{url}/kv/k"]).decode()
    assert many.count('{"n":1}') == 50
    out = run("nghttp", "-nv", f"{url}/kv/absent").decode()
    assert ":status: 404" in out and "application/problem+json" in out


@pytest.mark.parametrize("streams", ["1", "32"])
def test_h2load_over_http2_is_answered(url, streams):
    curl("-X", "PUT", f"{url}/kv/k", "-d", '"value"')
    out = run("h2load", "-n", "10000", "-c", "8", "-m", streams, f"{url}/kv/k").decode()
    assert "10000 succeeded, 0 failed, 0 errored" in out
    assert "status codes: 10000 2xx" in out


def test_h2load_writes(url, tmp_path):
    (tmp_path / "body").write_bytes(b'{"do":[{"add":"n"}]}')
    out = run("h2load", "-n", "5000", "-c", "8", "-m", "16", "-d", str(tmp_path / "body"), f"{url}/txn").decode()
    assert "5000 succeeded, 0 failed, 0 errored" in out and "status codes: 5000 2xx" in out
    assert curl(f"{url}/kv/n") == (200, b"5000")


# httpx


def test_httpx_speaks_http2(two, url):
    answer = two.put(f"{url}/kv/k", json={"a": 1})
    assert answer.http_version == "HTTP/2" and answer.status_code == 204
    etag = answer.headers["etag"]
    answer = two.get(f"{url}/kv/k")
    assert answer.json() == {"a": 1} and answer.headers["etag"] == etag
    assert two.get(f"{url}/kv/k", headers={"if-none-match": etag}).status_code == 304
    assert two.put(f"{url}/kv/k", json=2, headers={"if-match": '"1000000"'}).status_code == 412
    answer = two.delete(f"{url}/kv/k")
    assert answer.status_code == 204 and answer.headers["dormouse-existed"] == "true"


def test_what_http2_writes_http1_reads(two, url, actor):
    two.put(f"{url}/kv/k", json="é")
    assert actor.get("k").json == "é"
    actor.put("k", [2])
    assert two.get(f"{url}/kv/k").json() == [2]


def test_answers_are_the_same_over_both(two, shared_node, actor):
    actor.put("k", {"a": 1})
    actor.put_bytes("b", b"\x00\x01")
    for method, path in [("GET", ""), ("GET", "/kv"), ("GET", "/kv/k"), ("HEAD", "/kv/k"), ("GET", "/kv/b"),
                         ("GET", "/kv/absent"), ("PUT", ""), ("GET", "/nonsense"), ("POST", "/txn"),
                         ("PUT", "/kv/k"), ("GET", "/kv?limit=0"), ("POST", "/execute")]:
        one = actor.client.request(method, actor.path + path)
        both = two.request(method, shared_node.url + actor.path + path)
        assert (both.status_code, both.content) == (one.status, one.body), (method, path)
        for name in ["content-type", "content-length", "etag", "allow"]:
            assert both.headers.get(name) == one.headers.get(name), (method, path, name)


def test_an_idempotency_key_replays_across_versions(two, url, actor):
    first = actor.txn([{"add": "n"}], idempotency_key="k")
    body = json.dumps({"do": [{"add": "n"}]})
    again = two.post(f"{url}/txn", content=body, headers={"idempotency-key": "k",
                                                          "content-type": "application/json"})
    assert again.headers["idempotency-replayed"] == "true" and again.content == first.body


def test_a_foreign_authority_or_origin_is_403_over_http2(two, url):
    for headers in [{"host": "example.com"}, {"origin": "http://example.com"}]:
        answer = two.get(f"{url}/kv/k", headers=headers)
        assert answer.status_code == 403 and answer.json()["code"] == "forbidden"


# h2: frames by hand


class Frames:
    """One connection of the h2 library; requests are sent as asked for, answers collected by stream."""

    def __init__(self, url):
        self.socket = connect(url)
        self.connection = h2_connection.H2Connection()
        self.connection.initiate_connection()
        self.answers = {}
        self.order = []
        self.ended = None
        self.flush()

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def send(self, method, path, body=b"", headers=()):
        stream = self.connection.get_next_available_stream_id()
        self.connection.send_headers(
            stream, [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path),
                     *headers], end_stream=not body)
        if body:
            self.connection.send_data(stream, body, end_stream=True)
        self.answers[stream] = {"status": None, "headers": {}, "body": b"", "ended": False, "reset": None}
        return stream

    def take(self, event):
        if isinstance(event, h2_events.ResponseReceived):
            answer = self.answers[event.stream_id]
            answer["headers"] = {k.decode() if isinstance(k, bytes) else k: v.decode() if isinstance(v, bytes)
                                 else v for k, v in event.headers}
            answer["status"] = int(answer["headers"][":status"])
        elif isinstance(event, h2_events.DataReceived):
            self.answers[event.stream_id]["body"] += event.data
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2_events.StreamEnded):
            self.answers[event.stream_id]["ended"] = True
            self.order.append(event.stream_id)
        elif isinstance(event, h2_events.StreamReset):
            self.answers[event.stream_id]["reset"] = event.error_code
            self.order.append(event.stream_id)
        elif isinstance(event, h2_events.ConnectionTerminated):
            self.ended = event.error_code

    def run(self, count):
        """Until so many streams have ended, or the connection has."""
        self.flush()
        while len(self.order) < count:
            data = self.socket.recv(65536)
            if not data:
                return
            for event in self.connection.receive_data(data):
                self.take(event)
            self.flush()

    def close(self):
        self.socket.close()


@pytest.fixture
def frames(shared_node):
    f = Frames(shared_node.url)
    yield f
    f.close()


def test_many_streams_of_one_connection_are_answered(frames, actor):
    body = b'{"do":[{"add":"n"}]}'
    streams = [frames.send("POST", f"{actor.path}/txn", body) for _ in range(100)]
    frames.run(100)
    values = [json.loads(frames.answers[s]["body"])["results"][0]["value"] for s in streams]
    assert sorted(values) == list(range(1, 101))


def test_a_slow_actor_does_not_hold_up_the_others_of_a_connection(frames, shared_node, actor):
    """Answers come as they are ready: a read of what is in memory overtakes a write on its way to disk."""
    quick = Actor(shared_node.client, actor.id + "-quick")
    quick.put("k", 1)
    for _ in range(20):
        frames.order.clear()
        frames.send("PUT", actor.kv("k"), b'"' + b"x" * 15000 + b'"')
        get = frames.send("GET", quick.kv("k"))
        frames.run(2)
        if frames.order[0] == get:
            return
    raise AssertionError("every write was answered before the read behind it")


def test_a_reset_stream_leaves_the_others(frames, actor):
    actor.put("k", "x" * 500000)
    streams = [frames.send("GET", actor.kv("k")) for _ in range(10)]
    frames.flush()
    for stream in streams[::2]:
        frames.connection.reset_stream(stream)
    frames.run(5)
    for stream in streams[1::2]:
        assert frames.answers[stream]["status"] == 200
        assert len(frames.answers[stream]["body"]) == 500002


def test_a_request_that_was_reset_may_have_acted_and_acts_once_under_its_key(frames, actor):
    body = b'{"do":[{"add":"n"}]}'
    keys = [("idempotency-key", "reset")]
    for _ in range(5):
        stream = frames.send("POST", f"{actor.path}/txn", body, keys)
        frames.connection.reset_stream(stream)
        frames.flush()
    stream = frames.send("POST", f"{actor.path}/txn", body, keys)
    while not frames.answers[stream]["ended"]:
        frames.run(len(frames.order) + 1)
    assert json.loads(frames.answers[stream]["body"])["results"] == [{"value": 1}]
    assert actor.get("n").json == 1


def test_a_header_section_that_is_too_large_is_431_over_http2(frames):
    fields = [(f"x-{i}", "v" * 1000) for i in range(80)]
    stream = frames.send("GET", "/healthz", headers=fields)
    frames.run(1)
    answer = frames.answers[stream]
    assert answer["status"] == 431 and json.loads(answer["body"])["code"] == "headers_too_large"
    good = frames.send("GET", "/healthz")
    frames.run(2)
    assert frames.answers[good]["status"] == 200


@pytest.mark.parametrize("garbage", [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
    b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n"])
def test_bytes_that_are_no_frames_end_the_connection_and_nothing_else(shared_node, garbage):
    with connect(shared_node.url) as s:
        s.sendall(garbage)
        while s.recv(65536):
            pass
    assert shared_node.client.get("/healthz").status == 200


def test_sigterm_finishes_the_streams_that_began(node):
    actor = Actor(node.client, "a")
    frames = Frames(node.url)
    for i in range(50):
        frames.send("POST", f"{actor.path}/txn", b'{"do":[{"add":"n"}]}')
    frames.run(1)  # they are on their way
    node.process.terminate()
    frames.run(1000)  # to the end of the connection
    frames.close()
    answered = [a for a in frames.answers.values() if a["ended"]]
    assert frames.ended == 0 and all(a["status"] == 200 for a in answered)
    node.stop()
    node.start()
    assert Actor(node.client, "a").get("n").json >= len(answered) > 0


def test_every_answer_over_http2_has_the_date(frames, actor):
    for path in [actor.path, actor.kv("absent"), "/nonsense"]:
        before = int(time.time())
        stream = frames.send("GET", path)
        frames.run(len(frames.order) + 1)
        date = email.utils.parsedate_to_datetime(frames.answers[stream]["headers"]["date"])
        assert before <= date.timestamp() <= time.time()


def test_an_error_over_http2_is_a_whole_problem(frames, actor):
    stream = frames.send("GET", actor.kv("absent"))
    frames.run(1)
    answer = frames.answers[stream]
    assert answer["headers"]["content-type"] == "application/problem+json"
    doc = json.loads(answer["body"])
    assert doc == expect_problem(actor.get("absent"), 404, "no_such_key")
