"""`dormouse deploy` and `dev`: bundling, wrangler's file, errors in the source, a node that takes the deploy. The
node's check is a fake (tests/lib/fake_check.c): @@ in a line is a syntax error there."""

import json
import os
import subprocess

import pytest

from client import wait_until
from node import built_program

OK, ANSWER, USAGE, NOT_FOUND = range(4)
COUNTER = """import { DurableObject } from "cloudflare:workers";

interface Step { by: number }

export class Counter extends DurableObject {
  async add(step: Step): Promise<number> {
    return step.by;
  }
}
"""


@pytest.fixture(scope="module")
def _taker(tmp_path_factory):
    from node import Node
    node = Node(tmp_path_factory.mktemp("taker") / "data", binary=built_program("tests/lib/fake_check"))
    yield node
    node.finish()


@pytest.fixture
def taker(_taker):
    yield _taker
    _taker.check()


@pytest.fixture
def folder(tmp_path):
    """Writes files below a folder of the test's own."""
    class Folder:
        path = tmp_path / "project"

        def file(self, name, text):
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text if isinstance(text, str) else json.dumps(text))
            return str(path)

    Folder.path.mkdir()
    return Folder()


_numbers = iter(range(1, 1000))


@pytest.fixture
def ns():
    return f"ns{next(_numbers)}"


