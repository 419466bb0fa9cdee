// Workflows on a real node.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Node, deploy } from "./node.js";

const SOURCE = `
import { WorkflowEntrypoint } from "cloudflare:workers";
export class Order extends WorkflowEntrypoint {
    async run(event, step) {
        const made = await step.do("make", async () => ({ n: event.payload.n + 1 }));
        const said = await step.waitForEvent("approval", { type: "approved", timeout: "3 days" });
        await step.sleep("cool off", 50);
        return { made, said: said.payload, when: new Date(5) };
    }
}`;

test("a workflow is started, told, waited for and steered", async () => {
    const node = await Node.start();
    const client = node.client();
    await deploy(client, SOURCE);
    const { workflow } = client.actor("Order", "order-1");
    assert.equal((await workflow.create({ n: 1 })).status, "running");
    await assert.rejects(workflow.create({ n: 1 }), { code: "conflict" });
    await workflow.sendEvent("approved", { by: "ann" });
    const run = await workflow.ended();
    assert.deepEqual([run.status, run.output], ["complete", { made: { n: 2 }, said: { by: "ann" }, when: new Date(5) }]);
    assert.deepEqual(run.steps.map((step) => [step.name, step.attempts]), [["make", 1], ["approval", 1], ["cool off", 1]]);
    await workflow.restart();
    await workflow.pause();
    assert.equal((await workflow.status()).status, "paused");
    await workflow.resume();
    await workflow.terminate();
    assert.equal((await workflow.ended()).status, "terminated");
});
