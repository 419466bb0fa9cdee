"""A sandbox of an actor as a test wants it."""

import itertools
import json
import os

from client import Actor, quote
from node import built_program

IMAGE = built_program("images/base.erofs")
_numbers = itertools.count(1)


class Sandbox:
    def __init__(self, client, actor_id, name="s"):
        self.client = client
        self.actor = Actor(client, actor_id)
        self.name = name
        self.path = f"{self.actor.path}/sandboxes/{quote(name)}"

    def put(self, body=None, **named):
        return self.client.put(self.path, json={} if body is None else body, **named)

    def get(self):
        answer = self.client.get(self.path)
        assert answer.status == 200, answer
        return answer.json

    def delete(self):
        return self.client.delete(self.path)

    def exec(self, *cmd, **body):
        return self.client.post(f"{self.path}/exec", json={"cmd": list(cmd), **body})

    def run(self, *cmd, **body):
        """It must be answered."""
        answer = self.exec(*cmd, **body)
        assert answer.status == 200, answer
        return answer.json

    def sh(self, text, **body):
        """Its output; it must end well."""
        got = self.run("sh", "-c", text, **body)
        assert got["exit_code"] == 0, got
        return got["stdout"]

    def file(self, path):
        return f"{self.path}/files{quote(path).replace('%2F', '/')}"


def make(client, name="s", **body):
    """A new one of an actor that nobody has used."""
    assert os.path.exists(IMAGE), f"{IMAGE} is missing: deploy/base-image makes it"
    box = Sandbox(client, f"box-{os.getpid()}-{next(_numbers)}", name)
    answer = box.put(body)
    assert answer.status == 201, answer
    return box


def events(body):
    """Of server-sent events: (name, data)."""
    found = []
    for block in body.decode().split("\n\n"):
        if block.strip() and not block.startswith(":"):
            fields = dict(line.split(": ", 1) for line in block.strip().split("\n"))
            found.append((fields["event"], json.loads(fields["data"])))
    return found