def environment(node, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DORMOUSE_")}
    return {**clean, "DORMOUSE_URL": node.url, **more}


def dormouse(node, *arguments, code=OK, cwd=None, **more):
    done = subprocess.run([built_program("dormouse"), *map(str, arguments)], env=environment(node, **more), cwd=cwd,
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done
    return done


def deployed(node, namespace):
    answer = node.client.get(f"/v1/{namespace}")
    assert answer.status == 200, answer
    return answer.json


# Bundling


def test_typescript_and_imports_become_one_module(taker, folder, ns):
    folder.file("lib/step.ts", "export const step = (n: number): number => n + 1;\n")
    main = folder.file("counter.ts", COUNTER + 'import { step } from "./lib/step";\nconsole.log(step(1));\n')
    assert dormouse(taker, "deploy", main, "--namespace", ns).stdout == f"{ns}: version 1: Counter\n"
    told = deployed(taker, ns)
    assert (told["main"], [c["name"] for c in told["classes"]]) == ("main.js", ["Counter"])


def test_a_package_of_npm_goes_into_the_bundle(taker, folder, ns):
    folder.file("node_modules/tiny/package.json", {"name": "tiny", "version": "1.0.0", "module": "index.mjs"})
    folder.file("node_modules/tiny/index.mjs", "export const tiny = 1;\n" + "// filler\n" * 10)
    plain = folder.file("plain.ts", COUNTER)
    main = folder.file("main.ts", COUNTER + 'import { tiny } from "tiny";\nexport default { tiny };\n')
    dormouse(taker, "deploy", plain, "--namespace", ns)
    dormouse(taker, "deploy", main, "--namespace", ns)
    newer, older = taker.client.get(f"/v1/{ns}/versions").json["versions"]
    assert newer["bytes"] > older["bytes"] and newer["classes"] == ["Counter"]


def test_what_the_node_has_stays_outside(taker, folder, ns):
    main = folder.file("m.ts", 'import "cloudflare:workers";\nimport "cloudflare:other";\nimport "dormouse";\n'
                               "export class Counter extends DurableObject {}\n")
    assert dormouse(taker, "deploy", main, "--namespace", ns).stdout.endswith(": Counter\n")


def test_without_source_maps_the_bundle_is_smaller(taker, folder, ns):
    main = folder.file("m.ts", COUNTER)
    dormouse(taker, "deploy", main, "--namespace", ns)
    dormouse(taker, "deploy", main, "--namespace", ns, "--no-source-maps")
    newer, older = taker.client.get(f"/v1/{ns}/versions").json["versions"]
    assert newer["bytes"] < older["bytes"]


def test_json_prints_the_answer(taker, folder, ns):
    main = folder.file("m.ts", COUNTER)
    done = dormouse(taker, "--json", "deploy", main, "--namespace", ns)
    assert json.loads(done.stdout) == {"version": 1, "classes": ["Counter"]}
    assert done.stderr == ""


# Wrangler's file


JSONC = """{
  // what it is called
  "name": "%s",
  "main": "./src/index.ts", /* where it begins */
  "compatibility_date": "2026-01-01",
  "vars": {"GREETING": "hello", "LIMITS": {"a": [1, 2]}},
  "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]},
  "migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter"]}],
  "dormouse": {"egress": {"allow": ["api.example.com"]}},
}
"""

TOML = """# what it is called
name = "%s"
main = "src/index.ts"

[vars]
GREETING = "hello"
LIMITS = { a = [1, 2] }

[[durable_objects.bindings]]
name = "COUNTER"
class_name = "Counter"

[dormouse.egress]
allow = ["api.example.com"]
"""


@pytest.mark.parametrize("name, text", [
    ("wrangler.jsonc", JSONC), ("wrangler.json", JSONC), ("wrangler.toml", TOML)])
def test_wranglers_file_says_name_main_vars_and_bindings(taker, folder, ns, name, text):
    folder.file("src/index.ts", COUNTER)
    folder.file(name, text % ns)
    assert dormouse(taker, "deploy", folder.path).stdout == f"{ns}: version 1: Counter\n"
    told = deployed(taker, ns)
    assert told["bindings"] == {"COUNTER": "Counter"} and told["env"] == ["GREETING", "LIMITS"]
    assert told["egress"] == {"allow": ["api.example.com"]}


def test_it_is_found_from_the_file_and_from_the_folder_itself(taker, folder, ns):
    folder.file("src/index.ts", COUNTER)
    folder.file("wrangler.toml", TOML % ns)
    dormouse(taker, "deploy", folder.path / "src" / "index.ts")
    dormouse(taker, "deploy", ".", cwd=folder.path)
    dormouse(taker, "deploy", "index.ts", cwd=folder.path / "src")
    other = folder.file("other/wrangler.toml", (TOML % ns).replace('"src/index.ts"', '"../src/index.ts"'))
    dormouse(taker, "deploy", folder.path / "src" / "index.ts", "--config", other)
    assert deployed(taker, ns)["version"] == 4


def test_the_command_line_wins(taker, folder, ns):
    folder.file("src/index.ts", COUNTER + "export class Room extends DurableObject {}\nexport class Plain {}\n")
    folder.file("wrangler.toml", TOML % "not-this")
    dormouse(taker, "deploy", folder.path, "--namespace", ns, "--var", "GREETING=hi=there", "--var", "MORE=1",
             "--bind", "P=Plain", "--class", "Counter", "--allow", "*.example.org", "--allow", "localhost:8080")
    told = deployed(taker, ns)
    assert [c["name"] for c in told["classes"]] == ["Counter", "Plain"]
    assert told["bindings"] == {"COUNTER": "Counter", "P": "Plain"}
    assert told["env"] == ["GREETING", "LIMITS", "MORE"]
    assert told["egress"] == {"allow": ["api.example.com", "*.example.org", "localhost:8080"]}


def test_a_folder_without_wranglers_file_begins_with_its_index(taker, folder, ns):
    folder.file("src/index.js", "export class Counter extends DurableObject {}\n")
    assert dormouse(taker, "deploy", folder.path, "--namespace", ns).stdout.endswith(": Counter\n")


@pytest.mark.parametrize("name, text, part", [
    ("wrangler.jsonc", '{\n  "name": nope\n}', "wrangler.jsonc:2:"),
    ("wrangler.jsonc", "[]", "no JSON object"),
    ("wrangler.jsonc", '{"name": 7}', "name"),
    ("wrangler.jsonc", '{"name": "x", "durable_objects": []}', "durable_objects"),
    ("wrangler.jsonc", '{"name": "x", "durable_objects": {"bindings": [{"name": "A"}]}}', "class_name"),
    ("wrangler.jsonc", '{"name": "x", "durable_objects": {"bindings": '
                       '[{"name": "A", "class_name": "B", "script_name": "other"}]}}', "another script"),
    ("wrangler.toml", 'name = "x"\nmain = \n', "line 2"),
    ("wrangler.toml", "vars = 1\n", "vars"),
])
def test_a_malformed_file_is_refused_with_its_place(taker, folder, name, text, part):
    folder.file("src/index.ts", COUNTER)
    folder.file(name, text)
    assert part in dormouse(taker, "deploy", folder.path, code=USAGE).stderr


def test_what_is_not_there_is_said(taker, folder, ns):
    assert "no such file" in dormouse(taker, "deploy", folder.path / "none.ts", code=USAGE).stderr
    assert "no file to begin with" in dormouse(taker, "deploy", folder.path, "--namespace", ns, code=USAGE).stderr
    main = folder.file("m.ts", COUNTER)
    assert "--namespace" in dormouse(taker, "deploy", main, code=USAGE).stderr
    missing = dormouse(taker, "deploy", main, "--namespace", ns, code=USAGE, DORMOUSE_ESBUILD="/nonexistent/esbuild")
    assert "/nonexistent/esbuild is not there" in missing.stderr


# Code that is wrong


def test_what_does_not_bundle_is_shown_with_file_line_and_column(taker, folder, ns):
    main = folder.file("m.ts", "export class A {\n  m() {\n    let a b;\n  }\n}\n")
    said = dormouse(taker, "deploy", "m.ts", "--namespace", ns, code=ANSWER, cwd=folder.path).stderr
    assert "m.ts:3:10:" in said and "let a b;" in said
    said = json.loads(dormouse(taker, "--json", "deploy", "m.ts", "--namespace", ns, code=ANSWER,
                               cwd=folder.path).stderr)["error"]
    assert (said["code"], said["file"], said["line"], said["column"]) == ("invalid_code", "m.ts", 3, 11)
    folder.file("m.ts", 'import { x } from "not-there";\nexport default x;\n')
    said = dormouse(taker, "deploy", main, "--namespace", ns, code=ANSWER).stderr
    assert "not-there" in said and "m.ts:1:18:" in said
    assert taker.client.get(f"/v1/{ns}").status == 404


def test_what_the_node_refuses_is_shown_in_the_source(taker, folder, ns):
    folder.file("src/index.ts", COUNTER + 'import { text } from "./text";\nconsole.log(text);\n')
    folder.file("src/text.ts", '\n\ntype T = string;\nexport const text: T =\n\t"@@Unexpected thing";\n')
    folder.file("wrangler.toml", TOML % ns)
    said = dormouse(taker, "deploy", folder.path, code=ANSWER).stderr.splitlines()
    assert said[0].startswith("src/text.ts:5:2: SyntaxError: Unexpected thing")
    assert said[1] == '     5 |  "@@Unexpected thing";'
    assert said[2] == "       |  ^"
    told = json.loads(dormouse(taker, "--json", "deploy", folder.path, code=ANSWER).stderr)["error"]
    assert (told["code"], told["file"], told["line"], told["column"]) == ("invalid_code", "src/text.ts", 5, 2)


def test_a_class_that_is_bound_and_not_there_is_said(taker, folder, ns):
    main = folder.file("m.ts", COUNTER)
    said = dormouse(taker, "deploy", main, "--namespace", ns, "--bind", "R=Room", code=ANSWER).stderr
    assert "Room" in said and "invalid_code" in said


def test_nothing_is_left_behind(taker, folder, ns, tmp_path):
    main = folder.file("m.ts", COUNTER)
    bad = folder.file("bad.ts", "let a b")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    dormouse(taker, "deploy", main, "--namespace", ns, TMPDIR=str(temporary))
    dormouse(taker, "deploy", bad, "--namespace", ns, code=ANSWER, TMPDIR=str(temporary))
    assert list(temporary.iterdir()) == []


# Versions


def test_a_deploy_is_rolled_back(taker, folder, ns):
    dormouse(taker, "deploy", folder.file("a.ts", COUNTER), "--namespace", ns)
    dormouse(taker, "deploy", folder.file("b.ts", COUNTER.replace("Counter", "Room")), "--namespace", ns)
    assert dormouse(taker, "rollback", ns).stdout == f"{ns}: version 3 is version 1 again\n"
    lines = dormouse(taker, "versions", ns).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["VERSION", "3", "2", "1"]
    assert [line.split()[-1] for line in lines[1:]] == ["Counter", "Room", "Counter"]
    dormouse(taker, "rollback", ns, "99", code=NOT_FOUND)


# dev


def test_dev_deploys_again_when_a_file_changes(taker, folder, ns):
    folder.file("src/index.ts", COUNTER + 'import "./more";\n')
    folder.file("src/more.ts", "export {};\n")
    folder.file("wrangler.toml", TOML % ns)
    process = subprocess.Popen([built_program("dormouse"), "dev", str(folder.path)], env=environment(taker),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        def version():
            answer = taker.client.get(f"/v1/{ns}")
            return answer.json["version"] if answer.status == 200 else 0

        wait_until(lambda: version() == 1, what="the first deploy")
        folder.file("src/more.ts", "console.log(1);\n")
        wait_until(lambda: version() == 2, what="a deploy after a change of an import")
        folder.file("src/more.ts", "let a b\n")
        while "more.ts:1:6:" not in process.stderr.readline():
            assert process.poll() is None
        folder.file("src/more.ts", "export {};\n")
        wait_until(lambda: version() == 3, what="a deploy after the mistake is mended")
        folder.file("wrangler.toml", (TOML % ns).replace("hello", "good day"))
        wait_until(lambda: version() == 4, what="a deploy after a change of wrangler's file")
    finally:
        process.kill()
        process.communicate()
