/* fetch events, fetch to the world, fetch of stubs. */
import assert from "node:assert/strict";
import test from "node:test";
import { Daemon, classOf } from "./daemon.js";

const bytes = (text) => new TextEncoder().encode(text);
const text = (data) => new TextDecoder().decode(data);

async function request(daemon, { method = "GET", url = "http://do/path", headers = [], body = null, socket = null } = {}) {
    const id = daemon.event(2, method, url, headers, body, socket);
    await daemon.settle();
    return { id, done: daemon.done.get(id) };
}

const chunks = (daemon) => daemon.framesOf("CHUNK");

test("a request comes in as it was, and the response leaves whole", async () => {
    const daemon = await classOf(`async fetch(request) {
        return Response.json([request.method, request.url, [...request.headers], await request.text()], { status: 201, headers: { "x-a": "1", "set-cookie": "a" } });
    }`);
    const { done } = await request(daemon, { method: "POST", url: "http://do/x?y=1", headers: [["X-Q", "1"], ["accept", "a"], ["accept", "b"]], body: bytes("hé") });
    assert.equal(done[0], true);
    const [status, headers, body, stream, isAccepted] = done[1];
    assert.deepEqual([status, headers, stream, isAccepted], [201, [["content-type", "application/json"], ["set-cookie", "a"], ["x-a", "1"]], null, false]);
    assert.deepEqual(JSON.parse(text(body)), ["POST", "http://do/x?y=1", [["accept", "a, b"], ["x-q", "1"]], "hé"]);
});

test("headers of a request cannot be changed, those of a copy can", async () => {
    const daemon = await classOf(`fetch(request) {
        let refused; try { request.headers.set("a", "b"); } catch (e) { refused = e.name; }
        const copy = new Request(request); copy.headers.set("a", "b");
        const clone = request.clone(); clone.headers.set("a", "c");
        return new Response([refused, copy.headers.get("a"), clone.headers.get("a")].join());
    }`);
    assert.equal(text((await request(daemon)).done[1][2]), "TypeError,b,c");
});

test("writes before a response leave with it", async () => {
    const daemon = await classOf("fetch() { this.ctx.storage.put('k', 1); return new Response('ok'); }");
    const { done } = await request(daemon);
    assert.equal(done[2].length, 1);
});

for (const [what, code, name] of [
    ["a handler that throws", "fetch() { throw new RangeError('x'); }", "RangeError"],
    ["a handler that gives no response", "fetch() { return 'text'; }", "TypeError"],
    ["a class without a handler", "", "TypeError"],
    ["a response whose body was read", "async fetch() { const r = new Response('x'); await r.text(); return r; }", "TypeError"],
    ["a socket for a request that wants none", "fetch() { return new Response(null, { status: 101, webSocket: new WebSocketPair()[0] }); }", "TypeError"],
]) {
    test(`${what} fails the event`, async () => {
        const { done } = await request(await classOf(code));
        assert.deepEqual([done[0], done[1].name], [false, name]);
    });
}

test("a response with a stream leaves in chunks, each after the writes before it", async () => {
    const daemon = await classOf(`fetch() {
        const storage = this.ctx.storage; let n = 0;
        return new Response(new ReadableStream({ async pull(c) { if (n === 3) return c.close(); await new Promise((r) => setTimeout(r, 10)); storage.put("n", ++n); c.enqueue(new TextEncoder().encode("c" + n)); } }));
    }`);
    const { done } = await request(daemon);
    const [status, , body, stream] = done[1];
    assert.deepEqual([status, body], [200, null]);
    const sent = chunks(daemon).map(([, id, data, end]) => [id === stream, text(data), end]);
    assert.deepEqual(sent, [[true, "c1", false], [true, "c2", false], [true, "c3", false], [true, "", true]]);
    assert.equal(daemon.stored("n"), 3);
    const order = daemon.frames.map(([kind]) => kind).filter((kind) => kind === "CHUNK" || kind === "WRITE");
    assert.deepEqual(order, ["WRITE", "CHUNK", "WRITE", "CHUNK", "WRITE", "CHUNK", "CHUNK"]);
});

