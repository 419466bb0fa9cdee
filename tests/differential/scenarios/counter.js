import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

export class Counter extends DurableObject {
    async increment(by = 1) {
        const value = ((await this.ctx.storage.get("value")) ?? 0) + by;
        await this.ctx.storage.put("value", value);
        return value;
    }

    async decrement(by = 1) {
        return this.increment(-by);
    }

    async value() {
        return (await this.ctx.storage.get("value")) ?? 0;
    }
}

export default scenario({
    async "one after the other"(env) {
        const counter = fresh(env.Counter);
        return [await counter.increment(), await counter.increment(5), await counter.decrement(2), await counter.value()];
    },
    async "twenty at once"(env) {
        const counter = fresh(env.Counter);
        const all = await Promise.all(Array.from({ length: 20 }, () => counter.increment()));
        return [all.toSorted((a, b) => a - b), await counter.value()];
    },
    async "in the order of the calls"(env) {
        const counter = fresh(env.Counter);
        return Promise.all([1, 10, 100, 1000].map((by) => counter.increment(by)));
    },
});
