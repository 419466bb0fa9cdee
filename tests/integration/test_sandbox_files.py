"""Files and processes of sandboxes: API section 5."""

import json
import socket
import threading

import pytest
from client import Client, expect_problem, wait_until
from node import Node
from sandbox import Sandbox, events, make


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("files") / "data")
    yield node
    node.finish()
    node.discard()


@pytest.fixture(scope="module")
def box(node):
    return make(node.client)


@pytest.mark.parametrize("size", [0, 1, 262143, 262144, 262145, 5000000])
def test_a_file_comes_back_as_it_was_put(box, size):
    data = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    path = box.file(f"/srv/dir/f{size}")
    assert box.client.put(path, data[:size]).status == 204
    got = box.client.get(path)
    assert got.status == 200 and got.type == "application/octet-stream"
    assert got.body == data[:size]
    assert box.sh(f"stat -c %s /srv/dir/f{size}") == f"{size}\n"


def test_what_programs_write_can_be_read(box):
    box.sh("echo hello > '/srv/a b%c'; ln -sf /srv/'a b%c' /srv/link")
    assert box.client.get(box.file("/srv/a b%c")).body == b"hello\n"
    assert box.client.get(box.file("/srv/link")).body == b"hello\n"


def test_a_put_keeps_the_mode_and_what_a_link_points_at(box):
    box.sh("echo 1 > /srv/script; chmod 755 /srv/script; ln -sf script /srv/to-script")
    assert box.client.put(box.file("/srv/to-script"), b"#!/bin/sh\necho 2\n").status == 204
    assert box.sh("/srv/script; readlink /srv/to-script") == "2\nscript\n"


def test_files_that_are_not_there_or_none(box):
    expect_problem(box.client.get(box.file("/nowhere")), 404, "no_such_file")
    expect_problem(box.client.delete(box.file("/nowhere")), 404, "no_such_file")
    expect_problem(box.client.get(box.file("/srv")), 400, "bad_request")
    expect_problem(box.client.get(box.file("/dev/zero")), 400, "bad_request")
    expect_problem(box.client.get(box.file("/proc/1/status")), 400, "bad_request")
    expect_problem(box.client.put(box.file("/srv"), b""), 400, "bad_request")
    box.sh("mkfifo -m 600 /srv/fifo; true")
    expect_problem(box.client.get(box.file("/srv/fifo")), 400, "bad_request")
    expect_problem(box.client.put(box.file("/dev/null"), b"x"), 400, "bad_request")


@pytest.mark.parametrize("path", ["/../etc/passwd", "/srv/../../x", "/%2e%2e/x", "/a%00b", "/" + "x" * 256])
def test_paths_that_climb_are_400(box, path):
    expect_problem(box.client.get(f"{box.path}/files{path}"), 400, "bad_request")
    expect_problem(box.client.put(f"{box.path}/files{path}", b""), 400, "bad_request")


def test_a_link_to_the_outside_stays_inside(box):
    box.sh("ln -sf /etc/shadow /srv/shadow; ln -sf ../../../../../../etc/hostname /srv/up")
    assert box.client.get(box.file("/srv/up")).body == b"sandbox\n"
    assert b"root:" in box.client.get(box.file("/srv/shadow")).body  # the image's own


def test_a_directory_is_listed(box):
    box.sh("mkdir -p /srv/l/sub; echo abc > /srv/l/f; ln -s f /srv/l/ln; touch /srv/l/sub/deep")
    got = box.client.get(box.file("/srv/l") + "?list=true")
    assert got.status == 200, got
    entries = {e["path"]: e for e in got.json["entries"]}
    assert set(entries) == {"f", "ln", "sub"}
    assert entries["f"]["type"] == "file" and entries["f"]["size"] == 4
    assert entries["ln"]["type"] == "symlink" and entries["ln"]["target"] == "f"
    assert entries["sub"]["type"] == "directory"
    got = box.client.get(box.file("/srv/l") + "?list=true&recursive=true").json["entries"]
    assert {e["path"] for e in got} == {"f", "ln", "sub", "sub/deep"}
    expect_problem(box.client.get(box.file("/srv/l/f") + "?list=true"), 404, "no_such_file")
    assert any(e["path"] == "root" for e in
               box.client.get(f"{box.path}/files/?list=true").json["entries"])


