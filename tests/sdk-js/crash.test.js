// A node that is killed again and again while clients work: nothing is lost, nothing happens twice.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Node, deploy } from "./node.js";

const SOURCE = `
import { DurableObject } from "dormouse";
export class Counter extends DurableObject {
    async increment() {
        const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
        await this.ctx.storage.put("n", n);
        return n;
    }
}`;
const KILLS = Number(process.env.SDK_JS_KILLS ?? 5);

test("adds, calls and steps over kills of the node are each done once", async () => {
    const node = await Node.start();
    const client = node.client({ timeoutMs: 60_000 });
    await deploy(client, SOURCE);
    let isOver = false;
    const counts = { adds: 0, calls: 0, steps: 0 };
    const loop = async (name, once) => {
        while (!isOver) {
            await once(counts[name]);
            counts[name]++;
        }
    };
    const store = client.store("adds");
    const counter = client.actor("Counter", "calls").with({ idempotencyKey: true });
    const steps = client.store("steps");
    const effects = [];
    const work = Promise.all([
        loop("adds", (n) => store.storage.txn({ do: [{ add: "n" }, { append: "log", items: n % 50 === 0 ? [n] : [] }] })),
        loop("calls", () => counter.increment()),
        loop("steps", (n) => steps.steps.run(`s${n}`, () => { effects.push(n); return n; }, { leaseMs: 1000 })),
    ]);
    for (let kill = 0; kill < KILLS; kill++) {
        await new Promise((resolve) => { setTimeout(resolve, 200 + Math.random() * 300); });
        await node.kill9();
        await node.start();
    }
    isOver = true;
    await work;
    assert.equal(await store.storage.get("n"), counts.adds);
    assert.equal(await counter.storage.get("n"), counts.calls);
    const done = await steps.steps.list();
    assert.equal(done.length, counts.steps);
    assert.ok(done.every((step, n) => step.state === "done" && step.output === n));
    assert.ok(counts.adds > KILLS && counts.calls > KILLS && counts.steps > KILLS, JSON.stringify(counts));
});
