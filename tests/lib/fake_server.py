"""A server for client tests: a small store that can be told to misbehave.

    with FakeServer() as server:
        server.script(problem(503, "unavailable", retry_after=1))   # answers the next request
        server.script(Reset())                                      # then one that is cut off
        ...                                                         # from then on it is a store
        assert server.requests[0].headers["idempotency-key"]

A scripted step answers exactly one request, whichever comes next; `when` narrows it to requests
whose "METHOD path" contains a text. Without a step the store answers: enough of API.md for a
client, kept in memory, with idempotency records, so that "acted once" can be seen.
"""
import http.server
import json
import socket
import struct
import threading
import time
import urllib.parse


class Answer:
    """What to send. `cut`: so many bytes of the body, then the connection breaks."""

    def __init__(self, status=200, body=b"", headers=None, delay_s=0.0, cut=None, when=""):
        self.status, self.body, self.headers = status, body, dict(headers or {})
        self.delay_s, self.cut, self.when = delay_s, cut, when


class Reset(Answer):
    """The connection is reset; with `apply` after the store has acted."""

    def __init__(self, apply=False, when=""):
        super().__init__(when=when)
        self.apply = apply


class Slow(Answer):
    """The store acts and answers, late."""

    def __init__(self, delay_s, when=""):
        super().__init__(delay_s=delay_s, when=when)


class Stream(Answer):
    """An event stream: chunks of text, then the connection breaks, or stays open."""

    def __init__(self, *chunks, stay_open=False):
        super().__init__(when="/watch")
        self.chunks, self.stay_open = chunks, stay_open


def document(value, status=200, headers=None, when=""):
    return Answer(status, json.dumps(value).encode(),
                  {"Content-Type": "application/json", **(headers or {})}, when=when)


def problem(status, code, detail="scripted", retryable=None, maybe_applied=False,
            retry_after=None, when="", **more):
    if retryable is None:
        retryable = status in (429, 503, 504, 507)
    body = {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code,
            "retryable": retryable, "maybe_applied": maybe_applied, **more}
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Answer(status, json.dumps(body).encode(), headers, when=when)