test("no more than the credit leaves, and the rest once there is more", async () => {
    const daemon = await classOf(`fetch() { let n = 0; return new Response(new ReadableStream({ pull(c) { if (n++ === 10) c.close(); else c.enqueue(new Uint8Array(100 * 1024)); } })); }`);
    const { done } = await request(daemon);
    const total = () => chunks(daemon).reduce((sum, [, , data]) => sum + data.length, 0);
    assert.ok(total() >= 256 * 1024 && total() < 256 * 1024 + 64 * 1024, String(total()));
    daemon.deliver([6, done[1][3], 1024 * 1024]);
    await daemon.settle();
    assert.equal(total(), 1000 * 1024);
    assert.equal(chunks(daemon).at(-1)[3], true);
});

test("a stream that breaks says why, and is not taken for whole", async () => {
    const daemon = await classOf("fetch() { let n = 0; return new Response(new ReadableStream({ pull(c) { if (n++) throw new Error('broken'); c.enqueue(new Uint8Array([97])); } })); }");
    await request(daemon);
    assert.equal(chunks(daemon).at(-1)[3], "broken");
});

test("a client that goes away aborts the request's signal and cancels the stream", async () => {
    const daemon = await classOf(`log = []; all() { return this.log; }
        async fetch(request) {
            request.signal.addEventListener("abort", () => this.log.push(request.signal.reason.name));
            if (request.url.endsWith("wait")) { await new Promise((r) => request.signal.addEventListener("abort", r)); return new Response("late"); }
            return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(300 * 1024)); }, cancel: () => { this.log.push("cancelled"); } }));
        }`);
    const first = await request(daemon, { url: "http://x/wait" });
    daemon.deliver([5, first.id]);
    await daemon.settle();
    const second = await request(daemon);
    daemon.deliver([5, second.id]);
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), ["AbortError", "AbortError", "cancelled"]);
    assert.equal(daemon.framesOf("TELL", "busy").at(-1)?.[3] ?? 0, 0);
});

test("a body of more than 16 MiB leaves in chunks", async () => {
    const daemon = await classOf("fetch() { return new Response(new Uint8Array(17 * 1024 * 1024)); }");
    const { done } = await request(daemon);
    assert.ok(done[1][3] > 0);
    daemon.deliver([6, done[1][3], 32 * 1024 * 1024]);
    await daemon.settle();
    assert.equal(chunks(daemon).reduce((sum, [, , data]) => sum + data.length, 0), 17 * 1024 * 1024);
});

test("fetch carries method, address, headers and body, after the writes before it", async () => {
    const daemon = await classOf(`async go() {
        this.ctx.storage.put("k", 1);
        const r = await fetch("https://api.example/x#f", { method: "PUT", headers: { A: "b" }, body: JSON.stringify({ a: 1 }), redirect: "manual" });
        return [r.status, r.statusText, r.url, r.redirected, r.headers.get("x"), await r.text()];
    }`);
    daemon.answers.fetch = () => [404, "Not Found", [["x", "y"]], "https://api.example/z", true, 7];
    const id = daemon.callLater("go");
    await daemon.settle();
    const [ask] = daemon.framesOf("ASK", "fetch");
    assert.deepEqual(ask[3].slice(0, 3), ["PUT", "https://api.example/x#f", [["a", "b"], ["content-type", "text/plain;charset=UTF-8"]]]);
    assert.deepEqual([text(ask[3][3]), ask[3][4], ask[4].length], ["{\"a\":1}", "manual", 1]);
    daemon.deliver([4, 7, bytes("he"), false]);
    daemon.deliver([4, 7, bytes("llo"), true]);
    await daemon.settle();
    assert.deepEqual(daemon.resultOf(id).value, [404, "Not Found", "https://api.example/z", true, "y", "hello"]);
});

