// Classes of a real node: calls, fetch, WebSockets, execute, logs, deploys.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Node, deploy } from "./node.js";

const SOURCE = `
import { DurableObject } from "dormouse";
export class Counter extends DurableObject {
    async increment(by = 1) {
        const n = ((await this.ctx.storage.get("n")) ?? 0) + by;
        await this.ctx.storage.put("n", n);
        return n;
    }
    echo(...args) { return args; }
    get() { return "a method called get"; }
    watch() { return "a method called watch"; }
    fail() { throw new RangeError("too far"); }
    log(text) { console.log(text); }
    async fetch(request) {
        if (request.headers.get("upgrade") === "websocket") {
            const pair = new WebSocketPair();
            this.ctx.acceptWebSocket(pair[1]);
            return new Response(null, { status: 101, webSocket: pair[0] });
        }
        const { pathname, search } = new URL(request.url);
        return new Response(request.method + " " + pathname + search + " " + await request.text(), { status: pathname.endsWith("/418") ? 418 : 200, headers: { "x-seen": "yes" } });
    }
    webSocketMessage(ws, message) { ws.send(message); }
}
export default { fetch(request) { return new Response("module " + new URL(request.url).pathname); } };
`;

let node;
let client;
before(async () => {
    node = await Node.start();
    client = node.client();
    await deploy(client, SOURCE);
});

test("a method is called by its name", async () => {
    const counter = client.actor("Counter", "a");
    assert.equal(await counter.increment(2), 2);
    assert.equal(await counter.increment(), 3);
    assert.equal(await counter.storage.get("n"), 3);
});

test("arguments and results keep what JavaScript tells apart", async () => {
    const args = [undefined, null, 1n, 2n ** 60n, new Date(5), new Map([["k", new Set([1])]]), new Uint8Array([1]), /a/g, { nested: [new Float32Array([1])] }, -0];
    assert.deepEqual(await client.actor("Counter", "a").echo(...args), args);
});

test("a method that is called like one of the client's is called by `call`", async () => {
    const counter = client.actor("Counter", "a");
    assert.equal(await counter.call("watch"), "a method called watch");
    assert.equal(await counter.get(), "a method called get");
    assert.equal(counter.then, undefined);
    await assert.rejects(counter.nothing(), { code: "no_such_method" });
    await assert.rejects(client.actor("Nobody", "a").go(), { code: "no_such_class" });
});

test("what a class throws comes with its name and stack", async () => {
    await assert.rejects(client.actor("Counter", "a").fail(), (error) => {
        assert.deepEqual([error.code, error.message, error.exception.name, error.maybeApplied], ["actor_exception", "too far", "RangeError", false]);
        assert.match(error.exception.stack, /main\.js/);
        return true;
    });
});

test("a call with a key acts once", async () => {
    const counter = client.actor("Counter", "once").with({ idempotencyKey: "k1" });
    assert.equal(await counter.increment(5), 5);
    assert.equal(await counter.increment(5), 5);
});

test("fetch goes to the class and comes back as it is", async () => {
    const counter = client.actor("Counter", "a");
    const answer = await counter.fetch("x/418?q=1", { method: "POST", body: "hello" });
    assert.deepEqual([answer.status, answer.headers.get("x-seen")], [418, "yes"]);
    assert.match(await answer.text(), /^POST \/x\/418\?q=1 hello$/);
    assert.equal(await (await client.namespace().fetch("/hi")).text(), "module /hi");
});

test("a WebSocket opens, and carries text and bytes both ways", async () => {
    const socket = await client.actor("Counter", "a").connect("/room?x=1");
    const heard = [];
    const done = new Promise((resolve) => {
        socket.addEventListener("message", (event) => {
            heard.push(event.data);
            if (heard.length === 2) {
                resolve();
            }
        });
    });
    socket.send("hello");
    socket.send(new Uint8Array([1, 2]));
    await done;
    assert.equal(heard[0], "hello");
    assert.deepEqual(new Uint8Array(heard[1]), new Uint8Array([1, 2]));
    const closed = new Promise((resolve) => { socket.addEventListener("close", resolve); });
    socket.close(1000);
    await closed;
    await assert.rejects(client.actor("Nobody", "a").connect(), (error) => error.code === "unreachable" && error.status === 404);
});

test("execute runs a function with its input and grants", async () => {
    const actor = client.store("runs");
    await actor.storage.put("n", 20n);
    const run = await actor.execute(async (input, api) => (await api.storage.get("n")) * input, { input: 2n, grants: { storage: "read" } });
    assert.equal(run.result, 40n);
    assert.ok(run.usage.wall_ms >= 0);
    const stopped = await actor.execute("() => { for (;;) {} }", { limits: { cpuMs: 50 } });
    assert.equal(stopped.error.code, "cpu_exceeded");
    await assert.rejects(actor.execute("not a ) function"), (error) => error.code === "invalid_code" && error.place.line === 1);
});

test("logs come as they are written", async () => {
    const logs = client.namespace().logs({ className: "Counter" });
    await logs.ready();
    await client.actor("Counter", "logger").log("hello log");
    const { value } = await logs.next();
    assert.deepEqual([value.type, value.level, value.text, value.id], ["log", "log", "hello log", "logger"]);
    await logs.return();
});

test("a namespace is deployed, told of, and brought back", async () => {
    const other = node.client({ namespace: "other" }).namespace();
    await assert.rejects(other.info(), { code: "no_such_deployment" });
    const first = await other.deploy({ modules: { "main.js": "export class A {}" }, main: "main.js", classes: ["A"] });
    await other.deploy({ modules: { "main.js": "export class B {}" }, main: "main.js", classes: ["B"] });
    assert.deepEqual((await other.info()).classes.map((c) => c.name), ["B"]);
    await other.rollback(first.version);
    assert.deepEqual((await other.info()).classes.map((c) => c.name), ["A"]);
    assert.equal((await other.versions()).length, 3);
    await assert.rejects(other.deploy({ modules: { "main.js": "let x = ;" }, main: "main.js" }), (error) => error.code === "invalid_code" && error.place.file === "main.js");
});

test("the cluster and its tokens are told of", async () => {
    const own = await Node.start();
    const { admin } = own.client();
    await admin.health();
    await admin.ready();
    assert.equal((await admin.cluster()).members.length, 1);
    assert.ok((await admin.status()).workers >= 1);
    const boss = await admin.createToken({ namespace: "*", scopes: ["admin", "call", "inspect", "deploy"] });
    await assert.rejects(own.client().store("a").storage.get("k"), { code: "unauthenticated" });
    const client2 = own.client({ token: boss.token });
    await client2.store("a").storage.put("k", 1);
    await deploy(client2, SOURCE);
    const socket = await client2.actor("Counter", "a").connect();
    socket.close();
    const child = await client2.admin.createToken({ namespace: "test", scopes: ["call"], actor: "Store/a", ttlMs: 60_000 });
    const limited = own.client({ token: child.token });
    assert.equal(await limited.store("a").storage.get("k"), 1);
    await assert.rejects(limited.store("b").storage.get("k"), { code: "forbidden" });
    assert.equal((await client2.admin.tokens()).length, 2);
    await client2.admin.revokeToken(child.id);
    await assert.rejects(limited.store("a").storage.get("k"), { code: "unauthenticated" });
});
