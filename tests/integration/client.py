"""Requests as a test wants them: nothing retried, nothing normalised, every header to be seen."""

import http.client
import json
import socket
import ssl
import time
import urllib.parse

TIMEOUT_SECONDS = 60
IDLE_SECONDS = 30  # less than after what a node closes an idle connection


def quote(text):
    """A path segment or query value of any text or bytes."""
    return urllib.parse.quote(text, safe="")


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # http.client.HTTPMessage: names in any case
        self.body = body

    @property
    def type(self):
        return self.headers.get("content-type")

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def version(self):
        """Of the ETag."""
        etag = self.headers["etag"]
        assert etag.startswith('"') and etag.endswith('"'), etag
        return int(etag[1:-1])

    @property
    def is_replay(self):
        return self.headers.get("idempotency-replayed") == "true"

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:500]!r}>"


class Client:
    """One connection, made anew when the server has closed it after an answer, or may since have closed it for
    being idle."""

    def __init__(self, url, timeout=TIMEOUT_SECONDS, ca=None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https":
            self.connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout,
                context=ssl.create_default_context(cafile=ca))
        else:
            self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        self.used_at = time.monotonic()

    def close(self):
        self.connection.close()

    def request(self, method, path, body=None, headers=None, **named):
        """`json=` is sent as JSON; named headers with underscores: if_match='"3"'."""
        fields = dict(headers or {})
        if "json" in named:
            body = json.dumps(named.pop("json"))
            fields.setdefault("Content-Type", "application/json")
        for name, value in named.items():
            fields[name.replace("_", "-")] = value
        if isinstance(body, str):
            body = body.encode()
        if time.monotonic() - self.used_at > IDLE_SECONDS:
            self.connection.close()
        try:
            c = self.connection
            c.putrequest(method, path, skip_accept_encoding=True, skip_host="Host" in fields)
            for name, value in fields.items():
                c.putheader(name, value)
            if body is not None and "Content-Length" not in fields:
                c.putheader("Content-Length", str(len(body)))
            c.endheaders()
            if body is not None:
                c.send(body)
            got = c.getresponse()
            answer = Answer(got.status, got.headers, got.read())
            self.used_at = time.monotonic()
            return answer
        except BaseException:
            self.connection.close()
            raise

    def get(self, path, **named):
        return self.request("GET", path, **named)

    def put(self, path, body=None, **named):
        return self.request("PUT", path, body, **named)

    def post(self, path, body=None, **named):
        return self.request("POST", path, body, **named)

    def delete(self, path, **named):
        return self.request("DELETE", path, **named)

    def head(self, path, **named):
        return self.request("HEAD", path, **named)


class Actor:
    """One actor through one client; `kv("k")` is the path of a key."""

    def __init__(self, client, actor_id, namespace="test", class_name="Store"):
        self.client = client
        self.id = actor_id
        self.path = f"/v1/{namespace}/{class_name}/{quote(actor_id)}"

    def kv(self, key):
        return f"{self.path}/kv/{quote(key)}"

    def put(self, key, value, **named):
        return self.client.put(self.kv(key), json=value, **named)

    def put_bytes(self, key, value, **named):
        return self.client.put(self.kv(key), value, content_type="application/octet-stream", **named)

    def get(self, key, **named):
        return self.client.get(self.kv(key), **named)

    def head(self, key, **named):
        return self.client.head(self.kv(key), **named)

    def delete(self, key, **named):
        return self.client.delete(self.kv(key), **named)

    def list(self, **parameters):
        query = "&".join(f"{quote(name)}={quote(str(value))}" for name, value in parameters.items())
        return self.client.get(f"{self.path}/kv" + (f"?{query}" if query else ""))

    def txn(self, do=None, checks=None, **named):
        body = {}
        if checks is not None:
            body["if"] = checks
        if do is not None:
            body["do"] = do
        return self.client.post(f"{self.path}/txn", json=body, **named)

    def info(self, **named):
        return self.client.get(self.path, **named)

    def destroy(self, **named):
        return self.client.delete(self.path, **named)


