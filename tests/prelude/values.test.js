/* Values across the channel: what is cloned, and how it is written. */
import assert from "node:assert/strict";
import test from "node:test";
import { classOf } from "./daemon.js";
import { encode } from "../../actor/isolate/prelude/node_modules/@msgpack/msgpack/dist.esm/index.mjs";

const daemon = await classOf(`
    make(code) { return (0, eval)(code); }
    check(value, code) { return (0, eval)(code)(value); }
    async read() { return typeof (await this.ctx.storage.get("k")); }
    async keep(code) { this.ctx.storage.put("k", (0, eval)(code)); }
    async same(code, check) {
        await this.ctx.storage.put("k", (0, eval)(code));
        await this.ctx.storage.sync();
        return (0, eval)(check)(await this.ctx.storage.get("k"));
    }`);

function encodeJs(parts) {
    const payload = encode(parts);
    return Uint8Array.of(0xc7, payload.length, 7, ...payload);
}

const hex = (bytes) => Buffer.from(bytes).toString("hex");

async function bytesOf(code) {
    await daemon.value("keep", code);
    return hex(daemon.store.get("k"));
}

for (const [code, bytes] of [
    ["null", "c0"], ["true", "c3"], ["0", "00"], ["127", "7f"], ["128", "cc80"], ["255", "ccff"], ["256", "cd0100"],
    ["65535", "cdffff"], ["65536", "ce00010000"], ["4294967295", "ceffffffff"], ["4294967296", "cf0000000100000000"],
    ["2 ** 53 - 1", "cf001fffffffffffff"], ["2 ** 53", "cb4340000000000000"], ["-1", "ff"], ["-32", "e0"], ["-33", "d0df"],
    ["-128", "d080"], ["-129", "d1ff7f"], ["-32768", "d18000"], ["-32769", "d2ffff7fff"], ["-2147483648", "d280000000"],
    ["-2147483649", "d3ffffffff7fffffff"], ["-(2 ** 53) + 1", "d3ffe0000000000001"], ["1.5", "cb3ff8000000000000"],
    ["-0", "cb8000000000000000"], ["NaN", "cb7ff8000000000000"], ["Infinity", "cb7ff0000000000000"],
    ["''", "a0"], ["'é'", "a2c3a9"], ["'\\u{1f600}'", "a4f09f9880"], ["'\\ud800'", "c90000000b0792a5756e697473c40200d8"],
    ["new Uint8Array([1, 2])", "c4020102"], ["[1, [2]]", "92019102"], ["({a: 1})", "81a16101"],
    ["new Date(0)", "d6ff00000000"], ["new Date(1500)", "d7ff7735940000000001"],
    ["new Date(-1)", "c70cff3b8b87c0ffffffffffffffff"], ["new Date(NaN)", "c90000000101c0"],
    ["undefined", null], ["[undefined]", "91c90000000105c3"], ["10n", "c90000000304a23130"],
    ["new Map([[1, 2]])", "c90000000402919201" + "02"], ["new Set([1])", "c90000000203" + "9101"],
]) {
    if (bytes !== null) {
        test(`${code} is ${bytes}`, async () => assert.equal(await bytesOf(code), bytes));
    }
}

