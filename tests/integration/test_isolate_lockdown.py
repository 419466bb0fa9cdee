"""The lock-down, against native code: a test program whose children make system calls directly."""

import os
import select
import signal
import socket
import struct

import pytest

import isolate
from isolate import MB, Zygote

ATTACK = "tests/lib/isolate_attack"
WASM = ("new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,7,1,3,97,100,100,0,0,10,9,1,7,0,32,0,"
        "32,1,106,11])")


@pytest.fixture(scope="module")
def zygote():
    with Zygote(program=ATTACK) as shared:
        assert shared.error == 0, shared.text
        yield shared


@pytest.fixture(scope="module")
def names(zygote):
    child = zygote.spawn()
    return {kind: child.run(f"host.attacks({kind})").split() for kind in ("true", "false")}


def status_of(zygote, source):
    child = zygote.spawn()
    child.start(source)
    answer = child.answer()
    assert answer is None, answer
    return os.waitstatus_to_exitcode(child.wait())


def test_a_forbidden_system_call_ends_the_process_that_makes_it(zygote, names):
    neighbour = zygote.spawn()
    ends = {name: status_of(zygote, f"host.attack('{name}')") for name in names["true"]}
    assert {name: end for name, end in ends.items() if end != -signal.SIGSYS} == {}
    assert len(ends) > 50
    assert neighbour.run("1") == 1


def test_the_other_numbers_of_system_calls_are_forbidden_too(zygote):
    child = zygote.spawn()
    child.start("host.attackForeign()")
    answer = child.answer()
    if answer is not None:
        pytest.skip("this machine has no other way into its kernel")
    assert os.waitstatus_to_exitcode(child.wait()) in (-signal.SIGSYS, -signal.SIGSEGV)


def test_what_libraries_try_by_themselves_is_refused(zygote, names):
    child = zygote.spawn()
    results = {name: child.run(f"host.attack('{name}')") for name in names["false"]}
    assert {name: result for name, result in results.items() if result not in (-1, -13, -38)} == {}
    assert len(results) >= 9


def test_a_child_may_signal_itself_alone(zygote):
    child = zygote.spawn()
    assert child.run("host.signalOwnThread(0)") == 0
    assert status_of(zygote, f"host.signalOwnThread({int(signal.SIGTERM)})") == -signal.SIGTERM


def test_a_crash_ends_the_process_and_not_by_and_by(zygote):
    """The engine's own handler puts the default back; refused, it would fault and come back for ever."""
    assert status_of(zygote, "host.writeWild()") == -signal.SIGSEGV


