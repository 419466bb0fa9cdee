/* A workflow's run and its journal. */
import assert from "node:assert/strict";
import test from "node:test";
import { Daemon, pack, unpack } from "./daemon.js";

const EVENT_WORKFLOW = 9;
const DAY = 86400000;
const [DO, SLEEP, EVENT] = [1, 2, 3];
const [RUNNING, WAITING, DONE, FAILED] = [1, 2, 3, 4];

/* Keeps a journal as the daemon does. `body` is that of run(event, step); what it logs is in `log`. */
class Flow {
    constructor(body, { rows = [], pages = null } = {}) {
        this.rows = new Map(rows.map((row) => [row[1], row]));
        this.pages = pages;
        this.log = [];
        this.writes = [];
        this.code = `
            const { WorkflowEntrypoint } = require("cloudflare:workers");
            const { NonRetryableError } = require("cloudflare:workflows");
            exports.Flow = class extends WorkflowEntrypoint {
                async run(event, step) { const log = (what) => console.log(what); ${body} }
            };`;
    }

    async begin({ more = false, now = Date.now(), news = 1 } = {}) {
        this.daemon = new Daemon();
        this.daemon.apply = (writes) => this.take(writes);
        this.daemon.answers.journal = (args) => {
            this.take(args);
            return this.isPaused ? "paused" : null;
        };
        this.daemon.answers.journal_page = (from) => this.pages(from);
        if (this.isHeld) {
            this.daemon.holds.add("journal");
        }
        await this.daemon.startClass(this.code, { className: "Flow", workflows: ["Flow"] });
        this.event = this.tell({ more, now, news });
        await this.daemon.settle({ until: this.daemon.now + 1000 });
        return this;
    }

    tell({ more = false, now = Date.now(), news = 1 } = {}) {
        const rows = more ? this.pages(0)[0] : [...this.rows.values()];
        return this.daemon.event(EVENT_WORKFLOW, 1, news, now, 5, pack({ n: 1 }), rows, more);
    }

    take(journal) {
        if (journal === null || journal === undefined || typeof journal[0] !== "number") {
            return;
        }
        this.writes.push(journal[2]);
        for (const [what, ...rest] of journal[2]) {
            if (what === "step") {
                const [order, name, type, state, attempts, failures, started, due, resolved, eventType, result] = rest;
                this.rows.set(order, [1, order, name, type, state, attempts, failures, started, 0, due, resolved,
                    eventType, result ?? new Uint8Array(0)]);
            } else if (what === "ack") {
                this.rows.get(rest[0])[10] = rest[1];
            } else if (what === "wait") {
                this.waits = rest[0];
            } else {
                this.end = { failed: rest[0], value: rest[1] === null ? null : unpack(rest[1]) };
            }
        }
    }

    get logged() {
        return this.daemon.framesOf("TELL").filter((f) => f[2] === "log").map((f) => f[3][1]);
    }

    get names() {
        return [...this.rows.values()].map((row) => row[2]);
    }
}

const row = (order, name, type, state, { result = null, due = 0, resolved = 0, eventType = "" } = {}) =>
    [1, order, name, type, state, 1, 0, 1, 0, due, resolved, eventType, result === null ? new Uint8Array(0) : pack(result)];

const flow = (body, options, told) => new Flow(body, options).begin(told);

test("a run writes each step once and ends with what it returns", async () => {
    const f = await flow(`
        const a = await step.do("a", async () => 1);
        const b = await step.do("b", async (ctx) => a + ctx.attempt);
        return { a, b };`);
    assert.deepEqual(f.end, { failed: false, value: { a: 1, b: 2 } });
    assert.deepEqual(f.names, ["a", "b"]);
    assert.equal(f.writes.length, 3, "two steps and the end");
});

test("nothing goes on before a step's end is written", async () => {
    const f = new Flow(`await step.do("a", async () => 1); log("after");`);
    f.isHeld = true;
    await f.begin();
    assert.deepEqual([f.names, f.logged], [[], []]);
    f.daemon.release("journal");
    await f.daemon.settle();
    assert.deepEqual([f.names, f.logged], [["a"], ["after"]]);
});

test("what has ended is not run again, and gives what it gave", async () => {
    const f = await flow(`
        const a = await step.do("a", async () => { log("a again"); return 0; });
        let failure; try { await step.do("b", async () => {}); } catch (e) { failure = e; }
        return [a, failure.name, failure.message, await step.do("c", async () => "new")];`, { rows: [
        row(0, "a", DO, DONE, { result: 7, resolved: 1 }),
        row(1, "b", DO, FAILED, { result: { name: "RangeError", message: "too far" }, resolved: 2 }),
    ] });
    assert.deepEqual(f.end.value, [7, "RangeError", "too far", "new"]);
    assert.deepEqual(f.logged, []);
});

test("what was learned comes in the order in which it was", async () => {
    const body = `
        const order = [];
        await Promise.all([
            step.do("a", async () => 1).then(() => order.push("a")), step.sleep("s", 5).then(() => order.push("s")),
            step.do("b", async () => 1).then(() => order.push("b")),
        ]);
        return order;`;
    const rows = (a, s, b) => [row(0, "a", DO, DONE, { result: 1, resolved: a }), row(1, "s", SLEEP, DONE, { resolved: s }),
        row(2, "b", DO, DONE, { result: 1, resolved: b })];
    assert.deepEqual((await flow(body, { rows: rows(1, 2, 3) })).end.value, ["a", "s", "b"]);
    assert.deepEqual((await flow(body, { rows: rows(3, 1, 2) })).end.value, ["s", "b", "a"]);
});