for (const [code, check] of [
    ["new Date(-62135596800001)", "(v) => v instanceof Date && v.getTime() === -62135596800001"],
    ["new Date(8.64e15)", "(v) => v.getTime() === 8.64e15"],
    ["new Date(17179869184000)", "(v) => v.getTime() === 17179869184000"],
    ["new Date(NaN)", "(v) => v instanceof Date && Number.isNaN(v.getTime())"],
    ["new Map([['a', new Set([1, 'x'])], [{}, null]])", "(v) => v instanceof Map && v.get('a').has('x') && v.size === 2"],
    ["12345678901234567890123n", "(v) => v === 12345678901234567890123n"],
    ["-5n", "(v) => v === -5n"],
    ["({ u: undefined, n: null })", "(v) => 'u' in v && v.u === undefined && v.n === null"],
    ["new RangeError('far', { cause: 'c' })", "(v) => v instanceof RangeError && v.message === 'far' && v.cause === 'c'"],
    ["Object.assign(new Error('m'), { name: 'Mine' })", "(v) => v instanceof Error && v.name === 'Mine'"],
    ["new DOMException('gone', 'AbortError')", "(v) => v instanceof DOMException && v.name === 'AbortError' && v.code === 20"],
    ["({ ['__proto__']: 1 })", "(v) => Object.hasOwn(v, '__proto__') && Object.getPrototypeOf(v) === Object.prototype"],
    ["new (class Point { x = 1; get y() { return 2; } })()", "(v) => v.x === 1 && !('y' in v)"],
    ["({ get a() { return 7; } })", "(v) => v.a === 7"],
    ["Object.assign(Object.create(null), { a: 1 })", "(v) => v.a === 1"],
    ["Object(1)", "(v) => v instanceof Number && v.valueOf() === 1"],
    ["'x'.repeat(70000)", "(v) => v.length === 70000"],
    ["'\\u00e9'.repeat(199)", "(v) => v === '\\u00e9'.repeat(199)"],
    ["new Array(70000).fill(1)", "(v) => v.length === 70000"],
    ["Object.fromEntries(Array.from({ length: 70000 }, (_, i) => ['k' + i, i]))", "(v) => v.k69999 === 69999"],
    ["[1, , 3]", "(v) => v.length === 3 && !(1 in v)"],
    ["[undefined, , 3]", "(v) => 0 in v && !(1 in v)"],
    ["new Float32Array([1.5])", "(v) => v instanceof Float32Array && v[0] === 1.5"],
    ["new Uint16Array(new Uint8Array([1, 2, 3, 4]).buffer, 2)", "(v) => v.byteOffset === 2 && v.length === 1 && v[0] === 1027"],
    ["new DataView(new ArrayBuffer(4), 1, 2)", "(v) => v instanceof DataView && v.byteOffset === 1 && v.byteLength === 2"],
    ["globalThis.u = new ArrayBuffer(8), [new Int8Array(u), new Float64Array(u), u]", "(v) => v[0].buffer === v[1].buffer && v[1].buffer === v[2]"],
    ["/a(b)/giu", "(v) => v instanceof RegExp && v.source === 'a(b)' && v.flags === 'giu' && v.lastIndex === 0"],
    ["[Object('s'), Object(true), Object(5n)]", "(v) => v.every((one) => typeof one === 'object') && v[2].valueOf() === 5n"],
    ["globalThis.a = {}, a.self = a, a", "(v) => v.self === v"],
    ["globalThis.b = [], b.push([b]), b", "(v) => v[0][0] === v"],
    ["globalThis.e = new Error('m'), e.cause = e, e.more = [e], e", "(v) => v.cause === v && v.more[0] === v"],
    ["globalThis.m = new Map(), m.set(m, new Set([m])), m", "(v) => v.get(v).has(v)"],
    ["globalThis.o = { at: new Date(5) }, [o, [o, o.at], { o }]", "(v) => v[0] === v[1][0] && v[0].at === v[1][1] && v[2].o === v[0]"],
    ["globalThis.p = {}, [...Array.from({ length: 40 }, () => ({})), p, p]", "(v) => v[40] === v[41] && v[39] !== v[40]"],
    ["globalThis.q = new Uint8Array([1]), [q, new Int8Array(1), q]", "(v) => v[0] === v[2] && v[0] instanceof Uint8Array"],
    ["[new Error('a', { cause: new Map([[1, /x/]]) }), 1]", "(v) => v[0].cause.get(1).source === 'x' && v[1] === 1"],
    ["Object.assign(new Error('m'), { code: 5 })", "(v) => v.code === 5 && Object.keys(v).join() === 'code'"],
    ["new Uint8Array(new ArrayBuffer(8), 2, 3)", "(v) => v instanceof Uint8Array && v.length === 3"],
    ["new Uint8Array([1, 2]).buffer", "(v) => v instanceof ArrayBuffer && v.byteLength === 2"],
    ["2 ** 60", "(v) => v === 2 ** 60"],
]) {
    test(`${code} comes back the same`, async () => assert.equal(await daemon.value("same", code, check), true));
}

