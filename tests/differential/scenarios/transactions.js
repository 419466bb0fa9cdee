import { DurableObject } from "cloudflare:workers";
import { fresh, later, outcome, scenario } from "./harness.js";

export class Account extends DurableObject {
    async commits() {
        const result = await this.ctx.storage.transaction(async (txn) => {
            await txn.put("a", 1);
            txn.put({ b: 2, c: 3 });
            await txn.delete("b");
            return [await txn.get("a"), await txn.get(["a", "b", "c"]), await txn.list()];
        });
        return [result, await this.ctx.storage.list()];
    }

    async throws() {
        await this.ctx.storage.put("a", 0);
        const thrown = await outcome(() => this.ctx.storage.transaction(async (txn) => {
            await txn.put("a", 1);
            await txn.put("b", 1);
            throw new RangeError("no");
        }));
        return [thrown, await this.ctx.storage.list()];
    }

    async rollsBack() {
        await this.ctx.storage.put("a", 0);
        const result = await this.ctx.storage.transaction(async (txn) => {
            await txn.put("a", 1);
            txn.rollback();
            return "rolled back";
        });
        return [result, await this.ctx.storage.list()];
    }

    async afterRollback() {
        return outcome(() => this.ctx.storage.transaction(async (txn) => {
            await txn.put("a", 1);
            txn.rollback();
            await txn.put("b", 1);
        }));
    }

    async rollbackTwice() {
        return outcome(() => this.ctx.storage.transaction(async (txn) => {
            txn.rollback();
            txn.rollback();
            return "twice";
        }));
    }

    async throughStorage() {
        const thrown = await outcome(() => this.ctx.storage.transaction(async () => {
            await this.ctx.storage.put("a", 1);
            throw new Error("no");
        }));
        return [thrown, await this.ctx.storage.get("a")];
    }

    async deletes() {
        await this.ctx.storage.put({ a: 1, b: 2, c: 3 });
        await outcome(() => this.ctx.storage.transaction(async (txn) => {
            await txn.delete(["a", "b"]);
            await txn.put("d", 4);
            throw new Error("no");
        }));
        return this.ctx.storage.list();
    }

    async transfer(amount) {
        return this.ctx.storage.transaction(async (txn) => {
            const from = (await txn.get("from")) ?? 100;
            const to = (await txn.get("to")) ?? 0;
            await txn.put("from", from - amount);
            await later(2);
            await txn.put("to", to + amount);
            return [from - amount, to + amount];
        });
    }

    async synchronousCallback() {
        return outcome(() => this.ctx.storage.transaction(() => 5));
    }

    async alarmInside() {
        await outcome(() => this.ctx.storage.transaction(async (txn) => {
            await txn.setAlarm(Date.now() + 100000);
            if ((await txn.getAlarm()) === null) {
                return;
            }
            throw new Error("no");
        }));
        return this.ctx.storage.getAlarm();
    }

    async leaks() {
        let leaked;
        await this.ctx.storage.transaction(async (txn) => {
            leaked = txn;
            await txn.put("a", 1);
        });
        try {
            await leaked.put("b", 2);
            return "put";
        } catch (error) {
            return error.name;
        }
    }

    async members() {
        return this.ctx.storage.transaction(async (txn) =>
            ["get", "put", "delete", "list", "rollback", "getAlarm", "setAlarm", "deleteAlarm", "sync", "transaction", "kv"]
                .map((name) => [name, typeof txn[name]]));
    }

    async alarm() {}
}

export default scenario({
    "what a transaction wrote is there": (env) => fresh(env.Account).commits(),
    "a transaction that throws writes nothing": (env) => fresh(env.Account).throws(),
    "rollback drops what was written": (env) => fresh(env.Account).rollsBack(),
    "nothing is written after a rollback": (env) => fresh(env.Account).afterRollback(),
    "a rollback twice": (env) => fresh(env.Account).rollbackTwice(),
    "storage itself takes part": (env) => fresh(env.Account).throughStorage(),
    "deletes come back": (env) => fresh(env.Account).deletes(),
    async "transfers at the same time"(env) {
        const account = fresh(env.Account);
        return Promise.all([10, 20, 30].map((amount) => account.transfer(amount)));
    },
    "a callback may be synchronous": (env) => fresh(env.Account).synchronousCallback(),
    "an alarm is rolled back": (env) => fresh(env.Account).alarmInside(),
    "a transaction that has ended": (env) => fresh(env.Account).leaks(),
    "what a transaction has": (env) => fresh(env.Account).members(),
});
