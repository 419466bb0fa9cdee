/* Frames that a prelude is warmed with (main.js): what most isolates will be told, and do. */
import * as frames from "./frames.js";
import { encodeCopy } from "./clone.js";

const CLASS = `
const { DurableObject } = require("cloudflare:workers");
exports.Warm = class Warm extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        ctx.blockConcurrencyWhile(async () => {
            this.kept = await ctx.storage.get("kept");
        });
    }
    sum(a, b) { return a + b; }
    async store(value) {
        await this.ctx.storage.put("key", value);
        this.ctx.storage.delete("gone");
        const stored = await this.ctx.storage.get(["key", "other"]);
        const entries = await this.ctx.storage.list({ prefix: "k", limit: 10 });
        setTimeout(() => {}, 0);
        console.log("stored", entries);
        return { stored: stored.get("key"), date: new Date(0), list: [1, 2.5, "text", null, true, new Uint8Array(2)] };
    }
    async put(key, value) {
        this.puts = (this.puts ?? 0) + 1;
        await this.ctx.storage.put(key + this.puts, value);
        await this.ctx.storage.put(key, value);
        return this.ctx.storage.get(key);
    }
    async get(key) { return (await this.ctx.storage.get(key)) ?? null; }
    fail() { throw new Error("failed"); }
    async alarm() { await this.ctx.storage.setAlarm(Date.now() + 1000); }
    async fetch(request) {
        const url = new URL(request.url);
        if (request.headers.get("upgrade") === "websocket") {
            const [client, server] = Object.values(new WebSocketPair());
            this.ctx.acceptWebSocket(server, ["tag"]);
            return new Response(null, { status: 101, webSocket: client });
        }
        const body = request.method === "POST" ? await request.json() : null;
        return Response.json({ path: url.pathname, query: url.searchParams.get("q"), body });
    }
    webSocketMessage(ws, message) { ws.send(message); }
    webSocketClose() {}
};`;

/* What most classes do first. */
const SMALL = `
const { DurableObject } = require("cloudflare:workers");
exports.Small = class Small extends DurableObject {
    constructor(ctx, env) { super(ctx, env); this.count = 0; }
    read() { return this.count; }
    async add(by) {
        const value = (await this.ctx.storage.get("value")) ?? 0;
        await this.ctx.storage.put("value", value + by);
        return value + by;
    }
};`;

const MODULE = `
exports.default = {
    async fetch(request, env, ctx) {
        ctx.waitUntil(Promise.resolve());
        const stub = env.WARM.get(env.WARM.idFromName("name"));
        stub.sum(1, 2).catch(() => {});
        return stub.fetch(request);
    },
};`;

const FLOW = `
const { WorkflowEntrypoint } = require("cloudflare:workers");
exports.Flow = class Flow extends WorkflowEntrypoint {
    async run(event, step) {
        await step.do("first", { retries: { limit: 1, delay: "1 second" } }, async () => event.payload);
        await step.sleep("sleep", 1);
        for (let n = 0; n < 5000; n++) {
            await step.do("step " + n, async () => ({ n, text: "text" }));
        }
    }
};`;

const EXECUTE = `async (input, api) => {
    await api.storage.put("key", input);
    return { value: await api.storage.get("key"), input };
}`;

const bytes = encodeCopy;

/* A value as programs have them, so that its parts are read and written often enough. */
const TYPICAL = {
    id: "0f3c6a", kind: "message", createdAt: 1700000000000, updated_at: 1700000000000.5, count: 70000, isDone: false,
    parent: null, tags: ["one", "two", "three"], author: { name: "somebody", email: "somebody@host.name", level: -3 },
    text: "A sentence of usual length, as people write them.", ratio: 0.25, sizes: [1, 300, 70000, -300, 2 ** 40],
};

function start(mode, rest) {
    return [frames.START, 0, {
        mode, ns: "warm", id: "00".repeat(32), name: "warm", env: bytes({ TEXT: "text" }), bindings: { WARM: "Warm" },
        sockets: [], auto: null, limits: {}, ...rest,
    }];
}

