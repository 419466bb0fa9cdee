// A counter for each name. Nothing is lost by a crash, and nothing is counted twice: one actor has each
// counter, and what it answered is on disk.
//
//     dormouse deploy examples/counter
//     dormouse call counter/Counter/visits increment 2
//     curl -X POST http://127.0.0.1:7420/w/counter/visits
import { DurableObject } from "cloudflare:workers";

interface Env {
    COUNTERS: { getByName(name: string): Counter };
}

export class Counter extends DurableObject {
    async value(): Promise<number> {
        return (await this.ctx.storage.get<number>("value")) ?? 0;
    }

    // Between the get and the put no other event comes in: storage has the gate closed.
    async increment(by = 1): Promise<number> {
        if (!Number.isSafeInteger(by)) {
            throw new RangeError(`not a whole number: ${by}`);
        }
        const value = (await this.value()) + by;
        await this.ctx.storage.put("value", value);
        return value;
    }

    async reset(): Promise<void> {
        await this.ctx.storage.deleteAll();
    }
}

export default {
    async fetch(request: Request, env: Env): Promise<Response> {
        const name = new URL(request.url).pathname.split("/").pop();
        if (!name) {
            return new Response("Which counter? /w/counter/NAME\n", { status: 404 });
        }
        const counter = env.COUNTERS.getByName(name);
        switch (request.method) {
            case "GET":
                return Response.json({ name, value: await counter.value() });
            case "POST":
                return Response.json({ name, value: await counter.increment() });
            default:
                return new Response("GET or POST\n", { status: 405, headers: { Allow: "GET, POST" } });
        }
    },
};
