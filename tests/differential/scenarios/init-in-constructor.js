import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

export class Initialised extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        ctx.blockConcurrencyWhile(async () => {
            const version = (await ctx.storage.get("schema")) ?? 0;
            if (version < 1) {
                await ctx.storage.put({ schema: 1, users: [] });
            }
            if (version < 2) {
                const users = (await ctx.storage.get("users")) ?? [];
                await ctx.storage.put({ schema: 2, users: new Set(users) });
            }
            this.users = await ctx.storage.get("users");
        });
    }

    async add(name) {
        this.users.add(name);
        await this.ctx.storage.put("users", this.users);
        return [...this.users];
    }

    async schema() {
        return [await this.ctx.storage.get("schema"), this.users];
    }
}

/* Synchronous storage needs no block. */
export class Synchronous extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        ctx.storage.kv.put("starts", (ctx.storage.kv.get("starts") ?? 0) + 1);
        this.starts = ctx.storage.kv.get("starts");
        ctx.storage.put("also", "asynchronous");
    }

    async get() {
        return [this.starts, await this.ctx.storage.list()];
    }
}

export default scenario({
    async "it is ready when it is called"(env) {
        const one = fresh(env.Initialised);
        return [await one.schema(), await one.add("ann"), await one.add("bob"), await one.schema()];
    },
    "synchronously": (env) => fresh(env.Synchronous).get(),
});
