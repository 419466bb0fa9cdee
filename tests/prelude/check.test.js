/* The check of a deploy: linking, what is exported, and places of errors. */
import assert from "node:assert/strict";
import test from "node:test";
import { Daemon } from "./daemon.js";

async function check(modules, { main = Object.keys(modules)[0], classes = null } = {}) {
    const daemon = await new Daemon().start({ mode: "check", modules, main, classes, env: null });
    const started = daemon.frames.find(([kind]) => kind === "STARTED");
    const failed = daemon.frames.find(([kind]) => kind === "FAILED");
    return { info: started?.[2], failed: failed?.[2], daemon };
}

/* The linked modules in a class isolate. */
async function run(modules, method = "run", main) {
    const { info, failed } = await check(modules, main ? { main } : {});
    assert.equal(failed, undefined, JSON.stringify(failed));
    const daemon = await new Daemon().startClass("", { modules: info.modules, main: main ?? Object.keys(modules)[0] });
    return daemon.value(method);
}

const actor = (body) => `import { DurableObject } from "cloudflare:workers";
export class Actor extends DurableObject { ${body} }`;

test("the classes that are exported are named, with their methods and kinds", async () => {
    const { info } = await check({
        "main.js": `import { DurableObject, WorkflowEntrypoint, WorkerEntrypoint } from "cloudflare:workers";
            class Base extends DurableObject { inherited() {} }
            export class A extends Base { one() {} async two() {} #hidden() {} get three() { return 3; } static four() {} fetch() {} alarm() {} }
            export class W extends WorkflowEntrypoint { run() {} }
            export class Plain { m() {} }
            export const notAClass = 1; export function neither() {}
            export default { fetch() {} };`,
    });
    assert.deepEqual(info.classes, [
        { name: "A", methods: ["one", "two", "inherited"], kind: "object" },
        { name: "W", methods: ["run"], kind: "workflow" },
        { name: "Plain", methods: ["m"], kind: "other" },
    ]);
    assert.equal(info.has_default, true);
    assert.equal((await check({ "main.js": actor("") })).info.has_default, false);
});

test("a class that is wanted and not exported is refused", async () => {
    assert.match((await check({ "main.js": actor("") }, { classes: ["Actor", "Other"] })).failed.message, /"Other"/);
    assert.match((await check({ "main.js": "export const Actor = 1;" }, { classes: ["Actor"] })).failed.message, /"Actor"/);
    assert.equal((await check({ "main.js": actor("") }, { classes: ["Actor"] })).failed, undefined);
});

test("imports, exports and live bindings work as in modules", async () => {
    assert.deepEqual(await run({
        "main.js": `import def, { count, up as increment, deep } from "./lib/counter.js";
            import * as all from "./lib/counter.js";
            import data from "./data.json";
            export { Actor } from "./actor.js";
            import { set } from "./actor.js";
            increment();
            set([count, def(), all.count, data.x, deep, typeof all.default]);`,
        "lib/counter.js": `export let count = 0; export function up() { count++; } export default () => "def"; export * from "../deep.js";`,
        "deep.js": "export const deep = 'deep';",
        "actor.js": `let kept; export const set = (v) => { kept = v; }; export class Actor { run() { return kept; } }`,
        "data.json": "{\"x\": [1, 2]}",
    }), [1, "def", 1, [1, 2], "deep", "function"]);
});

test("modules that import each other work", async () => {
    assert.equal(await run({
        "main.js": "import { b } from './b.js'; export const a = () => 'a'; export class Actor { run() { return b(); } }",
        "b.js": "import { a } from './main.js'; export function b() { return a() + 'b'; }",
    }), "ab");
});

test("TypeScript is stripped, also of types that are imported", async () => {
    assert.equal(await run({
        "main.ts": `import type { Thing } from "./types";
            import { DurableObject } from "cloudflare:workers";
            import { value, Other } from "./types";
            interface Env { X: string }
            enum Color { Red = 1, Green }
            export class Actor extends DurableObject<Env> {
                private n: number = 1;
                constructor(readonly state: any, env: Env) { super(state, env); }
                async run(this: Actor, x?: Thing): Promise<string> { return (value as string) + Color.Green + this.n! + typeof this.state; }
            }
            declare const nothing: Other;`,
        "types.ts": "export interface Thing { a: number } export type Other = string; export const value: string = 'v';",
    }), "v21object");
});

