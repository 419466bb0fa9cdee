import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, scenario } from "./harness.js";

export class Writer extends DurableObject {
    async many(count) {
        for (let i = 0; i < count; i++) {
            this.ctx.storage.put(`k${String(i).padStart(4, "0")}`, i);
        }
        return (await this.ctx.storage.list()).size;
    }

    async lastWins() {
        this.ctx.storage.put("k", 1);
        this.ctx.storage.put("k", 2);
        const between = this.ctx.storage.get("k");
        this.ctx.storage.put("k", 3);
        this.ctx.storage.delete("k");
        this.ctx.storage.put("k", 4);
        return [await between, await this.ctx.storage.get("k")];
    }

    async mutatesAfterwards() {
        const value = { n: 1 };
        this.ctx.storage.put("object", value);
        value.n = 2;
        const got = await this.ctx.storage.get("object");
        got.n = 3;
        return [await this.ctx.storage.get("object"), got === (await this.ctx.storage.get("object"))];
    }

    async writesThenThrows() {
        this.ctx.storage.put("before", 1);
        await this.ctx.storage.put("awaited", 2);
        this.ctx.storage.put("after", 3);
        throw new Error("after writing");
    }

    async throwsSynchronously() {
        this.ctx.storage.put("sync", 1);
        null.x;
    }

    async all() {
        return this.ctx.storage.list();
    }

    async synced() {
        this.ctx.storage.put("a", 1, { allowUnconfirmed: true, noCache: true });
        return [await this.ctx.storage.sync(), await this.ctx.storage.get("a", { noCache: true })];
    }
}

export default scenario({
    "five hundred keys": (env) => fresh(env.Writer).many(500),
    "the last write of a key wins": (env) => fresh(env.Writer).lastWins(),
    "a value is copied when it is put": (env) => fresh(env.Writer).mutatesAfterwards(),
    async "writes before an exception stay"(env) {
        const writer = fresh(env.Writer);
        return [await outcome(() => writer.writesThenThrows()), await writer.all()];
    },
    async "writes before a synchronous exception stay"(env) {
        const writer = fresh(env.Writer);
        await writer.throwsSynchronously().catch(() => {});
        return writer.all();
    },
    "sync gives nothing": (env) => fresh(env.Writer).synced(),
});
