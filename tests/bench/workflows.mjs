// What the rows of workflows measure (workflows.py).
import { WorkflowEntrypoint } from "cloudflare:workers";

export class Steps extends WorkflowEntrypoint {
    async run(event, step) {
        const times = [];
        for (let n = 0; n < event.payload.steps; n++) {
            const before = performance.now();
            await step.do(`step ${n}`, async () => n);
            times.push(performance.now() - before);
        }
        return times.sort((a, b) => a - b)[times.length >> 1];
    }
}

export class Sleeps extends WorkflowEntrypoint {
    async run(event, step) {
        await step.sleepUntil("until", event.payload.at);
        await step.do("woken", async () => Date.now());
    }
}
