/* ctx.storage: what is read, what is written, and when it leaves. */
import assert from "node:assert/strict";
import test from "node:test";
import { classOf } from "./daemon.js";

const STORAGE = `
    get(...args) { return this.ctx.storage.get(...args); }
    put(...args) { return this.ctx.storage.put(...args); }
    remove(...args) { return this.ctx.storage.delete(...args); }
    async list(options) { return [...await this.ctx.storage.list(options)]; }`;

test("a put leaves with the result of its call, as one frame", async () => {
    const daemon = await classOf(STORAGE);
    await daemon.value("put", "k", 1);
    assert.equal(daemon.stored("k"), 1);
    assert.equal(daemon.framesOf("DONE").length, 1);
    assert.equal(daemon.framesOf("WRITE").length, 0);
    assert.equal(daemon.framesOf("ASK").length, 0);
});

test("a get of what was just put asks nobody", async () => {
    const daemon = await classOf("async both() { await this.ctx.storage.put('k', [1]); return this.ctx.storage.get('k'); }");
    assert.deepEqual(await daemon.value("both"), [1]);
    assert.equal(daemon.framesOf("ASK").length, 0);
});

test("a get of what is stored asks once, also for many keys", async () => {
    const daemon = await classOf(`async many() {
        const s = this.ctx.storage;
        return [await Promise.all(["a", "b", "c"].map((k) => s.get(k))), [...await s.get(["c", "x", "a"])]];
    }`, { store: { a: 1, b: 2, c: 3 } });
    assert.deepEqual(await daemon.value("many"), [[1, 2, 3], [["a", 1], ["c", 3]]]);
    assert.deepEqual(daemon.framesOf("ASK").map((frame) => frame[3]), [["a", "b", "c"], ["a", "c", "x"]]);
});

test("a get sees the store as it was when it was asked for, also where a put follows at once", async () => {
    const daemon = await classOf(`async race() {
        const before = this.ctx.storage.get("k");
        this.ctx.storage.put("k", 2);
        const sync = this.ctx.storage.sync();
        return [await before, await this.ctx.storage.get("k"), await sync];
    }`, { store: { k: 1 } });
    assert.deepEqual((await daemon.value("race")).slice(0, 2), [1, 2]);
});

test("what is stored is a clone of the value as it was at the put", async () => {
    const daemon = await classOf("async late() { const v = { n: 1 }; const p = this.ctx.storage.put('k', v); v.n = 2; await p; const r = await this.ctx.storage.get('k'); r.n = 3; return this.ctx.storage.get('k'); }");
    assert.deepEqual(await daemon.value("late"), { n: 1 });
});

test("delete says whether it was there", async () => {
    const daemon = await classOf(STORAGE + `
        async various() {
            const s = this.ctx.storage;
            await s.put("own", 1);
            return [await s.delete("stored"), await s.delete("stored"), await s.delete("own"), await s.delete("never"),
                await s.delete(["a", "b", "x"])];
        }`, { store: { stored: 1, a: 1, b: 2 } });
    assert.deepEqual(await daemon.value("various"), [true, false, true, false, 2]);
    assert.equal(daemon.store.size, 0);
});

test("put takes an object of entries, less those that are undefined", async () => {
    const daemon = await classOf("put() { return this.ctx.storage.put({ a: 1, b: undefined, c: null }); }");
    await daemon.value("put");
    assert.deepEqual([...daemon.store.keys()], ["a", "c"]);
});

test("put of undefined is an error", async () => {
    const daemon = await classOf("put() { return this.ctx.storage.put('k', undefined); }");
    assert.equal((await daemon.call("put")).error.name, "TypeError");
});

test("what was written before a throw stays written", async () => {
    const daemon = await classOf("async bad() { this.ctx.storage.put('k', 1); throw new Error('late'); }");
    assert.equal((await daemon.call("bad")).error.message, "late");
    assert.equal(daemon.stored("k"), 1);
});

