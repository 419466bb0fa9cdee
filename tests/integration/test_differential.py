"""The same classes on workerd and here: each scenario of tests/differential is deployed to both unchanged, gets
the same requests, and the answers agree. What differs on purpose stands in known.json, with its reason."""

import glob
import json
import os
import re
import sys

import pytest

from client import Client, quote
from node import Node

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "differential")
sys.path.insert(0, FOLDER)

import workerd  # noqa: E402

ENV = {"GREETING": "hello", "LIMITS": {"calls": 3}}
HEADERS = ["content-type", "set-cookie", "location", "x-seen", "cache-control", "allow", "etag", "vary"]


def _read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


NAMES = sorted(os.path.basename(path)[:-3] for path in glob.glob(os.path.join(FOLDER, "scenarios", "*.js")))
KNOWN = json.loads(_read(os.path.join(FOLDER, "known.json")))


def modules_of(name):
    return {"main.js": _read(os.path.join(FOLDER, "scenarios", f"{name}.js")),
            "harness.js": _read(os.path.join(FOLDER, "harness.js"))}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Clients of workerd, which has all scenarios, and of a node, which gets each with its test."""
    if workerd.program() is None:
        pytest.skip("workerd is not installed: deploy/build --tests does it, by npm, into tests/differential")
    other = workerd.Workerd(str(tmp_path_factory.mktemp("workerd")), {name: modules_of(name) for name in NAMES}, ENV)
    node = Node(tmp_path_factory.mktemp("differential") / "data")
    try:
        yield Client(other.url), Client(node.url)
        node.check()
    finally:
        other.finish()
        node.finish()
    node.discard()


def ask(client, name, method, path, headers=None, body=None):
    """What is compared of an answer."""
    answer = client.request(method, f"/w/{name}{path}", body=body, headers=headers)
    kept = {h: answer.headers.get_all(h) for h in HEADERS if h in answer.headers}
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = answer.body.decode("utf-8", "replace")
    return {"status": answer.status, "headers": kept, "body": content}


def requests_of(name):
    """Lines `//> METHOD path [header: value]... [| body]` of a scenario: requests as they come over HTTP."""
    for line in re.findall(r"^//> (.*)$", modules_of(name)["main.js"], re.MULTILINE):
        head, _, body = line.partition(" | ")
        method, path, *fields = head.split(" ", 2)
        headers = [field.split(": ", 1) for field in " ".join(fields).split("; ") if field]
        yield line, (method, path, dict(headers), body or None)


def compare(name, case, theirs, ours):
    """None where the answers agree, or differ as it is written down."""
    known = KNOWN.get(f"{name}: {case}")
    if known is not None:
        told = {"workerd": theirs["body"].get("answer", theirs["body"]), "here": ours["body"].get("answer", ours["body"])}
        wanted = {"workerd": known["workerd"], "here": known["here"]}
        return None if told == wanted else f"{case}\n  known   {json.dumps(wanted)}\n  but     {json.dumps(told)}"
    if theirs == ours:
        return None
    parts = [part for part in theirs if theirs[part] != ours[part]]
    return "\n  ".join([case, *(f"{part}: workerd {json.dumps(theirs[part])}\n  {part}: here    {json.dumps(ours[part])}" for part in parts)])


def known_cases(name):
    return {title.partition(": ")[2] for title in KNOWN if title.startswith(f"{name}: ")}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_classes_answer_the_same_on_workerd_and_here(both, name):
    deployed = both[1].put(f"/v1/{name}", json={"modules": modules_of(name), "main": "main.js", "env": ENV,
                                                "classes": workerd.classes_of(modules_of(name)["main.js"])})
    assert deployed.status == 200, deployed
    asked = list(requests_of(name))
    if not asked:
        cases = [ask(client, name, "GET", "/")["body"] for client in both]
        assert cases[0] == cases[1] and len(cases[0]) > 0
        asked = [(case, ("GET", f"/{quote(case)}")) for case in cases[0]]
    stale = known_cases(name) - {case for case, _ in asked}
    assert not stale, f"known.json has cases that are not there: {stale}"
    answers = [(case, *(ask(client, name, *request) for client in both)) for case, request in asked]
    differing = [told for told in (compare(name, *one) for one in answers) if told is not None]
    assert not differing, f"{len(differing)} of {len(asked)} differ:\n" + "\n".join(differing)


def test_what_is_known_to_differ_differs_and_says_why():
    for title, known in KNOWN.items():
        assert title.partition(": ")[0] in NAMES, title
        assert known["why"] and known["workerd"] != known["here"], title


def test_there_are_at_least_forty_scenarios():
    assert len(NAMES) >= 40
