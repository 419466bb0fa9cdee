/* The class and the entry module of the rows on code: the same file runs on workerd and here. */
import { DurableObject } from "cloudflare:workers";

export class Bench extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        this.count = 0;
    }

    read() {
        return this.count;
    }

    async put(text) {
        this.count++;
        await this.ctx.storage.put(`k${this.count % 100}`, text);
        return this.count;
    }

    async stored() {
        return (await this.ctx.storage.get("k1")).length;
    }

    /* Awake for as long as its timer is. */
    stay() {
        setTimeout(() => {}, 600000);
        return ++this.count;
    }

    spin() {
        for (;;);
    }
}

/* workerd has no routes of its own: /call/{id}/{method} and /execute/{id}, with the bodies that ours takes. */
export default {
    async fetch(request, env) {
        const [, what, id, method] = new URL(request.url).pathname.split("/");
        if (what === "call") {
            return Response.json({ result: await env.BENCH.getByName(id)[method](...await request.json()) });
        }
        const { code, input } = await request.json();
        const main = `const run = ${code};
            export default { async fetch(request) { return Response.json({ result: await run(await request.json()) }); } };`;
        const worker = env.LOADER.get(crypto.randomUUID(), () => ({
            compatibilityDate: "2026-11-01", mainModule: "main.js", modules: { "main.js": main }, env: {},
            globalOutbound: null,
        }));
        return worker.getEntrypoint().fetch("http://run/", { method: "POST", body: JSON.stringify(input) });
    },
};
