/* Calls of methods, as the daemon sees them. */
import assert from "node:assert/strict";
import test from "node:test";
import { Daemon, classOf } from "./daemon.js";

test("a forked child says that it is ready before anything else", () => {
    assert.deepEqual(new Daemon().frames, [["READY", 0]]);
});

test("a class that was constructed is started", async () => {
    const daemon = await classOf("");
    assert.deepEqual(daemon.frames.at(-1), ["STARTED", 0, null]);
});

test("a call ends with what the method returns", async () => {
    const daemon = await classOf("add(a, b) { return a + b; } async later(a) { return [a]; }");
    assert.equal(await daemon.value("add", 1, 2), 3);
    assert.deepEqual(await daemon.value("later", "x"), ["x"]);
});

test("a method finds its instance, and what it kept there", async () => {
    const daemon = await classOf("n = 0; next() { return ++this.n; }");
    await daemon.value("next");
    assert.equal(await daemon.value("next"), 2);
});

test("what a method throws keeps its name, message and stack", async () => {
    const daemon = await classOf("bad() { throw new RangeError('too far'); } async worse() { throw new TypeError('no'); }");
    const { error } = await daemon.call("bad");
    assert.equal(error.name, "RangeError");
    assert.equal(error.message, "too far");
    assert.match(error.stack, /bad/);
    assert.equal((await daemon.call("worse")).error.name, "TypeError");
});

test("what is thrown and is no error still has a message", async () => {
    const daemon = await classOf("bad() { throw 'text'; } none() { throw undefined; }");
    assert.equal((await daemon.call("bad")).error.message, "text");
    assert.equal((await daemon.call("none")).error.message, "undefined");
});

for (const method of ["missing", "constructor", "toString", "hasOwnProperty", "__proto__", "fetch", "alarm",
    "webSocketMessage", "arrow", "text", "#secret", "then", "getter"]) {
    test(`"${method}" is no method that may be called`, async () => {
        const daemon = await classOf(
            "arrow = () => 1; text = 'x'; #secret() {} fetch() {} alarm() {} webSocketMessage() {} then() {} get getter() { return () => 1; }");
        assert.equal((await daemon.call(method)).error.code, "no_such_method");
    });
}

test("methods of a class of the user in between are methods", async () => {
    const daemon = await new Daemon().startClass(`
        const { DurableObject } = require("dormouse");
        class Base extends DurableObject { hello() { return "base"; } }
        exports.Actor = class extends Base {};`);
    assert.equal(await daemon.value("hello"), "base");
});

test("a class that extends nothing works as well", async () => {
    const daemon = await new Daemon().startClass(
        "exports.Actor = class { constructor(ctx, env) { this.ctx = ctx; } id() { return this.ctx.id.toString(); } };");
    assert.equal(await daemon.value("id"), "ab".repeat(32));
});

test("ctx.id has the name and the digits of the actor, env what was deployed", async () => {
    const daemon = await classOf("who() { return [this.ctx.id.name, String(this.ctx.id), Object.keys(this.env)]; }",
                                 { bindings: { COUNTER: "Counter" } });
    assert.deepEqual(await daemon.value("who"), ["one", "ab".repeat(32), ["COUNTER"]]);
});

test("a module that throws fails with its place", async () => {
    const daemon = await new Daemon().startClass("exports.Actor = class {};\nthrow new TypeError('at load');");
    const [, , told] = daemon.frames.find(([kind]) => kind === "FAILED");
    assert.equal(told.name, "TypeError");
    assert.equal(told.message, "at load");
    assert.ok(daemon.ended);
});

test("a class that is not exported fails", async () => {
    const daemon = await new Daemon().startClass("exports.Other = class {};");
    assert.match(daemon.frames.at(-1)[2].message, /no class "Actor"/);
});

