// A node that is killed again and again while clients work: nothing is lost, nothing happens twice.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Node } from "./node.js";
import { load, prepare } from "./load.js";

const KILLS = Number(process.env.SDK_JS_KILLS ?? 5);

test("adds, calls and steps over kills of the node are each done once, and watched in order", async () => {
    const node = await Node.start();
    let isOver = false;
    const client = node.client({ timeoutMs: 60_000 });
    await prepare(client);
    const working = load(client, () => isOver);
    for (let kill = 0; kill < KILLS; kill++) {
        await new Promise((resolve) => { setTimeout(resolve, 200 + Math.random() * 300); });
        await node.kill9();
        await node.start();
    }
    isOver = true;
    const counts = await working;
    assert.ok(Object.values(counts).every((count) => count > KILLS), JSON.stringify(counts));
});
