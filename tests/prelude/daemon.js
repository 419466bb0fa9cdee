/* A daemon for one isolate whose prelude runs in a bare engine: a context of node, or with
 * PRELUDE_ENGINE=jsc the shell of JavaScriptCore. It keeps what a store keeps, and remembers all frames.
 * Its clock is its own: it jumps to the next timer whenever nothing else can happen. */
import { Decoder, Encoder, ExtensionCodec } from "../../actor/isolate/prelude/node_modules/@msgpack/msgpack/dist.esm/index.mjs";
import { JscEngine } from "./jsc_engine.js";
import { NodeEngine } from "./node_engine.js";
import { build } from "../../actor/isolate/prelude/node_modules/esbuild/lib/main.js";
import { createHash } from "node:crypto";
import { options } from "../../actor/isolate/prelude/build.js";

const bundle = (await build({ ...options("prelude.js"), write: false })).outputFiles[0].text;
const Engine = process.env.PRELUDE_ENGINE === "jsc" ? JscEngine : NodeEngine;

export function pack(value) {
    return new Encoder().encode(value);
}

export function unpack(bytes) {
    return new Decoder({ extensionCodec: new ExtensionCodec() }).decode(bytes);
}

const kinds = { 65: "READY", 66: "STARTED", 67: "FAILED", 68: "DONE", 69: "ASK", 70: "TELL", 71: "CHUNK", 72: "CREDIT", 73: "WRITE" };

