import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, scenario } from "./harness.js";

export class Cleared extends DurableObject {
    async clears() {
        await this.ctx.storage.put({ a: 1, b: 2 });
        const given = await this.ctx.storage.deleteAll();
        return [given, await this.ctx.storage.list(), await this.ctx.storage.get("a")];
    }

    async writesAfterwards() {
        this.ctx.storage.put({ a: 1, b: 2 });
        this.ctx.storage.deleteAll();
        this.ctx.storage.put("c", 3);
        return this.ctx.storage.list();
    }

    async alarmGoes() {
        await this.ctx.storage.setAlarm(Date.now() + 100000);
        await this.ctx.storage.deleteAll();
        return this.ctx.storage.getAlarm();
    }

    async alarmWithoutKeys() {
        await this.ctx.storage.put("a", 1);
        await this.ctx.storage.setAlarm(Date.now() + 100000);
        await this.ctx.storage.deleteAlarm();
        return [await this.ctx.storage.getAlarm(), await this.ctx.storage.get("a")];
    }

    async inTransaction() {
        await this.ctx.storage.put("a", 1);
        return outcome(() => this.ctx.storage.transaction(async (txn) => typeof txn.deleteAll));
    }

    async memoryStays() {
        this.seen = (this.seen ?? 0) + 1;
        await this.ctx.storage.deleteAll();
        return this.seen;
    }

    async list() {
        return this.ctx.storage.list();
    }

    async alarm() {}
}

export default scenario({
    "everything is gone": (env) => fresh(env.Cleared).clears(),
    "what is written afterwards stays": (env) => fresh(env.Cleared).writesAfterwards(),
    "the alarm goes too": (env) => fresh(env.Cleared).alarmGoes(),
    "deleteAlarm leaves the keys": (env) => fresh(env.Cleared).alarmWithoutKeys(),
    "a transaction has no deleteAll": (env) => fresh(env.Cleared).inTransaction(),
    async "memory stays, and the next call sees nothing"(env) {
        const cleared = fresh(env.Cleared);
        await cleared.clears();
        return [await cleared.memoryStays(), await cleared.memoryStays(), await cleared.list()];
    },
});