test("reading a long body gives credit for what was read", async () => {
    const daemon = await classOf("async go() { const r = await fetch('http://x'); let n = 0; for await (const c of r.body) n += c.length; return n; }");
    daemon.answers.fetch = () => [200, "", [], "http://x/", false, 3];
    const id = daemon.callLater("go");
    await daemon.settle();
    for (let i = 0; i < 4; i++) {
        daemon.deliver([4, 3, new Uint8Array(40 * 1024), false]);
    }
    await daemon.settle();
    assert.equal(daemon.framesOf("CREDIT").reduce((sum, [, , credit]) => sum + credit, 0), 2 * 80 * 1024);
    daemon.deliver([4, 3, new Uint8Array(0), true]);
    await daemon.settle();
    assert.equal(daemon.resultOf(id).value, 160 * 1024);
});

test("a body that breaks off rejects whoever reads it", async () => {
    const daemon = await classOf("async go() { const r = await fetch('http://x'); try { await r.text(); } catch (e) { return [e.name, e.message]; } }");
    daemon.answers.fetch = () => [200, "", [], "http://x/", false, 3];
    const id = daemon.callLater("go");
    await daemon.settle();
    daemon.deliver([4, 3, bytes("half"), "connection lost"]);
    await daemon.settle();
    assert.deepEqual(daemon.resultOf(id).value, ["TypeError", "connection lost"]);
});

test("a body that breaks off rejects with the code that the daemon has for it", async () => {
    const daemon = await classOf("async go() { const r = await fetch('http://x'); try { for await (const c of r.body); } catch (e) { return [e.code, e.message, e.retryable]; } }");
    daemon.answers.fetch = () => [200, "", [], "http://x/", false, 3];
    const id = daemon.callLater("go");
    await daemon.settle();
    daemon.deliver([4, 3, bytes("half"), false]);
    daemon.deliver([4, 3, bytes(""), { code: "timeout", message: "stood still", retryable: true }]);
    await daemon.settle();
    assert.deepEqual(daemon.resultOf(id).value, ["timeout", "stood still", true]);
});

test("a body that nobody wants any more is cancelled, once", async () => {
    const daemon = await classOf("async go() { const r = await fetch('http://x'); const reader = r.body.getReader(); const first = await reader.read(); await reader.cancel(); return [first.value.length, (await reader.read()).done]; }");
    daemon.answers.fetch = () => [200, "", [], "http://x/", false, 3];
    const id = daemon.callLater("go");
    await daemon.settle();
    daemon.deliver([4, 3, bytes("half"), false]);
    await daemon.settle();
    assert.deepEqual(daemon.resultOf(id).value, [4, true]);
    assert.deepEqual(daemon.framesOf("TELL", "cancel").map((frame) => frame[3]), [[null, 3]]);
});

test("a signal that aborts within the body rejects whoever reads it, and the daemon is told", async () => {
    const daemon = await classOf("async go() { const r = await fetch('http://x', { signal: AbortSignal.timeout(10) }); try { await r.text(); } catch (e) { return e.name; } }");
    daemon.answers.fetch = () => [200, "", [], "http://x/", false, 3];
    const id = daemon.callLater("go");
    await daemon.settle();
    daemon.deliver([4, 3, bytes("half"), false]);
    await daemon.settle();
    assert.equal(daemon.resultOf(id).value, "TimeoutError");
    assert.deepEqual(daemon.framesOf("TELL", "cancel").map((frame) => frame[3]), [[null, 3]]);
});

test("a signal that aborts after the body's end changes nothing", async () => {
    const daemon = await classOf("async go() { const c = new AbortController(); const r = await fetch('http://x', { signal: c.signal }); const t = await r.text(); c.abort(); return t; }");
    daemon.answers.fetch = () => [200, "", [], "http://x/", false, 3];
    const id = daemon.callLater("go");
    await daemon.settle();
    daemon.deliver([4, 3, bytes("data"), true]);
    await daemon.settle();
    assert.equal(daemon.resultOf(id).value, "data");
    assert.equal(daemon.framesOf("TELL", "cancel").length, 0);
});

test("a client that goes away cancels a body that is passed on to it, also while nothing comes", async () => {
    const daemon = await classOf("async fetch() { return fetch('http://x'); }");
    daemon.answers.fetch = () => [200, "", [], "http://x/", false, 3];
    const id = daemon.event(2, "GET", "http://do/", [], null, null);
    await daemon.settle();
    assert.equal(daemon.done.get(id)[1][0], 200);
    daemon.deliver([5, id]);
    await daemon.settle();
    assert.deepEqual(daemon.framesOf("TELL", "cancel").map((frame) => frame[3]), [[null, 3]]);
});