class Event:
    def __init__(self, name, event_id, data):
        self.name, self.id, self.data = name, event_id, data

    def __repr__(self):
        return f"<{self.name} {self.id} {self.data}>"


class Events:
    """A stream of server-sent events, on a connection of its own."""

    def __init__(self, path, url, receive_bytes=None, last_event_id=None, ca=None, source=None, token=None,
                 **parameters):
        parts = urllib.parse.urlsplit(url)
        query = "&".join(f"{quote(name)}={quote(str(value))}" for name, value in parameters.items())
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT_SECONDS)
        if receive_bytes is not None:  # before the window is agreed on
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source is not None:  # another address of this machine
            self.socket.bind((source, 0))
        self.socket.connect((parts.hostname, parts.port))
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            self.socket = context.wrap_socket(self.socket, server_hostname=parts.hostname)
        head = f"GET {path}?{query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        if token is not None:
            head += f"Authorization: Bearer {token}\r\n"
        if last_event_id is not None:
            head += f"Last-Event-ID: {last_event_id}\r\n"
        self.socket.sendall(head.encode() + b"\r\n")
        self.response = http.client.HTTPResponse(self.socket)
        self.response.begin()
        self.status = self.response.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.response.close()
        self.socket.close()

    def next(self):
        """The next event; None where the stream has ended."""
        name = event_id = data = None
        while True:
            line = self.response.readline()
            if not line:
                return None
            line = line.rstrip(b"\n").decode()
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "id":
                event_id = value
            elif field == "data":
                data = json.loads(value)
            elif not line and name is not None:
                return Event(name, event_id, data)

    def joined(self):
        """Waits for the comment with which a stream begins: it watches from here on."""
        assert self.response.readline() == b":\n"
        return self

    def take(self, count):
        return [self.next() for _ in range(count)]


class Watch(Events):
    """The events of one actor."""

    def __init__(self, actor, url, **named):
        super().__init__(f"{actor.path}/watch", url, **named)


def expect_problem(answer, status, code, retryable=False, maybe_applied=False):
    """The whole of RFC 9457 as the contract has it; returns the document."""
    assert answer.status == status, answer
    assert answer.type == "application/problem+json", answer
    doc = answer.json
    assert doc["type"] == "about:blank", doc
    assert isinstance(doc["title"], str) and doc["title"], doc
    assert doc["status"] == status, doc
    assert isinstance(doc["detail"], str) and doc["detail"], doc
    assert doc["code"] == code, doc
    assert doc["retryable"] is retryable, doc
    assert doc["maybe_applied"] is maybe_applied, doc
    assert set(doc) <= {"type", "title", "status", "detail", "code", "retryable", "maybe_applied",
                        "limit", "failed", "file", "line", "column", "name", "message", "stack"}, doc
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) > 0, answer
    if code in ("too_large", "rate_limited", "overloaded", "storage_full"):
        assert set(doc["limit"]) == {"name", "value"}, doc
        assert isinstance(doc["limit"]["name"], str) and isinstance(doc["limit"]["value"], int), doc
    return doc


# Bytes on the wire


def connect(url, timeout=TIMEOUT_SECONDS):
    parts = urllib.parse.urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=timeout)


def read_answer(stream, method="GET"):
    """The next answer of a binary file made of a socket; None at its end."""
    line = stream.readline()
    if not line:
        return None
    version, status, _ = line.split(b" ", 2)
    assert version == b"HTTP/1.1", line
    headers = http.client.parse_headers(stream)
    status = int(status)
    if method == "HEAD" or status in (204, 304) or status < 200:
        return Answer(status, headers, b"")
    return Answer(status, headers, stream.read(int(headers["content-length"])))


def exchange(url, request, methods=("GET",)):
    """Sends these bytes and reads one answer for each method; then the connection is dropped."""
    with connect(url) as s:
        s.sendall(request)
        with s.makefile("rb") as stream:
            return [read_answer(stream, method) for method in methods]


def wait_until(condition, seconds=30, what="it"):
    """For what the contract gives a time to, and no event to wait for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)