test("a workflow imports what it throws", async () => {
    const { info } = await check({ "main.js": `import { WorkflowEntrypoint } from "cloudflare:workers"; import { NonRetryableError } from "cloudflare:workflows";
        export class Flow extends WorkflowEntrypoint { run() { throw new NonRetryableError("no"); } }` });
    assert.deepEqual(info.classes, [{ name: "Flow", methods: ["run"], kind: "workflow" }]);
});

test("top-level await is waited for", async () => {
    assert.equal(await run({
        "main.js": "import { v } from './slow.js'; export class Actor { run() { return v; } }",
        "slow.js": "export const v = await new Promise((r) => setTimeout(r, 5, 'slow'));",
    }), "slow");
});

test("a dynamic import with a name finds its module", async () => {
    assert.equal(await run({
        "main.js": "export class Actor { async run() { const m = await import('./later.js'); return m.v + m.default; } }",
        "later.js": "export const v = 1; export default 2;",
    }), 3);
});

test("text and bytes can be imported", async () => {
    assert.deepEqual(await run({
        "main.js": "import text from './a.txt'; export class Actor { run() { return text; } }",
        "a.txt": "line `1` ${x}\n\"2\"",
    }), "line `1` ${x}\n\"2\"");
});

test("modern syntax passes as it is", async () => {
    assert.deepEqual(await run({
        "main.js": `export class Actor {
            static #count = 0; #own = 1; static { Actor.#count = 5; }
            run() { const { a, ...rest } = { a: 1, b: 2 }; let x = null; x ??= 4; return [Actor.#count, this.#own, rest, x?.y ?? "d", 1_000, #own in this]; } }`,
    }), [5, 1, { b: 2 }, "d", 1000, true]);
});

for (const [what, modules, place] of [
    ["a syntax error", { "main.js": "export class A {}\nconst = 1;" }, ["main.js", 2, 7]],
    ["a syntax error in an imported module", { "main.js": "import './b.js';", "b.js": "\n\n  let x = (;" }, ["b.js", 3, 12]],
    ["a syntax error in TypeScript", { "main.ts": "const a: number = 1;\nconst b: string = ;" }, ["main.ts", 2, 19]],
    ["an import that does not resolve", { "main.js": "const a = 1;\nimport x from './missing.js';" }, ["main.js", 2, 15]],
    ["an import of an unknown package", { "main.js": "import x from 'lodash';" }, ["main.js", 1, 15]],
    ["an import of a name that is not exported", { "main.js": "import { a, b } from './b.js';", "b.js": "export const a = 1;" }, ["main.js", 1, 13]],
    ["an import of a name that a built-in module lacks", { "main.js": "import { Durable } from 'cloudflare:workers';" }, ["main.js", 1, 10]],
    ["an import of node's modules", { "main.js": "import fs from 'node:fs';" }, ["main.js", 1, 16]],
    ["a duplicate declaration", { "main.js": "let a;\nlet a;" }, ["main.js", 2, 5]],
    ["a return outside of a function", { "main.js": "return 1;" }, ["main.js", 1, 1]],
    ["a module that is not there", { "other.js": "" }, ["main.js", 1, 1]],
    ["JSON that is none", { "main.js": "import x from './x.json';", "x.json": "{a" }, ["x.json", 1, 1]],
]) {
    test(`${what} has its place`, async () => {
        const { failed } = await check(modules, { main: Object.keys(modules)[0] === "other.js" ? "main.js" : Object.keys(modules)[0] });
        assert.equal(failed?.name, "SyntaxError", JSON.stringify(failed));
        assert.deepEqual([failed.file, failed.line, failed.column], place, failed.message);
    });
}

test("a module that throws names its file", async () => {
    const { failed, daemon } = await check({ "main.js": "import './b.js';", "b.js": "\nthrow new RangeError('at load');" });
    assert.equal(failed.name, "RangeError");
    assert.equal(failed.file, "b.js");
    assert.equal(daemon.ended, true);
});

test("linked modules keep their lines", async () => {
    const { info } = await check({ "main.js": "// one\nimport { DurableObject } from 'dormouse';\n\nexport class A extends DurableObject {}\nexport const last = 5;" });
    const lines = info.modules[0][1].split("\n");
    assert.match(lines[3], /class A/);
    assert.match(lines[4], /last/);
});

test("import.meta is an object of the module's own, and places stay", async () => {
    const value = await run({ "main.js": actor("run() { import.meta.x = 1; return [import.meta.url, import .  meta.x, typeof import.meta]; }") });
    assert.deepEqual(value, ["file:///main.js", 1, "object"]);
});
