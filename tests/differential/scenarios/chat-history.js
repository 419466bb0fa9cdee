/* Messages with numbers of their own, kept to the last ones. */
import { DurableObject } from "cloudflare:workers";
import { fresh, scenario } from "./harness.js";

export class Room extends DurableObject {
    async say(author, text) {
        const number = ((await this.ctx.storage.get("last")) ?? 0) + 1;
        await this.ctx.storage.put({ last: number, [`message:${String(number).padStart(8, "0")}`]: { author, text, at: new Date(number) } });
        const messages = await this.ctx.storage.list({ prefix: "message:" });
        if (messages.size > 5) {
            await this.ctx.storage.delete([...messages.keys()].slice(0, messages.size - 5));
        }
        return number;
    }

    async history({ before, limit = 3 } = {}) {
        const options = { prefix: "message:", reverse: true, limit };
        if (before !== undefined) {
            options.end = `message:${String(before).padStart(8, "0")}`;
        }
        return [...(await this.ctx.storage.list(options)).values()];
    }
}

export default scenario({
    async "history, page by page"(env) {
        const room = fresh(env.Room);
        const numbers = await Promise.all(["a", "b", "c", "d", "e", "f", "g"].map((text) => room.say("ann", text)));
        return [numbers, await room.history(), await room.history({ before: 5 }), await room.history({ before: 5, limit: 1 })];
    },
});