def test_directories_are_made_moved_copied_and_removed(box):
    post = lambda path, query: box.client.post(box.file(path) + query)
    assert post("/srv/m/a/b", "?op=mkdir").status == 204
    box.sh("echo 1 > /srv/m/a/b/f; chmod 640 /srv/m/a/b/f")
    assert post("/srv/m/a", "?op=copy&to=/srv/m/c").status == 204
    assert box.sh("cat /srv/m/c/b/f; stat -c %a /srv/m/c/b/f") == "1\n640\n"
    assert post("/srv/m/c", "?op=move&to=/srv/m/d").status == 204
    assert box.run("ls", "/srv/m/c")["exit_code"] != 0
    assert post("/usr/share/perl5", "?op=move&to=/srv/m/perl5").status == 204  # of a layer below
    assert box.client.delete(box.file("/srv/m")).status == 204
    assert box.run("ls", "/srv/m")["exit_code"] != 0
    expect_problem(post("/srv/x", "?op=other"), 400, "bad_request")
    expect_problem(post("/srv/x", "?op=move"), 400, "bad_request")
    expect_problem(post("/srv/x", "?op=move&to=/a/../b"), 400, "bad_request")
    expect_problem(post("/srv", "?op=copy&to=/srv/self"), 400, "bad_request")
    expect_problem(post("/nowhere", "?op=move&to=/srv/x"), 404, "no_such_file")


def test_over_the_quota_is_507_and_changes_nothing(node):
    box = make(node.client, limits={"disk_mb": 64})
    assert box.client.put(box.file("/srv/f"), b"old").status == 204
    box.sh("head -c 45000000 /dev/zero > /srv/fill")
    answer = box.client.put(box.file("/srv/f"), b"x" * 12000000)
    assert expect_problem(answer, 507, "storage_full", retryable=True)["limit"]["name"] == "disk_mb"
    assert box.client.get(box.file("/srv/f")).body == b"old"
    assert box.sh("ls -A /srv").split() == sorted(["f", "fill"] + box.sh(
        "ls -A /srv | grep -v -e '^f$' -e '^fill$'; true").split())
    assert ".put-" not in box.sh("ls -A /srv")


# --- processes


def start(box, *cmd, **body):
    answer = box.client.post(f"{box.path}/processes", json={"cmd": list(cmd), **body})
    assert answer.status == 200, answer
    return answer.json["pid"]


def wait(box, pid, **body):
    return box.client.post(f"{box.path}/processes/{pid}/wait", json=body)


def test_a_process_runs_in_the_background(box):
    pid = start(box, "sh", "-c", "echo one; echo two >&2; exec sleep 1000")
    shown = box.client.get(f"{box.path}/processes/{pid}").json
    assert shown["state"] == "running" and shown["exit_code"] is None
    assert any(p["pid"] == pid for p in box.client.get(f"{box.path}/processes").json["processes"])
    assert any(p["pid"] == pid for p in box.get()["processes"])
    assert wait(box, pid, log="^two$").status == 200
    logs = box.client.get(f"{box.path}/processes/{pid}/logs").json
    assert logs == {"stdout": "one\n", "stderr": "two\n", "lost_bytes": 0}
    assert box.client.delete(f"{box.path}/processes/{pid}?signal=9").status == 204
    assert wait(box, pid, exit=True).json["signal"] == 9
    assert box.client.get(f"{box.path}/processes/{pid}").json["state"] == "exited"


def test_a_process_that_is_not_there(box):
    expect_problem(box.client.get(f"{box.path}/processes/99999"), 404, "no_such_process")
    expect_problem(box.client.get(f"{box.path}/processes/x"), 400, "bad_request")
    expect_problem(box.client.delete(f"{box.path}/processes/1?signal=9"), 404, "no_such_process")
    pid = start(box, "sleep", "1000")
    expect_problem(box.client.delete(f"{box.path}/processes/{pid}?signal=0"), 400, "bad_request")
    expect_problem(box.client.post(f"{box.path}/processes", json={"cmd": []}), 400, "bad_request")
    expect_problem(box.client.post(f"{box.path}/processes", json={"cmd": ["true"], "cwd": "/no"}),
                   400, "bad_request")


