import { DurableObject } from "cloudflare:workers";
import { fresh, outcome, scenario } from "./harness.js";

export class Failing extends DurableObject {
    async fetch(request) {
        const url = new URL(request.url);
        if (url.pathname === "/write") {
            this.ctx.storage.put("written", 1);
        }
        if (url.pathname === "/list") {
            return Response.json([...(await this.ctx.storage.list())]);
        }
        if (url.pathname === "/string") {
            throw "a string";
        }
        if (url.pathname === "/rejects") {
            return Promise.reject(new TypeError("rejected"));
        }
        throw new RangeError("in fetch");
    }
}

export default scenario({
    "fetch rejects": (env) => outcome(() => fresh(env.Failing).fetch("http://x/")),
    "fetch rejects with a promise": (env) => outcome(() => fresh(env.Failing).fetch("http://x/rejects")),
    "an object goes on, and what it wrote stays"(env) {
        const failing = fresh(env.Failing);
        return outcome(() => failing.fetch("http://x/write")).then(async () => (await failing.fetch("http://x/list")).json());
    },
    "an unhandled rejection hurts nobody": async (env) => {
        Promise.reject(new Error("nobody listens"));
        await null;
        return outcome(() => fresh(env.Failing).fetch("http://x/"));
    },
});
