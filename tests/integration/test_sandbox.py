"""Sandboxes: API section 5."""

import glob
import os
import stat
import socket
import threading
import time

import pytest
from client import Client, expect_problem, wait_until
from cluster import Cluster
from node import Node
from sandbox import Sandbox, events, make


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("sandboxes") / "data")
    yield node
    node.finish()
    node.discard()


@pytest.fixture
def client(node):
    return node.client


@pytest.fixture(scope="module")
def box(node):
    """For tests that leave it as it is."""
    return make(node.client)


def test_a_put_makes_one_and_another_finds_it(client):
    box = make(client, limits={"memory_mb": 256, "cpus": 0.5, "pids": 64, "disk_mb": 128},
               env={"A": "1"}, sleep_after_ms=60000)
    again = box.put({"limits": {"memory_mb": 300}})
    assert again.status == 200
    got = box.get()
    assert got["name"] == "s" and got["image"] == "base" and got["state"] == "running"
    assert got["limits"] == {"memory_mb": 256, "cpus": 0.5, "pids": 64, "disk_mb": 128}
    assert got["sleep_after_ms"] == 60000
    assert set(got["usage"]) == {"cpu_ms", "memory_bytes", "disk_bytes"}
    assert got["ports"] == [] and got["processes"] == []


@pytest.mark.parametrize("name", [".hidden", "a%2Fb", "a%00", "x" * 64, "%C3%A4"])
def test_a_bad_name_is_400(client, name):
    answer = client.put(f"/v1/test/Store/bad-name/sandboxes/{name}", json={})
    expect_problem(answer, 400, "bad_request")


@pytest.mark.parametrize("body", [
    {"image": "nowhere"}, {"image": "../base"}, {"image": 3}, {"limits": {"memory_mb": 1}},
    {"limits": {"memory_mb": "x"}}, {"limits": {"cpus": 0}}, {"limits": {"pids": 1}},
    {"limits": {"disk_mb": 1}}, {"limits": {"disk_mb": 1 << 30}}, {"limits": {"other": 1}},
    {"sleep_after_ms": 1}, {"env": {"A=B": "1"}}, {"env": {"A": 1}}, {"env": []}, {"other": 1}, [],
])
def test_a_bad_body_is_400_and_makes_nothing(client, body):
    box = Sandbox(client, "bad-body")
    expect_problem(box.put(body), 400, "bad_request")
    expect_problem(client.get(box.path), 404, "no_such_sandbox")


def test_one_that_is_not_there_is_404(client):
    box = Sandbox(client, "nobody")
    expect_problem(client.get(box.path), 404, "no_such_sandbox")
    expect_problem(box.exec("true"), 404, "no_such_sandbox")
    assert box.delete().status == 204


def test_exec_answers_with_all_of_it(box):
    got = box.run("sh", "-c", "cat; echo $FOO$PWD; echo e >&2; exit 3", stdin="in", cwd="/tmp",
                  env={"FOO": "bar"})
    assert got["stdout"] == "inbar/tmp\n" and got["stderr"] == "e\n"
    assert got["exit_code"] == 3 and got["signal"] is None
    assert got["timed_out"] is False and got["oom_killed"] is False
    assert got["cpu_ms"] >= 0 and got["wall_ms"] >= 0


def test_the_base_image_has_what_it_should(box):
    for program in ("sh", "bash", "git", "curl", "python3", "node", "make", "gcc", "ls"):
        assert box.run("which", program)["exit_code"] == 0, program
    assert box.sh("id -u").strip() == "0"
    box.sh("echo 'int main(void){return 7;}' > /srv/a.c && gcc -o /usr/local/bin/seven /srv/a.c")
    assert box.run("seven")["exit_code"] == 7


def test_exec_says_what_is_wrong_with_it(box):
    expect_problem(box.exec(), 400, "bad_request")
    expect_problem(box.exec("true", cwd="/nowhere"), 400, "bad_request")
    expect_problem(box.exec("true", cwd="relative"), 400, "bad_request")
    expect_problem(box.exec("true", env={"A": 1}), 400, "bad_request")
    expect_problem(box.exec("true", timeout_ms=0), 400, "bad_request")
    expect_problem(box.exec("true", other=1), 400, "bad_request")
    expect_problem(box.exec("a\0b"), 400, "bad_request")
    expect_problem(box.client.post(f"{box.path}/exec"), 400, "bad_request")
    got = box.run("no-such-program")
    assert got["exit_code"] == 127 and "not found" in got["stderr"]


def test_exec_is_ended_at_its_time_out(box):
    got = box.run("sh", "-c", "echo a; sleep 60", timeout_ms=200)
    assert got["timed_out"] and got["stdout"] == "a\n" and got["signal"] == 9
    assert 150 < got["wall_ms"] < 5000