test("writes leave before the actor waits for something else", async () => {
    const daemon = await classOf("async slow() { this.ctx.storage.put('k', 1); await new Promise((r) => setTimeout(r, 50)); this.ctx.storage.put('j', 2); }");
    daemon.callLater("slow");
    await daemon.settle({ timers: false });
    assert.deepEqual(daemon.framesOf("WRITE").map((frame) => frame[2].length), [1]);
    assert.equal(daemon.stored("k"), 1);
    await daemon.settle();
    assert.equal(daemon.stored("j"), 2);
    assert.equal(daemon.framesOf("DONE").length, 1);
});

test("writes do not leave while a read is about to be answered", async () => {
    const daemon = await classOf("async both() { this.ctx.storage.put('a', 1); await this.ctx.storage.get('x'); this.ctx.storage.put('b', 2); }");
    await daemon.value("both");
    assert.equal(daemon.framesOf("WRITE").length, 0);
    assert.equal(daemon.framesOf("DONE")[0][4].length, 2);
});

test("sync takes the writes with it", async () => {
    const daemon = await classOf("async now() { this.ctx.storage.put('a', 1); await this.ctx.storage.sync(); }");
    await daemon.value("now");
    const ask = daemon.framesOf("ASK", "sync")[0];
    assert.equal(ask[4].length, 1);
});

test("list merges what was written with what is stored, in the order of bytes", async () => {
    const daemon = await classOf(`async list(puts, deletes, options) {
        const s = this.ctx.storage;
        for (const k of puts) s.put(k, "new");
        for (const k of deletes) s.delete(k);
        return [...await s.list(options)].map(([k, v]) => k + "=" + v);
    }`, { store: { a: "old", b: "old", d: "old", e: "old", "\u{10000}": "old", "\uffee": "old" } });
    daemon.pageEntries = 2;
    const all = ["a=old", "b=new", "c=new", "e=old", "\uffee=old", "\u{10000}=old"];
    const copy = [...daemon.store];
    const check = async (options, expected) => {
        daemon.store = new Map(copy);
        assert.deepEqual(await daemon.value("list", ["b", "c"], ["d"], options), expected);
    };
    await check({}, all);
    await check({ reverse: true }, [...all].reverse());
    await check({ limit: 3 }, all.slice(0, 3));
    await check({ limit: 3, reverse: true }, [...all].reverse().slice(0, 3));
    await check({ start: "b", end: "e" }, ["b=new", "c=new"]);
    await check({ startAfter: "b", limit: 1 }, ["c=new"]);
    await check({ prefix: "c" }, ["c=new"]);
    await check({ prefix: "d" }, []);
    await check({ start: "b", reverse: true, limit: 2 }, [...all].reverse().slice(0, 2));
});

test("list agrees with a sorted map for random writes, ranges and pages", async () => {
    const daemon = await classOf(`
        async list(puts, deletes, clear, options) {
            const s = this.ctx.storage;
            if (clear) s.deleteAll();
            for (const k of puts) s.put(k, "n" + k);
            for (const k of deletes) s.delete(k);
            return [[...await s.list(options)], [...s.kv.list(options)]];
        }`);
    let seed = 7;
    const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
    const keys = Array.from({ length: 30 }, (_, i) => String.fromCharCode(97 + i % 5) + (i * 7) % 30);
    const some = () => keys.filter(() => random(3) === 0);
    for (let round = 0; round < 150; round++) {
        daemon.pageEntries = 1 + random(6);
        daemon.store.clear();
        const { pack } = await import("./daemon.js");
        const model = new Map();
        for (const key of some()) {
            daemon.store.set(key, pack("o" + key));
            model.set(key, "o" + key);
        }
        const clear = random(6) === 0;
        const puts = some(), deletes = some();
        if (clear) model.clear();
        puts.forEach((key) => model.set(key, "n" + key));
        deletes.forEach((key) => model.delete(key));
        const options = {};
        if (random(3) === 0) options.prefix = keys[random(30)][0];
        if (random(3) === 0) options.start = keys[random(30)];
        else if (random(3) === 0) options.startAfter = keys[random(30)];
        if (random(3) === 0) options.end = keys[random(30)];
        if (random(2) === 0) options.limit = 1 + random(8);
        if (random(2) === 0) options.reverse = true;
        let expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1)).filter(([key]) =>
            (!options.prefix || key.startsWith(options.prefix)) && (!options.start || key >= options.start) &&
            (!options.startAfter || key > options.startAfter) && (!options.end || key < options.end));
        expected = (options.reverse ? expected.reverse() : expected).slice(0, options.limit ?? Infinity);
        const [listed, now] = await daemon.value("list", puts, deletes, clear, options);
        assert.deepEqual(listed, expected, JSON.stringify([round, options, puts, deletes]));
        assert.deepEqual(now, expected);
    }
});

