/* WebSockets: pairs, accepting, hibernation. */
import assert from "node:assert/strict";
import test from "node:test";
import { Daemon, classOf, js, pack } from "./daemon.js";

const ROOM = `
    log = []; all() { return this.log; }
    fetch(request) {
        const [client, server] = Object.values(new WebSocketPair());
        this.ctx.acceptWebSocket(server, new URL(request.url).searchParams.getAll("tag"));
        server.serializeAttachment({ n: 1 });
        server.send("welcome");
        return new Response(null, { status: 101, webSocket: client });
    }
    async webSocketMessage(ws, data) { this.log.push([typeof data === "string" ? data : [...new Uint8Array(data)], this.ctx.getTags(ws), ws.deserializeAttachment()]); ws.send(data); }
    async webSocketClose(ws, code, reason, wasClean) { this.log.push([code, reason, wasClean, ws.readyState]); }
    async webSocketError(ws, error) { this.log.push(["error", error.message]); }
    count(tag) { return this.ctx.getWebSockets(tag).length; }`;

const upgrade = (daemon, socket, query = "") =>
    daemon.event(2, "GET", `http://do/${query}`, [["upgrade", "websocket"]], null, socket);

const told = (daemon) => daemon.frames.filter(([kind, , type]) => kind === "DONE" || (kind === "TELL" && type !== "busy"))
    .map(([kind, , type, args]) => kind === "DONE" ? "done" : [type, args]);

test("a hibernatable socket is accepted before the response, and hears nothing before it", async () => {
    const daemon = await classOf(ROOM);
    const id = upgrade(daemon, 5, "?tag=a&tag=b");
    await daemon.settle();
    assert.deepEqual(daemon.done.get(id)[1], [101, [], null, null, true]);
    assert.deepEqual(told(daemon), [["accept", [5, ["a", "b"], true]], "done", ["attach", [5, pack({ n: 1 })]], ["send", [5, "welcome"]]]);
    assert.equal(daemon.framesOf("TELL", "busy").length, 0);
});

test("messages reach the class's handler, and answers the client", async () => {
    const daemon = await classOf(ROOM);
    upgrade(daemon, 5, "?tag=a");
    await daemon.settle();
    daemon.frames = [];
    const first = daemon.event(5, 5, "hi");
    daemon.event(5, 5, new Uint8Array([1, 2]));
    await daemon.settle();
    assert.deepEqual(daemon.done.get(first), [true, null, null]);
    assert.deepEqual(await daemon.value("all"), [["hi", ["a"], { n: 1 }], [[1, 2], ["a"], { n: 1 }]]);
    assert.deepEqual(daemon.framesOf("TELL", "send").map((frame) => frame[3]), [[5, "hi"], [5, new Uint8Array([1, 2])]]);
});

test("writes before a message leave before it", async () => {
    const daemon = await classOf(ROOM.replace("ws.send(data);", "this.ctx.storage.put('last', data); ws.send(data);"));
    upgrade(daemon, 5);
    await daemon.settle();
    daemon.frames = [];
    daemon.event(5, 5, "hi");
    await daemon.settle();
    assert.deepEqual(daemon.frames.map(([kind, , type]) => kind === "TELL" ? type : kind), ["WRITE", "send", "DONE"]);
});

test("a socket that closed is gone once its handler has run", async () => {
    const daemon = await classOf(ROOM);
    upgrade(daemon, 5, "?tag=a");
    upgrade(daemon, 6, "?tag=b");
    await daemon.settle();
    assert.deepEqual([await daemon.value("count"), await daemon.value("count", "a"), await daemon.value("count", "x")], [2, 1, 0]);
    daemon.event(6, 5, 1001, "bye", true);
    daemon.event(7, 6, "connection lost");
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), [[1001, "bye", true, 1], ["error", "connection lost"]]);
    assert.equal(await daemon.value("count"), 0);
});

test("sockets are there again after hibernation, with tags and attachments", async () => {
    const daemon = await classOf(ROOM + " auto() { const p = this.ctx.getWebSocketAutoResponse(); return [p.request, p.response]; }", {
        sockets: [[9, ["t"], pack([1, "x"])], [10, [], null]], auto: ["ping", "pong"],
    });
    assert.equal(await daemon.value("count", "t"), 1);
    assert.equal(await daemon.value("count"), 2);
    assert.deepEqual(await daemon.value("auto"), ["ping", "pong"]);
    daemon.event(5, 9, "hello");
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), [["hello", ["t"], [1, "x"]]]);
    assert.deepEqual(daemon.framesOf("TELL", "send")[0][3], [9, "hello"]);
});

