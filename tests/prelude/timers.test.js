/* Timers, the log, and what keeps an actor awake. */
import assert from "node:assert/strict";
import test from "node:test";
import { classOf } from "./daemon.js";

test("timers fire in the order of their times, those of one time in the order they were set", async () => {
    const daemon = await classOf(`async go() {
        const log = [];
        for (const [ms, name] of [[20, "c"], [5, "a"], [20, "d"], [10, "b"], [-1, "first"]]) setTimeout((n) => log.push(n), ms, name);
        await new Promise((r) => setTimeout(r, 100));
        return log;
    }`);
    assert.deepEqual(await daemon.value("go"), ["first", "a", "b", "c", "d"]);
});

test("promises settle between two timers", async () => {
    const daemon = await classOf(`async go() {
        const log = [];
        setTimeout(() => { log.push(1); Promise.resolve().then(() => log.push(2)); }, 0);
        setTimeout(() => log.push(3), 0);
        await new Promise((r) => setTimeout(r, 5));
        return log;
    }`);
    assert.deepEqual(await daemon.value("go"), [1, 2, 3]);
});

test("an interval goes on until it is cleared, a cleared timer does not fire", async () => {
    const daemon = await classOf(`async go() {
        let n = 0;
        const gone = setTimeout(() => { n += 100; }, 1);
        clearTimeout(gone); clearTimeout(undefined); clearTimeout(12345);
        await new Promise((resolve) => { const id = setInterval(() => { if (++n === 3) { clearInterval(id); resolve(); } }, 10); });
        return n;
    }`);
    assert.equal(await daemon.value("go"), 3);
    assert.equal(daemon.now, 1030);
});

test("a timer that throws is logged, and the next ones fire", async () => {
    const daemon = await classOf("async go() { setTimeout(() => { throw new Error('lost'); }, 1); await new Promise((r) => setTimeout(r, 2)); return 1; }");
    assert.equal(await daemon.value("go"), 1);
    assert.match(daemon.logs()[0][1], /^Uncaught Error: lost/);
});

test("an actor has 100 000 timers at most; those that were cleared do not count", async () => {
    const daemon = await classOf(`
        clear() { for (let i = 0; i < 300000; i++) clearTimeout(setTimeout(() => {}, 1e6)); return true; }
        flood() { for (let i = 0; i < 1000000; i++) setTimeout(() => {}, 1e6); }`);
    assert.equal(await daemon.value("clear"), true);
    assert.equal(daemon.callLater("flood") > 0, true);
    await daemon.settle({ timers: false });
    assert.match(daemon.framesOf("DONE").at(-1)[3].message, /100000 timers/);
});

test("the daemon hears that an actor is busy while timers or waitUntil are left, and when no more", async () => {
    const daemon = await classOf("go() { setTimeout(() => {}, 10); } wait() { this.ctx.waitUntil(new Promise((r) => { this.end = r; })); } over() { this.end(); }");
    daemon.callLater("go");
    await daemon.settle({ timers: false });
    assert.equal(daemon.framesOf("TELL", "busy").at(-1)[3] > 0, true);
    await daemon.settle();
    assert.equal(daemon.framesOf("TELL", "busy").at(-1)[3], 0);
    await daemon.call("wait");
    assert.equal(daemon.framesOf("TELL", "busy").at(-1)[3], 1);
    await daemon.call("over");
    assert.equal(daemon.framesOf("TELL", "busy").at(-1)[3], 0);
});

test("a call that reads storage does not say that it is busy", async () => {
    const daemon = await classOf("get() { return this.ctx.storage.get('k'); }");
    await daemon.call("get");
    assert.equal(daemon.framesOf("TELL", "busy").length, 0);
});

test("console shows values as people read them", async () => {
    const daemon = await classOf(`go() {
        console.log("s", 1, -0, 10n, null, undefined, true, Symbol("q"));
        console.info({ a: { b: { c: { d: 1 } } }, "x-y": [1, "t"], f() {}, K: class K {} });
        console.warn(new Map([["a", new Set([1])]]), new Date(0), /x/g, [undefined]);
        console.debug("%s is %d, %i, %f, %j, %o%%", "x", 1.5, 2.7, 3.5, { a: 1 }, [1], "rest");
        const loop = { name: "l" }; loop.self = loop; console.log(loop);
        console.log(new (class Point { x = 1 })(), Object.create(null), new Uint8Array(3));
        console.assert(true); console.assert(false, "why");
        console.count(); console.count(); console.group("g"); console.log("in\\nside"); console.groupEnd(); console.log();
    }`);
    await daemon.call("go");
    assert.deepEqual(daemon.logs(), [
        ["log", "s 1 -0 10n null undefined true Symbol(q)"],
        ["info", "{ a: { b: { c: [Object] } }, \"x-y\": [ 1, \"t\" ], f: [Function: f], K: [class K] }"],
        ["warn", "Map(1) { \"a\" => Set(1) { 1 } } 1970-01-01T00:00:00.000Z /x/g [ undefined ]"],
        ["debug", "x is 1.5, 2, 3.5, {\"a\":1}, [ 1 ]% rest"],
        ["log", "{ name: \"l\", self: [Circular] }"],
        ["log", "Point { x: 1 } [Object: null prototype] {} Uint8Array(3) [ 0, 0, 0 ]"],
        ["error", "Assertion failed: why"],
        ["log", "default: 1"], ["log", "default: 2"], ["log", "g"], ["log", "  in\n  side"], ["log", ""],
    ]);
});

test("a flood of lines is cut off, and how many were dropped is told", async () => {
    const daemon = await classOf("flood() { for (let i = 0; i < 50000; i++) console.log('line', i); } big() { for (let i = 0; i < 100; i++) console.log('x'.repeat(100000)); }");
    await daemon.call("flood");
    assert.ok(daemon.logs().length <= 10001);
    assert.match(daemon.logs().at(-1)[1], /40000 lines were dropped/);
    daemon.frames = [];
    daemon.now += 5000;
    await daemon.call("big");
    assert.ok(daemon.logs().length < 20);
    assert.ok(daemon.logs()[0][1].length <= 64 * 1024 + 1);
});
