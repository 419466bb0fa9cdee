"""Section 5: contexts, code interpreters of a sandbox."""

import base64
import os
import threading
import time

import pytest

from client import Client, expect_problem, wait_until
from node import Node
from sandbox import Sandbox, make


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("contexts") / "data")
    yield node
    node.finish()
    node.discard()


@pytest.fixture(scope="module")
def box(node):
    return make(node.client)


class Context:
    def __init__(self, box, language, client=None):
        self.box = box
        self.client = client or box.client
        answer = self.client.post(f"{box.path}/contexts", json={"language": language})
        assert answer.status == 200, answer
        self.path = f"{box.path}/contexts/{answer.json['id']}"

    def ask(self, code, **body):
        return self.client.post(f"{self.path}/run", json={"code": code, **body})

    def run(self, code, **body):
        answer = self.ask(code, **body)
        assert answer.status == 200, answer
        return answer.json

    def value(self, code):
        got = self.run(code)
        assert got["error"] is None, got
        return got["results"][-1]["text/plain"]


@pytest.fixture
def python(box):
    context = Context(box, "python")
    yield context
    context.client.delete(context.path)


@pytest.fixture
def javascript(box):
    context = Context(box, "javascript")
    yield context
    context.client.delete(context.path)


def test_python_keeps_its_variables(python):
    got = python.run("import sys\nx = 41\nprint('out')\nprint('err', file=sys.stderr)")
    assert got["results"] == [] and got["stdout"] == "out\n" and got["stderr"] == "err\n"
    assert got["error"] is None and got["timed_out"] is False
    assert python.run("x + 1")["results"] == [{"text/plain": "42"}]
    assert python.run("{'a': [1, 2.5, None]}")["results"] == [
        {"text/plain": "{'a': [1, 2.5, None]}", "application/json": {"a": [1, 2.5, None]}}]
    assert python.run("_ and 1; None")["results"] == []
    assert python.run("def f():\n  return x\nf()")["results"] == [{"text/plain": "41"}]


def test_python_shows_what_objects_show(python):
    got = python.run("class A:\n def _repr_html_(self): return '<b>a</b>'\n def __repr__(self): return 'A'\n"
                     " def _repr_png_(self): return b'png'\ndisplay(1)\nA()")
    assert got["results"] == [{"text/plain": "1"},
                              {"text/plain": "A", "text/html": "<b>a</b>", "image/png": base64.b64encode(b"png").decode()}]


def test_python_figures(python):
    if python.run("import matplotlib.pyplot as plt")["error"] is not None:
        pytest.skip("the image has no matplotlib")
    got = python.run("plt.plot([1, 2]); None")
    assert base64.b64decode(got["results"][0]["image/png"]).startswith(b"\x89PNG")


def test_python_awaits(python):
    assert python.value("import asyncio\nawait asyncio.sleep(0.01, 'slept')") == "'slept'"
    assert python.run("async def g():\n  return 3\nx = await g()\nx")["results"] == [{"text/plain": "3"}]


def test_python_errors_are_told(python):
    got = python.run("print('before')\ndef f():\n  return 1 / 0\nf()")
    assert got["stdout"] == "before\n" and got["results"] == []
    assert got["error"]["name"] == "ZeroDivisionError" and got["error"]["message"] == "division by zero"
    assert "return 1 / 0" in got["error"]["traceback"] and "driver" not in got["error"]["traceback"]
    assert python.run("a b")["error"]["name"] == "SyntaxError"
    assert python.run("exit(3)")["error"]["name"] == "SystemExit"
    assert python.value("1") == "1"


def test_output_of_children_counts(python):
    assert python.run("import os\nos.system('echo child')")["stdout"] == "child\n"


def test_javascript_keeps_its_variables(javascript):
    got = javascript.run("let x = 41; console.log('out'); console.error('err')")
    assert got["results"] == [] and got["stdout"] == "out\n" and got["stderr"] == "err\n"
    assert javascript.run("x + 1")["results"] == [{"text/plain": "42"}]
    assert javascript.value("let x = 1; const y = 2; x + y") == "3"
    assert javascript.value("let x = 2; const y = 3; x + y") == "5"
    assert javascript.run("({a: [1, null]})")["results"] == [
        {"text/plain": "{ a: [ 1, null ] }", "application/json": {"a": [1, None]}}]
    assert javascript.value("10n ** 20n") == "100000000000000000000n"
    assert javascript.value("require('path').join('a', 'b')") == "'a/b'"
    assert javascript.value("function f() { return this === undefined } ; 'text'") == "'text'"


def test_javascript_awaits(javascript):
    assert javascript.value("await new Promise((r) => setTimeout(() => r('slept'), 10))") == "'slept'"
    assert javascript.value("const z = await Promise.resolve(7); z") == "7"
    assert javascript.value("z + 1") == "8"


def test_javascript_errors_are_told(javascript):
    got = javascript.run("function f() { throw new TypeError('no') }\nf()")
    assert got["error"]["name"] == "TypeError" and got["error"]["message"] == "no"
    assert "at f" in got["error"]["traceback"]
    assert javascript.run("a b")["error"]["name"] == "SyntaxError"
    assert javascript.run("throw 5")["error"]["message"] == "5"
    assert javascript.run("await Promise.reject(new RangeError('r'))")["error"]["name"] == "RangeError"
    assert javascript.value("1") == "1"


