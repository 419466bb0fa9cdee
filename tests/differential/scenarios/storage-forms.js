import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, outcomeName, scenario } from "./harness.js";

export class Forms extends DurableObject {
    async run(name) {
        return forms[name](this.ctx.storage);
    }
}

const forms = {
    async "one key"(s) {
        return [await s.get("a"), await s.put("a", 1), await s.get("a"), await s.delete("a"), await s.delete("a"), await s.get("a")];
    },
    async "many keys"(s) {
        await s.put({ c: 3, a: 1, b: 2 });
        return [await s.get(["c", "x", "a"]), await s.delete(["a", "x", "b"]), await s.list()];
    },
    async "keys that come twice"(s) {
        await s.put({ a: 1 });
        return [await s.get(["a", "a"]), await s.delete(["a", "a"])];
    },
    async "no keys"(s) {
        return [await s.get([]), await s.delete([]), await s.put({})];
    },
    async "128 keys"(s) {
        const keys = Array.from({ length: 128 }, (_, i) => `k${i}`);
        await s.put(Object.fromEntries(keys.map((key, i) => [key, i])));
        return [(await s.get(keys)).size, await s.delete(keys)];
    },
    async "129 keys"(s) {
        const keys = Array.from({ length: 129 }, (_, i) => `k${i}`);
        return [
            await outcome(async () => (await s.get(keys)).size),
            await outcome(() => s.put(Object.fromEntries(keys.map((key, i) => [key, i])))),
            await outcome(() => s.delete(keys)),
        ];
    },
    async "undefined is no value"(s) {
        return [await outcome(() => s.put("a", undefined)), await s.list()];
    },
    async "undefined in an object of values"(s) {
        return [await outcome(() => s.put({ a: undefined, b: 1 })), await s.list()];
    },
    async "null and other plain values"(s) {
        await s.put({ n: null, f: false, z: 0, e: "", i: -5, x: 1.5, s: "text", big: 2 ** 60 });
        return s.list();
    },
    async "half a pair in a string"(s) {
        await s.put("c", ["\ud800", "a\udc00b"]);
        return s.get("c");
    },
    async "numbers at the edges"(s) {
        await s.put({ a: NaN, b: Infinity, c: -Infinity, d: -0, e: Number.MAX_SAFE_INTEGER, f: Number.MIN_VALUE, g: 2 ** 53, h: -(2 ** 63) });
        return s.list();
    },
    async "strings of all kinds"(s) {
        await s.put({ a: "\u0000", b: "\u{1f600}", d: "é\r\n\t", e: "x".repeat(1000) });
        return s.list();
    },
    async "keys of all kinds"(s) {
        for (const key of ["a b", "é", "\u{1f600}", "/", "%2F", "__proto__", "constructor", "\u0001", "~"]) {
            await s.put(key, key);
        }
        return s.list();
    },
    async "an empty key"(s) {
        return [await outcomeName(() => s.put("", 1)), await outcomeName(() => s.get(""))];
    },
    async "keys that are no strings"(s) {
        await s.put(1, "number");
        await s.sync();
        return [await s.get(1), await s.get("1"), await s.get([1, "1"]), await s.list(), await s.get(null), await s.delete(1)];
    },
    async "a get without a key"(s) {
        return [await outcomeName(() => s.get()), await outcomeName(() => s.delete())];
    },
    async "options do not change values"(s) {
        const options = { allowConcurrency: true, allowUnconfirmed: true, noCache: true };
        await s.put("a", 1, options);
        await s.put({ b: 2, c: 3 }, options);
        return [await s.get("a", options), await s.get(["b"], options), await s.delete("c", options), await s.list({ ...options })];
    },
    async "a getter is read once"(s) {
        let reads = 0;
        await s.put("a", { get x() { return ++reads; } });
        return [await s.get("a"), reads];
    },
    async "a value that is too large"(s) {
        return [await outcomeName(() => s.put("a", "x".repeat(3 * 1024 * 1024))), (await s.get("a")) === undefined];
    },
    async "a large value"(s) {
        await s.put("a", "x".repeat(1024 * 1024));
        return (await s.get("a")).length;
    },
    async "a key that is too long"(s) {
        return outcomeName(() => s.put("k".repeat(2049), 1));
    },
    async "the map of many keys is ordered by key"(s) {
        await s.put({ b: 1, a: 2, "Z": 3, "10": 4, "9": 5 });
        return [[...(await s.get(["b", "a", "Z", "10", "9"])).keys()], [...(await s.list()).keys()]];
    },
};

export default scenario(Object.fromEntries(
    Object.keys(forms).map((name) => [name, (env) => fresh(env.Forms).run(name)])));
