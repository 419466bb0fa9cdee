/* A queue of calls of an agent's methods: one at a time, in order, each there before queue() answers. One that
 * throws is made again, by default 3 times in all; after the last it is dropped, and onError hears of it. */
import { crypto } from "../web/crypto/crypto.js";
import { pauseMs, retryOptions } from "./retry.js";
import { setTimeout } from "../timers.js";

const ROW = "agent:queue/";
const LAST = "agent:queue_last";
const TIMER = "agent:queue";
const DRAIN_MS = 10000; /* of one firing: then others of the actor have their turn */
const DIGITS = 14;

const rowOf = (number) => ROW + String(number).padStart(DIGITS, "0");

export class Queue {
    #agent;
    #ctx;
    #isDraining = false;

    constructor(agent, ctx) {
        this.#agent = agent;
        this.#ctx = ctx;
    }

    async #rows() {
        return [...await this.#ctx.storage.list({ prefix: ROW })];
    }

    async #find(id) {
        return (await this.#rows()).find(([, item]) => item.id === id);
    }

    async add(callback, payload, options = {}) {
        if (typeof this.#agent[callback] !== "function") {
            throw new TypeError(`queue(): ${String(callback)} is no method of the agent.`);
        }
        const id = String(options.id ?? crypto.randomUUID());
        const item = { id, callback, payload, retry: retryOptions(options.retry), attempts: 0, createdAt: Date.now() };
        const old = options.id === undefined ? undefined : await this.#find(id);
        let key = old?.[0];
        if (key === undefined) {
            const number = ((await this.#ctx.storage.get(LAST)) ?? 0) + 1;
            key = rowOf(number);
            this.#ctx.storage.put(LAST, number);
        }
        this.#ctx.storage.put(key, item);
        await this.#rouse();
        return id;
    }

    #rouse() {
        return this.#ctx.timers.set(TIMER, { in: 0 });
    }

    async get(id) {
        return (await this.#find(id))?.[1];
    }

    async list() {
        return (await this.#rows()).map(([, item]) => item);
    }

    async remove(id) {
        const found = await this.#find(id);
        return found !== undefined && await this.#ctx.storage.delete(found[0]);
    }

    async clear() {
        const rows = await this.#rows();
        await Promise.all(rows.map(([key]) => this.#ctx.storage.delete(key)));
        return rows.length;
    }

    /* Of a firing. What was put meanwhile is seen: each turn looks for the first anew. */
    async drain() {
        if (this.#isDraining) {
            return;
        }
        this.#isDraining = true;
        const until = Date.now() + DRAIN_MS;
        try {
            for (;;) {
                const [first] = await this.#ctx.storage.list({ prefix: ROW, limit: 1 });
                if (first === undefined) {
                    return;
                }
                if (Date.now() >= until) {
                    await this.#rouse();
                    return;
                }
                await this.#run(...first);
            }
        } finally {
            this.#isDraining = false;
        }
    }

    async #run(key, item) {
        try {
            await this.#agent[item.callback](item.payload, item);
        } catch (error) {
            const attempts = item.attempts + 1;
            if (attempts < item.retry.maxAttempts) {
                await this.#ctx.storage.put(key, { ...item, attempts });
                await new Promise((resolve) => {
                    setTimeout(resolve, pauseMs(item.retry, attempts));
                });
                return;
            }
            this.#agent.onError(error);
        }
        /* One that was put anew under the same id while it ran stays. */
        const now = await this.#ctx.storage.get(key);
        if (now?.createdAt === item.createdAt) {
            await this.#ctx.storage.delete(key);
        }
    }
}
