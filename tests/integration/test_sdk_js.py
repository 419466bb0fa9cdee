"""The client for JavaScript against real nodes: each file of tests/sdk-js is run by Node's own test runner, and all
of its tests pass."""

import fcntl
import glob
import os
import re
import shutil
import subprocess

import pytest

from node import program

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SDK = os.path.join(ROOT, "sdk-js")
TESTS = os.path.join(ROOT, "tests", "sdk-js")
FILES = sorted(os.path.basename(path) for path in glob.glob(os.path.join(TESTS, "*.test.js")))
SECONDS = 240


def newest(*patterns):
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(SDK, pattern))]
    return max((os.path.getmtime(path) for path in paths), default=0)


def build():
    """The package, made where it is older than its sources; one process at a time."""
    with open(os.path.join(SDK, "node_modules", ".build.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if newest("dist/dormouse.min.js") < newest("src/*.ts", "build.js", "package.json", "tsconfig.json"):
            run = subprocess.run(["node", "build.js"], cwd=SDK, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="session")
def sdk():
    if shutil.which("node") is None or not os.path.isdir(os.path.join(SDK, "node_modules", "typescript")):
        pytest.skip("the packages of sdk-js are not installed: deploy/build --tests does it, by npm")
    build()


def run_node(*arguments, environment=None, seconds=SECONDS):
    run = subprocess.run(["node", *arguments], capture_output=True, text=True, check=False, timeout=seconds,
                         env={**os.environ, "DORMOUSED": program(), **(environment or {})})
    assert run.returncode == 0, run.stdout[-20000:] + run.stderr[-5000:]
    return run.stdout


@pytest.mark.parametrize("name", FILES)
def test_all_tests_of_a_file_pass(sdk, name):
    out = run_node("--test", "--test-reporter=tap", os.path.join(TESTS, name))
    passed, skipped = (int(re.search(rf"^# {word} (\d+)$", out, re.M)[1]) for word in ("pass", "skipped"))
    assert passed >= 1 and skipped == 0, out
