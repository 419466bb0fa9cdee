"""Code that takes all the memory or all the time it can get: it is stopped, and nobody else notices."""

import os
import signal
import time

import pytest

from isolate import MB, Zygote

# Where the engine cannot throw: SIGABRT, SIGILL, SIGTRAP; where a stack cannot grow: SIGSEGV; where C or the prelude cannot allocate, or the tick sees
# too much: an exit code.
MEMORY_ENDS = {-signal.SIGABRT, -signal.SIGILL, -signal.SIGTRAP, -signal.SIGSEGV, 71, 137}
# What the engine's allocators had free before the fork is beyond the bound: it is more than 0.7 of the smallest.
FREE_BEFORE = 20 * MB
# What code takes between two looks of the tick, 4 ms of processor time apart, at some 2 GB a second.
BETWEEN_LOOKS = 8 * MB

# Name: (source, whether it must be an exception at the usual bounds; else it may be, or an end). Under the smallest
# bounds all may end: what the allocators had free before the fork is some megabytes more.
BOMBS = {
    "array": ("const a = []; for (;;) a.push(1);", True),
    "typed arrays": ("const a = []; for (;;) a.push(new Uint8Array(16 << 20).fill(1));", False),
    "one huge typed array": ("new Uint8Array(2 ** 31)", True),
    "split": ("'x'.repeat(2 ** 29).split('')", True),
    "string": ("let s = 'x'.repeat(1000); for (;;) { s += s; s.charCodeAt(s.length - 1); }", True),
    "ropes": ("const a = []; for (let i = 0;; i++) a.push('x'.repeat(1000) + i);", False),
    "linked objects": ("let o = null; for (;;) o = {o, a: 1, b: 2};", False),
    "structures": ("const a = []; for (let i = 0;; i++) { const o = {}; for (let k = 0; k < 8; k++) o['k' + i + '_' + k] = 1; a.push(o); }", False),
    "prototypes": ("const a = []; for (let i = 0;; i++) { const o = Object.create({i}); o.x = 1; a.push(o); }", False),
    "functions": ("const a = []; for (let i = 0;; i++) a.push(new Function('return ' + i));", False),
    "closures": ("const a = []; for (let i = 0;; i++) { const b = new Array(100).fill(i); a.push(() => b); }", False),
    "regular expressions": ("const a = []; for (let i = 0;; i++) { const r = new RegExp('a' + i + '+(b|c)*'); r.test('x'); a.push(r); }", False),
    "symbols": ("const m = new Map(); for (let i = 0;; i++) m.set(Symbol(i), i);", False),
    "big integers": ("let b = 1n; for (;;) b = (b << 100000n) | 1n;", False),
    "generators": ("const a = []; for (;;) { const g = (function* () { yield 1; })(); g.next(); a.push(g); }", False),
    "promises": ("const a = []; for (;;) a.push(new Promise(() => {}));", False),
    "microtasks": ("for (;;) Promise.resolve().then(() => {});", False),
    "timers": ("for (;;) setTimeout(() => {}, 1e9);", False),
    "buffers in wasm": ("const a = []; for (;;) a.push(new WebAssembly.Memory({initial: 256}));", False),
    "json": ("let o = [1, 2, 3]; for (;;) o = JSON.parse(JSON.stringify([o, o]));", False),
    "caught": ("const keep = []; for (;;) { try { const a = []; for (;;) a.push(new Array(1000).fill(0)); } catch { keep.push(new Uint8Array(1 << 20).fill(1)); } }", False),
}


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as shared:
        assert shared.error == 0, shared.text
        yield shared


def own_bytes(child):
    with open(f"/proc/{child.pid}/statm") as f:
        _, resident, shared, *_ = map(int, f.read().split())
    return (resident - shared) * os.sysconf("SC_PAGESIZE")


def idle_peak(zygote):
    """What a child that has done nothing had at most: the zygote's pages, and what a start makes of its own."""
    if not hasattr(zygote, "idle_peak"):
        child = zygote.spawn()
        child.run("1")
        child.close()
        zygote.idle_peak = child.peak_bytes
    return zygote.idle_peak


def outcome(child, source):
    """ "throw", or "end" with the exit code."""
    child.start(f"(() => {{ {source} }})(); 1")
    answer = child.answer()
    if answer is not None:
        error = answer[-1]  # of the run, or of what was to report it
        assert error["name"] == "RangeError" and "emory" in error["message"], answer
        return "throw", None
    return "end", os.waitstatus_to_exitcode(child.wait())


