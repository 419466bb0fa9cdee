import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

export class Sender extends DurableObject {
    /* It is called back while its own call is under way: what it wrote is seen. */
    async send(name) {
        this.ctx.storage.put("sent", name);
        return this.env.Receiver.getByName(name).receive(this.ctx.id.name);
    }

    async sendByFetch(name) {
        this.ctx.storage.put("sent", name);
        const response = await this.env.Receiver.getByName(name).fetch(`http://receiver/${this.ctx.id.name}`);
        return response.json();
    }

    async sent() {
        return this.ctx.storage.get("sent");
    }
}

export class Receiver extends DurableObject {
    async receive(from) {
        return [from === undefined ? "no name" : "a name", await this.env.Sender.getByName(from).sent()];
    }

    async fetch(request) {
        return Response.json(await this.receive(new URL(request.url).pathname.slice(1)));
    }
}

export default scenario({
    "a call leaves after what was written before it": (env) => env.Sender.getByName(`s${Math.random()}`).send("receiver-1"),
    "a fetch leaves after what was written before it": (env) => env.Sender.getByName(`s${Math.random()}`).sendByFetch("receiver-2"),
    async "an answer leaves after what was written before it"(env) {
        const sender = fresh(env.Sender);
        await sender.send("receiver-3").catch(() => {});
        return sender.sent();
    },
});