test("a sleep that is over has its place in the journal with the next write", async () => {
    const f = await flow(`await step.sleep("s", 1); await step.do("a", async () => 1); await step.sleep("long", "1 day");`,
                         { rows: [row(0, "s", SLEEP, WAITING, { due: 10 })] });
    assert.deepEqual(f.writes[0].map(([what, order, name]) => [what, order, name]), [["step", 0, "s"], ["step", 1, "a"]]);
    assert.deepEqual([f.rows.get(0)[4], f.rows.get(0)[10], f.rows.get(1)[10]], [DONE, 1, 2]);
    assert.ok(Math.abs(f.waits - Date.now() - DAY) < 10000);
});

test("a run that waits says until when, and goes on where it was", async () => {
    const f = await flow(`const got = await step.waitForEvent("w", { type: "go" }); return got.payload;`);
    assert.deepEqual(f.rows.get(0).slice(2, 5), ["w", EVENT, WAITING]);
    assert.equal(f.rows.get(0)[11], "go");
    f.rows.set(0, row(0, "w", EVENT, DONE, { eventType: "go", result: { payload: 5, type: "go" } }));
    f.tell({ news: 2 });
    await f.daemon.settle({ until: f.daemon.now + 1000 });
    assert.deepEqual(f.end, { failed: false, value: 5 });
});

test("a step that failed is tried again after its pause, as often as it says", async () => {
    const f = await flow(`
        return step.do("a", { retries: { limit: 2, delay: 1, backoff: "constant" } }, async (ctx) => {
            log(ctx.attempt);
            throw new Error("no " + ctx.attempt);
        });`);
    for (let i = 0; i < 3 && f.end === undefined; i++) {
        f.tell({ now: Date.now() + DAY, news: 2 + i });
        await f.daemon.settle({ until: f.daemon.now + 1000 });
    }
    assert.deepEqual(f.logged, ["1", "2", "3"]);
    assert.deepEqual([f.end.failed, f.end.value.message], [true, "no 3"]);
});

for (const [what, body, rows, says] of [
    ["a step that is gone", `await step.do("b", async () => { log("b"); });`, [row(0, "a", DO, DONE, { resolved: 1 })], /"a" is not asked for any more, but "b" is/],
    ["a step of another kind", `await step.sleep("a", 1);`, [row(0, "a", DO, DONE, { resolved: 1 })], /"a" is a step.sleep now and was a step.do/],
    ["an end before its steps", `return 1;`, [row(0, "a", DO, DONE, { resolved: 1 })], /"a" is not asked for any more/],
    ["another event", `await step.waitForEvent("w", { type: "new" });`, [row(0, "w", EVENT, WAITING, { due: Date.now() + DAY, eventType: "old" })],
        /"w" waits for the event "new" and not for "old"/],
    ["another order", `await step.do("b", async () => 1); await step.do("a", async () => 1);`,
        [row(0, "a", DO, DONE, { resolved: 1 }), row(1, "b", DO, DONE, { resolved: 2 })], /"a" is not asked for any more/],
    ["a step that waits and is gone", `await step.do("b", async () => { log("b"); });`, [row(0, "s", SLEEP, WAITING, { due: Date.now() + DAY })],
        /"s" is not asked for any more, but "b" is/],
]) {
    test(`code that is not that of its journal is found: ${what}`, async () => {
        const f = await flow(body, { rows });
        assert.equal(f.end?.failed, true);
        assert.equal(f.end.value.name, "WorkflowDivergedError");
        assert.match(f.end.value.message, says);
        assert.deepEqual(f.logged, [], "nothing new was begun");
    });
}

test("a step that was called before the crash and never written may come before what follows in the journal", async () => {
    const f = await flow(`
        await Promise.all([
            step.do("a", async () => 1).then(() => step.do("b", async () => 2)),
            step.do("c", async () => 3).then(() => step.do("d", async () => 4)),
        ]);
        return "all";`, { rows: [
        row(0, "a", DO, DONE, { result: 1, resolved: 1 }), row(1, "c", DO, DONE, { result: 3, resolved: 2 }),
        row(3, "d", DO, DONE, { result: 4, resolved: 3 }),
    ] });
    assert.deepEqual(f.end, { failed: false, value: "all" });
    assert.deepEqual(f.names.sort(), ["a", "b", "c", "d"]);
});

test("a journal comes page by page", async () => {
    const rows = Array.from({ length: 5 }, (_, n) => row(n, `s${n}`, DO, DONE, { result: n, resolved: n + 1 }));
    const f = await flow(`let sum = 0; for (let n = 0; n < 5; n++) sum += await step.do("s" + n, async () => 100); return sum;`,
                         { pages: (from) => [rows.slice(from, from + 2), from + 2 < 5] }, { more: true });
    assert.deepEqual(f.end.value, 10);
});

test("a paused run lets its steps end and begins nothing more", async () => {
    const f = new Flow(`await Promise.all([step.do("a", async () => 1), step.do("b", async () => { await scheduler.wait(10); return 2; })]);
        await step.do("c", async () => { log("c"); });`);
    f.isPaused = true;
    await f.begin();
    assert.deepEqual([f.names, f.logged, f.end], [["a", "b"], [], undefined]);
    assert.deepEqual(f.daemon.framesOf("DONE").at(-1)[3], true);
});
