"""Section 8: flags, refused starts, the ready line and the end."""

import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from client import Actor, Client, connect
from node import Node, program

USAGE = 2


def run(*arguments, cwd=None, seconds=60):
    return subprocess.run([program(), *map(str, arguments)], cwd=cwd, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=seconds, check=False)


def expect_refused(result, pattern, status=None):
    """A refused start: not 0, one clear sentence on standard error, nothing on standard output."""
    assert result.returncode != 0 and result.returncode > 0, result
    if status is not None:
        assert result.returncode == status, result
    assert result.stdout == "", result
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result
    assert re.search(pattern, lines[0]), result


def test_the_ready_line_is_json_and_the_first_on_standard_output(node):
    assert set(node.ready) == {"event", "url", "pid"}
    assert node.ready["event"] == "ready" and node.ready["pid"] == node.pid
    assert node.url == f"http://127.0.0.1:{node.port}"


def test_the_ready_line_comes_when_requests_are_served(tmp_path):
    for _ in range(3):
        node = Node(tmp_path / "data")
        assert node.client.put("/v1/test/Store/a/kv/k", "1").status == 204
        node.finish()


def test_help_and_version_say_so(tmp_path):
    result = run("--help")
    assert result.returncode == 0 and result.stderr == ""
    for flag in ["--data", "--listen", "--config", "--shards", "--workers", "--memory", "--max-disk",
                 "--allow-private-targets", "--tls-cert", "--tls-key", "--check", "--check-config",
                 "--cluster-init", "--join", "--join-token", "--node-id", "--peer-listen", "--cluster-certs"]:
        assert flag in result.stdout
    result = run("--version")
    assert result.returncode == 0 and re.fullmatch(r"dormoused \S+\n", result.stdout)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments, pattern", [
    ([], "--data"), (["--nonsense"], "--nonsense"), (["--data"], "--data"),
    (["--data", "d", "extra"], "extra"), (["--data", "d", "--listen", "x"], "--listen"),
    (["--data", "d", "--listen", "127.0.0.1:99999"], "--listen"),
    (["--data", "d", "--listen", "127.0.0.1:"], "--listen"),
    (["--data", "d", "--listen", "127.0.0.1"], "--listen"),
    (["--data", "d", "--shards", "0"], "shards"), (["--data", "d", "--shards", "x"], "shards"),
    (["--data", "d", "--shards", "-1"], "shards"), (["--data", "d", "--workers", "0"], "workers"),
    (["--data", "d", "--workers", "1000000"], "workers"), (["--data", "d", "--memory", "1"], "memory"),
    (["--data", "d", "--memory", "1X"], "memory"), (["--data", "d", "--max-disk", "-1"], "max-disk"),
    (["--data", "d", "--config", "absent"], "absent"), (["--check-config", "absent"], "absent"),
    (["--check-config"], "check-config")], ids=str)
def test_a_bad_flag_is_a_refused_start(tmp_path, arguments, pattern):
    result = run(*arguments, cwd=tmp_path)
    expect_refused(result, pattern, USAGE)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.0.0.1:7420", "example.com:0", ":7420",
                                    "128.0.0.1:0", "[::2]:0"])
def test_a_node_that_would_listen_beyond_loopback_refuses_to_start(tmp_path, listen):
    result = run("--data", tmp_path / "data", "--listen", listen)
    expect_refused(result, "loopback", USAGE)
    assert not (tmp_path / "data").exists()


PEER = ["--peer-listen", "127.0.0.1:7421"]


@pytest.mark.parametrize("arguments, pattern", [
    (["--cluster-init"], "--node-id is missing"), (["--join", "h:1"], "--node-id is missing"),
    (["--cluster-init", "--node-id", "1"], "--peer-listen is missing"),
    (["--join", "h:1", "--node-id", "2", *PEER], "--join-token"),
    (["--cluster-init", "--join", "h:1"], "one of them"), (["--node-id", "1"], "in no cluster"),
    (PEER, "in no cluster"), (["--cluster-certs", "d"], "in no cluster"),
    (["--cluster-init", "--node-id", "2", *PEER], "begins with node 1"),
    (["--cluster-init", "--node-id", "1", "--peer-listen", "h"], "HOST:PORT")], ids=str)
