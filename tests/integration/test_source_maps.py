"""Section 4, source maps: stacks in answers and logs name places in what the author wrote."""

import base64
import itertools
import json

import pytest

from client import expect_problem
from test_classes import Class
from test_cli_deploy import dormouse
from test_logs import listen, said

INDEX = """import { DurableObject } from "cloudflare:workers";
import { fail } from "./deep/fail";

interface Options {
  text: string;
}

export class Thrower extends DurableObject {
  async direct(options: Options): Promise<void> {
    throw new TypeError(options.text);
  }
  async deep(): Promise<void> {
    fail("from below");
  }
  print(): void {
    console.error(new Error("printed"));
  }
  later(): void {
    setTimeout(() => fail("too late"), 1);
  }
}
"""
FAIL = """type Text = string;

export function fail(text: Text): never {
  throw new RangeError(text);
}
"""

_numbers = itertools.count(1)


@pytest.fixture
def project(tmp_path, shared_node):
    """Deploys the project; an actor of it."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "index.ts").write_text(INDEX)
    (tmp_path / "deep" / "fail.ts").write_text(FAIL)

    def deploy(*options):
        ns = f"maps-{next(_numbers)}"
        dormouse(shared_node, "deploy", tmp_path / "index.ts", "--namespace", ns, *options)
        return Class(shared_node.client, "a", ns, "Thrower")
    return deploy


def stack_of(actor, method, *arguments):
    return expect_problem(actor.call(method, *arguments), 500, "actor_exception")["stack"].split("\n")


def test_the_stack_of_an_answer_names_the_source(project):
    actor = project()
    assert stack_of(actor, "direct", {"text": "no"})[0].startswith("direct@index.ts:10:")
    frames = stack_of(actor, "deep")
    assert frames[0].startswith("fail@deep/fail.ts:4:") and frames[1].startswith("deep@index.ts:13:")


def test_stacks_in_logs_name_the_source(project, shared_node):
    actor = project()
    with listen(shared_node, actor.path.split("/")[2]) as stream:
        for method, head, frame in [("print", "Error: printed", "    print@index.ts:16:"),
                                    ("deep", "RangeError: from below", "    fail@deep/fail.ts:4:"),
                                    ("later", "Uncaught RangeError: too late", "    fail@deep/fail.ts:4:")]:
            actor.call(method)
            lines = said(stream.next())["text"].split("\n")
            assert lines[0] == head and lines[1].startswith(frame), lines


def test_without_source_maps_they_name_the_bundle(project):
    assert "main.js:" in stack_of(project("--no-source-maps"), "deep")[0]


def test_a_module_may_bring_its_source_map(shared_node):
    source = ('import { DurableObject } from "cloudflare:workers";\n'
              'export class Thrower extends DurableObject { direct() { throw new Error("no"); } }\n')
    # The second line of the code is the fifth of the source.
    source_map = json.dumps({"version": 3, "sources": ["thrower.ts"], "mappings": "AAAA;AAIA"})
    inline = source + "//# sourceMappingURL=data:application/json;base64," + base64.b64encode(source_map.encode()).decode()
    for modules in [{"main.js": inline}, {"main.js": source, "main.js.map": source_map}]:
        ns = f"maps-{next(_numbers)}"
        body = {"modules": modules, "main": "main.js"}
        assert shared_node.client.put(f"/v1/{ns}", json=body).status == 200
        assert stack_of(Class(shared_node.client, "a", ns, "Thrower"), "direct")[0] == "direct@thrower.ts:5:1"