const modules = (code) => ({ modules: [["warm.js", code]], main: "warm.js" });
const event = (number, type, ...args) => [frames.EVENT, number, type, ...args];
const get = (number, method, headers, body, socket) =>
    event(number, frames.EVENT_FETCH, method, "http://host.name/path?q=1", [["host", "host.name"], ...headers], body, socket);

/* What is rehearsed, what is done once, and what is done often: with `ask`, the number of the next frame that asks. */
const scenarios = {
    class: {
        asked: 3, /* by the frames of `once` */
        first: () => [
            start("class", { ...modules(SMALL), class: "Small" }),
            event(1, frames.EVENT_CALL, "read", bytes([])),
            event(2, frames.EVENT_CALL, "add", bytes([1])),
            [frames.ANSWER, 1, true, [bytes(1)]],
            event(3, frames.EVENT_CALL, "add", bytes([1])),
            [frames.ANSWER, 2, true, [bytes(2)]],
        ],
        once: () => [
            start("class", { ...modules(CLASS), class: "Warm" }),
            [frames.ANSWER, 1, true, [null]],
            event(2, frames.EVENT_CALL, "store", bytes([{ text: "text", n: 12345678901, f: 0.5 }])),
            [frames.ANSWER, 2, true, [null, null]],
            [frames.ANSWER, 3, true, [[["kind", bytes("value")]], false]],
            event(3, frames.EVENT_CALL, "fail", bytes([])),
            event(4, frames.EVENT_CALL, "none", bytes([])),
            event(5, frames.EVENT_ALARM, 1, 0),
            get(6, "GET", [], null, null),
            get(7, "POST", [["content-type", "application/json"]], new Uint8Array([0x7b, 0x7d]), null),
            get(8, "GET", [["upgrade", "websocket"]], null, 1),
            event(9, frames.EVENT_MESSAGE, 1, "text"),
            event(10, frames.EVENT_CLOSE, 1, 1000, "", true),
        ],
        often: (ask) => [
            event(20, frames.EVENT_CALL, "sum", bytes([1, 2])),
            event(21, frames.EVENT_CALL, "get", bytes(["key"])),
            [frames.ANSWER, ask, true, [ask % 2 === 0 ? bytes("value") : null]],
            event(22, frames.EVENT_CALL, "put", bytes(["a text of some length", { n: 1, list: ["a", "b"] }])),
            event(23, frames.EVENT_CALL, "sum", bytes([TYPICAL, TYPICAL])),
        ],
    },
    execute: {
        asked: 0,
        first: () => [
            start("execute", { code: "async (input) => input + 1", class: "Store", grants: null }),
            event(1, frames.EVENT_EXECUTE, bytes(1)),
        ],
        once: () => [
            start("execute", { code: EXECUTE, class: "Store", grants: { storage: "write", fetch: true, actors: ["Warm"] } }),
            event(1, frames.EVENT_EXECUTE, bytes({ a: 1 })),
        ],
        often: () => [],
    },
    /* Its first step is in the journal, and its sleep is over. */
    workflow: {
        asked: 0,
        once: () => [
            start("class", { ...modules(FLOW), class: "Flow", workflows: ["Flow"] }),
            event(1, frames.EVENT_WORKFLOW, 1, 1, 1, 1, bytes({ a: 1 }), [
                [1, 0, "first", 1, 3, 1, 0, 1, 1, 0, 1, "", bytes({ a: 1 })],
                [1, 1, "sleep", 2, 2, 1, 0, 1, 0, 1, 0, "", new Uint8Array(0)],
            ], false),
        ],
        often: (ask) => [[frames.ANSWER, ask, true, null]],
    },
    module: {
        asked: 0,
        once: () => [
            start("module", modules(MODULE)),
            get(1, "GET", [], null, null),
            [frames.ANSWER, 1, false, { code: "unavailable", message: "text", retryable: true }],
            [frames.ANSWER, 2, true, [200, [["a", "b"]], new Uint8Array([0x61]), null]],
        ],
        often: () => [],
    },
};

export function warmFrames(name) {
    const { first = () => [], once, often, asked } = scenarios[name];
    return {
        first: first().map(encodeCopy), once: once().map(encodeCopy),
        often: (time) => often(asked + 1 + time).map(encodeCopy),
    };
}