test("deleteAll hides what is stored, and the alarm, at once", async () => {
    const daemon = await classOf("async clear() { const s = this.ctx.storage; s.put('gone', 1); await s.deleteAll(); s.put('new', 2); return [await s.get('a') === undefined, [...await s.list()], await s.getAlarm()]; }", { store: { a: 1 } });
    daemon.alarm = 5;
    assert.deepEqual(await daemon.value("clear"), [true, [["new", 2]], null]);
    assert.deepEqual([...daemon.store.keys()], ["new"]);
    assert.equal(daemon.alarm, null);
});

test("storage.kv reads and writes the same keys, synchronously", async () => {
    const daemon = await classOf(`sync() {
        const kv = this.ctx.storage.kv;
        kv.put("b", 2);
        return [kv.get("a"), kv.get("b"), kv.get("x") === undefined, kv.delete("a"), kv.delete("x"), [...kv.list()]];
    }`, { store: { a: 1 } });
    assert.deepEqual(await daemon.value("sync"), [1, 2, true, true, false, [["b", 2]]]);
    assert.deepEqual([...daemon.store.keys()], ["b"]);
});

test("frames that come while a synchronous read waits are handled after it, in their order", async () => {
    const daemon = await classOf("log = []; slow() { this.ctx.storage.kv.get('a'); this.log.push('slow'); } quick(n) { this.log.push(n); } all() { return this.log; }");
    daemon.callLater("slow");
    daemon.callLater("quick", 1);
    daemon.callLater("quick", 2);
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), ["slow", 1, 2]);
});

test("the alarm is set, read, and deleted", async () => {
    const daemon = await classOf(`alarm() {}
        async set(t) { await this.ctx.storage.setAlarm(t); return this.ctx.storage.getAlarm(); }
        get() { return this.ctx.storage.getAlarm(); }
        async drop() { await this.ctx.storage.deleteAlarm(); return this.ctx.storage.getAlarm(); }`);
    const at = Date.now() + 100000;
    assert.equal(await daemon.value("set", at), at);
    assert.equal(daemon.alarm, at);
    assert.equal(await daemon.value("get"), at);
    assert.equal(await daemon.value("drop"), null);
    assert.equal(daemon.alarm, null);
    assert.equal(await daemon.value("set", new Date(at)), at);
    assert.ok(await daemon.value("set", 5) >= Date.now() - 1000); /* a past one is due now */
    assert.equal((await daemon.call("set", 0)).error.name, "TypeError");
    assert.equal((await daemon.call("set", "x")).error.name, "TypeError");
});

test("a class without alarm() cannot set one", async () => {
    const daemon = await classOf("set() { return this.ctx.storage.setAlarm(Date.now() + 1000); }");
    assert.match((await daemon.call("set")).error.message, /must have an alarm\(\) handler/);
});

test("while its handler runs the alarm is gone, unless it is set again", async () => {
    const daemon = await classOf(`async alarm(info) {
            this.info = info;
            this.seen = [await this.ctx.storage.getAlarm()];
            if (this.again) { await this.ctx.storage.setAlarm(this.again); this.seen.push(await this.ctx.storage.getAlarm()); }
        }
        told() { return [this.info, this.seen]; } setAgain(at) { this.again = at; } now() { return this.ctx.storage.getAlarm(); }`);
    daemon.alarm = 77;
    const id = daemon.event(3, 77, 2);
    await daemon.settle();
    assert.deepEqual(daemon.done.get(id), [true, null, null]);
    assert.deepEqual(await daemon.value("told"), [{ retryCount: 2, isRetry: true, scheduledTime: 77 }, [null]]);
    assert.equal(await daemon.value("now"), 77); /* the daemon's to say, once the handler has ended */

    const at = Date.now() + 50000;
    await daemon.value("setAgain", at);
    daemon.event(3, 77, 0);
    await daemon.settle();
    assert.deepEqual((await daemon.value("told"))[1], [null, at]);
    assert.equal(daemon.alarm, at);
});

