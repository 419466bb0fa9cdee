// The README's examples: the first one runs as it is pasted, the one of types compiles; and the types promise what
// they should.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Node } from "./node.js";

const SDK = fileURLToPath(new URL("../../sdk-js", import.meta.url));
const README = readFileSync(path.join(SDK, "README.md"), "utf8");
const block = (language) => new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, "s").exec(README)[1];
const require = createRequire(path.join(SDK, "build.js"));

let folder;
before(() => {
    folder = mkdtempSync(path.join(tmpdir(), "dormouse-sdk-js-"));
    mkdirSync(path.join(folder, "node_modules"));
    symlinkSync(SDK, path.join(folder, "node_modules/dormouse"));
    writeFileSync(path.join(folder, "package.json"), '{"type":"module"}');
});
after(() => rmSync(folder, { recursive: true, force: true }));

function run(...command) {
    return execFileSync(process.execPath, command, { cwd: folder, encoding: "utf8", env: { ...process.env, NODE_OPTIONS: "" } });
}

test("the first example runs as pasted", async () => {
    const node = await Node.start();
    process.env.DORMOUSE_URL = node.url;
    writeFileSync(path.join(folder, "agent.mjs"), block("js"));
    assert.equal(run("agent.mjs"), block("text"));
    delete process.env.DORMOUSE_URL;
});

function compile(name, source) {
    writeFileSync(path.join(folder, name), source);
    try {
        run(require.resolve("typescript/bin/tsc"), "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,dom.iterable,dom.asynciterable", name);
    } catch (error) {
        assert.fail(error.stdout);
    }
}

test("the example of types compiles", () => {
    compile("example.ts", block("ts"));
});

test("the types promise what they should", () => {
    compile("types.ts", readFileSync(new URL("types.ts", import.meta.url), "utf8"));
});
