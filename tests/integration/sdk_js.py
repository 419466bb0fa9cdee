"""The client for JavaScript and its adapter for LangGraph: built where they are older than their sources, and programs
that use them."""

import fcntl
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from node import program

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SDK = os.path.join(ROOT, "sdk-js")
LANGGRAPH = os.path.join(SDK, "langgraph")
TESTS = os.path.join(ROOT, "tests", "sdk-js")
SECONDS = 240
NODE_MAJOR_MIN = 20


def _time(folder, *patterns):
    """When the newest of these files was changed."""
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(folder, pattern))]
    return max((os.path.getmtime(path) for path in paths), default=0)


def _run_build(folder, *command):
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def _is_new(node):
    run = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.", run.stdout)
    return found is not None and int(found[1]) >= NODE_MAJOR_MIN


def node():
    """The system's Node, or one from npm where that is too old; None where there is none."""
    fetched = glob.glob(os.path.join(SDK, "node", "node_modules", "node-linux-*", "bin", "node"))
    return next((n for n in [shutil.which("node"), *fetched] if n is not None and _is_new(n)), None)


def build(folder=SDK):
    """One process at a time; skips where npm's packages are not there."""
    if node() is None or not os.path.isdir(os.path.join(folder, "node_modules", "typescript")):
        pytest.skip(f"the packages of {os.path.relpath(folder, ROOT)} are not installed: deploy/build --tests does it, by npm")
    with open(os.path.join(SDK, "node_modules", ".build.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _time(SDK, "dist/dormouse.min.js") < _time(SDK, "src/*.ts", "build.js", "package.json", "tsconfig.json"):
            _run_build(SDK, node(), "build.js")
        made = _time(LANGGRAPH, "dist/index.js")
        if folder == LANGGRAPH and made < max(_time(LANGGRAPH, "src/*.ts", "tsconfig.json"), _time(SDK, "dist/index.d.ts")):
            _run_build(LANGGRAPH, node(), "node_modules/typescript/bin/tsc")


def run_node(*arguments, environment=None, seconds=SECONDS, cwd=None):
    """What the program printed; it ended with 0."""
    run = subprocess.run([node(), *arguments], capture_output=True, text=True, check=False, timeout=seconds, cwd=cwd,
                         env={**os.environ, "DORMOUSED": program(), "NO_COLOR": "1", **(environment or {})})
    assert run.returncode == 0, run.stdout[-20000:] + run.stderr[-5000:]
    return run.stdout


def run_vitest(name, urls, environment=None, seconds=SECONDS):
    """How many tests of a file of tests/sdk-js/langgraph passed; none of them failed or was left out."""
    build(LANGGRAPH)
    with tempfile.TemporaryDirectory() as directory:
        report = os.path.join(directory, "report.json")
        run_node(os.path.join("node_modules", "vitest", "vitest.mjs"), "run", "--config", "vitest.config.js", "--reporter=default",
                 "--reporter=json", f"--outputFile.json={report}", f"{name}.test.js", cwd=LANGGRAPH, seconds=seconds,
                 environment={"DORMOUSE_URL": ",".join(urls), **(environment or {})})
        with open(report, encoding="utf-8") as f:
            counts = json.load(f)
    assert counts["numTotalTests"] == counts["numPassedTests"] > 0, counts
    return counts["numPassedTests"]