def test_a_process_is_under_every_layer_that_hello_names(zygote):
    child = zygote.spawn()
    with open(f"/proc/{child.pid}/status") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
    assert int(status["CapAmb"], 16) == 0
    assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split()
    assert {"SECCOMP", "RLIMIT"} <= zygote.layers
    for layer, name in [("USERNS", "user"), ("NETNS", "net"), ("MOUNTNS", "mnt"), ("PIDNS", "pid"),
                        ("IPCNS", "ipc"), ("UTSNS", "uts")]:
        if layer in zygote.layers:
            assert os.readlink(f"/proc/{child.pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
    if "MOUNTNS" in zygote.layers:
        assert os.listdir(f"/proc/{child.pid}/root/") == []
        with open(f"/proc/{child.pid}/mounts") as f:
            mounts = f.read().splitlines()
        assert len(mounts) == 1 and "ro," in mounts[0]
    if "NETNS" in zygote.layers:
        with open(f"/proc/{child.pid}/net/dev") as f:
            assert [line.split(":")[0].strip() for line in f if ":" in line] == ["lo"]


def test_limits_of_a_child_are_those_it_was_given(zygote):
    def limits(child):
        with open(f"/proc/{child.pid}/limits") as f:
            return {line[:26].strip(): line[26:].split()[:2] for line in f}

    small, large = limits(zygote.spawn(memory=32 * MB, cpu=7)), limits(zygote.spawn(memory=64 * MB))
    assert small["Max cpu time"] == ["7", "8"] and large["Max cpu time"] == ["unlimited", "unlimited"]
    assert small["Max file size"] == small["Max core file size"] == small["Max locked memory"] == ["0", "0"]
    difference = int(large["Max data size"][0]) - int(small["Max data size"][0])
    assert abs(difference - 32 * MB) < MB


@pytest.mark.parametrize("call, missing", [
    ("unshare", {"USERNS", "NETNS", "MOUNTNS", "PIDNS", "IPCNS", "UTSNS"}), ("landlock", {"LANDLOCK"}),
])
def test_code_runs_under_fewer_layers_where_some_cannot_be_had(zygote, call, missing):
    with Zygote(program=ATTACK, wrapper=isolate.without(call)) as fewer:
        assert fewer.error == 0, fewer.text
        assert fewer.layers == zygote.layers - missing
        assert fewer.spawn().run("1 + 1") == 2
        assert status_of(fewer, "host.attack('socket')") == -signal.SIGSYS
        assert fewer.spawn().run("host.attack('open_passwd')") == -13
        endless = fewer.spawn()
        endless.start("for (;;);")
        pidfd = os.dup(endless.pidfd)
    with os.fdopen(pidfd) as end:  # it ends with its zygote even so
        assert select.select([end], [], [], isolate.WAIT_SECONDS)[0]


@pytest.mark.parametrize("source", [
    "(() => { let s = 0; for (let i = 0; i < 3e6; i++) s = (s + i * 7) | 0; return s; })()",
    f"(() => {{ const add = new WebAssembly.Instance(new WebAssembly.Module({WASM})).exports.add; let s = 0;"
    " for (let i = 0; i < 1e6; i++) s = add(s, i); return s; })()",
    f"WebAssembly.instantiate({WASM}).then(m => m.instance.exports.add(1, 2))",
    "new WebAssembly.Memory({initial: 1, maximum: 100}).grow(50)",
    "new Intl.DateTimeFormat('de', {timeZone: 'Asia/Tokyo', dateStyle: 'full'}).format(0)",
    "[...new Intl.Segmenter('ja', {granularity: 'word'}).segment('こんにちは世界')].length",
    "['ä', 'z', 'a'].sort(new Intl.Collator('sv').compare).join()",
    "new Date(2021, 5, 1).toString()",
    "(() => { let n = 0; for (let i = 0; i < 100; i++) { try { (function f() { f(); })(); } catch { n++; } } return n; })()",
    "(() => { let n = 0; for (let i = 0; i < 3e6; i++) n += [i, i].length; return n; })()",
    "'x'.repeat(1e6).replace(/x/g, 'yy').length",
    "(() => { const r = []; new FinalizationRegistry(() => {}).register({}, 1); return new WeakRef({}).deref() !== 1; })()",
    "JSON.stringify(JSON.parse('[' + '1,'.repeat(1e5) + '1]')).length",
])
@pytest.mark.parametrize("options", [(), ("--no-jit",)])
def test_what_code_may_do_passes_the_filter(source, options, engines):
    assert engines(options).run(source) is not None


@pytest.fixture(scope="module")
def engines():
    zygotes = {}

    def child(options):
        if options not in zygotes:
            zygotes[options] = Zygote(options=options)
        return zygotes[options].spawn()

    yield child
    for zygote in zygotes.values():
        zygote.close()


def test_code_sees_no_host_and_no_way_to_the_system():
    """The prelude takes `__host` away; no global of the engine reaches outside."""
    with Zygote() as zygote:
        child = zygote.spawn()
        assert child.run("typeof __host") == "undefined"
        names = child.run("Object.getOwnPropertyNames(globalThis)")
        assert not set(names) & {"load", "read", "readFile", "print", "quit", "run", "$vm", "$", "importScripts", "Deno", "process",
                                 "SharedArrayBuffer", "__host", "gc", "edenGC", "fullGC", "describe"}


def test_descriptors_that_came_with_a_frame_are_not_kept(zygote):
    """The worker never sends any; whatever came must not become the child's."""
    child = zygote.spawn()
    before = sorted(os.listdir(f"/proc/{child.pid}/fd"))
    frame = b'[256, 1, "1"]'
    socket.send_fds(child.channel, [struct.pack("<I", len(frame)) + frame], [0, 1, 2])
    assert child.answer() == [257, 1, True, 1]
    assert sorted(os.listdir(f"/proc/{child.pid}/fd")) == before
