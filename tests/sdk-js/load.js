// What clients do while nodes are killed, and whether all of it was done once. As a program: against the nodes of
// DORMOUSE_URL (with commas between), for SECONDS; prints what it counted.
import assert from "node:assert/strict";

import { Dormouse } from "../../sdk-js/dist/index.js";

const SOURCE = `
import { DurableObject } from "dormouse";
export class Counter extends DurableObject {
    async increment() {
        const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
        await this.ctx.storage.put("n", n);
        return n;
    }
}`;
const LANES = 4;

export async function prepare(client) {
    await client.namespace().deploy({ modules: { "main.js": SOURCE }, main: "main.js" });
}

/** Works until `isOver()`, then looks; counts of what was done of each kind. */
export async function load(client, isOver) {
    const counts = { adds: 0, calls: 0, steps: 0, events: 0 };
    const repeat = async (once) => {
        for (let n = 0; !isOver(); n++) {
            await once(n);
        }
    };
    const lane = async (name) => {
        const store = client.store(name);
        const counter = client.actor("Counter", name).with({ idempotencyKey: true });
        const watched = store.watch({ since: 0, prefix: "n" });
        const own = { adds: 0, calls: 0, steps: 0 };
        let newest = 0;
        const watching = (async () => {
            for await (const event of watched) {
                if (event.type === "put") {
                    assert.ok(event.value >= newest, `${event.value} came after ${newest}`);
                    newest = event.value;
                    counts.events++;
                }
                if (isOver() && newest === own.adds && event.type === "put" && own.isDone) {
                    return;
                }
            }
        })();
        await Promise.all([
            repeat(async () => {
                await store.storage.add("n");
                own.adds++;
            }),
            repeat(async () => {
                await counter.increment();
                own.calls++;
            }),
            repeat(async (n) => {
                assert.equal(await store.steps.run(`s${n}`, () => n, { leaseMs: 1000 }), n);
                own.steps++;
            }),
        ]);
        assert.equal(await store.storage.get("n"), own.adds);
        assert.equal(await counter.storage.get("n"), own.calls);
        const steps = await store.steps.list();
        assert.equal(steps.length, own.steps);
        assert.ok(steps.every((step, n) => step.state === "done" && step.output === n));
        own.isDone = true;
        await store.storage.add("n"); // the watch sees what came last
        own.adds++;
        await watching;
        for (const kind of ["adds", "calls", "steps"]) {
            counts[kind] += own[kind];
        }
    };
    await Promise.all(Array.from({ length: LANES }, (_, i) => lane(`lane-${i}`)));
    return counts;
}

if (process.env.DORMOUSE_URL !== undefined && process.argv[1] === new URL(import.meta.url).pathname) {
    const until = performance.now() + Number(process.env.SECONDS) * 1000;
    const client = new Dormouse({ url: process.env.DORMOUSE_URL.split(","), namespace: "load", timeoutMs: 60_000 });
    await prepare(client);
    console.log(JSON.stringify(await load(client, () => performance.now() > until)));
}
