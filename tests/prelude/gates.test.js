/* The input gate, blocking, transactions, resets. */
import assert from "node:assert/strict";
import test from "node:test";
import { classOf } from "./daemon.js";

const LOG = "log = []; all() { return this.log; }";

test("while a read of storage is pending no new event is delivered", async () => {
    const daemon = await classOf(LOG + `
        async slow() { await this.ctx.storage.get("k"); this.log.push("slow"); }
        quick() { this.log.push("quick"); }`);
    daemon.holds.add("get");
    daemon.callLater("slow");
    daemon.callLater("quick");
    await daemon.settle();
    assert.equal(daemon.done.size, 0);
    daemon.release("get");
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), ["slow", "quick"]);
});

test("a read after a read keeps the gate closed", async () => {
    const daemon = await classOf(LOG + `
        async slow() { const s = this.ctx.storage; await s.get("a"); await null; await s.get("b"); this.log.push("slow"); }
        quick() { this.log.push("quick"); }`);
    daemon.callLater("slow");
    daemon.callLater("quick");
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), ["slow", "quick"]);
});

test("increments by calls at once are all counted", async () => {
    const daemon = await classOf(`async up() { const n = (await this.ctx.storage.get("n")) ?? 0; await null; await this.ctx.storage.put("n", n + 1); return n + 1; }`);
    const ids = Array.from({ length: 20 }, () => daemon.callLater("up"));
    await daemon.settle();
    assert.deepEqual(ids.map((id) => daemon.resultOf(id).value), ids.map((_, i) => i + 1));
    assert.equal(daemon.stored("n"), 20);
});

test("allowConcurrency lets events in", async () => {
    const daemon = await classOf(LOG + `
        async slow() { await this.ctx.storage.get("k", { allowConcurrency: true }); this.log.push("slow"); }
        quick() { this.log.push("quick"); }`);
    daemon.holds.add("get");
    daemon.callLater("slow");
    daemon.callLater("quick");
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), ["quick"]);
    daemon.release("get");
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), ["quick", "slow"]);
});

test("while a read is pending timers and answers of calls wait, and go on in their order", async () => {
    const daemon = await classOf(LOG + `
        async go() {
            setTimeout(() => this.log.push("timer"), 1);
            const call = this.env.OTHER.getByName("x").hi().then(() => this.log.push("answer"));
            await this.ctx.storage.get("k");
            this.log.push("read");
            await call;
        }`, { bindings: { OTHER: "Other" } });
    daemon.answers.call = () => null;
    daemon.holds.add("get");
    daemon.callLater("go");
    await daemon.settle({ timers: false });
    daemon.now += 100;
    await daemon.settle({ timers: false });
    assert.equal(daemon.done.size, 0);
    daemon.release("get");
    await daemon.settle();
    assert.equal((await daemon.value("all"))[0], "read");
    assert.deepEqual((await daemon.value("all")).sort(), ["answer", "read", "timer"]);
});

test("while an answer of a call is awaited other events are delivered", async () => {
    const daemon = await classOf(LOG + `
        async slow() { await this.env.OTHER.getByName("x").hi(); this.log.push("slow"); }
        quick() { this.log.push("quick"); }`, { bindings: { OTHER: "Other" } });
    daemon.answers.call = () => null;
    daemon.holds.add("call");
    daemon.callLater("slow");
    daemon.callLater("quick");
    await daemon.settle();
    daemon.release("call");
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), ["quick", "slow"]);
});

test("blockConcurrencyWhile in the constructor holds back events until it ends", async () => {
    const daemon = await classOf(`constructor(ctx, env) {
            super(ctx, env);
            ctx.blockConcurrencyWhile(async () => {
                await new Promise((r) => setTimeout(r, 20));
                this.n = await ctx.storage.get("n");
            });
        }
        get() { return this.n; }`, { store: { n: 7 } });
    assert.equal(await daemon.value("get"), 7);
});

test("blockConcurrencyWhile gives what its callback gives", async () => {
    const daemon = await classOf("go() { return this.ctx.blockConcurrencyWhile(async () => { await null; return 5; }); }");
    assert.equal(await daemon.value("go"), 5);
});

test("a throw in blockConcurrencyWhile resets the actor", async () => {
    const daemon = await classOf("go() { this.ctx.storage.put('k', 1); return this.ctx.blockConcurrencyWhile(async () => { throw new RangeError('bad start'); }); }");
    daemon.callLater("go");
    await daemon.settle();
    const [abort] = daemon.framesOf("TELL", "abort");
    assert.equal(abort[3].name, "RangeError");
    assert.equal(abort[3].message, "bad start");
    assert.equal(daemon.ended, true);
    assert.equal(daemon.store.size, 0);
});

test("blockConcurrencyWhile that takes 30 s resets the actor, also where a read is pending", async () => {
    const daemon = await classOf("go() { return this.ctx.blockConcurrencyWhile(() => this.ctx.storage.get('k')); }");
    daemon.holds.add("get");
    daemon.callLater("go");
    await daemon.settle({ until: 30000 });
    assert.equal(daemon.ended, false);
    await daemon.settle();
    assert.match(daemon.framesOf("TELL", "abort")[0][3].message, /waited for too long/);
});

test("abort resets the actor with its reason, and the caller goes no further", async () => {
    const daemon = await classOf("go() { this.ctx.storage.put('k', 1); this.ctx.abort('enough'); this.ctx.storage.put('j', 1); }");
    daemon.callLater("go");
    await daemon.settle();
    assert.equal(daemon.framesOf("TELL", "abort")[0][3].message, "enough");
    assert.equal(daemon.store.size, 0);
});

