// Keys, transactions, listings, timers and steps on a real node.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Node, StepFailed, collect } from "./node.js";

let node;
let client;
let names = 0;
const store = () => client.store(`s-${names++}`);
const code = (wanted) => (error) => {
    assert.equal(error.code, wanted, String(error));
    return true;
};

before(async () => {
    node = await Node.start("--allow-private-targets");
    client = node.client();
});

test("a value is put, got, and deleted", async () => {
    const { storage } = store();
    assert.equal(await storage.get("a/b ü%"), undefined);
    const version = await storage.put("a/b ü%", { when: new Date(5), bytes: new Uint8Array([1, 255]), big: 2n ** 60n });
    assert.deepEqual(await storage.entry("a/b ü%"),
        { key: "a/b ü%", value: { when: new Date(5), bytes: new Uint8Array([1, 255]), big: 2n ** 60n }, version });
    assert.equal(await storage.delete("a/b ü%"), true);
    assert.equal(await storage.delete("a/b ü%"), false);
});

test("bytes go and come as bytes", async () => {
    const { storage } = store();
    const bytes = crypto.getRandomValues(new Uint8Array(60_000));
    await storage.put("photo", bytes);
    assert.deepEqual(await storage.get("photo"), bytes);
});

test("conditions hold, or the error says so", async () => {
    const { storage } = store();
    const first = await storage.put("k", 1, { ifAbsent: true });
    await assert.rejects(storage.put("k", 2, { ifAbsent: true }), code("version_mismatch"));
    const second = await storage.put("k", 2, { ifVersion: first });
    await assert.rejects(storage.put("k", 3, { ifVersion: first }), code("version_mismatch"));
    await assert.rejects(storage.delete("k", { ifVersion: first }), code("version_mismatch"));
    assert.equal(await storage.entry("k", { unlessVersion: second }), null);
    assert.equal((await storage.entry("k", { unlessVersion: first })).value, 2);
    assert.equal(await storage.get("k", { stale: true }), 2);
});

test("listings go on over pages, both ways, with bounds", async () => {
    const { storage } = store();
    for (let from = 0; from < 250; from += 125) {
        await storage.txn({ do: Array.from({ length: 125 }, (_, i) => ({ put: `k${String(from + i).padStart(3, "0")}`, value: from + i })) });
    }
    const all = [];
    for await (const entry of storage.list({ pageSize: 100 })) {
        all.push(entry.value);
    }
    assert.deepEqual(all, Array.from({ length: 250 }, (_, i) => i));
    const some = await collect(storage.list({ prefix: "k1", limit: 3, reverse: true }), () => false);
    assert.deepEqual(some.map((e) => e.key), ["k199", "k198", "k197"]);
    const keys = await collect(storage.list({ start: "k010", end: "k012", values: false }), () => false);
    assert.deepEqual(keys.map((e) => [e.key, e.value]), [["k010", undefined], ["k011", undefined]]);
    const after = await collect(storage.list({ startAfter: "k248" }), () => false);
    assert.equal(after.length, 1);
    assert.equal((await storage.page({ pageSize: 2 })).next === null, false);
});

test("a transaction is all or nothing", async () => {
    const { storage } = store();
    const { results } = await storage.txn({
        if: [{ key: "lock", exists: false }],
        do: [{ put: "lock", value: "me" }, { add: "n", by: 5 }, { append: "log", items: [new Date(3)] }, { get: "log" }, { list: { prefix: "l" } }, { delete: "x" }],
    });
    assert.equal(results[1].value, 5);
    assert.equal(results[2].length, 1);
    assert.deepEqual(results[3].value, [new Date(3)]);
    assert.equal(results[4].entries.length, 2);
    assert.equal(results[5].existed, false);
    const failed = storage.txn({ if: [{ key: "n", equals: 5 }, { key: "lock", exists: false }], do: [{ add: "n" }] });
    await assert.rejects(failed, (error) => code("conflict")(error) && error.failed === 1 && error.maybeApplied === false);
    assert.equal(await storage.get("n"), 5);
    assert.equal(await storage.add("n", 2n ** 60n), 2n ** 60n + 5n);
    assert.equal(await storage.append("log", [1, 2]), 3);
});