@pytest.mark.parametrize("quota", [16 * MB, 32 * MB, 64 * MB, 128 * MB])
@pytest.mark.parametrize("name", BOMBS)
def test_memory_has_its_bound(zygote, name, quota):
    source, throws = BOMBS[name]
    neighbour = zygote.spawn()
    child = zygote.spawn(memory=quota)
    how, code = outcome(child, source)
    if how == "end":
        assert code in MEMORY_ENDS, code
        assert not throws or quota < 64 * MB
    else:
        child.kill()
    child.wait()
    # Structures live in a heap of the engine that RLIMIT_DATA does not count; the tick stops these.
    assert child.peak_bytes < max(1.7 * quota, quota + FREE_BEFORE + BETWEEN_LOOKS) + idle_peak(zygote)
    assert neighbour.run("1 + 1") == 2
    neighbour.close()


def test_garbage_is_no_memory(zygote):
    child = zygote.spawn(memory=64 * MB)
    assert child.run("(() => { let n = 0; for (let i = 0; i < 5e6; i++) n += [i].length; return n; })()") == 5000000
    child.close()
    assert child.peak_bytes < 64 * MB + idle_peak(zygote)


def test_memory_that_was_given_back_can_be_had_again(zygote):
    child = zygote.spawn(memory=64 * MB)
    for _ in range(20):
        assert child.run("(() => { const a = new Uint8Array(8 << 20).fill(1); return a[5]; })()") == 1
    child.close()


@pytest.mark.parametrize("source", [
    "for (;;);",
    "try { for (;;); } finally { for (;;); }",
    "/^(a+)+$/.test('a'.repeat(40) + 'b')",
    "(async () => { for (;;) await 0; })()",
    "for (;;) JSON.stringify(new Array(5e5).fill(1.5));",
    "(function f() { setTimeout(f, 0); })()",
    "for (;;) { try { (function f() { f(); })(); } catch {} }",
    "for (;;) [3, 1, 2].sort(() => { for (;;); })",
    "new Proxy({}, {get() { for (;;); }}).x",
    "for (;;) { try { host.evaluate('for (;;);', 'x') } catch {} }",
])
def test_code_that_never_ends_is_ended_from_outside(zygote, source):
    """Whatever it does, SIGKILL comes through; the processor time is told."""
    child = zygote.spawn()
    neighbour = zygote.spawn()
    child.start(source)
    assert neighbour.run("6 * 7") == 42
    child.kill()
    assert os.waitstatus_to_exitcode(child.wait()) == -signal.SIGKILL
    neighbour.close()


@pytest.mark.parametrize("source", ["for (;;);", "(async () => { for (;;) await 0; })()"])
def test_the_bound_of_the_process_stops_it_where_the_worker_does_not(zygote, source):
    child = zygote.spawn(cpu=1)
    child.start(source)
    assert os.waitstatus_to_exitcode(child.wait()) == -signal.SIGXCPU
    assert child.cpu_us > 500_000


def test_garbage_of_a_child_that_idles_goes_back_to_the_system(zygote):
    child = zygote.spawn()
    child.run("(() => { const a = []; for (let i = 0; i < 200000; i++) a.push({i}); return a.length; })()")
    held = own_bytes(child)
    deadline = time.monotonic() + 60
    while own_bytes(child) > held - 2 * MB and time.monotonic() < deadline:
        os.sched_yield()
    assert own_bytes(child) <= held - 2 * MB
    child.close()


def test_endless_recursion_is_an_exception(zygote):
    child = zygote.spawn()
    assert child.thrown("(function f() { f(); })()")["name"] == "RangeError"
    assert child.thrown("[...'x'].map(function f() { return [1].map(f); })")["name"] == "RangeError"
    assert child.run("1") == 1
    child.close()


def test_a_flood_of_frames_waits_for_who_reads_them(zygote):
    """The isolate's memory and the socket's buffer are bounded: the sender stands still."""
    child = zygote.spawn(memory=32 * MB)
    child.start("for (let i = 0; i < 3000; i++) host.send(new Uint8Array(64 << 10)); 1")
    frames = [child.next_frame() for _ in range(3000)]
    assert all(len(frame) == 64 << 10 for frame in frames)
    assert child.answer()[2] is True
    child.close()
    assert child.peak_bytes < 32 * MB + idle_peak(zygote)
