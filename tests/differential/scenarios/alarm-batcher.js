/* Requests are gathered for a moment, and handled together by an alarm. */
import { DurableObject } from "cloudflare:workers";
import { fresh, scenario, until } from "./harness.js";

export class Batcher extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        this.storage = ctx.storage;
        ctx.blockConcurrencyWhile(async () => {
            const values = await this.storage.list({ reverse: true, limit: 1, prefix: "item:" });
            this.count = values.size === 0 ? 0 : Number([...values.keys()][0].slice(5));
        });
    }

    async fetch(request) {
        if ((await this.storage.getAlarm()) === null) {
            await this.storage.setAlarm(Date.now() + 50);
        }
        const text = await request.text();
        const queued = ++this.count;
        await this.storage.put(`item:${String(queued).padStart(6, "0")}`, text);
        return Response.json({ queued });
    }

    async batches() {
        return [...(await this.storage.list({ prefix: "batch:" })).values()];
    }

    async alarm() {
        const items = await this.storage.list({ prefix: "item:" });
        const number = (await this.storage.list({ prefix: "batch:" })).size;
        await this.storage.put(`batch:${number}`, [...items.values()]);
        await this.storage.delete([...items.keys()]);
        this.count = 0;
    }
}

const send = async (batcher, text) => (await batcher.fetch("http://x/", { method: "POST", body: text })).json();

export default scenario({
    async "two batches"(env) {
        const batcher = fresh(env.Batcher);
        const first = await Promise.all(["a", "b", "c"].map((text) => send(batcher, text)));
        await until(async () => (await batcher.batches()).length === 1);
        const second = await send(batcher, "d");
        const all = await until(async () => {
            const batches = await batcher.batches();
            return batches.length === 2 && batches;
        });
        return [first, second, all];
    },
});