function byBytes(a, b) {
    return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

export class Daemon {
    constructor({ store = {} } = {}) {
        this.store = new Map(Object.entries(store).map(([key, value]) => [key, pack(value)]));
        this.alarm = null;
        this.frames = []; /* from the isolate, decoded */
        this.inbound = []; /* to the isolate */
        this.now = 1000;
        this.holds = new Set(); /* types of asks that are not answered yet */
        this.held = [];
        this.answers = {}; /* by type of ask: args => payload, or it throws {code, …} */
        this.pageEntries = 1000;
        this.lastEvent = 0;
        this.ended = false;
        this.done = new Map();
        this.engine = new Engine(bundle, this);
    }

    sent(bytes) {
        this.take(unpack(bytes));
    }

    nextFrame() {
        if (this.inbound.length === 0) {
            throw new Error("the isolate waits for ever");
        }
        return this.inbound.shift();
    }

    /* The real host does not return from it: nothing is heard after it. */
    exited() {
        this.ended = true;
    }

    /* What the isolate sent. */
    take(frame) {
        if (this.ended) {
            return;
        }
        const [kind, id, ...rest] = frame;
        const name = kinds[kind];
        this.frames.push([name, id, ...rest]);
        if (name === "DONE") {
            this.apply(rest[2]);
            this.done.set(id, rest);
        } else if (name === "WRITE") {
            this.apply(rest[0]);
        } else if (name === "ASK") {
            this.apply(rest[2]);
            if (this.holds.has(rest[0])) {
                this.held.push([id, rest[0], rest[1]]);
            } else {
                this.answer(id, rest[0], rest[1]);
            }
        }
    }

    apply(writes) {
        for (const [what, key, value] of writes ?? []) {
            if (what === "put") {
                this.store.set(key, value);
            } else if (what === "delete") {
                this.store.delete(key);
            } else if (what === "clear") {
                this.store.clear();
                this.alarm = null;
            } else {
                this.alarm = key;
            }
        }
    }

    answer(id, type, args) {
        let reply;
        try {
            reply = [3, id, true, (this.answers[type] ?? this[`on_${type}`]).call(this, args)];
        } catch (error) {
            if (error.code === undefined) {
                throw error;
            }
            reply = [3, id, false, { ...error }];
        }
        this.inbound.push(pack(reply));
    }

    release(type) {
        this.holds.delete(type);
        const held = this.held;
        this.held = [];
        for (const [id, of, args] of held) {
            if (of === type) {
                this.answer(id, of, args);
            } else {
                this.held.push([id, of, args]);
            }
        }
    }

    on_get(keys) {
        return keys.map((key) => this.store.get(key) ?? null);
    }

    on_list({ prefix = "", start, startAfter, end, limit = Infinity, reverse = false }) {
        let keys = [...this.store.keys()].sort(byBytes).filter((key) =>
            key.startsWith(prefix) && (start === undefined || byBytes(key, start) >= 0) &&
            (startAfter === undefined || byBytes(key, startAfter) > 0) &&
            (end === undefined || byBytes(key, end) < 0));
        keys = reverse ? keys.reverse() : keys;
        const page = keys.slice(0, Math.min(limit, this.pageEntries));
        return [page.map((key) => [key, this.store.get(key)]), page.length < keys.length];
    }

    on_alarm() {
        return this.alarm;
    }

    on_sync() {
        return null;
    }

    on_identity([className, name]) {
        const text = name ?? `unique ${this.lastEvent++}`;
        return createHash("sha256").update(`${className} ${text}`).digest("hex");
    }

    deliver(frame) {
        this.inbound.push(pack(frame));
    }

    /* Runs the isolate until it waits for news (or until the time is `until`). */
    async settle({ until = Infinity, timers = true } = {}) {
        for (;;) {
            if (this.ended) {
                return;
            }
            try {
                if (this.inbound.length > 0) {
                    this.engine.frame(this.inbound.shift());
                    await new Promise(setImmediate);
                }
                if (this.ended) {
                    return;
                }
                const wait = this.engine.tick(this.now);
                await new Promise(setImmediate);
                if (wait === 0 || this.inbound.length > 0) {
                    continue;
                }
                if (!timers || wait === Infinity || this.now + wait > until) {
                    return;
                }
                this.now += wait;
            } catch (error) {
                if (!this.ended) {
                    throw error;
                }
                return;
            }
        }
    }

    async start(options) {
        this.deliver([1, 0, options]);
        await this.settle({ until: this.now + 1000 });
        return this;
    }

    /* A class whose module is given as linked code: `exports.Name = class …`. */
    async startClass(code, { className = "Actor", ...options } = {}) {
        return this.start({
            mode: "class", modules: [["main.js", code]], main: "main.js", class: className, ns: "app",
            id: "ab".repeat(32), name: "one", env: pack({}), bindings: {}, sockets: [], auto: null, limits: {},
            ...options,
        });
    }

    event(type, ...args) {
        const id = ++this.lastEvent;
        this.deliver([2, id, type, ...args]);
        return id;
    }

    /* The result of an event that has ended, as value or as the error that it ended with. */
    resultOf(id) {
        const done = this.done.get(id);
        if (done === undefined) {
            return undefined;
        }
        return done[0] ? { value: unpack(done[1]) } : { error: done[1] };
    }

    callLater(method, ...args) {
        return this.event(1, method, pack(args));
    }

    async call(method, ...args) {
        const id = this.callLater(method, ...args);
        await this.settle();
        return this.resultOf(id);
    }

    async value(method, ...args) {
        const result = await this.call(method, ...args);
        if (result === undefined || result.error) {
            throw new Error(`no value: ${JSON.stringify(result)} ${JSON.stringify(this.frames.slice(-3))}`);
        }
        return result.value;
    }

    stored(key) {
        const document = this.store.get(key);
        return document === undefined ? undefined : unpack(document);
    }

    framesOf(name, type) {
        return this.frames.filter((frame) => frame[0] === name && (type === undefined || frame[2] === type));
    }

    logs() {
        return this.framesOf("TELL", "log").map((frame) => frame[3]);
    }
}

export async function classOf(body, options) {
    return new Daemon(options).startClass(
        `const { DurableObject } = require("cloudflare:workers");\nexports.Actor = class Actor extends DurableObject {${body}\n};`,
        options);
}

/* What one-shot code gives, which runs in a fresh isolate. */
export async function js(body, { answers = {}, input } = {}) {
    const daemon = new Daemon();
    Object.assign(daemon.answers, answers);
    await daemon.start({ mode: "execute", code: `async (input) => {${body}\n}`, grants: {}, ns: "a", class: "C", id: "0", name: null });
    const id = daemon.event(8, input === undefined ? null : pack(input));
    await daemon.settle();
    const { value, error } = daemon.resultOf(id) ?? { error: { name: "Error", message: JSON.stringify(daemon.frames) } };
    if (error !== undefined) {
        throw Object.assign(new Error(`${error.name}: ${error.message}\n${error.stack}`), { name: error.name });
    }
    return value;
}
