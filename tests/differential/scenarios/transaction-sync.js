import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, scenario } from "./harness.js";

export class Ledger extends DurableObject {
    async commits() {
        const { kv } = this.ctx.storage;
        const result = this.ctx.storage.transactionSync(() => {
            kv.put("a", 1);
            kv.put("b", 2);
            kv.delete("a");
            return [kv.get("a"), kv.get("b")];
        });
        return [result, await this.ctx.storage.list()];
    }

    async throws() {
        const { kv } = this.ctx.storage;
        kv.put("a", 0);
        const thrown = await outcome(() => this.ctx.storage.transactionSync(() => {
            kv.put("a", 1);
            kv.put("b", 2);
            throw new TypeError("no");
        }));
        return [thrown, kv.get("a"), kv.get("b"), await this.ctx.storage.list()];
    }

    async nests() {
        const { kv } = this.ctx.storage;
        this.ctx.storage.transactionSync(() => {
            kv.put("outer", 1);
            try {
                this.ctx.storage.transactionSync(() => {
                    kv.put("inner", 2);
                    throw new Error("inner");
                });
            } catch {
                kv.put("caught", 3);
            }
        });
        return this.ctx.storage.list();
    }

    async nestedCommit() {
        const { kv } = this.ctx.storage;
        const given = this.ctx.storage.transactionSync(() => this.ctx.storage.transactionSync(() => {
            kv.put("inner", 2);
            return "inner";
        }));
        return [given, await this.ctx.storage.get("inner")];
    }

    async asynchronousPut() {
        this.ctx.storage.transactionSync(() => {
            this.ctx.storage.put("a", 1);
        });
        return this.ctx.storage.get("a");
    }

    async notAFunction() {
        try {
            return this.ctx.storage.transactionSync(1);
        } catch (error) {
            return error.name;
        }
    }
}

export default scenario({
    "what it wrote is there": (env) => fresh(env.Ledger).commits(),
    "one that throws writes nothing": (env) => fresh(env.Ledger).throws(),
    "an inner one fails alone": (env) => fresh(env.Ledger).nests(),
    "an inner one commits with the outer": (env) => fresh(env.Ledger).nestedCommit(),
    "put takes part": (env) => fresh(env.Ledger).asynchronousPut(),
    "it takes a function": (env) => fresh(env.Ledger).notAFunction(),
});
