"""A dormouse-egress of one's own, at the other end of its channel, and servers for it to ask."""

import ctypes
import fcntl
import os
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

from node import program
from pack import pack, unpack

DEADLINE_SECONDS = 30
FETCH, HEAD, CHUNK, CREDIT, FAIL, CANCEL, RECORD, HELLO = range(1, 9)
WINDOW = 256 * 1024


def egress_program():
    return os.path.join(os.path.dirname(program()), "dormouse-egress")


class Response:
    """What came for one id."""

    def __init__(self):
        self.status = self.text = self.fields = self.url = self.redirected = None
        self.body = bytearray()
        self.ended = False
        self.error = None  # of FAIL
        self.records = []

    @property
    def code(self):
        return self.error and self.error["code"]

    def field(self, name):
        return [v for n, v in self.fields if n.lower() == name]


class Egress:
    def __init__(self, *options, environment=None):
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [egress_program(), "--channel", str(theirs.fileno()), *options],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                env={**os.environ, **(environment or {})})
        self.responses = {}
        self.next_id = 1
        self.layers = None
        self.partial = bytearray()
        self.read()  # HELLO

    def close(self):
        self.channel.close()
        self.process.stderr.close()
        return self.process.wait(DEADLINE_SECONDS)

    # frames

    def send_bytes(self, data):
        self.channel.sendall(data)

    def send(self, frame):
        data = pack(frame)
        self.send_bytes(struct.pack("<I", len(data)) + data)

    def read(self, seconds=DEADLINE_SECONDS):
        """The next frame, which is also told to its response; None where there is none, "" at the end."""
        deadline = time.monotonic() + seconds
        while len(self.partial) < 4 or len(self.partial) < 4 + struct.unpack_from("<I", self.partial)[0]:
            if not select.select([self.channel], [], [], max(0, deadline - time.monotonic()))[0]:
                return None
            piece = self.channel.recv(1 << 16)
            if not piece:
                return ""
            self.partial += piece
        end = 4 + struct.unpack_from("<I", self.partial)[0]
        frame = unpack(bytes(self.partial[4:end]))
        del self.partial[:end]
        self._tell(frame)
        return frame

    def _tell(self, frame):
        kind, number, *rest = frame
        if kind == HELLO:
            self.layers = rest[0]
            return
        r = self.responses[number]
        assert not r.ended, frame
        if kind == HEAD:
            assert r.status is None
            r.status, r.text, r.fields, r.url, r.redirected = rest
        elif kind == CHUNK:
            assert r.status is not None and len(rest[0]) <= 64 * 1024
            r.body += rest[0]
            r.ended = rest[1]
        elif kind == FAIL:
            r.error, r.ended = rest[0], True
        else:
            assert kind == RECORD
            r.records.append(rest[0])

    # requests

    def begin(self, url, method="GET", headers=(), body=None, ns="app", redirect="follow", allow=("*",),
              any_port=True, allow_private=True, limit=64 << 20, ms=DEADLINE_SECONDS * 1000):
        number, self.next_id = self.next_id, self.next_id + 1
        self.responses[number] = Response()
        self.send([FETCH, number, {
            "ns": ns, "class": "Agent", "actor": "a", "method": method, "url": url,
            "headers": [list(h) for h in headers], "body": body, "redirect": redirect,
            "allow": list(allow), "any_port": any_port, "allow_private": allow_private,
            "bytes": limit, "ms": ms}])
        return number

    def credit(self, number, count):
        self.send([CREDIT, number, count])

    def finish(self, *numbers, credit=True):
        """Reads until these have ended; what came is credited, as by one who reads at once."""
        left = {n for n in numbers if not self.responses[n].ended}
        while left:
            frame = self.read()
            assert frame, f"nothing came for {left}: {frame!r}"
            if credit and frame[0] == CHUNK and frame[1] in left and frame[2] and not frame[3]:
                self.credit(frame[1], len(frame[2]))
            if self.responses[frame[1]].ended:
                left.discard(frame[1])
        return [self.responses[n] for n in numbers]

    def fetch(self, url, **options):
        return self.finish(self.begin(url, **options))[0]

    def status(self, name):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith(name + ":"):
                    return line.split()[1]
        raise KeyError(name)


class Request:
    def __init__(self, method, target, fields, body):
        self.method, self.target, self.fields, self.body = method, target, fields, body

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name]

    def one(self, name):
        values = self.all(name)
        assert len(values) <= 1, values
        return values[0] if values else None


def answer(body=b"", status="200 OK", fields=(), length=True):
    """The bytes of a response."""
    lines = [f"HTTP/1.1 {status}", *(f"{n}: {v}" for n, v in fields)]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Upstream:
    """`handler(request)` gives the bytes of a response, several pieces of it, or None: the connection ends
    without one. `requests` are all that came, `connections` how many."""

    def __init__(self, handler, certificates=None, host="127.0.0.1", listener=None):
        self.handler = handler
        self.requests = []
        self.connections = 0
        self.open_connections = 0
        self.sent = 0
        self.lock = threading.Lock()
        self.listener = listener or socket.create_server((host, 0))
        self.host = host
        self.port = self.listener.getsockname()[1]
        self.tls = None
        if certificates is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificates.cert, certificates.key)
        self.scheme = "https" if self.tls else "http"
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path="/", host=None):
        return f"{self.scheme}://{host or self.host}:{self.port}{path}"

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open_connections += 1
            threading.Thread(target=self._serve, args=[conn], daemon=True).start()

    def _serve(self, conn):
        try:
            with conn:
                if self.tls:
                    conn = self.tls.wrap_socket(conn, server_side=True)
                with conn, conn.makefile("rb") as lines:
                    while self._exchange(conn, lines):
                        pass
        except OSError:
            pass
        finally:
            with self.lock:
                self.open_connections -= 1

    def _exchange(self, conn, lines):
        first = lines.readline()
        if not first:
            return False
        method, target, _ = first.decode("latin-1").split(" ", 2)
        fields = []
        while (line := lines.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name, value.strip()))
        request = Request(method, target, fields, b"")
        request.body = lines.read(int(request.one("content-length") or 0))
        if request.one("transfer-encoding") == "chunked":
            while size := int(lines.readline(), 16):
                request.body += lines.read(size)
                lines.readline()
            lines.readline()
        with self.lock:
            self.requests.append(request)
        reply = self.handler(request)
        if reply is None:
            return False
        for piece in [reply] if isinstance(reply, bytes) else reply:
            conn.sendall(piece)
            with self.lock:
                self.sent += len(piece)
        return isinstance(reply, bytes)


# A network of a test's own

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8914, 0x8916, 1
PUBLIC = "203.0.113.7"  # TEST-NET-3: nobody's, and so not private either


def in_own_network(function):
    """Runs it in a thread with a network of its own, in which PUBLIC is this machine's; needs root. Sockets and
    processes made there stay in it."""
    result = []

    def run():
        if _libc.unshare(CLONE_NEWNET) != 0:
            result.append(OSError(ctypes.get_errno(), "unshare"))
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
            address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(PUBLIC))
            fcntl.ioctl(s, SIOCSIFADDR, struct.pack("16s16s", b"lo:1", address))
        result.append(function())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]
