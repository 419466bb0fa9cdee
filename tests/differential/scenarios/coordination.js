/* Objects that call each other: a fan-out, a chain, a call back to the caller. */
import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

export class Shard extends DurableObject {
    async add(by) {
        const sum = ((await this.ctx.storage.get("sum")) ?? 0) + by;
        await this.ctx.storage.put("sum", sum);
        return sum;
    }

    async sum() {
        return (await this.ctx.storage.get("sum")) ?? 0;
    }

    async chain(names) {
        const [next, ...rest] = names;
        return next === undefined ? [this.ctx.id.name] : [this.ctx.id.name, ...(await this.env.Shard.getByName(next).chain(rest))];
    }

    /* Calls itself through its own stub: the input gate is open while it waits. */
    async itself(depth) {
        return depth === 0 ? ["end"] : [depth, ...(await this.env.Shard.get(this.ctx.id).itself(depth - 1))];
    }
}

export class Total extends DurableObject {
    async add(prefix, values) {
        return Promise.all(values.map((value, i) => this.env.Shard.getByName(`${prefix}-${i % 3}`).add(value)));
    }

    async total(prefix) {
        const sums = await Promise.all([0, 1, 2].map((i) => this.env.Shard.getByName(`${prefix}-${i}`).sum()));
        return [sums, sums.reduce((a, b) => a + b)];
    }
}

export default scenario({
    async "a fan-out"(env) {
        const prefix = `p${Math.random()}`;
        const total = fresh(env.Total);
        return [await total.add(prefix, [1, 2, 3, 4, 5, 6]), await total.total(prefix)];
    },
    "a chain": (env) => env.Shard.getByName("a").chain(["b", "c"]),
    "itself": (env) => fresh(env.Shard).itself(3),
    async "many objects"(env) {
        const prefix = `m${Math.random()}`;
        return Promise.all(Array.from({ length: 8 }, (_, i) => env.Shard.getByName(`${prefix}${i}`).add(i)));
    },
});
