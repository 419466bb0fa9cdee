"""Section 5: a terminal of a sandbox."""

import json
import time

import pytest
import websocket

from client import Client, expect_problem, wait_until
from node import Node
from sandbox import Sandbox, make
from test_cluster import make_cluster, three  # noqa: F401  (fixtures)
from test_websocket import Http2Socket
from thin import THIN


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("terminals") / "data")
    yield node
    node.finish()
    node.discard()


@pytest.fixture(scope="module")
def box(node):
    return make(node.client)


class Terminal:
    """A viewer: its frames, and what it has of the output."""

    def __init__(self, node, box, query="", **options):
        self.socket = websocket.create_connection(
            f"ws://127.0.0.1:{node.port}{box.path}/terminal{query and '?' + query}", timeout=30, **options)
        self.output = b""
        self.controls = []
        self.ready = self.control()
        assert self.ready["type"] == "ready"
        self.id = self.ready["id"]

    def step(self):
        """One frame."""
        opcode, data = self.socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_BINARY:
            self.output += data
        elif opcode == websocket.ABNF.OPCODE_TEXT:
            self.controls.append(json.loads(data))
        else:
            raise EOFError(opcode, data)

    def control(self):
        while not self.controls:
            self.step()
        return self.controls.pop(0)

    def until(self, text):
        """All of the output up to there, which is taken."""
        text = text.encode() if isinstance(text, str) else text
        while text not in self.output:
            self.step()
        head, _, self.output = self.output.partition(text)
        return head + text

    def type(self, text):
        self.socket.send_binary(text.encode() if isinstance(text, str) else text)

    def sh(self, command):
        """The command's output, between two marks that its echo does not have."""
        self.type(f"printf '<%s>' a; {command}; printf '<%s>' z\n")
        self.until("<a>")
        return self.until("<z>")[:-3].decode()

    def resize(self, cols, rows):
        self.socket.send(json.dumps({"type": "resize", "cols": cols, "rows": rows}))

    def close(self):
        self.socket.close()


def refused(node, box, query):
    """The answer where no WebSocket is agreed to."""
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(f"ws://127.0.0.1:{node.port}{box.path}/terminal?{query}", timeout=30)
    return caught.value.status_code


def test_a_terminal_is_one(node, box):
    t = Terminal(node, box, "cols=100&rows=30")
    assert t.ready["cursor"] == 0
    assert t.sh("stty size; tty; echo $TERM").split() == ["30", "100", "/dev/pts/0", "xterm-256color"]
    t.resize(50, 20)
    wait_until(lambda: t.sh("stty size").split() == ["20", "50"])
    t.type("sleep 100\n")
    wait_until(lambda: "sleep 100" in box.sh("ps -eo args | grep -v 'ps -eo'"))
    t.type("\x03")
    assert t.sh("echo on").strip() == "on"
    t.type("exit 7\n")
    assert t.control() == {"type": "exit", "code": 7}
    with pytest.raises(EOFError):
        t.step()


def test_one_that_comes_back_gets_what_it_has_missed(node, box):
    t = Terminal(node, box)
    t.sh("true")
    t.type("for i in $(seq 2000); do echo line-$i; done; echo END\n")
    t.until("line-10\r\n")
    seen = t.until("line-20\r\n")
    t.close()
    again = Terminal(node, box, f"id={t.id}&cursor=0")
    whole = again.until("\nEND\r\n")
    assert seen in whole and whole.count(b"line-") >= 2000
    at = whole.index(b"line-1500")
    third = Terminal(node, box, f"id={t.id}&cursor={at}")
    assert third.ready["from"] == at and third.until("\nEND\r\n") == whole[at:]
    later = Terminal(node, box, f"id={t.id}")
    assert later.ready["cursor"] == later.ready["from"] >= len(whole)
    for viewer in (again, third, later):
        viewer.close()


def test_several_see_the_same(node, box):
    a = Terminal(node, box)
    b = Terminal(node, box, f"id={a.id}&cursor=0")
    b.type("echo fr''om-b\n")
    a.until("from-b")
    b.until("from-b")
    a.close()
    b.type("exit\n")
    assert b.control()["type"] == "exit"


def test_what_is_wrong_is_said(node, box):
    answer = box.client.get(f"{box.path}/terminal")
    expect_problem(answer, 400, "bad_request")
    for query, status in (("cols=0", 400), ("rows=1001", 400), ("cols=x", 400), ("cursor=0", 400),
                          ("id=nobody", 404), ("id=..%2f..", 404)):
        assert refused(node, box, query) == status, query
    t = Terminal(node, box)
    assert refused(node, box, f"id={t.id}&cursor=99999999") == 400
    t.socket.send("no json")
    with pytest.raises(EOFError) as caught:
        while True:
            t.step()
    assert caught.value.args[1][:2] == (1008).to_bytes(2, "big")