for (const code of ["() => 1", "Symbol('s')", "Promise.resolve()", "new WeakMap()", "({ deep: [() => 1] })",
    "new Map([[1, () => 1]])", "(function* () {})()",
    "globalThis.d = {}, Array.from({ length: 33 }).reduce((at) => at.in = {}, d), d"]) {
    test(`${code} is a DataCloneError, and nothing is written`, async () => {
        daemon.store.delete("k");
        const { error } = await daemon.call("same", code, "() => 1");
        assert.equal(error.name, "DataCloneError");
        assert.equal(daemon.store.has("k"), false);
    });
}

test("a value that is too deep says so", async () => {
    assert.match((await daemon.call("same", "Array.from({ length: 33 }).reduce((at) => [at], 1)", "1")).error.message, /32 deep/);
});

test("a value of exactly 32 levels is stored", async () => {
    assert.equal(await daemon.value("same", "Array.from({ length: 32 }).reduce((at) => [at], 1)", "(v) => JSON.stringify(v).length"), 65);
});

test("a value that refers to another one many times over is small", async () => {
    const code = "Array.from({ length: 31 }).reduce((at) => [at, at, at, at], 'xxxxxxxx')";
    assert.equal(await daemon.value("same", code, "(v) => v[3][2][1] === v[0][0][0]"), true);
    assert.ok(daemon.store.get("k").length < 2000);
});

for (const parts of [["ref", 0], ["ref", 9], ["view", "Nothing", 0, 0, 1], ["view", "Int16Array", 1, 1, new Uint8Array(4)], ["other"],
    ["regexp", "(", ""], ["ref", -1], ["ref", 0.5]]) {
    test(`${JSON.stringify(parts)} from outside is an error of its event`, async () => {
        daemon.store.set("k", encodeJs(parts));
        const { error } = await daemon.call("read");
        assert.ok(["TypeError", "RangeError", "SyntaxError"].includes(error?.name), error?.name);
    });
}

test("integers beyond those that are safe come in as bigint", async () => {
    const id = daemon.event(1, "check", Buffer.from("92" + "cf7fffffffffffffff" + "af" + Buffer.from("(v) => typeof v").toString("hex"), "hex")
        .subarray(0));
    await daemon.settle();
    const { value, error } = daemon.resultOf(id) ?? {};
    assert.equal(error?.message ?? value, "bigint");
});

test("a getter that writes while its object is encoded does not disturb it", async () => {
    const inner = await classOf(`
        nest() {
            const storage = this.ctx.storage;
            return { a: "before", get b() { storage.put("k", { deep: "x".repeat(300) }); console.log("here"); return 2; }, c: "after" };
        }`);
    assert.deepEqual(await inner.value("nest"), { a: "before", b: 2, c: "after" });
    assert.deepEqual(inner.stored("k"), { deep: "x".repeat(300) });
});

test("strings of all lengths around the bounds of their heads are kept", async () => {
    for (const length of [15, 16, 17, 31, 32, 33, 199, 200, 201, 255, 256, 65535, 65536]) {
        const text = "ab".repeat(length).slice(0, length);
        assert.equal(await daemon.value("check", text, "(v) => v"), text);
    }
});

test("a short string that looks like one seen before is not taken for it", async () => {
    const seen = new Set();
    for (let i = 0; i < 3000; i++) {
        const text = `k${(i * 7919) % 3000}`;
        assert.equal(await daemon.value("check", text, "(v) => v"), text);
        seen.add(text);
    }
    assert.equal(seen.size, 3000);
    for (const text of ["é", "\u0000", "é".repeat(8)]) {
        assert.equal(await daemon.value("check", text, "(v) => v"), text);
    }
});