test("a key of one's own makes two calls one", async () => {
    const { storage } = store();
    const once = { idempotencyKey: "order-17" };
    assert.equal(await storage.add("n", 1, once), 1);
    assert.equal(await storage.add("n", 1, once), 1);
    assert.equal(await storage.add("n"), 2);
    await assert.rejects(storage.add("n", 7, once), code("idempotency_mismatch"));
    await assert.rejects(storage.add("n", 7, { idempotencyKey: "a b" }), code("invalid_argument"));
});

test("a limit that is hit is named", async () => {
    const { storage } = store();
    await assert.rejects(storage.put("k".repeat(481), 1), (error) => code("too_large")(error) && error.limit.value === 480);
    await assert.rejects(storage.put("..", 1), code("invalid_argument"));
    assert.throws(() => client.store("."), code("invalid_id"));
    assert.throws(() => client.actor("9", "a"), code("invalid_id"));
});

test("the actor tells what it is, and is destroyed", async () => {
    const actor = store();
    assert.equal((await actor.info()).exists, false);
    await actor.storage.put("k", 1);
    const info = await actor.info();
    assert.deepEqual([info.exists, info.keys, info.id], [true, 1, actor.id]);
    const listed = await collect(client.namespace().actors({ className: "Store", prefix: actor.id }), () => false);
    assert.ok(listed.some((one) => one.id === actor.id));
    await actor.hibernate();
    await actor.destroy();
    assert.equal((await actor.info()).exists, false);
});

test("timers fire to the watch", async () => {
    const actor = store();
    const events = actor.watch();
    await events.ready();
    const timer = await actor.timers.set("soon", { in: 50, payload: { n: 1n } });
    assert.equal((await actor.timers.get("soon")).at, timer.at);
    const [event] = await collect(events, (all) => all.length === 1);
    assert.deepEqual([event.type, event.timer, event.payload], ["timer", "soon", { n: 1n }]);
    await actor.timers.set("later", { at: new Date(Date.now() + 1e6), every: 1000, catchUp: "none" });
    assert.deepEqual((await actor.timers.list()).map((t) => [t.name, t.catch_up]), [["later", "none"]]);
    await actor.timers.delete("later");
    await assert.rejects(actor.timers.get("later"), code("no_such_timer"));
    await events.return();
});

test("a step runs once among workers, and its output stays", async () => {
    const { steps } = store();
    let runs = 0;
    const work = () => steps.run("fetch", async () => {
        runs++;
        await new Promise((resolve) => { setTimeout(resolve, 100); });
        return { pages: 12 };
    }, { leaseMs: 2000 });
    assert.deepEqual(await Promise.all([work(), work(), work()]), [{ pages: 12 }, { pages: 12 }, { pages: 12 }]);
    assert.equal(runs, 1);
    assert.deepEqual((await steps.list()).map((s) => [s.name, s.state, s.attempts]), [["fetch", "done", 1]]);
});

test("a step that fails is tried again, and fails for good", async () => {
    const { steps } = store();
    const seen = [];
    const ok = await steps.run("flaky", ({ attempt }) => {
        seen.push(attempt);
        if (attempt < 3) {
            throw new Error("not yet");
        }
        return "done";
    }, { attempts: 5, retryInMs: 10 });
    assert.deepEqual([ok, seen], ["done", [1, 2, 3]]);
    const failed = steps.run("bad", () => { throw new RangeError("never"); });
    await assert.rejects(failed, (error) => error instanceof StepFailed && error.error instanceof RangeError && error.step === "bad");
});

test("a lease that expired is lost, and who held it gets what the other one made", async () => {
    const { steps } = store();
    const first = await steps.begin("s", { leaseMs: 1000 });
    assert.equal(first.state, "run");
    assert.equal((await steps.begin("s")).state, "busy");
    await steps.extend("s", first.lease, 1000);
    await steps.finish("s", first.lease, 1);
    await assert.rejects(steps.finish("s", first.lease, 2), code("lease_lost"));
    assert.deepEqual(await steps.begin("s"), { state: "done", output: 1 });
});