def test_exec_reports_a_process_that_had_no_memory(client):
    box = make(client, limits={"memory_mb": 64})
    got = box.run("python3", "-c", "x = bytearray(300 << 20); print(len(x))")
    assert got["oom_killed"] and got["exit_code"] != 0
    assert box.sh("echo on") == "on\n"


def test_output_that_is_no_text_is_bytes(box):
    assert box.run("printf", "\\377\\376")["stdout"] == {"$bytes": "//4="}


def test_output_is_bounded(box):
    answer = box.exec("sh", "-c", "head -c 17000000 /dev/zero")
    problem = expect_problem(answer, 413, "too_large")
    assert problem["limit"] == {"name": "output_bytes", "value": 16 << 20}
    got = box.run("sh", "-c", "head -c 12000000 /dev/zero | tr '\\0' a")
    assert len(got["stdout"]) == 12000000


def test_exec_as_events(box):
    answer = box.client.post(f"{box.path}/exec", accept="text/event-stream",
                             json={"cmd": ["sh", "-c", "echo a; sleep 0.1; echo b >&2; exit 4"]})
    assert answer.status == 200 and answer.type == "text/event-stream"
    found = events(answer.body)
    assert [name for name, _ in found] == ["start", "stdout", "stderr", "exit"]
    assert found[0][1]["pid"] > 1
    assert found[1][1] == {"text": "a\n"} and found[2][1] == {"text": "b\n"}
    assert found[3][1]["exit_code"] == 4 and set(found[3][1]) == {
        "exit_code", "signal", "cpu_ms", "wall_ms", "timed_out", "oom_killed"}


def test_characters_are_not_cut_between_events(box):
    text = "import sys,time\nfor b in 'aé€😀'.encode():\n sys.stdout.buffer.write(bytes([b]))\n" \
           " sys.stdout.flush()\n time.sleep(0.02)"
    answer = box.client.post(f"{box.path}/exec", accept="text/event-stream",
                             json={"cmd": ["python3", "-c", text]})
    got = [data["text"] for name, data in events(answer.body) if name == "stdout"]
    assert "".join(got) == "aé€😀"


def test_a_large_stream_goes_on_as_it_is_read(box):
    answer = box.client.post(f"{box.path}/exec", accept="text/event-stream",
                             json={"cmd": ["sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x"]})
    got = sum(len(data["text"]) for name, data in events(answer.body) if name == "stdout")
    assert got == 20000000


def test_an_exec_whose_client_goes_away_is_killed(node, client):
    box = make(client)
    for accept in ("", "Accept: text/event-stream\r\n"):
        body = b'{"cmd":["sh","-c","sleep 77"]}'
        with socket.create_connection(("127.0.0.1", node.port)) as s:
            s.sendall(f"POST {box.path}/exec HTTP/1.1\r\nHost: localhost\r\n{accept}"
                      f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                      + body)
            wait_until(lambda: "sleep 77" in box.sh("ps -eo args"))
        wait_until(lambda: "sleep 77" not in box.sh("ps -eo args | grep -v 'ps -eo'"))


def test_execs_run_beside_each_other(node, box):
    began = time.monotonic()

    def one():
        client = Client(node.url)
        assert Sandbox(client, box.actor.id).run("sleep", "0.5")["exit_code"] == 0
        client.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 3


def test_sandboxes_do_not_see_each_other(client):
    a, b = make(client), make(client)
    a.sh("echo secret > /tmp/x")
    assert b.run("cat", "/tmp/x")["exit_code"] != 0
    assert "init" in a.sh("cat /proc/1/comm")
    assert len(a.sh("ls /proc").split()) < 200 and a.run("ls", "/proc/2")["exit_code"] != 0


def leftovers(node):
    """Control groups and disks of the node's sandboxes."""
    launcher = next(int(entry) for entry in os.listdir("/proc")
                    if entry.isdigit() and _parent(entry) == node.pid)
    groups = glob.glob(f"/sys/fs/cgroup/**/dormouse-{launcher}/s*", recursive=True)
    disks = [name for name in os.listdir(f"{node.data}/sandboxes") if len(name) == 36]
    return groups, disks


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return int(f.read().rsplit(") ", 1)[1].split()[1])
    except OSError:
        return 0


def test_nothing_is_left_of_a_deleted_one(tmp_path):
    node = Node(tmp_path / "data")
    box = make(node.client)
    box.sh("sleep 1000 & echo x > /srv/x")
    assert [len(x) > 0 for x in leftovers(node)] == [True, True]
    assert box.delete().status == 204
    assert leftovers(node) == ([], [])
    expect_problem(node.client.get(box.path), 404, "no_such_sandbox")
    assert box.put().status == 201
    assert box.run("cat", "/srv/x")["exit_code"] == 1
    node.finish()


