"""The isolate program of one's own: a zygote, its children, and frames with them.

    with Zygote() as zygote:
        child = zygote.spawn()
        child.run("1 + 1")

Children of the default prelude (tests/lib/isolate_prelude.js) speak JSON; `frame` and `next_frame` take bytes,
for a prelude that speaks msgpack.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time

SPAWN, SPAWNED, EXITED, HELLO = 1, 2, 3, 4
LAYERS = ["USERNS", "NETNS", "MOUNTNS", "PIDNS", "IPCNS", "UTSNS", "SECCOMP", "LANDLOCK", "RLIMIT"]
WAIT_SECONDS = 60
MB = 1 << 20

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
builddir = os.path.abspath(os.environ.get("top_builddir", os.path.join(root, "build")))
PRELUDE = os.path.join(root, "tests/lib/isolate_prelude.js")


def without(call):
    """A wrapper for a zygote: for it, that system call fails."""
    return [os.path.join(builddir, "tests/lib/without"), call]


class Zygote:
    """`prelude` None: the program's own."""

    def __init__(self, program="dormouse-isolate", prelude=PRELUDE, options=(), wrapper=()):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(WAIT_SECONDS)
        command = [*wrapper, os.path.join(builddir, program), "--control", str(theirs.fileno())]
        if prelude is not None:
            command += ["--prelude", prelude]
        self.process = subprocess.Popen([*command, *options], pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)
        theirs.close()
        self.children = {}
        self.next_tag = 1
        kind, layers, error, _, text = struct.unpack("=IIiI256s", self._packet()[0])
        assert kind == HELLO
        self.layers = {name for bit, name in enumerate(LAYERS) if layers & 1 << bit}
        self.error = error
        self.text = text.split(b"\0")[0].decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends it; what it wrote to standard error."""
        self.control.close()
        for child in self.children.values():
            child.channel.close()
            if child.pidfd >= 0:
                os.close(child.pidfd)
        _, stderr = self.process.communicate(timeout=WAIT_SECONDS)
        return stderr.decode()

    def _packet(self):
        data, fds, flags, _ = socket.recv_fds(self.control, 4096, 4)
        assert data and not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        return data, fds

    def request(self, tag, memory=128 * MB, cpu=0, flags=0, fds=()):
        socket.send_fds(self.control, [struct.pack("=IIQII", SPAWN, tag, memory, cpu, flags)], fds)

    def spawn(self, memory=128 * MB, cpu=0, flags=0, is_ready=True):
        """A child, after its READY unless told otherwise."""
        ours, theirs = socket.socketpair()
        tag = self.next_tag
        self.next_tag += 1
        self.request(tag, memory, cpu, flags, [theirs.fileno()])
        theirs.close()
        child = Child(self, tag, ours)
        self.children[tag] = child
        while child.error is None:
            self._take()
        if is_ready and child.error == 0:
            ready = child.next_frame()
            assert ready, f"not ready: {child.wait()}"
        return child

    def _take(self):
        data, fds = self._packet()
        kind, tag = struct.unpack_from("=II", data)
        child = self.children.get(tag)
        if kind == SPAWNED:
            _, _, child.inner_pid, child.error, self.children_count, _ = struct.unpack("=IIiiII", data)
            child.pidfd = fds[0] if fds else -1
        elif kind == EXITED:
            _, _, child.status, _, child.cpu_us, child.peak_bytes = struct.unpack("=IIiIQQ", data)
        else:
            raise AssertionError(kind)


class Child:
    def __init__(self, zygote, tag, channel):
        self.zygote = zygote
        self.tag = tag
        self.channel = channel
        self.channel.settimeout(WAIT_SECONDS)
        self.error = None
        self.status = None
        self.pidfd = -1
        self.buffer = b""
        self.next_id = 1

    @property
    def pid(self):
        with open(f"/proc/self/fdinfo/{self.pidfd}") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Pid:"))

    def close(self):
        """Closes its channel; its status once it has ended."""
        self.channel.close()
        status = self.wait()
        os.close(self.pidfd)
        del self.zygote.children[self.tag]
        return status

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def wait(self):
        """Its status once it has ended, as waitpid gives it."""
        while self.status is None:
            self.zygote._take()
        return self.status

    def frame(self, data):
        self.channel.sendall(struct.pack("<I", len(data)) + data)

    def next_frame(self):
        """None: the channel is closed."""
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack_from("<I", self.buffer)[0]:
            try:
                piece = self.channel.recv(1 << 20)
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            self.buffer += piece
        size = struct.unpack_from("<I", self.buffer)[0]
        frame, self.buffer = self.buffer[4:4 + size], self.buffer[4 + size:]
        return frame

    def start(self, source, url="test.js"):
        """Sends code of the test prelude; its number."""
        self.next_id += 1
        self.frame(json.dumps([256, self.next_id, source, url]).encode())
        return self.next_id

    def answer(self):
        """The next JSON frame; None: the channel is closed."""
        frame = self.next_frame()
        return None if frame is None else json.loads(frame)

    def run(self, source, url="test.js"):
        """Evaluates a script; its value. An exception is an AssertionError."""
        number = self.start(source, url)
        kind, id_, went_well, value = self.answer()
        assert (kind, id_) == (257, number)
        assert went_well, value
        return value

    def thrown(self, source, url="test.js"):
        number = self.start(source, url)
        kind, id_, went_well, value = self.answer()
        assert (kind, id_, went_well) == (257, number, False), value
        return value