def test_cluster_flags_that_do_not_fit_are_a_refused_start(tmp_path, arguments, pattern):
    result = run("--data", tmp_path / "data", "--listen", "127.0.0.1:0", *arguments)
    expect_refused(result, pattern, USAGE)
    assert not (tmp_path / "data").exists()


def test_data_does_not_join_another_cluster(node):
    node.stop()
    before = sorted(os.listdir(node.data))
    result = run("--data", node.data, "--listen", "127.0.0.1:0", "--join", "h:1", "--join-token", "t",
                 "--node-id", "2", *PEER)
    expect_refused(result, "has data of its own", USAGE)
    assert sorted(os.listdir(node.data)) == before


@pytest.mark.parametrize("text, pattern", [
    ("format = 2\n", "format version"), ("format = 1\nnode = 1\n", "damaged")], ids=str)
def test_a_damaged_cluster_file_is_a_refused_start(node, text, pattern):
    node.stop()
    path = os.path.join(node.data, "CLUSTER")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    expect_refused(run("--data", node.data, "--listen", "127.0.0.1:0"), pattern, 1)
    os.remove(path)
    node.start()


def test_a_busy_port_is_a_clear_error(tmp_path, node):
    result = run("--data", tmp_path / "other", "--listen", f"127.0.0.1:{node.port}")
    expect_refused(result, f"127.0.0.1:{node.port}.*in use")