test("events that come while modules load wait for the instance", async () => {
    const daemon = new Daemon();
    daemon.deliver([1, 0, {
        mode: "class", modules: [["a.js", "await null; await null; exports.Actor = class { hi() { return 'hi'; } };"]],
        main: "a.js", class: "Actor", id: "00", name: null, env: null, bindings: {},
    }]);
    assert.equal(await daemon.value("hi"), "hi");
});

test("modules require each other by relative names", async () => {
    const daemon = await new Daemon().startClass("", {
        modules: [["lib/a.js", "exports.a = 1; exports.b = require('../b.js').b;"],
                  ["b.js", "exports.b = 2;"],
                  ["main.js", "const a = require('./lib/a.js'); exports.Actor = class { sum() { return [a.a, a.b]; } };"]].sort((x) => x[0] === "b.js" ? -1 : 0),
    });
    assert.deepEqual(await daemon.value("sum"), [1, 2]);
});

test("onTimer hears its name and payload, and a class without one ends well", async () => {
    const { pack } = await import("./daemon.js");
    const daemon = await classOf("onTimer(name, payload) { this.heard = [name, payload]; } heardIt() { return this.heard; }");
    const id = daemon.event(4, "tick", pack({ n: 1 }), 5);
    await daemon.settle();
    assert.deepEqual(daemon.done.get(id), [true, null, null]);
    assert.deepEqual(await daemon.value("heardIt"), ["tick", { n: 1 }]);

    const deaf = await classOf("");
    const other = deaf.event(4, "tick", null, 5);
    await deaf.settle();
    assert.equal(deaf.done.get(other)[0], true);
});

test("a result that cannot be cloned is the failure of its call", async () => {
    const daemon = await classOf("bad() { return () => 1; } fine() { return 1; }");
    assert.equal((await daemon.call("bad")).error.name, "DataCloneError");
    assert.equal(await daemon.value("fine"), 1);
});

test("a code that a user's error has is not the code of the answer", async () => {
    const daemon = await classOf("bad() { throw Object.assign(new Error('x'), { code: 'unauthenticated' }); } odd() { throw { get message() { throw 1; } }; }");
    assert.equal((await daemon.call("bad")).error.code, undefined);
    assert.match((await daemon.call("odd")).error.message, /cannot be described/);
});

test("a code of storage is, that of another actor is not", async () => {
    const daemon = await classOf("read() { return this.ctx.storage.get('k'); } call() { return this.env.OTHER.getByName('x').hi(); }", { bindings: { OTHER: "Other" } });
    daemon.answers.get = daemon.answers.call = () => {
        throw { code: "unavailable", message: "no quorum", retryable: true };
    };
    const read = (await daemon.call("read")).error;
    assert.deepEqual([read.code, read.retryable, read.message], ["unavailable", true, "no quorum"]);
    const call = (await daemon.call("call")).error;
    assert.deepEqual([call.code, call.retryable], [undefined, true]);
});

test("an error whose message is very long is cut", async () => {
    const daemon = await classOf("bad() { throw new Error('x'.repeat(30 * 1024 * 1024)); } fine() { return 1; }");
    assert.equal((await daemon.call("bad")).error.message.length, 64 * 1024);
    assert.equal(await daemon.value("fine"), 1);
});

test("a large result and large writes leave in two frames", async () => {
    const daemon = await classOf("async big() { for (let i = 0; i < 8; i++) this.ctx.storage.put('k' + i, new Uint8Array(1.9 * 2 ** 20)); return new Uint8Array(12 * 2 ** 20); }");
    assert.equal((await daemon.value("big")).length, 12 * 2 ** 20);
    assert.equal(daemon.store.size, 8);
    assert.equal(daemon.framesOf("WRITE").length, 1);
});

test("a result of more than a frame is the failure of its call", async () => {
    const daemon = await classOf("big() { return new Uint8Array(24 * 2 ** 20); } fine() { return 1; }");
    assert.equal((await daemon.call("big")).error.name, "RangeError");
    assert.equal(await daemon.value("fine"), 1);
});