def pack(value):
    """msgpack, as far as answers need it."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xd3" + struct.pack(">q", value) if value < 0 else b"\xcf" + struct.pack(">Q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\xdb" + struct.pack(">I", len(text)) + text
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(pack(v) for v in value)
    return (b"\xdf" + struct.pack(">I", len(value)) +
            b"".join(pack(k) + pack(v) for k, v in value.items()))


class Request:
    def __init__(self, handler, body):
        self.method, self.target = handler.command, handler.path
        self.path, _, query = handler.path.partition("?")
        self.query = {k: v[0] for k, v in urllib.parse.parse_qs(query, True).items()}
        self.headers = {k.lower(): v for k, v in handler.headers.items()}
        self.body, self.at = body, time.monotonic()
        self.connection = handler.client_address
        self.segments = [urllib.parse.unquote(s) for s in self.path.split("/")[1:]]


class Cluster:
    """Members, and shards that move from one to another: one at each look at the cluster."""

    def __init__(self):
        self.members = [{"id": 1, "address": "127.0.0.1:7421", "state": "up"}]
        self.shards = [{"id": 0, "leader": 1, "replicas": [1], "lag": 0}]
        self.busy = {}  # member -> what is taken from it: "leader" or "replicas"

    def grow(self, members, shards):
        self.members = [{"id": n, "address": f"h{n}:7420", "state": "up", "peer": f"h{n}:7421"}
                        for n in range(1, members + 1)]
        self.shards = [{"id": s, "leader": s % members + 1, "replicas": list(range(1, members + 1)), "lag": s}
                       for s in range(shards)]

    def move_one(self):
        for member, what in self.busy.items():
            others = [m["id"] for m in self.members if m["id"] != member and m["state"] == "up"]
            for shard in self.shards:
                if shard["leader"] == member and others:
                    shard["leader"] = others[0]
                    return
                if what == "replicas" and member in shard["replicas"]:
                    shard["replicas"].remove(member)
                    return

    def answer(self, request, rest):
        if rest == []:
            self.move_one()
            return document({"members": self.members, "shards": self.shards})
        if rest == ["join-tokens"]:
            ttl_ms = json.loads(request.body).get("ttl_ms") if request.body else 3600000
            return document({"token": "dm_join", "expires": 1800000000000 + ttl_ms}, 201)
        member = next((m for m in self.members if [str(m["id"])] == rest[1:2]), None)
        if member is None:
            return problem(404, "no_such_member")
        if request.method == "DELETE":
            self.members.remove(member)
            self.busy[member["id"]] = "replicas"
        elif rest[2:] == ["drain"]:
            member["state"] = "draining"
            self.busy[member["id"]] = "leader"
        else:
            member["state"] = "up"
            self.busy.pop(member["id"], None)
        return Answer(204)


class Store:
    """One node, no durability."""

    def __init__(self):
        self.lock = threading.Lock()
        self.actors = {}  # (ns, class, id) -> {key: (version, content type, bytes)}
        self.timers = {}
        self.steps = {}
        self.records = {}  # idempotency: (actor, key) -> answer
        self.version = 0
        self.applied = 0  # writes that took effect
        self.cluster = Cluster()

    def answer(self, request):
        segments = request.segments
        if request.path in ("/healthz", "/readyz"):
            return Answer(200, b"ok", {"Content-Type": "text/plain"})
        if segments[:3] == ["admin", "v1", "cluster"]:
            with self.lock:
                return self.cluster.answer(request, segments[3:])
        if segments[:3] == ["admin", "v1", "namespaces"] and segments[4:] == ["actors"]:
            return self.list_actors(request, segments[3])
        if segments[0] != "v1" or len(segments) < 4:
            return problem(404, "not_found")
        with self.lock:
            return self.once(request, tuple(segments[1:4]), segments[4:])

    def once(self, request, actor, rest):
        key = request.headers.get("idempotency-key")
        seen = self.records.get((actor, key)) if key else None
        if seen is not None:
            if seen[0] != (request.method, request.target, request.body):
                return problem(422, "idempotency_mismatch")
            first = seen[1]
            return Answer(first.status, first.body,
                          {**first.headers, "Idempotency-Replayed": "true"})
        answer = self.act(request, actor, rest)
        if key and (answer.status < 300 or answer.status in (409, 412)):
            self.records[(actor, key)] = ((request.method, request.target, request.body), answer)
        return answer

    def act(self, request, actor, rest):
        if rest == []:
            return self.whole(request, actor)
        if rest == ["hibernate"]:
            return Answer(204)
        if rest == ["kv"]:
            return self.list(request, self.actors.get(actor, {}))
        if rest == ["txn"]:
            return self.txn(request, actor)
        handler = {"kv": self.kv, "timers": self.timer, "steps": self.step}.get(rest[0])
        return handler(request, actor, rest[1:]) if handler else problem(404, "not_found")

    def whole(self, request, actor):
        if request.method == "DELETE":
            self.applied += 1
            self.actors.pop(actor, None)
            return Answer(204)
        rows = self.actors.get(actor)
        return document({"namespace": actor[0], "class": actor[1], "id": actor[2],
                         "exists": rows is not None, "state": "awake", "shard": 0, "owner": 1,
                         "version": self.version if rows is not None else None,
                         "keys": len(rows or {}), "bytes": 0, "alarm": None})

    def write(self, actor, key, content_type, body):
        self.version += 1
        self.applied += 1
        self.actors.setdefault(actor, {})[key] = (self.version, content_type, body)
        return self.version

    def kv(self, request, actor, rest):
        key, rows = rest[0], self.actors.get(actor, {})
        version = rows.get(key, (0,))[0]
        match = request.headers.get("if-match")
        if match and match != '"%d"' % version:
            return problem(412, "version_mismatch")
        if request.headers.get("if-none-match") == "*" and version:
            return problem(412, "version_mismatch")
        if request.method == "PUT":
            content_type = request.headers.get("content-type", "")
            if content_type == "application/json":
                try:
                    json.loads(request.body)
                except ValueError:
                    return problem(400, "bad_request", "not JSON")
            return Answer(204, b"", {"ETag": '"%d"' % self.write(actor, key, content_type,
                                                                  request.body)})
        if request.method == "DELETE":
            self.applied += 1
            existed = rows.pop(key, None) is not None
            return Answer(204, b"", {"Dormouse-Existed": str(existed).lower()})
        if not version:
            return problem(404, "no_such_key")
        if request.headers.get("if-none-match") == '"%d"' % version:
            return Answer(304, b"", {"ETag": '"%d"' % version})
        _, content_type, body = rows[key]
        return Answer(200, body, {"Content-Type": content_type, "ETag": '"%d"' % version})

    def list(self, request, rows):
        q = request.query
        keys = sorted(k for k in rows if k.startswith(q.get("prefix", "")) and
                      k >= q.get("start", "") and k > q.get("startAfter", "") and
                      ("end" not in q or k < q["end"]))
        if q.get("reverse") == "true":
            keys.reverse()
        at = int(q.get("cursor", "0"))
        limit = int(q.get("limit", "100"))
        entries = []
        for key in keys[at:at + limit]:
            entry = {"key": key, "version": rows[key][0]}
            if q.get("values") != "false":
                entry["value"] = json.loads(rows[key][2])
            entries.append(entry)
        more = at + limit < len(keys)
        page = {"entries": entries, "next": str(at + limit) if more else None}
        if request.headers.get("accept") == "application/msgpack":
            return Answer(200, pack(page), {"Content-Type": "application/msgpack"})
        return document(page)

    def txn(self, request, actor):
        body = json.loads(request.body)
        rows = self.actors.setdefault(actor, {})
        for index, check in enumerate(body.get("if", [])):
            version = rows.get(check["key"], (0,))[0]
            if check.get("version", version) != version or \
                    check.get("exists", version > 0) != (version > 0):
                return problem(409, "conflict", failed=index)
        results = []
        for do in body.get("do", []):
            if "put" in do:
                version = self.write(actor, do["put"], "application/json",
                                     json.dumps(do["value"]).encode())
                results.append({"version": version})
            elif "get" in do:
                row = rows.get(do["get"])
                results.append(row and {"value": json.loads(row[2]), "version": row[0]})
        return document({"committed": True, "version": self.version, "results": results})

    def timer(self, request, actor, rest):
        timers = self.timers.setdefault(actor, {})
        if not rest:
            return document({"timers": list(timers.values())})
        name = rest[0]
        if request.method == "PUT":
            timer = {"name": name, **json.loads(request.body)}
            timer.setdefault("at", 1800000000000)
            timers[name] = timer
            return document(timer)
        if name not in timers:
            return problem(404, "no_such_timer")
        if request.method == "DELETE":
            del timers[name]
            return Answer(204)
        return document(timers[name])

    def step(self, request, actor, rest):
        steps = self.steps.setdefault(actor, {})
        if not rest:
            shown = [{k: v for k, v in s.items() if k != "lease"} for s in steps.values()]
            return document({"steps": shown})
        name, body = rest[0], json.loads(request.body)
        step = steps.get(name)
        if request.method == "POST":
            if step is None:
                steps[name] = {"name": name, "state": "running", "attempts": 1,
                               "started": 1800000000000, "ended": None, "lease": "lease-1",
                               "input": body.get("input")}
                return document({"state": "run", "attempt": 1, "lease": "lease-1"})
            if step["state"] == "done":
                return document({"state": "done", "output": step["output"]})
            if step["state"] == "failed":
                return document({"state": "failed", "error": step["error"]})
            return document({"state": "busy", "retry_after_ms": 1500})
        if step is None or step.get("lease") != body["lease"]:
            return problem(409, "lease_lost")
        if "extend_ms" not in body:
            step.update(lease=None, state="done" if "output" in body else "failed",
                        ended=1800000001000)
            step.update({k: body[k] for k in ("output", "error") if k in body})
        return Answer(204)

    def list_actors(self, request, ns):
        q = request.query
        found = sorted((a[1], a[2]) for a in self.actors if a[0] == ns and
                       q.get("class", a[1]) == a[1] and a[2].startswith(q.get("prefix", "")))
        at, limit = int(q.get("cursor", "0")), int(q.get("limit", "100"))
        actors = [{"class": c, "id": i, "state": "awake", "version": 1, "bytes": 10}
                  for c, i in found[at:at + limit]]
        return document({"actors": actors,
                         "next": str(at + limit) if at + limit < len(found) else None})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wfile.flush()
        self.connection.close()
        self.close_connection = True

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self, body)
        fake = self.server.fake
        step = fake.take_step(request)
        if isinstance(step, Stream):
            return self.send_stream(step)
        if isinstance(step, Reset):
            if step.apply:
                fake.store.answer(request)
            return self.reset()
        answer = step
        if step is None or isinstance(step, Slow):
            answer = fake.store.answer(request)
        if step is not None and step.delay_s:
            fake.closing.wait(step.delay_s)
        try:
            self.send(answer)
        except OSError:
            self.close_connection = True

    def send(self, answer):
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(answer.body if answer.cut is None else answer.body[:answer.cut])
        if answer.cut is not None:
            self.reset()

    def send_stream(self, stream):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in stream.chunks:
            self.wfile.write(chunk.encode())
            self.wfile.flush()
        if stream.stay_open:
            self.server.fake.closing.wait(20)
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = handle_any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that went away


class FakeServer:
    def __init__(self, port=0):
        self.port = port
        self.store = Store()
        self.requests = []
        self.steps = []
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def script(self, *steps):
        with self.lock:
            self.steps.extend(steps)

    def take_step(self, request):
        with self.lock:
            self.requests.append(request)
            line = request.method + " " + request.target
            for index, step in enumerate(self.steps):
                if step.when in line:
                    return self.steps.pop(index)
            return None

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def __enter__(self):
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.fake = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
