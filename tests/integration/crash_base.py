"""What the parts of a crash campaign share: checks, connections, and operations that are repeated."""

import asyncio
import json

REQUEST_SECONDS = 60
LOST = (ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError, OSError)


class Violation(Exception):
    pass


def check(holds, *what):
    if not holds:
        raise Violation(" ".join(map(str, what)))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def version(self):
        return int(self.headers[b"etag"].strip(b'"'))


class Connection:
    """One HTTP/1.1 connection, one request at a time."""

    def __init__(self, campaign):
        self.campaign = campaign
        self.reader = self.writer = None

    async def request(self, method, path, body=b"", key=None, octets=False):
        try:
            return await asyncio.wait_for(self._request(method, path, body, key, octets),
                                          REQUEST_SECONDS)
        except BaseException:
            self.drop()
            raise

    def drop(self):
        if self.writer is not None:
            self.writer.close()
            self.reader = self.writer = None

    async def _request(self, method, path, body, key, octets):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.campaign.node.port, limit=8 * 1024 * 1024)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        if key is not None:
            head += f"Idempotency-Key: {key}\r\n"
        if octets:
            head += "Content-Type: application/octet-stream\r\n"
        self.writer.write(head.encode() + b"\r\n" + body)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        status = int(lines[0].split(b" ", 2)[1])
        headers = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        length = int(headers.get(b"content-length", 0))
        data = await self.reader.readexactly(length) if length else b""
        if headers.get(b"connection") == b"close":
            self.drop()
        return Answer(status, headers, data)


class Operation:
    """A request that is repeated until it is answered; `kept` takes the answer into the model."""

    kind = "?"

    def __init__(self, method, path, body, key):
        self.method, self.path, self.body, self.key = method, path, body, key
        self.octets = False
        self.in_doubt = False

    def kept(self, answer):
        raise NotImplementedError