def test_a_port_that_another_program_shares_is_busy(tmp_path):
    """SO_REUSEPORT of somebody else does not let us in between."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        expect_refused(run("--data", tmp_path / "data", "--listen", f"127.0.0.1:{port}"), "in use")


def test_a_second_process_on_the_same_data_is_refused(node):
    result = run("--data", node.data, "--listen", "127.0.0.1:0")
    expect_refused(result, "another process|in use|locked")
    assert node.client.get("/healthz").status == 200


def test_data_that_is_no_directory_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    expect_refused(run("--data", file, "--listen", "127.0.0.1:0"), "file")
    expect_refused(run("--data", tmp_path / "absent" / "deeper", "--listen", "127.0.0.1:0"), "absent")


def test_a_directory_of_something_else_is_refused_and_left_alone(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").write_text("x")
    expect_refused(run("--data", other, "--listen", "127.0.0.1:0"), "other")
    assert os.listdir(other) == ["precious"]


def test_data_of_another_format_version_is_refused(node):
    Actor(node.client, "a").put("k", 1)
    node.stop()
    path = os.path.join(node.data, "DORMOUSE")
    with open(path, encoding="ascii") as f:
        text = f.read()
    changed = re.sub(r"(?m)^(format\s*=?\s*)\d+$", r"\g<1>999", text)
    assert changed != text, text
    with open(path, "w", encoding="ascii") as f:
        f.write(changed)
    expect_refused(run("--data", node.data, "--listen", "127.0.0.1:0"), "format|version")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    node.start()
    assert Actor(node.client, "a").get("k").json == 1


@pytest.mark.parametrize("name", ["wal-0/identity", "shards/g1.1.mdb", "DORMOUSE"])
def test_damaged_data_is_refused_in_one_sentence(node, name):
    node.stop()
    path = os.path.join(node.data, name)
    with open(path, "r+b") as f:
        f.write(b"damage" * 1000)
    expect_refused(run("--data", node.data, "--listen", "127.0.0.1:0"), os.path.dirname(name) or name)


def test_other_loopback_addresses_can_be_listened_on(tmp_path):
    for listen, host in [("localhost:0", "127.0.0.1"), ("127.0.0.9:0", "127.0.0.9"), ("[::1]:0", "[::1]")]:
        process = subprocess.Popen([program(), "--data", str(tmp_path / "data"), "--listen", listen],
                                   stdout=subprocess.PIPE, text=True)
        try:
            url = json.loads(process.stdout.readline())["url"]
            assert url.startswith(f"http://{host}:")
            client = Client(url)
            assert client.get("/healthz").status == 200
            client.close()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            process.stdout.close()


def test_sigterm_and_sigint_end_the_node_with_0(tmp_path):
    for number in [signal.SIGTERM, signal.SIGINT]:
        node = Node(tmp_path / "data")
        node.process.send_signal(number)
        assert node.process.wait(60) == 0
        node._ended()
        node.check()


def test_sigterm_drains_what_is_under_way(node):
    """Every request that the node has read is answered, and what was answered is kept."""
    for round_number in range(5):
        sockets = [connect(node.url) for _ in range(20)]
        for i, s in enumerate(sockets):
            body = f'{{"do":[{{"add":"n"}},{{"put":"k{round_number}-{i}","value":1}}]}}'.encode()
            s.sendall(f"POST /v1/test/Store/a/txn HTTP/1.1\r\nHost: localhost\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        with sockets[0].makefile("rb") as stream:
            assert stream.readline().startswith(b"HTTP/1.1 200")
        node.process.send_signal(signal.SIGTERM)
        answered = 1
        for s in sockets[1:]:
            data = s.makefile("rb").read()
            if data:
                assert data.startswith(b"HTTP/1.1 200") and b'"committed":true' in data
                answered += 1
        for s in sockets:
            s.close()
        node.stop()
        node.start()
        kept = len(Actor(node.client, "a").list(prefix=f"k{round_number}-").json["entries"])
        assert kept >= answered


def test_idle_connections_are_closed_at_the_end(node):
    sockets = [connect(node.url) for _ in range(10)]
    node.process.send_signal(signal.SIGTERM)
    for s in sockets:
        assert s.recv(1) == b""
        s.close()
    node.stop()


def test_a_node_stops_with_a_client_that_never_reads(start_node):
    node = start_node()
    actor = Actor(node.client, "a")
    for i in range(4):
        actor.put(f"k{i}", "x" * 1000000)
    s = connect(node.url)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(f"GET {actor.path}/kv HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 20)
    assert s.recv(1) == b"H"
    node.stop()
    s.close()


# Checks


def test_check_says_that_the_data_of_a_stopped_node_is_whole(node):
    actor = Actor(node.client, "a")
    for i in range(100):
        actor.put(f"k{i}", i, idempotency_key=f"key-{i}")
    actor.client.put(f"{actor.path}/timers/t", json={"in": 3600_000})
    actor.client.post(f"{actor.path}/steps/s")
    Actor(node.client, "gone").put("k", 1)
    Actor(node.client, "gone").destroy(idempotency_key="d")
    refused = run("--check", node.data)
    expect_refused(refused, "another process|in use|locked", 1)
    for kill in [True, False]:
        if node.process is None:
            node.start()
        if kill:
            node.kill9()
        else:
            node.stop()
        result = run("--check", node.data)
        assert result.returncode == 0 and result.stderr == "", result
        assert re.fullmatch(rf"{re.escape(node.data)}: 0 problems in \d+ files, .*\n", result.stdout), result


def damage(folder, text):
    """Changes one byte of the text in the one file below that has it; the file's path from there."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "r+b") as f:
                offset = f.read().find(text.encode())
                if offset >= 0:
                    f.seek(offset)
                    f.write(b"?")
                    return os.path.relpath(path, folder)
    raise AssertionError("no file has it")


def test_check_finds_damage_and_says_where(node):
    """In the middle of the log: what comes after it shows that it was whole once."""
    actor = Actor(node.client, "a")
    for value in ["before", "a text that stands nowhere else", "behind"]:
        assert actor.put("k", value).status == 204
    node.kill9()
    path = damage(node.data, "a text that stands nowhere else")
    result = run("--check", node.data)
    assert result.returncode == 1 and result.stderr == "", result
    problem, summary = result.stdout.splitlines()
    assert re.match(rf"{re.escape(os.path.join(node.data, path))}: offset \d+: ", problem), result
    assert summary.startswith(f"{node.data}: 1 problems in "), result


