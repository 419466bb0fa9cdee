import { DurableObject } from "cloudflare:workers";
import { outcome, scenario, shown } from "./harness.js";

/* Each value goes through storage, through a call's argument and through its result. */
export class Keeper extends DurableObject {
    async stored(name) {
        await this.ctx.storage.put("k", values[name]());
        await this.ctx.storage.sync();
        return JSON.stringify([shown(await this.ctx.storage.get("k")), shown(this.ctx.storage.kv.get("k"))]);
    }

    async point() {
        await this.ctx.storage.put("k", new Point());
        return JSON.stringify(shown(await this.ctx.storage.get("k")));
    }

    async echo(value) {
        return value;
    }
}

class Point {
    x = 1;
    #y = 2;

    get z() {
        return this.#y;
    }
}

const values = {
    "nested": () => ({ a: [1, { b: [null, undefined, "x"] }], c: {} }),
    "a map": () => new Map([["a", 1], [2, "b"], [{ k: 1 }, new Map()]]),
    "a set": () => new Set([1, "1", [1], new Set()]),
    "dates": () => [new Date(0), new Date(-1), new Date(8.64e15), new Date(NaN), new Date(1234567890123)],
    "regular expressions": () => [/a(b)*\/c/gi, /\n/u, /(?<name>x)/dy],
    "big integers": () => [0n, -1n, 2n ** 64n, -(2n ** 200n)],
    "undefined": () => [undefined, { a: undefined }],
    "boxes": () => [Object(1), Object("s"), Object(true), Object(5n)],
    "sparse arrays": () => [1, , 3],
    "arrays with members": () => Object.assign([1, 2], { extra: "x" }),
    "symbols as keys": () => ({ [Symbol("s")]: 1, a: 2 }),
    "hidden members": () => Object.defineProperty({ a: 1 }, "hidden", { value: 2, enumerable: false }),
    "getters": () => ({ get a() { return [1]; } }),
    "no prototype": () => Object.assign(Object.create(null), { a: 1 }),
    "inherited members": () => Object.assign(Object.create({ inherited: 1 }), { own: 2 }),
    "a member named __proto__": () => JSON.parse('{"__proto__": {"a": 1}, "b": 2}'),
    "members named by numbers": () => ({ 2: "b", 1: "a", x: "c" }),
    "a long array": () => Array.from({ length: 5000 }, (_, i) => i),
    "twenty deep": () => {
        let value = "bottom";
        for (let i = 0; i < 20; i++) {
            value = { v: [value] }.v;
        }
        return value;
    },
    "a frozen object": () => Object.freeze({ a: Object.freeze([1]) }),
    "strings": () => ["", "\ud800", "a\u0000b", "\u{1f600}".repeat(100)],
    "a date's members": () => Object.assign(new Date(5), { extra: 1 }),
};

export default scenario({
    ...Object.fromEntries(Object.keys(values).map((name) => [`stored: ${name}`, (env) => outcome(async () => JSON.parse(await env.Keeper.getByName("one").stored(name)))])),
    ...Object.fromEntries(Object.keys(values).map((name) => [`called: ${name}`, (env) => outcome(() => env.Keeper.getByName("one").echo(values[name]()))])),
    "stored: an instance of a class": (env) => outcome(async () => JSON.parse(await env.Keeper.getByName("one").point())),
    "called: an instance of a class": (env) => outcome(async () => {
        await env.Keeper.getByName("one").echo(new Point());
        return "cloned";
    }),
});
