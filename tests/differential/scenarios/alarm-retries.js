import { DurableObject } from "cloudflare:workers";
import { fresh, scenario, until } from "./harness.js";

export class Retried extends DurableObject {
    async start(failures, options = {}) {
        await this.ctx.storage.put({ failures, options });
        await this.ctx.storage.setAlarm(Date.now() + 1);
    }

    async seen() {
        return [this.runs ?? [], await this.ctx.storage.list({ prefix: "written" }), await this.ctx.storage.getAlarm()];
    }

    async alarm(info) {
        this.runs ??= [];
        this.runs.push([info.retryCount, info.isRetry, typeof info.scheduledTime]);
        await this.ctx.storage.put(`written-${this.runs.length}`, info.retryCount);
        const options = await this.ctx.storage.get("options");
        if (this.runs.length <= (await this.ctx.storage.get("failures"))) {
            if (options.again) {
                await this.ctx.storage.setAlarm(Date.now() + 3600000);
            }
            throw new Error("again");
        }
    }
}

async function tried(env, failures, runs, options) {
    const retried = fresh(env.Retried);
    await retried.start(failures, options);
    return until(async () => {
        const seen = await retried.seen();
        return seen[0].length >= runs && seen;
    });
}

export default scenario({
    "one that throws is run again": (env) => tried(env, 1, 2),
    async "one that throws after it was set again"(env) {
        const [runs, written, alarm] = await tried(env, 1, 1, { again: true });
        return [runs, written, alarm === null ? null : "set"];
    },
});