def test_terminals_are_bounded(node):
    box = make(node.client)
    open_ones = [Terminal(node, box) for _ in range(16)]
    assert refused(node, box, "cols=80") == 429
    open_ones[0].type("exit\n")
    assert open_ones[0].control()["type"] == "exit"
    Terminal(node, box).close()


def test_the_end_of_one_is_told_to_who_comes_back(node, box):
    t = Terminal(node, box)
    t.type("sleep 0.3; echo by''e; exit 3\n")
    t.until("exit 3\r\n")
    t.close()
    wait_until(lambda: "sleep 0.3" not in box.sh("ps -eo args | grep -v 'ps -eo'"))
    again = Terminal(node, box, f"id={t.id}&cursor=0")
    again.until("bye")
    assert again.control() == {"type": "exit", "code": 3}


def test_a_flood_of_output_costs_no_memory(node, box):
    """Attack 43: 1 GB, with control sequences, read by one that does not keep up."""
    t = Terminal(node, box)
    before = node.memory_bytes()
    t.type("yes \"$(printf 'x%.0s\\033[31m\\033]0;t\\007\\033[6n' $(seq 100))\" | head -c 1000000000; echo E''ND\n")
    total = 0
    most = 0
    tail = b""
    began = time.monotonic()
    while b"END" not in tail:
        t.step()
        total += len(t.output)
        tail = (tail + t.output)[-64:]
        t.output = b""
        if total // 50_000_000 != (total - 65536) // 50_000_000:
            most = max(most, node.memory_bytes() - before)
    assert total >= 1_000_000_000
    print(f"{total / (time.monotonic() - began) / 1e6:.0f} MB/s, {most >> 20} MB")
    assert most < (24 if THIN == 1 else 64) << 20  # a sanitizer holds back what was freed
    t.close()


def test_a_program_goes_on_while_nobody_looks(node, box):
    t = Terminal(node, box)
    t.sh("true")
    t.type("seq 1000000; touch /tmp/through\n")
    t.until("\r\n500\r\n")
    t.close()
    wait_until(lambda: box.run("test", "-e", "/tmp/through")["exit_code"] == 0)
    again = Terminal(node, box, f"id={t.id}&cursor=0")
    assert again.ready["from"] > 0
    assert again.ready["cursor"] - again.ready["from"] == 1 << 20
    again.until("\r\n1000000\r\n")
    again.close()


def test_it_ends_with_its_sandbox(node):
    box = make(node.client)
    t = Terminal(node, box)
    t.sh("true")
    assert box.delete().status == 204
    with pytest.raises(EOFError):
        while True:
            t.step()


def test_what_is_typed_wakes_a_frozen_one(node):
    box = make(node.client)
    t = Terminal(node, box)
    t.sh("true")
    wait_until(lambda: box.get()["state"] == "frozen", seconds=60)
    assert t.sh("echo on").strip() == "on"
    t.close()


def test_an_echo_comes_soon(node, box):
    t = Terminal(node, box)
    t.sh("true")
    t.socket.sock.setsockopt(6, 1, 1)
    times = []
    for i in range(200):
        began = time.monotonic()
        t.type("x")
        while t.output.count(b"x") < 1:
            t.step()
        t.output = b""
        times.append(time.monotonic() - began)
    times.sort()
    print(f"p50 {times[100] * 1e3:.2f} ms, p99 {times[198] * 1e3:.2f} ms")
    assert times[100] < 0.02
    t.close()


def test_a_terminal_in_a_stream_of_http2(node, box):
    class Target:
        url, path = node.url, box.path
    one = Http2Socket(Target, "?cols=80", "/terminal")
    ready = json.loads(one.recv())
    assert ready["type"] == "ready"
    one.stream.close()
    Terminal(node, box, f"id={ready['id']}&cursor=0").close()


def test_a_terminal_of_another_node(three):  # noqa: F811
    """And of one whose owner is another: the same lines as any WebSocket's."""
    made = [make(three.nodes[number].client) for number in (1, 2, 3)]
    for number in (1, 2, 3):
        for box in made:
            t = Terminal(three.nodes[number], box)
            assert t.sh("echo on").strip() == "on"
            t.type("exit\n")
            assert t.control()["type"] == "exit"