def test_logs_are_followed_to_the_end(box):
    pid = start(box, "sh", "-c", "echo a; sleep 0.3; echo b; exit 5")
    answer = box.client.get(f"{box.path}/processes/{pid}/logs?follow=true")
    assert answer.type == "text/event-stream"
    assert events(answer.body) == [("stdout", {"text": "a\n"}), ("stdout", {"text": "b\n"}),
                                   ("exit", {"exit_code": 5, "signal": None})]
    again = box.client.get(f"{box.path}/processes/{pid}/logs?follow=true")
    assert "".join(d.get("text", "") for _, d in events(again.body)) == "a\nb\n"


def test_the_oldest_of_a_long_log_goes(box):
    pid = start(box, "sh", "-c", "for i in $(seq 400000); do echo line $i; done")
    assert wait(box, pid, exit=True).status == 200
    logs = box.client.get(f"{box.path}/processes/{pid}/logs").json
    assert logs["lost_bytes"] > 0 and len(logs["stdout"]) <= 1 << 20
    assert logs["stdout"].endswith("line 400000\n")


def test_a_port_is_waited_for(box):
    pid = start(box, "python3", "-c",
                "import time,http.server as h; time.sleep(0.3); "
                "h.HTTPServer(('127.0.0.1', 8123), h.SimpleHTTPRequestHandler).serve_forever()")
    assert wait(box, pid, port=8123).status == 200
    assert 8123 in box.get()["ports"]
    expect_problem(wait(box, pid, port=8124, timeout_ms=100), 504, "timeout", retryable=True)
    assert "200" in box.sh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8123/")


def test_waits_say_what_is_wrong_with_them(box):
    pid = start(box, "sleep", "1000")
    for body in ({}, {"port": 0}, {"port": 70000}, {"port": 1, "exit": True}, {"exit": False},
                 {"log": "("}, {"log": "a{1000}{1000}"}, {"log": "(a)\\1"}, {"log": 1}, {"x": 1}):
        expect_problem(wait(box, pid, **body), 400, "bad_request")
    gone = start(box, "true")
    assert wait(box, gone, exit=True).status == 200
    expect_problem(wait(box, gone, port=9), 409, "conflict")


def test_a_follower_that_goes_away_is_forgotten(node, box):
    pid = start(box, "sh", "-c", "while :; do echo x; sleep 0.01; done")
    with socket.create_connection(("127.0.0.1", node.port)) as s:
        s.sendall(f"GET {box.path}/processes/{pid}/logs?follow=true HTTP/1.1\r\n"
                  "Host: localhost\r\n\r\n".encode())
        assert b"200" in s.recv(100)
    assert box.client.delete(f"{box.path}/processes/{pid}").status == 204
    assert wait(box, pid, exit=True).json["signal"] == 15


def test_processes_end_with_the_sandbox(node):
    box = make(node.client)
    pid = start(box, "sleep", "1000")
    answers = []

    def ask():
        client = Client(node.url)
        answers.append(wait(Sandbox(client, box.actor.id), pid, exit=True))
        client.close()

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: box.client.get(f"{box.path}/processes/{pid}").json["state"] == "running")
    assert box.delete().status == 204
    thread.join()
    assert answers[0].status in (200, 404)

SERVER = """
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists('/ready') and self.path == '/health' else 503); self.end_headers()
    def log_message(self, *a): pass
http.server.HTTPServer(('127.0.0.1', 8131), H).serve_forever()
"""


def test_an_answer_over_http_is_waited_for(box):
    pid = box.client.post(f"{box.path}/processes", json={"cmd": ["python3", "-c", SERVER]}).json["pid"]
    path = f"{box.path}/processes/{pid}/wait"
    ask = {"http": {"port": 8131, "path": "/health"}, "timeout_ms": 300}
    expect_problem(box.client.post(path, json=ask), 504, "timeout", retryable=True)  # it answers 503
    assert box.client.post(path, json={"http": {"port": 8131, "status": [503, 503]}}).status == 200
    box.sh("touch /ready")
    assert box.client.post(path, json={**ask, "timeout_ms": 10000}).status == 200
    for bad in [{"port": 0}, {"path": "/"}, {"port": 1, "path": "a"}, {"port": 1, "path": "/ b"}, {"port": 1, "status": [1]},
                {"port": 1, "status": [300, 200]}, {"port": 1, "more": 1}, 7]:
        expect_problem(box.client.post(path, json={"http": bad}), 400, "bad_request")
