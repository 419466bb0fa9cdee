import { DurableObject, env as moduleEnv } from "cloudflare:workers";
import { fresh, outcomeName, scenario } from "./harness.js";

export class Members extends DurableObject {
    async run(name) {
        return looks[name](this.ctx, this.env, this);
    }
}

const looks = {
    "types": (ctx) => ["id", "storage", "waitUntil", "blockConcurrencyWhile", "abort", "acceptWebSocket", "getWebSockets", "getTags",
        "setWebSocketAutoResponse", "getWebSocketAutoResponse", "getWebSocketAutoResponseTimestamp", "setHibernatableWebSocketEventTimeout",
        "getHibernatableWebSocketEventTimeout", "nothing"].map((name) => [name, typeof ctx[name]]),
    "storage": (ctx) => ["get", "put", "delete", "list", "deleteAll", "transaction", "transactionSync", "sync", "getAlarm", "setAlarm",
        "deleteAlarm", "kv", "sql", "rollback"].map((name) => [name, typeof ctx.storage[name]]),
    "props": (ctx) => typeof ctx.props,
    "the same storage": (ctx) => ctx.storage === ctx.storage,
    "the same kv": (ctx) => ctx.storage.kv === ctx.storage.kv,
    "env": (ctx, env) => [env.GREETING, env.LIMITS, typeof env.Members, env.NOTHING === undefined],
    "env of the module": (ctx, env) => [moduleEnv.GREETING, typeof moduleEnv.Members],
    "the base class": (ctx, env, self) => [self.ctx === ctx, self.env === env, self instanceof DurableObject, self instanceof Members],
    "no sockets": (ctx) => ctx.getWebSockets(),
    "the names": (ctx) => [ctx.constructor.name, ctx.storage.constructor.name, ctx.id.constructor.name],
};

/* Cloudflare's older form: a class that extends nothing, whose fetch() is all that can be called. */
export class Plain {
    constructor(state, env) {
        this.state = state;
        this.env = env;
    }

    async fetch(request) {
        const count = ((await this.state.storage.get("count")) ?? 0) + 1;
        await this.state.storage.put("count", count);
        return new Response(`${count} ${this.env.GREETING} ${new URL(request.url).pathname}`);
    }

    method() {
        return "callable";
    }
}

export default scenario({
    ...Object.fromEntries(Object.keys(looks).map((name) => [name, (env) => fresh(env.Members).run(name)])),
    "a class that extends nothing": async (env) => {
        const plain = fresh(env.Plain);
        return [await (await plain.fetch("http://x/a")).text(), await (await plain.fetch("http://x/b")).text()];
    },
    "a method of a class that extends nothing": (env) => outcomeName(() => fresh(env.Plain).method()),
    "env of the entry": (env) => [env.GREETING, env.LIMITS, moduleEnv.GREETING],
});
