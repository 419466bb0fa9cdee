"""The isolate program by itself: start, forks, what its host functions do, how it ends."""

import hashlib
import json
import os
import signal
import socket
import struct

import pytest

import isolate
from isolate import MB, Zygote
from pack import pack, unpack

FORKS = int(os.environ.get("FORKS", 200))


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as shared:
        assert shared.error == 0, shared.text
        yield shared


@pytest.fixture
def child(zygote):
    new = zygote.spawn()
    assert new.error == 0
    yield new
    new.kill()
    new.close()


# Forks


def test_the_prelude_of_the_program_is_ready(tmp_path):
    with Zygote(prelude=None) as zygote:
        assert zygote.error == 0, zygote.text
        assert zygote.spawn(is_ready=False).next_frame() == b"\x92\x41\x00"  # READY, 0


def test_a_first_call_meets_few_faults_of_pages_since_these_were_taken_before():
    source = "const { DurableObject } = require('cloudflare:workers'); exports.A = class extends DurableObject { n() { return 1; } };"
    start = {"mode": "class", "ns": "n", "class": "A", "id": "00" * 32, "name": "a", "modules": [["a.js", source]],
             "main": "a.js", "env": pack({}), "bindings": {}, "sockets": [], "auto": None}
    with Zygote(prelude=None) as zygote:
        child = zygote.spawn()

        def faults():
            with open(f"/proc/{child.pid}/stat") as f:
                return int(f.read().rpartition(")")[2].split()[7])

        before = faults()
        child.frame(pack([1, 0, start]))
        assert unpack(child.next_frame())[0] == 66  # STARTED
        child.frame(pack([2, 1, 1, "n", pack([])]))
        assert unpack(child.next_frame())[:3] == [68, 1, True]  # DONE
        assert faults() - before < 150, "there were 300 without"


def test_children_have_one_task_and_exactly_the_expected_descriptors(child):
    assert os.listdir(f"/proc/{child.pid}/task") == [str(child.pid)]
    folder = f"/proc/{child.pid}/fd"
    targets = sorted(os.readlink(f"{folder}/{fd}").split(":")[0] for fd in os.listdir(folder))
    statm = f"/proc/{child.pid}/statm"
    kinds = ["null", "null", "null", "socket", "statm", "eventfd", "eventfd", "urandom"]
    got = sorted({"/dev/null": "null", "/dev/urandom": "urandom", statm: "statm", "anon_inode": "eventfd"}
                 .get(target, target) for target in targets)
    assert got == sorted(kinds)


def test_children_share_nothing_that_wakes_their_loops(zygote, child):
    def events(of):
        folder = f"/proc/{of.pid}/fdinfo"
        texts = [open(f"{folder}/{fd}").read() for fd in os.listdir(folder)]
        ids = [line for text in texts for line in text.splitlines() if line.startswith("eventfd-id")]
        if not ids:
            pytest.skip("this kernel does not number eventfds")
        return set(ids)

    assert not events(child) & events(zygote.spawn())


def test_children_differ_in_their_randomness(zygote):
    source = "(() => { const b = new Uint8Array(16); host.random(b); return [Math.random(), Math.random(), ...b]; })()"
    numbers = [tuple(zygote.spawn().run(source)) for _ in range(20)]
    assert len({n[0] for n in numbers}) == len({n[1] for n in numbers}) == len({n[2:] for n in numbers}) == 20
    assert all(0 <= n[0] < 1 for n in numbers)


def test_math_random_is_even_and_looks_like_the_engines_own(child):
    mean = child.run("(() => { let sum = 0; for (let i = 0; i < 200000; i++) sum += Math.random(); return sum / 200000; })()")
    assert abs(mean - 0.5) < 0.01
    assert child.run("[Math.random.name, Math.random.length, 'prototype' in Math.random, Object.keys(Math)]") == \
        ["random", 0, False, []]


def test_many_forks_answer_and_are_counted():
    with Zygote() as zygote:
        for number in range(1, FORKS + 1):
            child = zygote.spawn()
            assert child.error == 0 and zygote.children_count == number
            assert child.close() == 0
        assert os.listdir(f"/proc/{zygote.process.pid}/task") == [str(zygote.process.pid)]