@pytest.mark.parametrize("language, code, after", [
    ("python", "while True: pass", "x = 1\nx"),
    ("python", "import time\ntime.sleep(60)", "1"),
    ("python", "import asyncio\nawait asyncio.sleep(60)", "1"),
    ("javascript", "for (;;);", "1"),
    ("javascript", "await new Promise(() => {})", "1"),
])
def test_code_that_takes_too_long_is_interrupted(box, language, code, after):
    context = Context(box, language)
    began = time.monotonic()
    got = context.run(code, timeout_ms=300)
    assert got["timed_out"] is True and got["error"] is not None, got
    assert time.monotonic() - began < 2
    assert context.value(after) == "1"
    context.client.delete(context.path)


def test_code_that_cannot_be_interrupted_ends_its_context(box):
    context = Context(box, "python")
    got = context.run("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass", timeout_ms=200)
    assert got["timed_out"] is True and got["error"]["name"] == "TimeoutError"
    expect_problem(context.ask("1"), 404, "no_such_context")


@pytest.mark.parametrize("language, code", [
    ("python", "import os\nos._exit(0)"), ("python", "import os\nos.close(4)"),
    ("python", "import os\nos.closerange(3, 5)"), ("python", "import os\nos.kill(os.getpid(), 9)"),
    ("python", "import os\nos.write(4, b'nonsense\\n')"),
    ("javascript", "process.exit(0)"), ("javascript", "require('fs').closeSync(4)"),
    ("javascript", "require('fs').writeSync(4, '[]\\n'); await new Promise(() => {})"),
])
def test_an_interpreter_that_ends_is_an_error_and_gone(box, language, code):
    """Attack 47."""
    context = Context(box, language)
    got = context.run(code)
    assert got["error"]["name"] == "ContextEnded", got
    expect_problem(context.ask("1"), 404, "no_such_context")


@pytest.mark.parametrize("language, code", [
    ("python", "import sys\nwhile True: sys.stdout.write('x' * 65536)"),
    ("javascript", "for (;;) process.stdout.write('x'.repeat(65536))"),
    ("python", "import os\nos.system('head -c 1000000000 /dev/zero')"),
])
def test_output_without_end_is_413(node, box, language, code):
    """Attack 47: 1 GB."""
    context = Context(box, language)
    before = node.memory_bytes()
    problem = expect_problem(context.ask(code), 413, "too_large")
    assert problem["limit"] == {"name": "output_bytes", "value": 16 << 20}
    assert node.memory_bytes() - before < 64 << 20
    context.client.delete(context.path)


def test_a_result_that_is_too_large_is_413(python):
    problem = expect_problem(python.ask("'x' * 5000000"), 413, "too_large")
    assert problem["limit"]["name"] == "result_bytes"
    assert python.value("1") == "1"


def test_runs_of_a_context_follow_each_other(node, box, python):
    def one(i):
        client = Client(node.url)
        got.append(Context.run(_of(python, client), f"import time\ntime.sleep(0.1)\nn = globals().get('n', 0) + 1\nn"))
        client.close()

    def _of(context, client):
        other = object.__new__(Context)
        other.path, other.client = context.path, client
        return other

    got = []
    threads = [threading.Thread(target=one, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(g["results"][0]["text/plain"] for g in got) == ["1", "2", "3", "4", "5"]


def test_what_is_wrong_is_said(box, python):
    path = f"{box.path}/contexts"
    for body in ({}, {"language": "cobol"}, {"language": 1}, {"language": "python", "other": 1}, []):
        expect_problem(box.client.post(path, json=body), 400, "bad_request")
    expect_problem(box.client.post(path), 400, "bad_request")
    for body in ({}, {"code": 1}, {"code": "1", "timeout_ms": 0}, {"code": "1", "other": 1}):
        expect_problem(box.client.post(f"{python.path}/run", json=body), 400, "bad_request")
    expect_problem(box.client.post(f"{path}/nobody/run", json={"code": "1"}), 404, "no_such_context")
    expect_problem(box.client.delete(f"{path}/nobody"), 404, "no_such_context")
    expect_problem(python.ask("#" * (1 << 20) + "#"), 413, "too_large")


def test_contexts_are_deleted_and_bounded(node):
    box = make(node.client)
    contexts = [Context(box, "python") for _ in range(16)]
    expect_problem(box.client.post(f"{box.path}/contexts", json={"language": "python"}), 429, "overloaded", retryable=True)
    assert box.client.delete(contexts[0].path).status == 204
    expect_problem(contexts[0].ask("1"), 404, "no_such_context")
    Context(box, "python")
    assert box.delete().status == 204
    expect_problem(contexts[1].ask("1"), 404, "no_such_sandbox")


def test_a_run_whose_client_goes_is_interrupted(node, box):
    context = Context(box, "python")
    answer = context.client.post(f"{context.path}/run", json={"code": "while True: pass"}, Dormouse_Timeout="300")
    expect_problem(answer, 504, "timeout", retryable=True, maybe_applied=True)
    assert context.value("5") == "5"
