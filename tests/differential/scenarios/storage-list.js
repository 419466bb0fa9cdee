import { DurableObject } from "cloudflare:workers";
import { fresh, outcomeName, scenario } from "./harness.js";

const KEYS = ["a", "a/1", "a/2", "a/3", "b", "b/1", "c", "é", "z", "\u{1f600}", "\uffff"];

export class Listed extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        ctx.blockConcurrencyWhile(() => ctx.storage.put(Object.fromEntries(KEYS.map((key, i) => [key, i]))));
    }

    async keys(options) {
        return [...(await this.ctx.storage.list(options)).entries()];
    }

    async keysOrName(options) {
        return outcomeName(() => this.keys(options));
    }

    /* Over writes that have not left yet. */
    async over(options) {
        this.ctx.storage.put("a/15", "new");
        this.ctx.storage.delete("a/2");
        this.ctx.storage.put("b", "changed");
        return this.keys(options);
    }

    async pages() {
        const seen = [];
        for (let startAfter; ;) {
            const page = await this.ctx.storage.list({ limit: 4, ...(startAfter === undefined ? {} : { startAfter }) });
            if (page.size === 0) {
                return seen;
            }
            seen.push([...page.keys()]);
            startAfter = seen.at(-1).at(-1);
        }
    }

    async many() {
        for (let i = 0; i < 2500; i++) {
            this.ctx.storage.put(`many/${String(i).padStart(5, "0")}`, i);
        }
        const all = await this.ctx.storage.list({ prefix: "many/" });
        const back = await this.ctx.storage.list({ prefix: "many/", reverse: true, limit: 3 });
        return [all.size, [...all.keys()].slice(0, 2), [...back]];
    }
}

const ranges = {
    "everything": undefined,
    "no options": {},
    "a prefix": { prefix: "a/" },
    "a prefix that nothing has": { prefix: "x" },
    "an empty prefix": { prefix: "" },
    "a start": { start: "b" },
    "a start between keys": { start: "a/15" },
    "a start after": { startAfter: "b" },
    "a start after what is not there": { startAfter: "bb" },
    "an end": { end: "b" },
    "a start and an end": { start: "a/1", end: "b/1" },
    "a start behind the end": { start: "c", end: "a" },
    "a start at the end": { start: "b", end: "b" },
    "a limit": { limit: 3 },
    "a limit of one": { limit: 1 },
    "a large limit": { limit: 100000 },
    "backwards": { reverse: true },
    "backwards with a limit": { reverse: true, limit: 3 },
    "backwards with a start": { reverse: true, start: "b" },
    "backwards with a start after": { reverse: true, startAfter: "b" },
    "backwards with an end": { reverse: true, end: "b" },
    "backwards with all": { reverse: true, start: "a/1", end: "c", limit: 3 },
    "a prefix with a start": { prefix: "a", start: "a/2" },
    "a prefix with a start before it": { prefix: "b", start: "a" },
    "a prefix with an end": { prefix: "a", end: "a/3" },
    "a prefix with an end behind it": { prefix: "a", end: "zz" },
    "a prefix backwards": { prefix: "a/", reverse: true },
    "a prefix backwards with a limit": { prefix: "a/", reverse: true, limit: 2 },
    "a prefix with a limit": { prefix: "a", limit: 2 },
    "undefined members": { prefix: undefined, start: undefined, end: undefined, limit: undefined, reverse: undefined },
    "other options": { allowConcurrency: true, noCache: true, limit: 2 },
    "a prefix beyond ASCII": { prefix: "é" },
    "a start beyond the plane": { start: "\u{1f600}" },
};

const wrong = {
    "a limit of zero": { limit: 0 },
    "a limit below zero": { limit: -1 },
    "a limit that is no number": { limit: "x" },
    "a limit as text": { limit: "2" },
    "start and startAfter": { start: "a", startAfter: "a" },
    "a prefix that is a number": { prefix: 5 },
    "options that are a number": 5,
};

export default scenario({
    ...Object.fromEntries(Object.entries(ranges).map(([name, options]) => [name, (env) => env.Listed.getByName("read").keys(options)])),
    ...Object.fromEntries(Object.entries(wrong).map(([name, options]) => [name, (env) => env.Listed.getByName("read").keysOrName(options)])),
    "over fresh writes": (env) => fresh(env.Listed).over(),
    "over fresh writes, with a prefix": (env) => fresh(env.Listed).over({ prefix: "a/" }),
    "over fresh writes, backwards": (env) => fresh(env.Listed).over({ reverse: true, limit: 8 }),
    "over fresh writes, with a limit": (env) => fresh(env.Listed).over({ limit: 3 }),
    "page by page": (env) => fresh(env.Listed).pages(),
    "thousands of keys": (env) => fresh(env.Listed).many(),
});
