/* An object that forgets everything when nobody has used it for a while. */
import { DurableObject } from "cloudflare:workers";
import { fresh, scenario, until } from "./harness.js";

export class Expiring extends DurableObject {
    timeToLive = 60;

    async put(key, value) {
        await this.ctx.storage.put(key, value);
        await this.ctx.storage.setAlarm(Date.now() + this.timeToLive);
        return (await this.ctx.storage.getAlarm()) !== null;
    }

    async look() {
        return [await this.ctx.storage.list(), (await this.ctx.storage.getAlarm()) !== null];
    }

    async alarm() {
        await this.ctx.storage.deleteAll();
    }
}

export default scenario({
    async "it is there, and then it is not"(env) {
        const expiring = fresh(env.Expiring);
        const set = await expiring.put("a", { b: 1 });
        const gone = await until(async () => {
            const [list, alarm] = await expiring.look();
            return list.size === 0 && [list.size, alarm];
        });
        return [set, gone, await expiring.put("c", 1), (await expiring.look())[0]];
    },
});