test("close is told with its code and reason, and nothing can be sent after it", async () => {
    const daemon = await classOf(ROOM + " end(code, reason) { const [ws] = this.ctx.getWebSockets(); ws.close(code, reason); try { ws.send('x'); } catch (e) { return [e.name, ws.readyState]; } }", { sockets: [[1, [], null]] });
    assert.deepEqual(await daemon.value("end", 4000, "done"), ["TypeError", 2]);
    assert.deepEqual(daemon.framesOf("TELL", "close")[0][3], [1, 4000, "done"]);
    for (const [code, reason] of [[999, "x"], [1005, "x"], [5000, "x"], ["a", "x"], [1000, "é".repeat(62)]]) {
        assert.equal((await daemon.call("end", code, reason)).error.name, "TypeError", String(code));
    }
});

test("a standard socket keeps the actor awake while it is open", async () => {
    const daemon = await classOf(`log = []; all() { return this.log; }
        fetch() {
            const pair = new WebSocketPair(); const server = pair[1]; server.accept();
            server.addEventListener("message", (e) => { this.log.push(e.data); server.send("re:" + e.data); });
            server.onclose = (e) => this.log.push([e.code, e.reason, e.wasClean]);
            return new Response(null, { status: 101, webSocket: pair[0] });
        }`);
    upgrade(daemon, 3);
    await daemon.settle();
    assert.deepEqual(daemon.framesOf("TELL", "accept")[0][3], [3, [], false]);
    assert.equal(daemon.framesOf("TELL", "busy").at(-1)[3], 1);
    daemon.event(5, 3, "a");
    daemon.event(6, 3, 1000, "", true);
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), ["a", [1000, "", true]]);
    assert.deepEqual(daemon.framesOf("TELL", "send")[0][3], [3, "re:a"]);
    assert.equal(daemon.framesOf("TELL", "busy").at(-1)[3], 0);
});

test("messages that come before accept wait for it", async () => {
    const daemon = await classOf(`log = []; all() { return this.log; }
        fetch() { const [client, server] = Object.values(new WebSocketPair()); this.server = server; return new Response(null, { status: 101, webSocket: client }); }
        accept() { this.server.addEventListener("message", (e) => this.log.push(e.data)); this.server.accept(); }`);
    upgrade(daemon, 3);
    await daemon.settle();
    assert.equal(daemon.framesOf("TELL", "accept").length, 0);
    daemon.event(5, 3, "early");
    await daemon.settle();
    await daemon.call("accept");
    assert.equal(daemon.framesOf("TELL", "accept").length, 1);
    assert.deepEqual(await daemon.value("all"), ["early"]);
});

test("both ends of a pair can be used where they were made", async () => {
    assert.deepEqual(await js(`
        const [a, b] = Object.values(new WebSocketPair()); const log = [];
        b.accept(); b.addEventListener("message", (e) => { log.push("b " + e.data); b.send("pong"); b.close(1000, "over"); });
        b.addEventListener("close", (e) => log.push("b closed " + e.code));
        a.send === b.send; a.accept(); a.addEventListener("message", (e) => log.push("a " + e.data)); a.addEventListener("close", (e) => log.push("a closed " + e.code + e.reason));
        a.send("ping"); await new Promise((r) => setTimeout(r, 1));
        return [log, a.readyState, b.readyState];`), [["b ping", "a pong", "a closed 1000over", "b closed 1000"], 3, 3]);
});

test("what is wrong with sockets is an error", async () => {
    assert.deepEqual(await js(`
        const names = []; const [a, b] = Object.values(new WebSocketPair());
        for (const f of [() => a.send("x"), () => a.close(), () => new WebSocket("wss://x.y"), () => new WebSocketRequestResponsePair("a"), () => new WebSocketRequestResponsePair("a".repeat(2049), "b"), () => a.serializeAttachment("x".repeat(16384)), () => a.serializeAttachment(() => 1)])
            try { f(); names.push("none"); } catch (e) { names.push(e.code === "not_implemented" ? e.code : e.name); }
        a.serializeAttachment("x".repeat(16381)); return [names, a.deserializeAttachment().length, b.deserializeAttachment()];`),
        [["TypeError", "TypeError", "not_implemented", "TypeError", "RangeError", "RangeError", "DataCloneError"], 16381, null]);
});

