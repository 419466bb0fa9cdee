import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, outcomeName, scenario } from "./harness.js";

export class Sync extends DurableObject {
    async run(name) {
        return forms[name](this.ctx.storage.kv, this.ctx.storage);
    }
}

const forms = {
    "put, get and delete": (kv) => [kv.get("a"), kv.put("a", { x: 1 }), kv.get("a"), kv.delete("a"), kv.delete("a"), kv.get("a")],
    "the same keys as storage": async (kv, s) => {
        kv.put("a", 1);
        await s.put("b", 2);
        return [await s.get("a"), kv.get("b"), await s.list()];
    },
    "list is iterable": (kv) => {
        kv.put("b", 2);
        kv.put("a", 1);
        kv.put("c", 3);
        return [[...kv.list()], [...kv.list({ reverse: true, limit: 2 })], [...kv.list({ prefix: "b" })], [...kv.list({ start: "b" })],
                [...kv.list({ startAfter: "b" })], [...kv.list({ end: "b" })]];
    },
    "list is an iterator": (kv) => {
        kv.put("a", 1);
        const listed = kv.list();
        return [typeof listed[Symbol.iterator], typeof listed.next, listed.next(), listed.next()];
    },
    "undefined": async (kv) => [await outcome(() => kv.put("a", undefined)), kv.get("a"), [...kv.list()]],
    "no key": async (kv) => [await outcomeName(() => kv.put()), await outcomeName(() => kv.get()), await outcomeName(() => kv.get(""))],
    "many keys are not": async (kv) => [await outcome(() => kv.get(["a", "b"])), await outcomeName(() => kv.put({ a: 1 }))],
    "a value that cannot be cloned": async (kv) => [await outcomeName(() => kv.put("f", () => 1)), kv.get("f")],
    "rich values": (kv) => {
        kv.put("m", new Map([["a", new Date(5)]]));
        kv.put("s", new Set([1n, "x"]));
        kv.put("b", new Uint8Array([1, 2]));
        return [kv.get("m"), kv.get("s"), kv.get("b")];
    },
    "deleteAll": async (kv, s) => {
        kv.put("a", 1);
        await s.deleteAll();
        return [kv.get("a"), [...kv.list()]];
    },
    "what it has": (kv) => ["get", "put", "delete", "list", "clear", "has"].map((name) => [name, typeof kv[name]]),
};

export default scenario(Object.fromEntries(
    Object.keys(forms).map((name) => [name, (env) => fresh(env.Sync).run(name)])));
