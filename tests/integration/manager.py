"""A process manager of one's own: the other end of sd_notify(3), and a hand that holds a thread."""

import ctypes
import os
import select
import signal
import socket
import time

DEADLINE_SECONDS = 60

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Manager:
    """Takes messages; each is a dict of its lines. `messages` keeps all that were read."""

    def __init__(self, path, watchdog_ms=None):
        self.path = str(path)
        self.watchdog_seconds = None if watchdog_ms is None else watchdog_ms / 1000
        self.environment = {"NOTIFY_SOCKET": self.path}
        if watchdog_ms is not None:
            self.environment["WATCHDOG_USEC"] = str(watchdog_ms * 1000)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.messages = []

    def close(self):
        self.socket.close()

    def read(self, seconds=DEADLINE_SECONDS):
        """The next message; None if there is none within so long."""
        if not select.select([self.socket], [], [], max(0, seconds))[0]:
            return None
        lines = self.socket.recv(65536).decode().splitlines()
        message = dict(line.split("=", 1) for line in lines)
        self.messages.append(message)
        return message

    def read_all(self):
        """What has come by now."""
        while self.read(0) is not None:
            pass

    def await_field(self, name):
        """The first message from now on that has a field of this name."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            message = self.read(deadline - time.monotonic())
            assert message is not None, f"no {name} within {DEADLINE_SECONDS} s: {self.messages}"
            if name in message:
                return message

    def await_watchdog(self):
        """Returns where systemd would end the node: it has been silent for its whole time-out."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            if self.read(self.watchdog_seconds) is None:
                return
        raise AssertionError(f"never silent for {self.watchdog_seconds} s: {self.messages[-20:]}")


def _ptrace(request, thread, data=None):
    if _libc.ptrace(request, thread, None, data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class HeldThread:
    """with HeldThread(pid, "worker-0"): that thread of a child stands still, the others run."""

    def __init__(self, pid, name):
        self.thread = self._find(pid, name)

    @staticmethod
    def _find(pid, name):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as f:
                if f.read().strip() == name:
                    return int(thread)
        raise LookupError(name)

    def __enter__(self):
        _ptrace(PTRACE_SEIZE, self.thread)
        _ptrace(PTRACE_INTERRUPT, self.thread)
        _, status = os.waitpid(self.thread, WALL)
        assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTRAP, status
        return self

    def __exit__(self, *_):
        _ptrace(PTRACE_DETACH, self.thread)
