/* State that is loaded once, and written whenever it changes. */
import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

let loads = 0;

export class Location extends DurableObject {
    constructor(ctx, env) {
        super(ctx, env);
        this.location = null;
        this.loads = 0;
        ctx.blockConcurrencyWhile(() => this.initialize());
    }

    async initialize() {
        this.loads++;
        loads++;
        this.location = (await this.ctx.storage.get("location")) ?? null;
    }

    async move(location) {
        const before = this.location;
        this.location = location;
        this.ctx.storage.put("location", location);
        return before;
    }

    async fetch() {
        return Response.json({ location: this.location, loads: this.loads, ofModule: loads > 0 });
    }
}

export default scenario({
    async "what it was before"(env) {
        const location = fresh(env.Location);
        const seen = [await location.move("here"), await location.move("there")];
        return [seen, await (await location.fetch("http://x/")).json()];
    },
    async "two of them know nothing of each other"(env) {
        const [a, b] = [fresh(env.Location), fresh(env.Location)];
        await a.move("a");
        return [await (await a.fetch("http://x/")).json(), await (await b.fetch("http://x/")).json()];
    },
});