test("a transaction writes all or nothing", async () => {
    const daemon = await classOf(`
        good() { return this.ctx.storage.transaction(async (txn) => { await txn.put("a", 1); await txn.delete("old"); return [await txn.get("a"), await this.ctx.storage.get("a"), await txn.get("old") === undefined]; }); }
        async bad() { try { await this.ctx.storage.transaction(async (txn) => { await txn.put("a", 2); throw new Error("no"); }); } catch (e) { return [e.message, await this.ctx.storage.get("a")]; } }
        async back() { await this.ctx.storage.transaction(async (txn) => { await txn.put("a", 3); txn.rollback(); }); return this.ctx.storage.get("a"); }`,
        { store: { old: 1 } });
    assert.deepEqual(await daemon.value("good"), [1, 1, true]);
    assert.deepEqual([...daemon.store.keys()], ["a"]);
    assert.deepEqual(await daemon.value("bad"), ["no", 1]);
    assert.equal(await daemon.value("back"), 1);
    assert.equal(daemon.stored("a"), 1);
});

test("what a transaction wrote does not leave while it is open", async () => {
    const daemon = await classOf(`async go() {
        this.ctx.storage.put("before", 1);
        await this.ctx.storage.transaction(async (txn) => {
            await txn.put("a", 1);
            await this.env.OTHER.getByName("x").hi();
            await new Promise((r) => setTimeout(r, 10));
            await txn.put("b", 1);
        });
    }`, { bindings: { OTHER: "Other" } });
    daemon.answers.call = function () {
        assert.deepEqual([...this.store.keys()], ["before"]);
        return null;
    };
    const result = await daemon.call("go");
    assert.equal(result.error, undefined);
    assert.deepEqual([...daemon.store.keys()], ["before", "a", "b"]);
    assert.equal(daemon.framesOf("DONE")[0][4].length, 2);
});

test("transactions that are started at once run one after the other", async () => {
    const daemon = await classOf(`
        up() { return this.ctx.storage.transaction(async (txn) => { const n = (await txn.get("n")) ?? 0; await new Promise((r) => setTimeout(r, 5)); await txn.put("n", n + 1); }); }
        async many() { await Promise.all([this.up(), this.up(), this.up()]); return this.ctx.storage.get("n"); }`);
    assert.equal(await daemon.value("many"), 3);
});

test("a transaction inside of a transaction is a part of it", async () => {
    const daemon = await classOf(`go(inner) {
        const s = this.ctx.storage;
        return s.transaction(async (txn) => {
            await txn.put("a", 1);
            await s.transaction(async (nested) => { await nested.put("b", 1); if (inner === "roll back") nested.rollback(); });
            await txn.put("c", 1);
            if (inner === "throw") throw new Error("no");
        });
    }`);
    await daemon.call("go", "throw");
    assert.equal(daemon.store.size, 0);
    await daemon.value("go", "roll back");
    assert.deepEqual([...daemon.store.keys()], ["a", "c"]);
    await daemon.value("go", "keep");
    assert.deepEqual([...daemon.store.keys()], ["a", "c", "b"]);
});

test("transactionSync writes all or nothing", async () => {
    const daemon = await classOf(`
        go(bad) { return this.ctx.storage.transactionSync(() => { this.ctx.storage.kv.put("a", 1); if (bad) throw new Error("no"); return this.ctx.storage.kv.get("a"); }); }
        later() { return this.ctx.storage.transactionSync(async () => { this.ctx.storage.kv.put("z", 1); }); }`);
    assert.equal((await daemon.call("go", true)).error.message, "no");
    assert.equal(daemon.store.size, 0);
    assert.equal(await daemon.value("go", false), 1);
    assert.equal((await daemon.call("later")).error.name, "TypeError");
    assert.deepEqual([...daemon.store.keys()], ["a"]);
});

test("a transaction that writes more than 16 MiB fails whole", async () => {
    const daemon = await classOf("go() { return this.ctx.storage.transaction(async (txn) => { for (let i = 0; i < 20; i++) await txn.put('k' + i, new Uint8Array(2 ** 20)); }); }");
    assert.equal((await daemon.call("go")).error.code, "too_large");
    assert.equal(daemon.store.size, 0);
});

test("waitUntil that fails is logged", async () => {
    const daemon = await classOf("go() { this.ctx.waitUntil((async () => { await null; throw new Error('later'); })()); return 1; }");
    assert.equal(await daemon.value("go"), 1);
    assert.match(daemon.logs()[0][1], /waitUntil.*Error: later/);
});

test("a transaction that has ended, or was rolled back, takes no more writes", async () => {
    const daemon = await classOf(`async go() {
        const told = [];
        let kept;
        const attempt = async (run) => { try { await run(); told.push("done"); } catch (e) { told.push(e.message); } };
        await this.ctx.storage.transaction(async (txn) => {
            kept = txn;
            txn.rollback();
            txn.rollback();
            await attempt(() => txn.put("a", 1));
            await attempt(() => txn.deleteAll());
        });
        await this.ctx.storage.transaction(async (txn) => { kept = txn; });
        await attempt(() => kept.put("a", 1));
        await attempt(() => kept.rollback());
        return told;
    }`);
    assert.deepEqual(await daemon.value("go"), [
        "Cannot put() on rolled back transaction", "deleteAll() cannot be called in a transaction.",
        "Cannot call put() on a transaction that has ended.", "Cannot call rollback() on a transaction that has ended.",
    ]);
    assert.equal(daemon.store.size, 0);
});