def test_a_code_path_that_was_hot_in_the_zygote_hangs_no_child(tmp_path):
    """Compiled code and WebAssembly before the fork start helper threads of the engine; none may be left."""
    prelude = tmp_path / "hot.js"
    module = "new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,7,1,3,97,100,100,0,0,10,9,1,7,0,32,0,32,1,106,11])"
    hot = (f"const add = new WebAssembly.Instance(new WebAssembly.Module({module})).exports.add;"
           "let total = 0; for (let i = 0; i < 300000; i++) { total = add(total, i) | 0; }")
    with open(isolate.PRELUDE) as f:
        prelude.write_text(f"(() => {{ {hot} }})();\n" + f.read())
    with Zygote(prelude=str(prelude)) as zygote:
        if zygote.error != 0:
            assert "self-test" in zygote.text  # refused, rather than children that hang
            return
        for _ in range(100):
            child = zygote.spawn()
            if child.error != 0:
                assert child.error == 16  # EBUSY: more than one task
                continue
            assert child.run("1 + 1") == 2
            child.channel.close()


def test_a_spawn_that_cannot_be_is_answered_and_does_no_harm(zygote):
    assert zygote.spawn(memory=1).error == 22  # EINVAL
    assert zygote.spawn(flags=1).error == 95  # EOPNOTSUPP: this zygote has its JIT
    zygote.children[99999] = bare = isolate.Child(zygote, 99999, socket.socketpair()[0])
    zygote.request(99999)  # no descriptor
    while bare.error is None:
        zygote._take()
    assert bare.error == 22
    assert zygote.spawn().run("1") == 1


def test_without_its_jit_a_zygote_has_no_memory_that_is_executable_and_writable():
    with Zygote(options=["--no-jit"]) as zygote:
        child = zygote.spawn(flags=1)
        assert child.run("(() => { let s = 0; for (let i = 0; i < 1e6; i++) s += i; return s; })()") == 499999500000
        with open(f"/proc/{child.pid}/maps") as maps:
            assert not [line for line in maps if "rwx" in line.split()[1]]


def test_a_malformed_packet_ends_the_zygote_and_its_children(zygote):
    own = Zygote()
    child = own.spawn()
    own.control.send(b"nonsense")
    assert own.process.wait(timeout=60) == 0
    assert child.next_frame() is None
    assert "malformed" in own.close()


def test_children_end_with_their_zygote_and_zygotes_with_their_worker():
    zygote = Zygote()
    child = zygote.spawn()
    child.start("for (;;);")
    zygote.control.close()
    assert zygote.process.wait(timeout=60) == 0
    assert child.next_frame() is None


def test_a_zygote_that_is_killed_takes_its_children_along():
    zygote = Zygote()
    child = zygote.spawn()
    child.start("for (;;);")
    zygote.process.kill()
    assert child.next_frame() is None
    assert zygote.process.wait(timeout=60) == -signal.SIGKILL
    zygote.close()


# Self-test


def test_without_filters_of_system_calls_code_is_refused(tmp_path):
    """A process that may not install a filter, as under a system without them."""
    with Zygote(wrapper=isolate.without("seccomp")) as zygote:
        assert zygote.error != 0
        assert "self-test" in zygote.text or "seccomp" in zygote.text
        assert zygote.spawn(is_ready=False).error == zygote.error
    assert zygote.process.returncode == 0


@pytest.mark.parametrize("text, expected", [
    ("throw new Error('broken')", "broken"),
    ("let x = ;", "SyntaxError"),
    ("1", "no object"),
    ("({frame() {}, tick() {}})", "lacks a function"),
])
def test_a_prelude_that_cannot_be_refuses_code_and_says_why(tmp_path, text, expected):
    prelude = tmp_path / "prelude.js"
    prelude.write_text(text)
    with Zygote(prelude=str(prelude)) as zygote:
        assert zygote.error != 0 and expected in zygote.text
        assert zygote.spawn(is_ready=False).error == zygote.error


# Host functions


def test_an_exception_has_its_line_and_column(child):
    error = child.thrown("1;\n  throw new TypeError('wrong')", "main.js")
    assert (error["name"], error["message"], error["line"], error["column"], error["sourceURL"]) == \
        ("TypeError", "wrong", 2, 22, "main.js")
    error = child.thrown("let a;\nlet b = ;", "main.js")
    assert (error["name"], error["line"], error["sourceURL"]) == ("SyntaxError", 2, "main.js")


@pytest.mark.parametrize("literal, data", [
    ("''", b""), ("'abc'", b"abc"), ("'a\\0b'", b"a\0b"), ("'\\u00e9\\u20ac\\u{1f600}'", "é€😀".encode()),
    ("'\\ud800'", "\ufffd".encode()), ("'a\\udc00b\\ud83d'", "a\ufffdb\ufffd".encode()),
    ("'\\u00e9\\u00e9\\ud800x'", "éé\ufffdx".encode()), ("'x'.repeat(100000)", b"x" * 100000),
    ("'é'.repeat(100000)", "é".encode() * 100000), ("'€'.repeat(100000)", "€".encode() * 100000),
])
def test_strings_are_encoded_as_utf8(child, literal, data):
    assert child.run(f"(() => {{ const b = host.encode({literal}); let s = ''; for (const x of b) "
                     "s += x.toString(16).padStart(2, '0'); return s; })()") == data.hex()