test("tags and sockets are bounded", async () => {
    const daemon = await classOf(`go(tags) { const [, server] = Object.values(new WebSocketPair()); this.ctx.acceptWebSocket(server, tags); return this.ctx.getTags(server); }
        twice() { const [, s] = Object.values(new WebSocketPair()); this.ctx.acceptWebSocket(s); s.accept(); } wrong() { this.ctx.acceptWebSocket({}); } untagged() { return this.ctx.getTags(new WebSocketPair()[0]); }`);
    assert.deepEqual(await daemon.value("go", ["a", "a", "b"]), ["a", "b"]);
    assert.equal((await daemon.call("go", Array.from({ length: 11 }, (_, i) => "t" + i))).error.name, "RangeError");
    assert.equal((await daemon.value("go", ["x".repeat(256)])).length, 1);
    assert.equal((await daemon.call("go", ["x".repeat(257)])).error.name, "RangeError");
    for (const method of ["twice", "wrong", "untagged"]) {
        assert.equal((await daemon.call(method)).error.name, "TypeError");
    }
    const full = await classOf("go() { const [, server] = Object.values(new WebSocketPair()); this.ctx.acceptWebSocket(server); }", {
        sockets: Array.from({ length: 32768 }, (_, i) => [i + 1, [], null]),
    });
    assert.equal((await full.call("go")).error.name, "RangeError");
});

test("the automatic response is told, and its time is asked for", async () => {
    const daemon = await classOf("set(a, b) { this.ctx.setWebSocketAutoResponse(a ? new WebSocketRequestResponsePair(a, b) : undefined); } at() { return this.ctx.getWebSocketAutoResponseTimestamp(this.ctx.getWebSockets()[0]); }", { sockets: [[4, [], null]] });
    daemon.answers.auto_time = ([socket]) => socket === 4 ? 1234 : null;
    await daemon.value("set", "ping", "pong");
    assert.equal((await daemon.value("at")).getTime(), 1234);
    await daemon.value("set");
    assert.deepEqual(daemon.framesOf("TELL", "auto").map((frame) => frame[3]), [["ping", "pong"], null]);
});

test("a handler that takes longer than the time that was set fails its event", async () => {
    const daemon = await classOf("set() { this.ctx.setHibernatableWebSocketEventTimeout(50); return this.ctx.getHibernatableWebSocketEventTimeout(); } webSocketMessage() { return new Promise((r) => setTimeout(r, 1000)); } bad() { this.ctx.setHibernatableWebSocketEventTimeout(604800001); }", { sockets: [[4, [], null]] });
    assert.equal(await daemon.value("set"), 50);
    const id = daemon.event(5, 4, "x");
    await daemon.settle();
    assert.match(daemon.resultOf(id).error.message, /longer than 50 ms/);
    assert.equal((await daemon.call("bad")).error.name, "RangeError");
});

test("the entry module hands an upgrade on to an actor", async () => {
    const daemon = await new Daemon().start({
        mode: "module", main: "m.js", env: null, bindings: { ROOM: "Room" },
        modules: [["m.js", "exports.default = { fetch(request, env) { return env.ROOM.getByName('r').fetch(request); } };"]],
    });
    daemon.answers.fetch_actor = (args) => {
        assert.equal(args[7], 8);
        return [101, [], null, null, true];
    };
    const id = upgrade(daemon, 8);
    await daemon.settle();
    assert.deepEqual(daemon.done.get(id)[1], [101, [], null, null, true]);
    assert.equal(daemon.framesOf("TELL", "accept").length, 0);
});

test("sockets of before are made when they are wanted, each once", async () => {
    const daemon = await classOf(`webSocketMessage(ws, m) { this.heard = [ws, m]; }
        same() { const [a] = this.ctx.getWebSockets("t5"); const [b] = this.ctx.getWebSockets("t5"); return [a === b, a === this.heard[0], this.heard[1], this.ctx.getWebSockets().length]; }`, {
        sockets: Array.from({ length: 1000 }, (_, i) => [i + 1, ["t" + i], null]),
    });
    daemon.event(5, 6, "m");
    await daemon.settle();
    assert.deepEqual(await daemon.value("same"), [true, true, "m", 1000]);
});

test("sockets that come while the actor is awake are its own", async () => {
    const daemon = await classOf(ROOM);
    assert.equal(await daemon.value("count", "a"), 0);
    daemon.deliver([8, 0, [[7, ["a"], pack({ n: 1 })]]]);
    assert.equal(await daemon.value("count", "a"), 1);
    daemon.event(5, 7, "hi");
    await daemon.settle();
    assert.deepEqual(await daemon.value("all"), [["hi", ["a"], { n: 1 }]]);
});

test("a request that asks for a socket shows it in its headers, whatever of them came", async () => {
    const daemon = await classOf("fetch(request) { return new Response([request.headers.get('upgrade'), request.headers.get('connection')].join()); }");
    for (const headers of [[], [["upgrade", ""], ["connection", ""]], [["upgrade", "websocket"]]]) {
        const id = daemon.event(2, "GET", "http://do/", headers, null, 3);
        await daemon.settle();
        assert.equal(new TextDecoder().decode(daemon.done.get(id)[1][2]), "websocket,Upgrade");
    }
});