test("a handler that throws fails its alarm", async () => {
    const daemon = await classOf("alarm() { throw new Error('no'); }");
    const id = daemon.event(3, 1, 0);
    await daemon.settle();
    assert.equal(daemon.resultOf(id).error.message, "no");
});

test("storage.sql says that it is not implemented, when it is used", async () => {
    const daemon = await classOf("constructor(ctx, env) { super(ctx, env); this.sql = ctx.storage.sql; } run() { return this.sql.exec('select 1'); }");
    const { error } = await daemon.call("run");
    assert.equal(error.code, "not_implemented");
});

test("a key may have 480 bytes, a value 2 MiB, and no more", async () => {
    const daemon = await classOf(STORAGE + " big(n) { return this.ctx.storage.put('k', new Uint8Array(n)); }");
    await daemon.value("put", "k".repeat(480), 1);
    assert.equal((await daemon.call("put", "k".repeat(481), 1)).error.code, "too_large");
    await daemon.value("put", "é".repeat(240), 1);
    assert.equal((await daemon.call("put", "é".repeat(241), 1)).error.code, "too_large");
    assert.equal((await daemon.call("put", "", 1)).error.name, "TypeError");
    assert.equal((await daemon.call("get", "")).error.name, "TypeError");
    assert.equal((await daemon.call("get", { a: 1 })).error.name, "TypeError");
    await daemon.value("big", 2 * 1024 * 1024 - 5);
    assert.equal((await daemon.call("big", 2 * 1024 * 1024 - 4)).error.code, "too_large");
});

test("a class that writes more than 16 MiB without waiting is slowed down, not refused", async () => {
    const daemon = await classOf("async flood() { for (let i = 0; i < 20; i++) await this.ctx.storage.put('k' + i, new Uint8Array(1024 * 1024)); }");
    await daemon.value("flood");
    assert.equal(daemon.store.size, 20);
    assert.equal(daemon.framesOf("ASK", "sync").length >= 1, true);
    for (const frame of daemon.framesOf("WRITE")) {
        assert.ok(frame[2].length <= 16);
    }
});

test("a read of many large values is split where the daemon says that it is too large", async () => {
    const store = Object.fromEntries(Array.from({ length: 10 }, (_, i) => ["k" + i, i]));
    const daemon = await classOf("async all(keys) { return [...(await this.ctx.storage.get(keys)).values()]; }", { store });
    daemon.answers.get = function (keys) {
        if (keys.length > 3) {
            throw { code: "too_large", message: "too large" };
        }
        return this.on_get(keys);
    };
    assert.deepEqual(await daemon.value("all", Object.keys(store)), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a flood of deletes leaves in frames that fit", async () => {
    const daemon = await classOf("async flood() { for (let i = 0; i < 60000; i++) this.ctx.storage.kv.delete(String(i).padStart(400, 'k')); }");
    daemon.answers.get = (keys) => keys.map(() => null);
    await daemon.value("flood");
    assert.ok(daemon.framesOf("WRITE").length > 2);
});

test("a key that is a number is its digits, in storage as in what has not left yet", async () => {
    const daemon = await classOf(`async go() {
        const s = this.ctx.storage;
        await s.put(1, "one");
        await s.sync();
        return [await s.get(1), [...await s.get([1, "1", 2])], [...await s.get([null])], await s.delete([1, "1"]), await s.get("1") ?? "gone"];
    }`);
    assert.deepEqual(await daemon.value("go"), ["one", [["1", "one"]], [], 1, "gone"]);
});
