"""Section 5: changes of files of a sandbox, as events."""

import contextlib
import http.client
import json

import pytest

from client import expect_problem, quote
from node import Node
from sandbox import make


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("changes") / "data")
    yield node
    node.finish()
    node.discard()


@pytest.fixture
def box(node):
    return make(node.client)


class Changes:
    def __init__(self, node, box, path, recursive=True):
        self.connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        self.connection.request("GET", f"{box.path}/changes?path={quote(path)}&recursive={str(recursive).lower()}")
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200 and self.answer.headers["content-type"] == "text/event-stream"
        assert self.next()[0] == "ready"

    def next(self):
        """(name, data); None at the end."""
        name = data = None
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                data = json.loads(line[6:])
            elif line == "" and name is not None:
                return name, data
            elif line == "" and self.answer.isclosed():
                return None

    def until(self, name, path):
        """All up to that event."""
        found = []
        while True:
            event = self.next()
            assert event is not None, found
            found.append((event[0], event[1]["path"]))
            if found[-1] == (name, path):
                return found

    def close(self):
        self.connection.close()


def test_each_change_is_an_event(node, box):
    box.sh("mkdir /opt/w")
    with contextlib.closing(Changes(node, box, "/opt/w")) as changes:
        box.sh("echo a > /opt/w/f")
        assert changes.until("modify", "/opt/w/f")[0] == ("create", "/opt/w/f")
        box.sh("chmod 600 /opt/w/f")
        changes.until("attrib", "/opt/w/f")
        box.sh("mv /opt/w/f /opt/w/g")
        while True:
            name, data = changes.next()
            if name == "move":
                break
        assert data == {"path": "/opt/w/g", "from": "/opt/w/f", "type": "file"}
        box.sh("rm /opt/w/g")
        changes.until("delete", "/opt/w/g")


def test_folders_that_appear_are_watched(node, box):
    box.sh("mkdir /opt/w")
    with contextlib.closing(Changes(node, box, "/opt/w")) as changes:
        box.sh("mkdir -p /opt/w/a/b/c && echo x > /opt/w/a/b/c/f")
        found = changes.until("create", "/opt/w/a/b/c/f")
        for path in ("/opt/w/a", "/opt/w/a/b", "/opt/w/a/b/c"):
            assert ("create", path) in found
        box.sh("mv /opt/w/a /opt/w/z && echo y > /opt/w/z/b/c/new")
        changes.until("create", "/opt/w/z/b/c/new")
        box.sh("mkdir -p /opt/in/x; echo 1 > /opt/in/x/y; mv /opt/in /opt/w/")
        changes.until("create", "/opt/w/in/x/y")
        box.sh("mv /opt/w/in /opt/out; echo 2 > /opt/out/x/z; touch /opt/w/last")
        found = changes.until("create", "/opt/w/last")
        assert ("delete", "/opt/w/in") in found and not any("z" in path[-2:] for _, path in found)


def test_without_recursive_only_the_folder_itself(node, box):
    box.sh("mkdir -p /opt/w/a")
    with contextlib.closing(Changes(node, box, "/opt/w", recursive=False)) as changes:
        box.sh("touch /opt/w/a/f /opt/w/g")
        found = changes.until("create", "/opt/w/g")
        assert ("create", "/opt/w/a/f") not in found


def test_git_and_node_modules_are_passed_over(node, box):
    box.sh("mkdir -p /opt/w/.git /opt/w/node_modules")
    with contextlib.closing(Changes(node, box, "/opt/w")) as changes:
        box.sh("touch /opt/w/.git/x /opt/w/node_modules/y /opt/w/z")
        assert changes.until("create", "/opt/w/z") == [("create", "/opt/w/z")]


def test_events_that_are_lost_are_a_resync(node, box):
    box.sh("mkdir /opt/w")
    with contextlib.closing(Changes(node, box, "/opt/w")) as changes:
        box.sh("cd /opt/w; python3 -c 'import os\nfor i in range(60000):\n open(f\"f{i}\", \"w\").close()\n"
               " os.unlink(f\"f{i}\")'; touch last", timeout_ms=60000)
        names = set()
        while "resync" not in names:
            names.add(changes.next()[0])
        box.sh("touch /opt/w/after")
        changes.until("create", "/opt/w/after")


def test_it_ends_with_its_folder_and_its_sandbox(node, box):
    box.sh("mkdir /opt/w")
    changes = Changes(node, box, "/opt/w")
    box.sh("rm -r /opt/w")
    found = []
    while (event := changes.next()) is not None:
        found.append(event)
    assert found[-1][0] == "delete" and found[-1][1]["path"] == "/opt/w"
    changes.close()
    other = Changes(node, box, "/")
    assert box.delete().status == 204
    while other.next() is not None:
        pass


def test_what_is_wrong_is_said(box):
    for query, status, code in (("path=relative", 400, "bad_request"), ("path=/a/../b", 400, "bad_request"),
                                ("path=/&recursive=maybe", 400, "bad_request"), ("path=/a%00b", 400, "bad_request"),
                                ("path=/nowhere", 404, "no_such_file"), ("path=/etc/passwd", 404, "no_such_file")):
        expect_problem(box.client.get(f"{box.path}/changes?{query}"), status, code)
