/* Calls of an agent's methods at a time, after a delay, by cron or every so many seconds: any number of them,
 * each a timer of the actor, so that none is lost whatever dies. A call that throws is made again as timers are:
 * after 2 s, doubling, 6 times. */
import { crypto } from "../web/crypto/crypto.js";

const ROW = "agent:schedule/";
const TIMER = "agent:schedule:";
const DELAY_SECONDS_MAX = 10 * 366 * 24 * 3600;

function kindOf(when) {
    if (when instanceof Date) {
        const at = when.getTime();
        if (Number.isNaN(at)) {
            throw new RangeError("schedule(): the date is none.");
        }
        return { type: "scheduled", at };
    }
    if (typeof when === "number") {
        if (!(when >= 0 && when <= DELAY_SECONDS_MAX)) {
            throw new RangeError("schedule(): a delay is a number of seconds from 0 to ten years.");
        }
        return { type: "delayed", delayInSeconds: when, at: Date.now() + Math.round(when * 1000) };
    }
    if (typeof when === "string") {
        return { type: "cron", cron: when };
    }
    throw new TypeError("schedule(): when is a number of seconds, a Date or a cron expression.");
}

const inSeconds = (ms) => Math.floor(ms / 1000);

/* Two that repeat in the same way and do the same are one. */
const isSame = (a, b) => a.type === b.type && a.callback === b.callback && a.cron === b.cron && a.tz === b.tz &&
    a.intervalSeconds === b.intervalSeconds && JSON.stringify(a.payload) === JSON.stringify(b.payload);

export class Schedules {
    #agent;
    #ctx;

    constructor(agent, ctx) {
        this.#agent = agent;
        this.#ctx = ctx;
    }

    isTimer(name) {
        return name.startsWith(TIMER);
    }

    async add(when, callback, payload, options = {}) {
        const { at, ...kind } = kindOf(when);
        const spec = kind.type === "cron" ? { cron: kind.cron, ...options.tz === undefined ? {} : { tz: options.tz } } : { at };
        return await this.#put({ ...kind, ...spec.tz ? { tz: spec.tz } : {}, callback, payload }, spec, options);
    }

    async addEvery(seconds, callback, payload, options = {}) {
        if (!(typeof seconds === "number" && seconds >= 1 && seconds <= DELAY_SECONDS_MAX)) {
            throw new RangeError("scheduleEvery(): an interval is a number of seconds from 1 on.");
        }
        const every = Math.round(seconds * 1000);
        const spec = { at: Date.now() + every, every };
        return await this.#put({ type: "interval", intervalSeconds: seconds, callback, payload }, spec, options);
    }

    async #put(schedule, spec, options) {
        if (typeof this.#agent[schedule.callback] !== "function") {
            throw new TypeError(`schedule(): ${String(schedule.callback)} is no method of the agent.`);
        }
        const name = options.name ?? options.id;
        const repeats = schedule.type === "cron" || schedule.type === "interval";
        if (name === undefined && repeats) {
            const same = (await this.list()).find((one) => isSame(one, schedule));
            if (same !== undefined) {
                return same;
            }
        }
        const row = { ...schedule, id: String(name ?? crypto.randomUUID()), createdAt: Date.now() };
        this.#ctx.storage.put(ROW + row.id, row);
        try {
            const timer = await this.#ctx.timers.set(TIMER + row.id, spec);
            return { ...row, time: inSeconds(timer.at) };
        } catch (error) {
            await this.#ctx.storage.delete(ROW + row.id);
            throw error;
        }
    }

    async get(id) {
        const row = await this.#ctx.storage.get(ROW + id);
        const timer = row === undefined ? null : await this.#ctx.timers.get(TIMER + id);
        return timer === null ? undefined : { ...row, time: inSeconds(timer.at), ...timer.error ? { error: timer.error } : {} };
    }

    async list({ id, type, timeRange } = {}) {
        const timers = new Map((await this.#ctx.timers.list()).map((timer) => [timer.name, timer]));
        const found = [];
        for (const row of (await this.#ctx.storage.list({ prefix: ROW })).values()) {
            const timer = timers.get(TIMER + row.id);
            if (timer === undefined || (id !== undefined && row.id !== id) || (type !== undefined && row.type !== type) ||
                timer.at < (timeRange?.start?.getTime() ?? 0) || timer.at > (timeRange?.end?.getTime() ?? Infinity)) {
                continue;
            }
            found.push({ ...row, time: inSeconds(timer.at), ...timer.error ? { error: timer.error } : {} });
        }
        return found.sort((a, b) => a.time - b.time);
    }

    async cancel(id) {
        const isThere = await this.#ctx.storage.delete(ROW + id);
        await this.#ctx.timers.delete(TIMER + id);
        return isThere;
    }

    async clear() {
        for (const { id } of await this.list()) {
            await this.cancel(id);
        }
    }

    /* Its row goes with what it did, so a second firing of the same finds none. */
    async fire(name) {
        const id = name.slice(TIMER.length);
        const row = await this.#ctx.storage.get(ROW + id);
        if (row === undefined) {
            return;
        }
        await this.#agent[row.callback](row.payload, row);
        const isOnce = row.type === "delayed" || row.type === "scheduled";
        const now = isOnce ? await this.#ctx.storage.get(ROW + id) : undefined;
        if (now?.createdAt === row.createdAt) {
            await this.#ctx.storage.delete(ROW + id);
        }
    }
}
