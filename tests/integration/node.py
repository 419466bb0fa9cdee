"""A dormoused of one's own: started on a free port, watched, killed and started again."""

import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time

from client import Client

START_SECONDS = 60
STOP_SECONDS = 60
# Freed blocks that the address sanitizer holds back count as memory of the node: 256 MB by default.
SMALL_QUARANTINE = "quarantine_size_mb=16"
# Folders of tests are of the user that runs them: a node that root starts does not become another.
SAME_USER = {"DORMOUSE_USER": "root"}
# A sanitizer's report, or one of our own broken invariants: the program was wrong, whatever it
# answered.
REPORTS = re.compile(
    r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|invariant|precondition)", re.I)


def program():
    """The binary under test."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    builddir = os.environ.get("top_builddir", os.path.join(root, "build"))
    return os.path.abspath(os.environ.get("DORMOUSED") or os.path.join(builddir, "dormoused"))


def built_program(name):
    """Another program of the build that is tested, by its path in it."""
    return os.path.join(os.path.dirname(program()), name)


def further_arguments():
    """Flags that every node of the run gets, from DORMOUSED_ARGS; a test's own flags win."""
    return shlex.split(os.environ.get("DORMOUSED_ARGS", ""))


class Node:
    """One node on one data directory; `options` are further flags of the command line, `ca` is what its
    certificate is checked against where it speaks TLS, `environment` what it has beyond ours, `binary` a
    program in place of dormoused."""

    def __init__(self, data, options=(), ca=None, environment=None, starts=True, binary=None):
        self.data = str(data)
        self.options = list(options)
        self.ca = ca
        self.environment = dict(environment or {})
        self.binary = binary or program()
        self.stderr_path = self.data + ".stderr"
        self.process = None
        self.url = None
        self.start_seconds = None  # of the last start, until it was ready
        self._client = None
        if starts:
            self.start()

    def start(self):
        assert self.process is None
        began = time.monotonic()
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                env={"ASAN_OPTIONS": SMALL_QUARANTINE, **SAME_USER, **os.environ, **self.environment})
        line = self._first_line(began + START_SECONDS)
        self.start_seconds = time.monotonic() - began
        ready = json.loads(line)
        assert ready["event"] == "ready" and ready["pid"] == self.process.pid, ready
        self.ready = ready
        self.url = ready["url"]

    def _first_line(self, deadline):
        line = b""
        fd = self.process.stdout.fileno()
        while not line.endswith(b"\n"):
            if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
                self.kill9()
                raise AssertionError(f"not ready within {START_SECONDS} s:\n{self.stderr}")
            piece = os.read(fd, 4096)
            if not piece:
                status = self.process.wait()
                self._ended()
                raise AssertionError(f"ended with {status} before it was ready:\n{self.stderr}")
            line += piece
        return line

    def _ended(self):
        self.process.stdout.close()
        self.process = None
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def command(self):
        return [self.binary, "--data", self.data, "--listen", "127.0.0.1:0", *further_arguments(),
                *self.options]

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    @property
    def stderr(self):
        with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    @property
    def client(self):
        """A connection that is kept; for one thread."""
        if self._client is None:
            self._client = Client(self.url, ca=self.ca)
        return self._client

    def kill9(self):
        self.process.kill()
        self.process.wait()
        self._ended()

    def stop(self):
        """SIGTERM; the program must end by itself, with 0."""
        self.ask_to_stop()
        self.await_end()

    def ask_to_stop(self):
        if self._client is not None:
            self._client.close()  # it would be waited for
        self.process.send_signal(signal.SIGTERM)

    def await_end(self):
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(f"did not stop within {STOP_SECONDS} s:\n{self.stderr}") from None
        self._ended()
        assert status == 0, f"stopped with {status}:\n{self.stderr}"
        self.check()

    def check_data(self):
        """The stopped node's data passes --check; what a crash leaves is a note."""
        run = subprocess.run([program(), "--check", self.data], capture_output=True, text=True, check=False)
        assert run.returncode == 0 and " 0 problems in " in run.stdout, run

    def restart(self, kill=False):
        if kill:
            self.kill9()
        else:
            self.stop()
        self.start()

    def check(self):
        """Fails where the program crashed or reported a mistake of its own."""
        if self.process is not None and self.process.poll() is not None:
            status = self.process.returncode
            self._ended()
            raise AssertionError(f"ended by itself with {status}:\n{self.stderr}")
        found = REPORTS.search(self.stderr)
        assert not found, f"reported a mistake:\n{self.stderr}"

    def finish(self):
        """The end of a test: it still runs, or was stopped; then it stops as it should."""
        try:
            self.check()
            if self.process is not None:
                self.stop()
        finally:
            if self.process is not None:
                self.kill9()

    def discard(self):
        """The data of a test that went well: a node with many workers has gigabytes of logs."""
        shutil.rmtree(self.data, ignore_errors=True)  # a test may have removed it

    def cpu_seconds(self):
        """That the process has used so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self, field="RssAnon"):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise KeyError(field)
