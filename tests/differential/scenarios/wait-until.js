import { DurableObject, waitUntil } from "cloudflare:workers";
import { fresh, later, outcome, scenario, until } from "./harness.js";

export class Background extends DurableObject {
    async start() {
        this.ctx.waitUntil(later(10).then(() => this.ctx.storage.put("done", 1)));
        return "answered";
    }

    async fails() {
        this.ctx.waitUntil(Promise.reject(new Error("in the background")));
        return "answered";
    }

    async withoutWaiting() {
        later(10).then(() => this.ctx.storage.put("done", 2));
        return "answered";
    }

    async imported() {
        waitUntil?.(later(5).then(() => this.ctx.storage.put("done", 3)));
        return "answered";
    }

    async done() {
        return this.ctx.storage.get("done");
    }
}

async function ends(env, method) {
    const background = fresh(env.Background);
    return [await background[method](), await until(() => background.done())];
}

export default scenario({
    "what waits is done after the answer": (env) => ends(env, "start"),
    "what nobody waits for is done too": (env) => ends(env, "withoutWaiting"),
    "waitUntil of the module": (env) => ends(env, "imported"),
    "what fails fails nobody": (env) => outcome(() => fresh(env.Background).fails()),
    "waitUntil of the entry": async (env, request, ctx) => [typeof ctx.waitUntil, ctx.waitUntil(later(1)), typeof ctx.passThroughOnException],
});