test("a response of the world can be passed on", async () => {
    const daemon = await classOf("async fetch() { const r = await fetch('http://x'); return new Response(r.body, r); }");
    daemon.answers.fetch = () => [200, "", [["a", "b"]], "http://x/", false, 3];
    const id = daemon.event(2, "GET", "http://do/", [], null, null);
    await daemon.settle();
    daemon.deliver([4, 3, bytes("data"), true]);
    await daemon.settle();
    assert.deepEqual(daemon.done.get(id)[1].slice(0, 2), [200, [["a", "b"]]]);
    assert.equal(chunks(daemon).map(([, , data]) => text(data)).join(""), "data");
});

test("a fetch that the daemon refuses rejects with its code", async () => {
    const daemon = await classOf("async go() { try { await fetch('http://x'); } catch (e) { return [e instanceof Error, e.code, e.message]; } }");
    daemon.answers.fetch = () => {
        throw { code: "egress_denied", message: "x is not on the allow list" };
    };
    assert.deepEqual(await daemon.value("go"), [true, "egress_denied", "x is not on the allow list"]);
});

test("an aborted fetch rejects with the signal's reason, and the daemon is told", async () => {
    const daemon = await classOf("async go() { try { await fetch('http://x', { signal: AbortSignal.timeout(10) }); } catch (e) { return e.name; } }");
    daemon.holds.add("fetch");
    assert.equal(await daemon.value("go"), "TimeoutError");
    assert.deepEqual(daemon.framesOf("TELL", "cancel").map((frame) => frame[3]), [[daemon.framesOf("ASK", "fetch")[0][1], null]]);
    assert.equal((await classOf("async go() { try { await fetch('http://x', { signal: AbortSignal.abort(5) }); } catch (e) { return e; } }")).framesOf("ASK").length, 0);
});

test("only http and https are fetched", async () => {
    const daemon = await classOf("async go() { try { await fetch('ftp://x'); } catch (e) { return e.name; } }");
    assert.equal(await daemon.value("go"), "TypeError");
    assert.equal(daemon.framesOf("ASK").length, 0);
});

test("fetch of a stub reaches the other actor", async () => {
    const daemon = await classOf(`async go() {
        const stub = this.env.OTHER.getByName("x");
        const r = await stub.fetch("http://do/hi", { method: "POST", body: "b" });
        const s = await stub.fetch(new Request("http://do/again"));
        return [r.status, await r.text(), r.headers.get("a"), await s.text()];
    }`, { bindings: { OTHER: "Other" } });
    daemon.answers.fetch_actor = ([className, hex, name, method, url, headers, body]) =>
        [200, [["a", "b"]], bytes([className, hex, name, method, url, headers.length, body && text(body)].join()), null];
    assert.deepEqual(await daemon.value("go"), [200, "Other,,x,POST,http://do/hi,1,b", "b", "Other,,x,GET,http://do/again,0,"]);
});

test("the entry module answers requests, with env and ctx", async () => {
    const daemon = await new Daemon().start({
        mode: "module", main: "m.js", env: null, bindings: { OTHER: "Other" },
        modules: [["m.js", "exports.default = { async fetch(request, env, ctx) { ctx.waitUntil(Promise.resolve()); return new Response(Object.keys(env) + new URL(request.url).pathname); } };"]],
    });
    assert.equal(text((await request(daemon)).done[1][2]), "OTHER/path");
});

test("a class of WorkerEntrypoint answers requests", async () => {
    const daemon = await new Daemon().start({
        mode: "module", main: "m.js", env: null, bindings: { OTHER: "Other" },
        modules: [["m.js", "exports.default = class extends require('cloudflare:workers').WorkerEntrypoint { fetch(request) { return new Response(Object.keys(this.env) + request.method); } };"]],
    });
    assert.equal(text((await request(daemon)).done[1][2]), "OTHERGET");
});