@pytest.mark.parametrize("data", [
    b"", b"abc", b"a\0b", "é€😀".encode(), b"\xef\xbb\xbfabc", b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98a",
    b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"ab\x80\x80cd", "é".encode() * 100000, b"x" * 300000,
])
def test_utf8_is_decoded_with_replacements_or_refused(child, data):
    bom = b"\xef\xbb\xbf"
    array = f"new Uint8Array({json.dumps(list(data))})" if len(data) < 100 else \
        f"new Uint8Array({len(data)}).map((_, i) => {json.dumps(list(data[:2]))}[i % 2])"
    want = (data[3:] if data.startswith(bom) else data).decode("utf-8", "replace")
    assert child.run(f"host.decode({array}, false, false)") == want
    assert child.run(f"host.decode({array}, false, true)") == data.decode("utf-8", "replace")
    try:
        data.decode()
    except UnicodeDecodeError:
        assert child.thrown(f"host.decode({array}, true)")["name"] == "TypeError"
    else:
        assert child.run(f"host.decode({array}, true, true)") == data.decode()


def test_a_view_is_only_its_part_of_the_buffer(child):
    assert child.run("host.decode(new Uint8Array(host.encode('hello world').buffer, 6, 3))") == "wor"
    assert child.run("host.decode(host.encode('hello').buffer)") == "hello"


@pytest.mark.parametrize("name, method", [("SHA-1", "sha1"), ("SHA-256", "sha256"), ("SHA-384", "sha384"),
                                          ("SHA-512", "sha512"), ("MD5", "md5")])
def test_digests_are_those_of_the_standard(child, name, method):
    for text in ["", "abc", "x" * 100000]:
        got = child.run(f"Array.from(host.digest('{name}', host.encode('{text}')))")
        assert bytes(got) == hashlib.new(method, text.encode()).digest()


@pytest.mark.parametrize("source, name", [
    ("host.digest('SHA-0', new Uint8Array(1))", "Error"), ("host.digest('SHA-1', 'text')", "TypeError"),
    ("host.encode(1)", "TypeError"), ("host.encode()", "TypeError"), ("host.decode('x')", "TypeError"),
    ("host.random([1])", "TypeError"), ("host.send()", "TypeError"), ("host.send(new Uint8Array(0))", "RangeError"),
    ("host.send(new Uint8Array(8), 9)", "RangeError"), ("host.send(new Uint8Array((24 << 20) + 1))", "RangeError"),
    ("host.send(new Uint8Array(8), NaN)", "RangeError"), ("host.evaluate(1)", "TypeError"),
    ("host.evaluate('1', {toString() { throw new RangeError('url'); }})", "RangeError"),
    ("host.onRejection(1)", "TypeError"), ("host.exit('x')", "TypeError"),
])
def test_arguments_of_the_wrong_kind_are_refused(child, source, name):
    assert child.thrown(source)["name"] == name


def test_evaluate_nests_and_gives_the_value_of_the_script(child):
    assert child.run("host.evaluate('(function (x) { return x * 2; })', 'f.js')(21)") == 42


def test_rejections_that_nobody_handles_are_told(child):
    child.start("Promise.reject(new RangeError('lost')); 1")
    frames = [child.answer(), child.answer()]
    assert [258, "RangeError"] in [[f[0], f[1].get("name")] for f in frames if f[0] == 258]


def test_timers_end_the_wait_of_the_loop(child):
    assert child.run("new Promise(resolve => setTimeout(() => resolve('late'), 20))") == "late"
    child.start("setTimeout(() => send([300]), 0); setTimeout(() => send([301]), 5); 1")
    assert [child.answer()[0] for _ in range(3)] == [257, 300, 301]


def test_receive_waits_for_the_next_frame_and_sends_what_was_collected(child):
    child.start("send([300]); received(host.receive())")
    assert child.answer() == [300]  # although the turn is not over
    child.frame(b'["later"]')
    assert child.answer()[2:] == [True, ["later"]]


def test_frames_of_a_turn_leave_in_order_and_at_once_where_asked(child):
    child.start("send([300]); host.send(host.encode('[301]'), 5, true); for (;;);")
    assert [child.answer(), child.answer()] == [[300], [301]]


@pytest.mark.parametrize("size", [1, 65536, 65537, 1 << 20, 24 << 20])
def test_frames_of_any_size_pass_both_ways(child, size):
    number = child.start(f"(() => {{ const f = host.receive(); host.send(f); return [f.length, f[0], f.at(-1)]; }})()")
    frame = bytes([7]) * (size - 1) + bytes([9])
    child.frame(frame)
    assert child.next_frame() == frame
    assert child.answer() == [257, number, True, [size, frame[0], 9]]


