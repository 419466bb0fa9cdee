import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

export class Gated extends DurableObject {
    log = [];

    /* Only awaits on storage: nothing else may come in between. */
    async increment(name) {
        this.log.push(`${name} begins`);
        const one = (await this.ctx.storage.get("one")) ?? 0;
        const two = (await this.ctx.storage.get("two")) ?? 0;
        await this.ctx.storage.put("one", one + 1);
        await this.ctx.storage.put("two", two + 1);
        this.log.push(`${name} ends`);
        return [one + 1, two + 1];
    }

    async concurrently(name) {
        const value = (await this.ctx.storage.get("cold", { allowConcurrency: true })) ?? 0;
        this.log.push(name);
        await this.ctx.storage.put("cold", value + 1);
        return value + 1;
    }

    async seen() {
        return this.log;
    }

    /* The gate is open while it waits for another: all read the same value. */
    async throughAnother(name) {
        const value = (await this.ctx.storage.get("n")) ?? 0;
        await this.env.Meeting.getByName(name).arrive(5);
        await this.ctx.storage.put("n", value + 1);
        return value + 1;
    }

    async throughFetch(name) {
        const value = (await this.ctx.storage.get("m")) ?? 0;
        const response = await this.env.Meeting.getByName(name).fetch("http://meeting/5");
        await this.ctx.storage.put("m", value + 1);
        return [value + 1, await response.text()];
    }

    /* A timer of this object does not run while storage is read. */
    async timerWaits() {
        const seen = [];
        setTimeout(() => seen.push("timer"), 0);
        for (let i = 0; i < 3; i++) {
            await this.ctx.storage.get(`cold-${i}`);
            seen.push(i);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
        return seen.includes("timer");
    }
}

export class Meeting extends DurableObject {
    here = 0;

    async arrive(count) {
        this.here++;
        while (this.here < count) {
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
    }

    async fetch(request) {
        await this.arrive(Number(new URL(request.url).pathname.slice(1)));
        return new Response("met");
    }
}

export default scenario({
    async "increments that await storage do not mix"(env) {
        const gated = fresh(env.Gated);
        const all = await Promise.all(["a", "b", "c", "d"].map((name) => gated.increment(name)));
        return [all, await gated.seen()];
    },
    async "increments with a call in between all see the first value"(env) {
        const gated = fresh(env.Gated);
        const name = `meeting-${Math.random()}`;
        return Promise.all([1, 2, 3, 4, 5].map(() => gated.throughAnother(name)));
    },
    async "increments with a fetch in between all see the first value"(env) {
        const gated = fresh(env.Gated);
        const name = `meeting-${Math.random()}`;
        return Promise.all([1, 2, 3, 4, 5].map(() => gated.throughFetch(name)));
    },
    "a timer fires in the end": (env) => fresh(env.Gated).timerWaits(),
});