def test_check_of_no_data_is_an_error(tmp_path):
    expect_refused(run("--check", tmp_path / "absent"), "absent", 1)
    (tmp_path / "other").mkdir()
    expect_refused(run("--check", tmp_path / "other"), "other", 1)
    assert os.listdir(tmp_path / "other") == []


# Options


def test_shards_and_workers_are_those_asked_for(start_node):
    node = start_node("--shards", "3", "--workers", "2")
    shards = set()
    for i in range(60):
        actor = Actor(node.client, f"actor {i}")
        assert actor.put("k", i).status == 204
        shards.add(actor.info().json["shard"])
    assert shards == {0, 1, 2}
    node.stop()
    for options in [[], ["--workers", "2"], ["--workers", "3"]]:
        node.options = options
        node.start()
        for i in range(60):
            assert Actor(node.client, f"actor {i}").get("k").json == i
        node.stop()
    node.start()


def test_shards_are_fixed_at_the_first_start(start_node):
    node = start_node("--shards", "4")
    Actor(node.client, "a").put("k", 1)
    node.stop()
    result = run("--data", node.data, "--listen", "127.0.0.1:0", "--shards", "8")
    expect_refused(result, "shards")
    node.options = ["--shards", "4"]
    node.start()
    assert Actor(node.client, "a").get("k").json == 1


def test_several_workers_serve_one_port(start_node):
    """Any connection reaches any actor, whichever worker has taken it."""
    node = start_node("--workers", "4")
    wrong = []

    def work(seed):
        for i in range(10):
            client = Client(node.url)
            for j in range(10):
                answer = Actor(client, f"actor {(seed * 7 + i + j) % 23}").txn([{"add": "n"}])
                if answer.status != 200:
                    wrong.append(answer)
            client.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    total = 0
    for i in range(23):
        answer = Actor(node.client, f"actor {i}").get("n")
        total += answer.json if answer.status == 200 else 0
    assert total == 800


def test_a_config_file_is_read_under_the_flags(tmp_path):
    config = tmp_path / "config"
    config.write_text(f'# a comment\n\n  data = "{tmp_path}/data"  \nlisten = 127.0.0.1:1\nshards=5\n'
                      "allow-private-targets = true\n")
    result = run("--check-config", config)
    assert result.returncode == 0, result
    process = subprocess.Popen([program(), "--listen", "127.0.0.1:0", "--config", str(config)],
                               stdout=subprocess.PIPE, text=True)
    try:
        url = json.loads(process.stdout.readline())["url"]
        client = Client(url)
        shards = {Actor(client, f"{i}").info().json["shard"] for i in range(60)}
        assert shards == set(range(5))
        client.close()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        process.stdout.close()


@pytest.mark.parametrize("line, pattern", [
    ("nonsense = 1", "nonsense"), ("shards", "shards|="), ("shards = x", "shards"), ("= 1", "."),
    ("allow-private-targets = maybe", "allow-private-targets"), ("listen = nowhere", "HOST:PORT"),
    ("cluster-init = x", "true or false"), ("x" * 5000, "long")])
def test_a_config_file_is_checked_with_line_numbers(tmp_path, line, pattern):
    config = tmp_path / "config"
    config.write_text(f"# first\nworkers = 1\n{line}\nshards = 2\n")
    for arguments in [["--check-config", config],
                      ["--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--config", config]]:
        result = run(*arguments)
        expect_refused(result, f":3: .*({pattern})", USAGE)
    assert not (tmp_path / "data").exists()


def test_a_config_file_is_checked_for_what_its_lines_are_together(tmp_path):
    config = tmp_path / "config"
    for text, pattern in [("listen = 0.0.0.0:1\n", "loopback"), ("tls-key = k\n", "--tls-cert is missing")]:
        config.write_text(text)
        for arguments in [["--check-config", config], ["--data", tmp_path / "data", "--config", config]]:
            expect_refused(run(*arguments), pattern, USAGE)
    assert not (tmp_path / "data").exists()