def test_many_frames_at_once_are_all_taken(child):
    child.run("globalThis.count = 0; 1")
    frame = json.dumps([256, 1, "++count"]).encode()
    child.channel.sendall((struct.pack("<I", len(frame)) + frame) * 1000)
    assert [child.answer()[3] for _ in range(1000)] == list(range(1, 1001))


def test_a_frame_is_whole_however_its_bytes_come(child):
    frame = json.dumps([256, 5, "'x'.repeat(3)"]).encode()
    for byte in struct.pack("<I", len(frame)) + frame:
        child.channel.sendall(bytes([byte]))
    assert child.answer() == [257, 5, True, "xxx"]


def test_asynchronous_webassembly_resolves(child):
    module = "new Uint8Array([0,97,115,109,1,0,0,0,1,7,1,96,2,127,127,1,127,3,2,1,0,7,7,1,3,97,100,100,0,0,10,9,1,7,0,32,0,32,1,106,11])"
    assert child.run(f"WebAssembly.instantiate({module}).then(m => m.instance.exports.add(2, 3))") == 5


def test_microtasks_run_before_the_next_frame(child):
    child.run("globalThis.order = []; Promise.resolve().then(() => order.push('micro')); order.push('script'); 1")
    assert child.run("order") == ["script", "micro"]


def test_memory_is_what_the_child_holds(child):
    before = child.run("host.memory()")
    assert 0 < before < 32 * MB
    after = child.run("globalThis.kept = new Uint8Array(32 << 20).fill(1); host.memory()")
    assert 30 * MB < after - before < 40 * MB


# Ends


@pytest.mark.parametrize("code", [0, 3, 255])
def test_exit_ends_with_its_code_after_what_was_sent(zygote, code):
    child = zygote.spawn()
    child.start(f"send([300]); host.exit({code})")
    assert child.answer() == [300]
    assert os.waitstatus_to_exitcode(child.wait()) == code


def test_a_channel_that_closes_ends_its_child(zygote):
    child = zygote.spawn()
    child.channel.close()
    assert child.wait() == 0
    waiting = zygote.spawn()
    waiting.start("host.receive()")
    waiting.channel.shutdown(socket.SHUT_WR)
    assert waiting.wait() == 0
    endless = zygote.spawn()
    endless.start("(function f() { send([1]); setTimeout(f, 0); })()")
    endless.channel.close()
    assert endless.wait() == 0


@pytest.mark.parametrize("head", [0, (24 << 20) + 1, 0xFFFFFFFF])
def test_a_frame_without_a_length_that_can_be_ends_the_child(zygote, head):
    child = zygote.spawn()
    child.channel.sendall(struct.pack("<I", head) + b"rest")
    assert os.waitstatus_to_exitcode(child.wait()) == 73


def test_a_prelude_that_throws_ends_its_child_alone(zygote):
    child = zygote.spawn()
    child.frame(b"[1]")  # of no kind that it knows
    assert os.waitstatus_to_exitcode(child.wait()) == 70
    assert zygote.spawn().run("2") == 2


def test_what_a_child_used_is_told_when_it_ends(zygote):
    idle, busy = zygote.spawn(), zygote.spawn()
    busy.run("(() => { const end = host.now() + 300; while (host.now() < end); const a = new Uint8Array(40 << 20).fill(1); return a[9]; })()")
    for child in (idle, busy):
        child.channel.close()
        child.wait()
    assert busy.cpu_us > idle.cpu_us + 20_000
    assert busy.peak_bytes - idle.peak_bytes > 35 * MB


def test_a_kill_through_the_pidfd_reaches_the_child(zygote):
    child = zygote.spawn()
    child.start("for (;;);")
    child.kill()
    assert os.waitstatus_to_exitcode(child.wait()) == -signal.SIGKILL


def test_processor_time_over_its_last_bound_ends_the_child(zygote):
    child = zygote.spawn(cpu=1)
    child.start("for (;;);")
    assert os.waitstatus_to_exitcode(child.wait()) == -signal.SIGXCPU


def test_the_command_line_is_checked():
    import subprocess
    program = os.path.join(isolate.builddir, "dormouse-isolate")
    for arguments in [[], ["--control", "x"], ["--control", "1"], ["--nonsense"], ["--control", "3", "--prelude", "/nonexistent"]]:
        run = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
        assert run.returncode in (64, 66), run
        assert "dormouse-isolate" in run.stderr
    assert subprocess.run([program, "--version"], capture_output=True, text=True).stdout.startswith("dormouse-isolate ")
