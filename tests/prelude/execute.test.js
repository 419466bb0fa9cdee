/* One-shot code. */
import assert from "node:assert/strict";
import test from "node:test";
import { Daemon, pack } from "./daemon.js";

async function run(code, { input, grants = {}, store } = {}) {
    const daemon = await new Daemon({ store }).start({
        mode: "execute", code, ns: "app", class: "Store", id: "00", name: "one", grants,
    });
    const id = daemon.event(8, input === undefined ? null : pack(input));
    await daemon.settle();
    return { daemon, ...daemon.resultOf(id) };
}

test("a function expression runs with its input", async () => {
    assert.equal((await run("async (input) => input.a + 1", { input: { a: 1 } })).value, 2);
    assert.equal((await run("(input) => input", { input: "x" })).value, "x");
    assert.equal((await run("async function named(input, api) { return typeof api.storage.get; }")).value, "function");
});

test("a module with a default export runs", async () => {
    assert.equal((await run("const k: number = 2;\nexport default async (input: number) => input * k;", { input: 3 })).value, 6);
    assert.equal((await run("export default function (input) { return input; }", { input: 3 })).value, 3);
});

test("the word export in an expression is no module", async () => {
    assert.equal((await run("() => 'export default'")).value, "export default");
});

test("code that does not parse fails with its place", async () => {
    for (const code of ["async (input => 1", "export default async () => { let let }"]) {
        const { daemon } = await run(code);
        const failed = daemon.frames.find(([kind]) => kind === "FAILED");
        assert.equal(failed[2].name, "SyntaxError", code);
    }
});

test("code that is no function fails", async () => {
    const { daemon } = await run("1 + 1");
    assert.match(daemon.frames.at(-1)[2].message, /function/);
});

test("writes leave with the result, as one batch", async () => {
    const { daemon } = await run(`async (input, api) => {
        await api.storage.put("a", 1);
        await new Promise((r) => setTimeout(r, 10));
        await api.storage.delete("b");
        await api.storage.get("c");
        return [...await api.storage.list()];
    }`, { grants: { storage: "write" }, store: { b: 1 } });
    assert.equal(daemon.framesOf("WRITE").length, 0);
    assert.ok(daemon.framesOf("ASK").every((frame) => frame[4] === null));
    assert.deepEqual(daemon.framesOf("DONE")[0][4].map(([what, key]) => `${what} ${key}`), ["put a", "delete b"]);
});

test("what a run wrote before it threw is dropped", async () => {
    const { daemon, error } = await run("async (i, api) => { await api.storage.put('a', 1); throw new Error('no'); }",
                                        { grants: { storage: "write" } });
    assert.equal(error.message, "no");
    assert.equal(daemon.store.size, 0);
});

test("what a run wrote is dropped where its result cannot be cloned", async () => {
    const { daemon, error } = await run("async (i, api) => { await api.storage.put('a', 1); return () => 1; }",
                                        { grants: { storage: "write" } });
    assert.equal(error.name, "DataCloneError");
    assert.equal(daemon.store.size, 0);
});

test("without a grant storage is refused, with read only writes are", async () => {
    assert.equal((await run("(i, api) => api.storage.get('a')")).error.code, "forbidden");
    assert.equal((await run("(i, api) => api.storage.put('a', 1)")).error.code, "forbidden");
    assert.equal((await run("(i, api) => api.storage.list()")).error.code, "forbidden");
    assert.equal((await run("(i, api) => api.storage.put('a', 1)", { grants: { storage: "read" } })).error.code, "forbidden");
    assert.equal((await run("(i, api) => api.storage.delete('a')", { grants: { storage: "read" } })).error.code, "forbidden");
    assert.equal((await run("(i, api) => api.storage.get('a')", { grants: { storage: "read" }, store: { a: 4 } })).value, 4);
});

test("a run that writes more than 16 MiB fails", async () => {
    const { daemon, error } = await run("async (i, api) => { for (let i = 0; i < 20; i++) await api.storage.put('k' + i, new Uint8Array(2 ** 20)); }",
                                        { grants: { storage: "write" } });
    assert.equal(error.code, "too_large");
    assert.equal(daemon.store.size, 0);
});

test("only granted classes can be called", async () => {
    const daemon = await new Daemon().start({
        mode: "execute", code: "(i, api) => [Object.keys(api.actors), typeof api.actors.Counter.getByName]",
        grants: { actors: ["Counter"] }, ns: "app", class: "Store", id: "00", name: null,
    });
    const id = daemon.event(8, null);
    await daemon.settle();
    assert.deepEqual(daemon.resultOf(id).value, [["Counter"], "function"]);
});

test("console goes to the log of the run", async () => {
    const { daemon } = await run("() => { console.log('a', 1, { b: [2] }); console.error(new TypeError('x')); }");
    assert.deepEqual(daemon.logs()[0], ["log", "a 1 { b: [ 2 ] }"]);
    assert.equal(daemon.logs()[1][0], "error");
    assert.match(daemon.logs()[1][1], /^TypeError: x/);
});
