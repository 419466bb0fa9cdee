"""A sandbox's network without the sandbox: a namespace with the sockets that the launcher makes, clients in it, and
a dormouse-egress with upstreams in another one, where names are what a test says. Needs root."""

import array
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading

from egress import CLONE_NEWNET, PUBLIC, RECORD, SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP, Egress, Upstream
from node import SMALL_QUARANTINE
from pack import pack

OPEN, RULES, CLOSE, CA = 9, 10, 11, 12
TRANSPARENT = "198.18.0.1"
PROXY = "http://127.0.0.1:3128"
CLONE_NEWNS, CLONE_FS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x200, 4096, 16384, 1 << 18
TRUST = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"]

_libc = ctypes.CDLL(None, use_errno=True)


def _check(rc):
    if rc != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def make_ca(directory):
    """(certificate, key) as text."""
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", f"{directory}/ca.key", "-out", f"{directory}/ca.pem", "-days", "30",
                    "-subj", "/CN=test egress", "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
                    "-addext", "keyUsage=critical,keyCertSign"], check=True, capture_output=True)
    with open(f"{directory}/ca.pem", encoding="ascii") as c, open(f"{directory}/ca.key", encoding="ascii") as k:
        return c.read(), k.read()


class Outside:
    """The network of the broker: PUBLIC is this machine's, and /etc/hosts what `hosts` says."""

    def __init__(self, directory, hosts):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        with open(f"{self.directory}/hosts", "w", encoding="ascii") as f:
            f.write("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in hosts.items()))
        os.chmod(f"{self.directory}/hosts", 0o644)
        self.jobs, self.ready = [], threading.Condition()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        self.run(lambda: None)

    def _enter(self):
        _check(_libc.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_FS))
        _check(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        _check(_libc.mount(f"{self.directory}/hosts".encode(), b"/etc/hosts", None, MS_BIND, None))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
            address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(PUBLIC))
            fcntl.ioctl(s, SIOCSIFADDR, struct.pack("16s16s", b"lo:1", address))

    def _serve(self):
        try:
            self._enter()
            error = None
        except OSError as e:
            error = e
        while True:
            with self.ready:
                self.ready.wait_for(lambda: self.jobs)
                function, result = self.jobs.pop()
            if function is None:
                return
            try:
                if error is not None:
                    raise error
                result.append((function(), None))
            except Exception as e:  # told to who asked
                result.append((None, e))
            with self.ready:
                self.ready.notify_all()

    def run(self, function):
        result = []
        with self.ready:
            self.jobs.append((function, result))
            self.ready.notify_all()
            self.ready.wait_for(lambda: result)
        if result[0][1] is not None:
            raise result[0][1]
        return result[0][0]

    def upstream(self, handler, port, certificates=None, address=PUBLIC):
        listener = self.run(lambda: socket.create_server((address, port)))
        return Upstream(handler, certificates=certificates, host=address, listener=listener)

    def egress(self, *options):
        return self.run(lambda: Egress(*options, environment={"ASAN_OPTIONS": SMALL_QUARANTINE}))

    def close(self):
        with self.ready:
            self.jobs.append((None, None))
            self.ready.notify_all()


class Inside:
    """A sandbox's network: only `lo`, with the transparent address; names are asked of 127.0.0.1."""

    def __init__(self, directory):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        for name, text in [("resolv.conf", "nameserver 127.0.0.1\n"), ("hosts", "127.0.0.1 localhost\n")]:
            with open(f"{self.directory}/{name}", "w", encoding="ascii") as f:
                f.write(text)
        script = (f"mount --bind {self.directory}/resolv.conf /etc/resolv.conf && "
                  f"mount --bind {self.directory}/hosts /etc/hosts && "
                  f"ip link set lo up && ip addr add {TRANSPARENT}/32 dev lo && echo ready && exec cat")
        self.holder = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c", script], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n"
        self.sockets = self._in_network(self._make_sockets)

    def _in_network(self, function):
        result = []

        def run():
            with open(f"/proc/{self.holder.pid}/ns/net", "rb") as ns:
                _check(_libc.setns(ns.fileno(), CLONE_NEWNET))
            try:
                result.append(function())
            except OSError as e:
                result.append(e)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if isinstance(result[0], OSError):
            raise result[0]
        return result[0]

    @staticmethod
    def _make_sockets():
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", 53))
        return [socket.create_server(("127.0.0.1", 3128)), socket.create_server((TRANSPARENT, 80)),
                socket.create_server((TRANSPARENT, 443)), names]

    def command(self, *arguments):
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", *map(str, arguments)]

    def run(self, *arguments, environment=None, ok=True, seconds=60, **more):
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.directory, **(environment or {})}
        done = subprocess.run(self.command(*arguments), env=clean, capture_output=True, timeout=seconds, check=False,
                              cwd="/", **more)
        assert not ok or done.returncode == 0, done
        return done

    def connect(self, address, port):
        return self._in_network(lambda: socket.create_connection((address, port), timeout=30))

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(30)
        for s in self.sockets:
            s.close()


class Box:
    """A sandbox of a broker: its rules, the records of its requests, and clients in it."""

    def __init__(self, egress, inside, rules, secrets=None, allow_private=False, ca=None):
        self.egress, self.inside, self.ca = egress, inside, ca
        self.number, egress.next_id = egress.next_id, egress.next_id + 1
        self.records = []
        egress.boxes = getattr(egress, "boxes", {})
        egress.boxes[self.number] = self
        egress.responses[self.number] = self  # where records are told
        self.ended = False
        document = {"ns": "app", "class": "Agent", "actor": "a", "sandbox": "dev",
                    **self.rules_of(rules, secrets, allow_private)}
        data = pack([OPEN, self.number, document])
        fds = array.array("i", [s.fileno() for s in inside.sockets])
        egress.channel.sendmsg([struct.pack("<I", len(data)) + data],
                               [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])

    @staticmethod
    def rules_of(rules, secrets, allow_private):
        return {"rules": rules, "secrets": {n: v.encode() for n, v in (secrets or {}).items()},
                "allow_private": allow_private}

    def set_rules(self, rules, secrets=None, allow_private=False):
        self.egress.send([RULES, self.number, self.rules_of(rules, secrets, allow_private)])

    def close(self):
        self.egress.send([CLOSE, self.number])

    def record(self, **expected):
        """The next one, of which these members are so."""
        while not self.records:
            frame = self.egress.read()
            assert frame and frame[0] == RECORD, frame
        record = self.records.pop(0)
        assert {**record, **expected} == record
        return record

    @property
    def trust(self):
        return {name: self.ca for name in TRUST}

    def curl(self, url, *options, proxy=False, ok=True):
        """(status, body, headers as text)"""
        via = ["--proxy", PROXY] if proxy else []
        done = self.inside.run("curl", "-sS", "-i", "--max-time", "40", *via, *options, url, environment=self.trust,
                               ok=ok)
        return Result(done)


class Result:
    def __init__(self, done):
        self.code, self.stderr = done.returncode, done.stderr.decode()
        rest = done.stdout
        self.heads = []
        while rest.startswith(b"HTTP/"):
            head, _, rest = rest.partition(b"\r\n\r\n")
            self.heads.append(head.decode("latin-1"))
        self.body = rest
        self.status = int(self.heads[-1].split()[1]) if self.heads else None

    def __repr__(self):
        return f"<{self.code} {self.status} {self.heads} {self.body[:300]} {self.stderr}>"