def test_deleting_the_actor_takes_its_sandboxes(tmp_path):
    node = Node(tmp_path / "data")
    box = make(node.client)
    box.sh("true")
    assert node.client.delete(box.actor.path).status == 204
    expect_problem(node.client.get(box.path), 404, "no_such_sandbox")
    wait_until(lambda: leftovers(node) == ([], []))
    node.finish()


def test_after_kill_9_the_disk_is_as_it_was_and_nothing_runs(tmp_path):
    node = Node(tmp_path / "data")
    box = make(node.client)
    box.sh("echo kept > /srv/kept; sync; (sleep 4321 &)")
    groups, _ = leftovers(node)
    node.kill9()
    wait_until(lambda: not any(os.path.exists(group) for group in groups))
    node.start()
    box = Sandbox(node.client, box.actor.id)
    assert box.get()["state"] == "asleep"
    assert box.sh("cat /srv/kept") == "kept\n"
    assert "4321" not in box.sh("ps -eo args")
    node.finish()


def test_a_full_disk_is_the_sandboxs_own(client):
    box = make(client, limits={"disk_mb": 64})
    got = box.run("sh", "-c", "head -c 200000000 /dev/zero > /srv/big")
    assert got["exit_code"] != 0 and "No space left" in got["stderr"]
    assert box.sh("rm /srv/big; echo ok") == "ok\n"


def test_processes_are_bounded(client):
    box = make(client, limits={"pids": 16})
    got = box.run("bash", "-c", "for i in $(seq 40); do sleep 5 & done; wait", timeout_ms=8000)
    assert "fork" in got["stderr"] or "Resource temporarily" in got["stderr"]
    wait_until(lambda: box.exec("true").status == 200 and box.run("true")["exit_code"] == 0)


def test_everything_but_proc_sys_and_dev_is_writable(box):
    for folder in ("/", "/etc", "/usr/bin", "/tmp", "/var/lib", "/srv", "/opt", "/run", "/home"):
        box.sh(f"echo x > {folder}/written && rm {folder}/written")
    for path in ("/proc/sys/kernel/hostname", "/proc/written", "/dev/written/x"):
        assert box.run("sh", "-c", f"echo x > {path}")["exit_code"] != 0


def test_any_node_of_a_cluster_answers_for_a_sandbox(tmp_path):
    cluster = Cluster(tmp_path / "cluster", 3)
    try:
        first = cluster.running()[0]
        for attempt in range(5):  # a new cluster deals its leaderships: a sandbox ends with its owner's
            box = Sandbox(first.client, f"clustered-{attempt}")
            if _answers_everywhere(cluster, box):
                break
        else:
            raise AssertionError("the owner changed five times")
        assert box.delete().status == 204
    finally:
        cluster.finish()


def _answers_everywhere(cluster, box):
    """False: the owner changed meanwhile."""
    if box.put().status not in (200, 201):
        return False
    for node in cluster.running():
        box = Sandbox(node.client, box.actor.id)
        answers = [box.exec("sh", "-c", "echo here; hostname"),
                   box.client.post(f"{box.path}/exec", accept="text/event-stream", json={
                       "cmd": ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"]}),
                   node.client.put(box.file("/srv/f"), b"x" * 1000000),
                   node.client.get(box.file("/srv/f"))]
        if any(answer.status in (503, 404) for answer in answers):
            return False
        assert answers[0].json["stdout"] == "here\nsandbox\n"
        assert sum(len(data["text"]) for name, data in events(answers[1].body) if name == "stdout") == 3000000
        assert answers[2].status == 204 and answers[3].body == b"x" * 1000000
    return True



@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_daemon_of_another_user_has_sandboxes_as_well(tmp_path):
    os.chmod(tmp_path, 0o755)
    for folder in tmp_path.parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            os.chmod(folder, 0o755)
    node = Node(tmp_path / "data", environment={"DORMOUSE_USER": "nobody"})
    with open(f"/proc/{node.pid}/status", encoding="ascii") as f:
        assert "Uid:\t65534" in f.read()
    box = make(node.client)
    assert box.sh("echo kept > /srv/f; id -u") == "0\n"
    assert node.client.put(box.file("/srv/g"), b"bytes").status == 204
    assert node.client.post(f"{box.path}/sleep").status == 200
    assert box.sh("cat /srv/f /srv/g; stat -c %u /srv/f /srv/g") == "kept\nbytes0\n0\n"
    assert box.delete().status == 204
    assert leftovers(node) == ([], [])
    node.finish()
