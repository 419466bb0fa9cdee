/* Other actors: ids, stubs, calls. */
import assert from "node:assert/strict";
import test from "node:test";
import { classOf, pack, unpack } from "./daemon.js";

const peer = (body) => classOf(body, { bindings: { OTHER: "Other", MINE: "Actor" } });

test("a call by name carries the class, the name, the method and its arguments", async () => {
    const daemon = await peer("go() { return this.env.OTHER.getByName('x').add(1, { a: [2] }); }");
    daemon.answers.call = (args) => {
        assert.deepEqual(args.slice(0, 4), ["Other", null, "x", "add"]);
        assert.deepEqual(unpack(args[4]), [1, { a: [2] }]);
        return pack("sum");
    };
    assert.equal(await daemon.value("go"), "sum");
});

test("writes before a call go with it", async () => {
    const daemon = await peer("async go() { this.ctx.storage.put('k', 1); await this.env.OTHER.getByName('x').hi(); }");
    daemon.answers.call = () => null;
    await daemon.value("go");
    assert.equal(daemon.framesOf("ASK", "call")[0][4].length, 1);
});

test("an id of a name shows its digits, equals another of that name, and is asked for once", async () => {
    const daemon = await peer(`go() {
        const ns = this.env.OTHER, a = ns.idFromName("x"), b = ns.idFromName("x"), c = ns.idFromString(String(a)), d = ns.newUniqueId();
        return [a.name, a.toString() === a.toString(), a.equals(b), a.equals(c), a.equals(d), (() => { try { a.equals({}); } catch (e) { return e.name; } })(), c.name === undefined, String(d).length];
    }`);
    daemon.answers.identity = function (args) {
        return args[2] ? args[1] : this.on_identity(args);
    };
    assert.deepEqual(await daemon.value("go"), ["x", true, true, true, false, "TypeError", true, 64]);
    assert.deepEqual(daemon.framesOf("ASK", "identity").map((frame) => frame[3].slice(1)), [["x"], [daemon.framesOf("ASK", "identity")[1][3][1], true], [null]]);
});

test("an id of another class, digits of another class, and what is no id are refused", async () => {
    const daemon = await peer(`go(what) {
        if (what === 1) return this.env.OTHER.get(this.env.MINE.idFromName("x"));
        if (what === 2) return this.env.OTHER.idFromString("zz");
        return this.env.OTHER.get("x");
    }`);
    daemon.answers.identity = () => {
        throw { code: "invalid_id", message: "not an id of this class" };
    };
    assert.equal((await daemon.call("go", 1)).error.name, "TypeError");
    assert.match((await daemon.call("go", 2)).error.message, /not an id/);
    assert.equal((await daemon.call("go", 3)).error.name, "TypeError");
});

test("a stub by id calls by its digits", async () => {
    const daemon = await peer("async go() { const ns = this.env.OTHER; const stub = ns.get(ns.newUniqueId()); await stub.hi(); return [String(stub.id), stub.name === undefined]; }");
    daemon.answers.call = ([, hex, name]) => pack([hex, name]);
    const [hex] = await daemon.value("go");
    assert.equal(daemon.framesOf("ASK", "call")[0][3][1], hex);
});

test("a stub is no promise, has its id and name, and cannot be cloned", async () => {
    const daemon = await peer(`async go() {
        const stub = await this.env.OTHER.getByName("x");
        let refused;
        try { await this.ctx.storage.put("k", stub); } catch (e) { refused = e.name; }
        return [typeof stub.then, stub.name, stub.id.name, stub instanceof Object, stub.hi === stub.hi, refused];
    }`);
    assert.deepEqual(await daemon.value("go"), ["undefined", "x", "x", true, true, "DataCloneError"]);
});

test("what the other actor threw keeps name and message, and is marked as remote", async () => {
    const daemon = await peer(`async go() {
        try { await this.env.OTHER.getByName("x").hi(); } catch (e) { return [e instanceof RangeError, e.name, e.message, e.remote, e.retryable === undefined, e.stack]; }
    }`);
    daemon.answers.call = () => {
        throw { code: "actor_exception", name: "RangeError", message: "far", stack: "there", retryable: false };
    };
    assert.deepEqual(await daemon.value("go"), [true, "RangeError", "far", true, true, "there"]);
});

test("where the other actor is away the error is retryable, where it has too much to do overloaded", async () => {
    const daemon = await peer(`async go() {
        const told = [];
        for (const n of [1, 2]) try { await this.env.OTHER.getByName("x").hi(); } catch (e) { told.push([e.message, e.retryable === true, e.overloaded === true, e.remote === true]); }
        return told;
    }`);
    const answers = [{ code: "unavailable", message: "no owner", retryable: true }, { code: "overloaded", message: "full", retryable: true }];
    daemon.answers.call = () => {
        throw answers.shift();
    };
    assert.deepEqual(await daemon.value("go"), [["no owner", true, false, false], ["full", true, true, false]]);
});

test("arguments that cannot be cloned reject the call, and nothing is asked", async () => {
    const daemon = await peer("async go() { try { await this.env.OTHER.getByName('x').hi(() => 1); } catch (e) { return e.name; } }");
    assert.equal(await daemon.value("go"), "DataCloneError");
    assert.equal(daemon.framesOf("ASK").length, 0);
});

test("jurisdictions are not implemented, and say so", async () => {
    const daemon = await peer("go() { return this.env.OTHER.newUniqueId({ jurisdiction: 'eu' }); }");
    assert.equal((await daemon.call("go")).error.code, "not_implemented");
});

test("a method that the other class has not is a TypeError, and what every object has is the stub's own", async () => {
    const daemon = await peer(`async go() {
        const stub = this.env.OTHER.getByName("x");
        try { await stub.nothing(); } catch (e) { return [e instanceof TypeError, e.message, e.remote, String(stub), stub.hasOwnProperty("nothing")]; }
    }`);
    daemon.answers.call = () => {
        throw { code: "no_such_method", message: "it has no such method" };
    };
    assert.deepEqual(await daemon.value("go"), [true, "it has no such method", true, "[object DurableObject]", false]);
});

test("a fetch of another actor has no fragment, and an answer to HEAD no body", async () => {
    const daemon = await peer(`async go() {
        const response = await this.env.OTHER.getByName("x").fetch("http://x/a?b#c", { method: "HEAD" });
        return [response.status, await response.text()];
    }`);
    daemon.answers.fetch_actor = (args) => {
        assert.equal(args[4], "http://x/a?b");
        return [200, [], new Uint8Array([0x61]), null];
    };
    assert.deepEqual(await daemon.value("go"), [200, ""]);
});
