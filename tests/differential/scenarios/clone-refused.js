import { DurableObject } from "cloudflare:workers";
import { fresh, outcomeName, scenario } from "./harness.js";

export class Keeper extends DurableObject {
    async stored(name) {
        await this.ctx.storage.put("before", 1);
        const put = await outcomeName(() => this.ctx.storage.put("k", values[name]()));
        const several = await outcomeName(() => this.ctx.storage.put({ a: 1, k: values[name](), z: 2 }));
        const sync = await outcomeName(() => this.ctx.storage.kv.put("k", values[name]()));
        return [put, several, sync, await this.ctx.storage.list()];
    }

    async code() {
        try {
            await this.ctx.storage.put("k", () => 1);
        } catch (error) {
            return [error instanceof DOMException, error instanceof Error, error.code, error.name];
        }
    }
}


const values = {
    "a function": () => () => 1,
    "a class": () => class A {},
    "a symbol": () => Symbol("s"),
    "a promise": () => Promise.resolve(1),
    "a weak map": () => new WeakMap(),
    "a weak set": () => new WeakSet(),
    "a weak reference": () => new WeakRef({}),
    "a function in an object": () => ({ a: 1, f() {} }),
    "a function in an array": () => [1, () => 2],
    "a function in a map": () => new Map([["f", () => 1]]),
    "a getter that throws": () => ({ get a() { throw new RangeError("getter"); } }),
    "a proxy": () => new Proxy({}, {}),
    "a generator": () => (function* () {})(),
    "an iterator of a map": () => new Map().entries(),
    "a response": () => new Response("x"),
    "a request": () => new Request("http://a/"),
    "headers": () => new Headers({ a: "b" }),
    "a stream": () => new ReadableStream(),
    "an address": () => new URL("http://a/"),
    "an abort signal": () => new AbortController().signal,
    "an event": () => new Event("x"),
    "a blob": () => new Blob(["x"]),
    "a text encoder": () => new TextEncoder(),
};

export default scenario({
    ...Object.fromEntries(Object.keys(values).map((name) => [name, (env) => fresh(env.Keeper).stored(name)])),
    "the error is a DOMException": (env) => fresh(env.Keeper).code(),
});
