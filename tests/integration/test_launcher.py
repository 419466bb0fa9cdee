"""dormouse-launcher: what it starts and with what, who hears of it, and that nothing is left of a node."""

import array
import errno
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import pytest

from client import wait_until
from node import START_SECONDS, STOP_SECONDS, Node, further_arguments, program

HELLO, START, STARTED, EXITED = 1, 2, 3, 4
ISOLATE, EGRESS = 0, 1
IS_ROOT, OTHER_USER, SUBREAPER, NO_NEW_PRIVS = 1, 2, 4, 8
DEADLINE_SECONDS = 30
NOBODY = 65534
BUILD = os.path.dirname(program())

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def is_alive(pid):
    """Runs, and is not only remembered for its parent."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def await_end(*pids):
    for pid in pids:
        wait_until(lambda pid=pid: not is_alive(pid), DEADLINE_SECONDS, f"the end of process {pid}")


class Program:
    """What was started, at the other end of its socket."""

    def __init__(self, channel, reports):
        self.channel, self.reports = channel, reports

    def report(self):
        assert select.select([self.reports], [], [], DEADLINE_SECONDS)[0], "no report"
        data = self.reports.recv(100)
        return struct.unpack("Iiii", data) if data else None

    def line(self):
        data = b""
        while not data.endswith(b"\n"):
            assert select.select([self.channel], [], [], DEADLINE_SECONDS)[0], "no line"
            piece = self.channel.recv(4096)
            assert piece, "it has ended"
            data += piece
        return data.decode().strip()

    def info(self):
        self.channel.send(b"i")
        return dict(part.split("=", 1) for part in self.line().split(" "))

    def fork(self):
        self.channel.send(b"f")
        return int(self.line())


class Launcher:
    """One of our own, in a folder with programs that tell what they were given."""

    def __init__(self, folder, *arguments):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)
        shutil.copy(os.path.join(BUILD, "dormouse-launcher"), self.folder)
        for name in ["dormouse-isolate", "dormouse-egress"]:
            shutil.copy(os.path.join(BUILD, "tests/lib/launched"), os.path.join(self.folder, name))
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [os.path.join(self.folder, "dormouse-launcher"), *arguments],
                preexec_fn=lambda: os.dup2(theirs.fileno(), 3), pass_fds=[3],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.socket.settimeout(DEADLINE_SECONDS)
        kind, self.layers, self.sandbox = struct.unpack("III", self.socket.recv(100))
        assert kind == HELLO

    def send(self, data, *fds):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([data], ancillary)

    def start(self, which=EGRESS):
        mine, theirs = socket.socketpair()
        reports, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, told:
            self.send(struct.pack("II", START, which), theirs.fileno(), told.fileno())
        return Program(mine, reports)

    def close(self):
        self.socket.close()
        status = self.process.wait(DEADLINE_SECONDS)
        self.process.stderr.close()
        return status


@pytest.fixture
def start_launcher():
    """In a folder that any user can reach."""
    launchers = []
    root = tempfile.mkdtemp(prefix="dormouse-launcher-")
    os.chmod(root, 0o755)

    def start(*arguments):
        launchers.append(Launcher(os.path.join(root, str(len(launchers))), *arguments))
        return launchers[-1]

    yield start
    for launcher in launchers:
        launcher.close()
    shutil.rmtree(root)


@pytest.fixture
def launcher(start_launcher):
    return start_launcher()


# What it starts


def test_it_says_first_which_layers_there_are(launcher):
    assert launcher.layers & (SUBREAPER | NO_NEW_PRIVS) == SUBREAPER | NO_NEW_PRIVS
    assert bool(launcher.layers & IS_ROOT) == (os.geteuid() == 0)


@pytest.mark.parametrize("which,name,flag", [(ISOLATE, "dormouse-isolate", "--control"),
                                             (EGRESS, "dormouse-egress", "--channel")])
def test_a_program_gets_its_socket_and_nothing_else(launcher, which, name, flag):
    started = launcher.start(which)
    kind, pid, error, _ = started.report()
    info = started.info()
    assert (kind, error) == (STARTED, 0)
    assert info == {
        "pid": str(pid), "ppid": str(launcher.process.pid), "group": str(pid), "uid": str(os.geteuid()),
        "gid": str(os.getegid()), "fds": "0,1,2,3", "environment": "0", "signals": "0", "name": name,
        "arguments": flag, "nnp": "1", "folder": "/"}


@needs_root
def test_as_root_it_gives_programs_their_user_and_keeps_little(start_launcher):
    launcher = start_launcher("--user", f"{NOBODY}:{NOBODY}")
    assert launcher.layers & (IS_ROOT | OTHER_USER) == IS_ROOT | OTHER_USER
    started = launcher.start()
    _, pid, error, _ = started.report()
    assert error == 0
    info = started.info()
    assert (info["uid"], info["gid"], info["ppid"]) == (str(NOBODY), str(NOBODY), str(launcher.process.pid))

    def capabilities(process):
        with open(f"/proc/{process}/status", encoding="ascii") as f:
            lines = dict(line.split(":\t", 1) for line in f.read().splitlines() if line.startswith("Cap"))
        return {name: int(value, 16) for name, value in lines.items()}

    # kill, setgid, setuid; for sandboxes: chown, dac_override, fowner, sys_ptrace, sys_admin, mknod
    kept = sum(1 << number for number in (5, 6, 7, 0, 1, 3, 19, 21, 27))
    assert capabilities(launcher.process.pid) == {
        "CapInh": 0, "CapPrm": kept, "CapEff": kept, "CapBnd": kept, "CapAmb": 0}
    assert capabilities(pid)["CapEff"] == capabilities(pid)["CapPrm"] == 0
    launcher.close()
    await_end(pid)


def test_a_program_that_is_missing_is_reported(launcher):
    os.remove(os.path.join(launcher.folder, "dormouse-egress"))
    started = launcher.start()
    assert started.report()[::2] == (STARTED, errno.ENOENT)
    assert started.report() is None and started.channel.recv(1) == b""
    assert launcher.start(ISOLATE).report()[2] == 0


@pytest.mark.parametrize("command,status", [(b"e\x07", 7 << 8), (b"e\x00", 0), (b"s", signal.SIGSEGV)])
def test_the_end_of_a_program_is_reported_with_its_status(launcher, command, status):
    started = launcher.start()
    pid = started.report()[1]
    started.channel.send(command)
    assert started.report() == (EXITED, pid, 0, status)
    assert started.report() is None
    assert not os.path.exists(f"/proc/{pid}")


def test_nobody_has_to_listen(launcher):
    mine, theirs = socket.socketpair()
    with theirs:
        launcher.send(struct.pack("II", START, EGRESS), theirs.fileno())
    silent = Program(mine, None)
    pid = int(silent.info()["pid"])
    silent.channel.close()
    await_end(pid)
    deaf = launcher.start()
    pid = deaf.report()[1]
    deaf.reports.close()
    deaf.channel.close()
    await_end(pid)
    assert launcher.start().report()[2] == 0


def test_what_a_program_leaves_behind_ends_with_it(launcher):
    started = launcher.start()
    started.report()
    left = [started.fork() for _ in range(3)]
    started.channel.send(b"e\0")
    assert started.report()[0] == EXITED
    await_end(*left)


# Ends


def test_all_end_with_the_daemon(launcher):
    many = [launcher.start(i % 2) for i in range(20)]
    pids = [p.report()[1] for p in many]
    left = [many[i].fork() for i in range(5)]
    assert launcher.close() == 0
    assert not [pid for pid in pids + left if is_alive(pid)]


def test_all_programs_end_with_a_launcher_that_is_killed(launcher):
    many = [launcher.start() for _ in range(5)]
    pids = [p.report()[1] for p in many]
    launcher.process.kill()
    await_end(*pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_signals_to_all_of_a_service_do_not_end_it_before_the_daemon(launcher, number):
    launcher.process.send_signal(number)
    started = launcher.start()
    pid = started.report()[1]
    assert is_alive(pid) and launcher.process.poll() is None


@pytest.mark.parametrize("data,fds", [(b"x", 1), (struct.pack("II", START, 2), 1), (struct.pack("II", 9, 0), 1),
                                      (struct.pack("II", START, EGRESS), 0),
                                      (struct.pack("II", START, EGRESS), 3),
                                      (struct.pack("III", START, EGRESS, 0), 1)])
def test_nonsense_ends_it_and_all(launcher, data, fds):
    started = launcher.start()
    pid = started.report()[1]
    with socket.socket() as s:
        launcher.send(data, *[s.fileno()] * fds)
    assert launcher.process.wait(DEADLINE_SECONDS) == 0
    assert not is_alive(pid)
    assert b"launcher_heard_nonsense" in launcher.process.stderr.read()


def test_it_is_not_started_by_hand():
    path = os.path.join(BUILD, "dormouse-launcher")
    for arguments in [[], ["--user", "0:0"], ["--user", "x"], ["--help"]]:
        run = subprocess.run([path, *arguments], capture_output=True, check=False, timeout=30)
        assert run.returncode == 2 and b"started by dormoused" in run.stderr
    assert subprocess.run([path, "--version"], capture_output=True, check=True, timeout=30).stdout


# With a daemon


def launcher_of(node):
    """Its only child."""
    with open(f"/proc/{node.pid}/task/{node.pid}/children", encoding="ascii") as f:
        children = f.read().split()
    assert len(children) == 1, children
    with open(f"/proc/{children[0]}/comm", encoding="ascii") as f:
        assert f.read().strip() == "dormouse-launch"  # comm has 15 bytes
    return int(children[0])


def events(node):
    return [json.loads(line) for line in node.stderr.splitlines() if line.startswith("{")]


def test_a_node_has_a_launcher_and_ends_with_it_gone(node):
    pid = launcher_of(node)
    assert [e["pid"] for e in events(node) if e["event"] == "launcher"] == [pid]
    node.stop()
    assert not is_alive(pid)


def test_a_launcher_does_not_survive_a_node_that_is_killed(node):
    pid = launcher_of(node)
    node.kill9()
    await_end(pid)
    node.start()
    assert launcher_of(node) != pid


def test_a_node_whose_launcher_is_killed_hands_over_and_asks_for_a_new_start(node):
    os.kill(launcher_of(node), signal.SIGKILL)
    assert node.process.wait(STOP_SECONDS) == 70
    assert [e for e in events(node) if e["event"] == "launcher_ended"]
    node._ended()
    node.start()
    assert node.client.get("/healthz").status == 200


def test_a_hangup_of_the_terminal_ends_all(start_node):
    node = start_node()
    pid = launcher_of(node)
    os.kill(pid, signal.SIGHUP)
    node.process.send_signal(signal.SIGHUP)
    assert node.process.wait(STOP_SECONDS) == -signal.SIGHUP
    node._ended()
    await_end(pid)


def test_a_node_without_a_launcher_says_so_and_serves(tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(program(), alone)
    process = subprocess.Popen(
        [str(alone / "dormoused"), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0",
         *further_arguments()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert json.loads(process.stdout.readline())["event"] == "ready"
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0 and b"no_launcher" in stderr


@pytest.fixture
def shared_folder():
    """One that every user may enter; pytest's are its own user's."""
    path = tempfile.mkdtemp(prefix="dormouse-user-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@needs_root
@pytest.mark.parametrize("made", [False, True])
def test_a_node_that_root_starts_becomes_its_user(shared_folder, made):
    data = os.path.join(shared_folder, "data")
    if made:
        os.mkdir(data, 0o700)
    node = Node(data, environment={"DORMOUSE_USER": "nobody"})
    try:
        with open(f"/proc/{node.pid}/status", encoding="ascii") as f:
            lines = dict(line.split(":", 1) for line in f.read().splitlines())
        assert lines["Uid"].split() == lines["Gid"].split() == [str(NOBODY)] * 4
        assert lines["Groups"].split() == [str(NOBODY)] and int(lines["CapPrm"], 16) == 0
        assert os.stat(data).st_uid == NOBODY and os.stat(os.path.join(data, "DORMOUSE")).st_uid == NOBODY
        layers = [e["layers"] for e in events(node) if e["event"] == "launcher"][0]
        assert layers & (IS_ROOT | OTHER_USER) == IS_ROOT | OTHER_USER
        pid = launcher_of(node)
        node.kill9()
        await_end(pid)
        node.start()
        pid = launcher_of(node)
        node.stop()
        assert not is_alive(pid)
    finally:
        node.finish()


@needs_root
def test_data_that_the_user_may_not_write_is_refused_with_what_to_do(shared_folder):
    data = os.path.join(shared_folder, "data")
    node = Node(data)
    node.stop()
    run = subprocess.run(node.command, capture_output=True, text=True, check=False, timeout=START_SECONDS,
                         env={**os.environ, "DORMOUSE_USER": "nobody"})
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith(f"dormoused: {data}: ") and f"chown -R {NOBODY}:{NOBODY}" in run.stderr
    assert os.stat(data).st_uid == 0


@needs_root
def test_root_stays_root_where_that_user_is_asked_for(node):
    with open(f"/proc/{node.pid}/status", encoding="ascii") as f:
        assert "Uid:\t0\t0\t0\t0\n" in f.read()
