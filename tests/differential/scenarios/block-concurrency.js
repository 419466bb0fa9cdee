import { DurableObject } from "cloudflare:workers";
import { fresh, later, outcome, scenario } from "./harness.js";

export class Ready extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        this.order = ["constructed"];
        ctx.blockConcurrencyWhile(async () => {
            await later(20);
            this.value = (await ctx.storage.get("value")) ?? 7;
            this.order.push("ready");
        });
    }

    async get() {
        this.order.push("called");
        return [this.value, this.order];
    }

    async inAMethod() {
        const given = await this.ctx.blockConcurrencyWhile(async () => {
            this.order.push("blocks");
            await later(20);
            this.order.push("unblocks");
            return { given: 1 };
        });
        this.order.push("after");
        return given;
    }

    async nested() {
        return this.ctx.blockConcurrencyWhile(async () => {
            const inner = await this.ctx.storage.get("value");
            return this.ctx.blockConcurrencyWhile(async () => [inner, "inner"]);
        });
    }

    async syncCallback() {
        return this.ctx.blockConcurrencyWhile(() => 5);
    }

    async notAFunction() {
        try {
            return await this.ctx.blockConcurrencyWhile(5);
        } catch (error) {
            return error.name;
        }
    }
}

/* Its constructor's callback throws as often as it is told by another object. */
export class Fragile extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        ctx.blockConcurrencyWhile(async () => {
            ctx.storage.put("in vain", 1);
            if (await env.Times.getByName(ctx.id.name).next() <= 1) {
                throw new RangeError("not ready");
            }
        });
    }

    async written() {
        return this.ctx.storage.list();
    }
}

export class Throws extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        throw new SyntaxError("in the constructor");
    }

    async any() {
        return 1;
    }
}

export class Resets extends DurableObject {
    calls = 0;

    async call() {
        return ++this.calls;
    }

    async reset() {
        await this.ctx.storage.put("before", 1);
        await this.ctx.blockConcurrencyWhile(async () => {
            throw new TypeError("no way back");
        });
    }

    async caught() {
        try {
            await this.reset();
        } catch (error) {
            return error.message;
        }
    }
}

export class Times extends DurableObject {
    times = 0;

    async next() {
        return ++this.times;
    }
}

export default scenario({
    "no call comes before the constructor's block has ended": (env) => fresh(env.Ready).get(),
    async "calls wait for a block of a method"(env) {
        const ready = fresh(env.Ready);
        const [given, got] = await Promise.all([ready.inAMethod(), ready.get()]);
        return [given, got[1].filter((one) => one !== "after")];
    },
    "blocks nest": (env) => fresh(env.Ready).nested(),
    "a callback may be synchronous": (env) => fresh(env.Ready).syncCallback(),
    "a callback is a function": (env) => fresh(env.Ready).notAFunction(),
    async "a constructor's block that throws fails the call, and the next starts anew"(env) {
        const name = `fragile-${Math.random()}`;
        const first = await outcome(() => env.Fragile.getByName(name).written());
        return [first, await outcome(() => env.Fragile.getByName(name).written())];
    },
    "a constructor that throws fails the call": (env) => outcome(() => fresh(env.Throws).any()),
    async "a method's block that throws resets the object"(env) {
        const id = env.Resets.idFromName(`resets-${Math.random()}`);
        const before = await env.Resets.get(id).call();
        const reset = await outcome(() => env.Resets.get(id).reset());
        return [before, reset, await env.Resets.get(id).call()];
    },
});
