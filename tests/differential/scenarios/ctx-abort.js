import { DurableObject } from "cloudflare:workers";
import { outcome, scenario } from "./harness.js";

export class Abortable extends DurableObject {
    calls = 0;

    async call() {
        return ++this.calls;
    }

    async abort(reason) {
        await this.ctx.storage.put("durable", 1);
        await this.ctx.storage.sync();
        this.ctx.abort(reason);
        return "not reached";
    }

    async stored() {
        return this.ctx.storage.list();
    }
}

export default scenario({
    async "the call fails with the reason"(env) {
        return outcome(() => env.Abortable.getByName(`a${Math.random()}`).abort("my reason"));
    },
    async "the object starts anew and its storage stays"(env) {
        const name = `b${Math.random()}`;
        const before = [await env.Abortable.getByName(name).call(), await env.Abortable.getByName(name).call()];
        await outcome(() => env.Abortable.getByName(name).abort("r"));
        return [before, await env.Abortable.getByName(name).call(), await env.Abortable.getByName(name).stored()];
    },
});
