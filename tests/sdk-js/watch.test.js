// Watching a real node, and streams that break.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Dormouse, Node, collect } from "./node.js";
import { fake, json, problem } from "./fake.js";

let node;
let client;
before(async () => {
    node = await Node.start();
    client = node.client();
});

test("changes come in order, with their values", async () => {
    const actor = client.store("order");
    const events = actor.watch({ prefix: "m/" });
    await events.ready();
    await actor.storage.put("m/1", { big: 2n ** 60n });
    await actor.storage.put("other", 1);
    await actor.storage.txn({ do: [{ put: "m/2", value: new Uint8Array([1]) }, { delete: "m/1" }] });
    const seen = await collect(events, (all) => all.length === 3);
    assert.deepEqual(seen.map((e) => [e.type, e.key, e.value]), [["put", "m/1", { big: 2n ** 60n }], ["put", "m/2", new Uint8Array([1])], ["delete", "m/1", undefined]]);
    await events.return();
    assert.deepEqual(await events.next(), { done: true, value: undefined });
});

test("a loop that is left ends the stream; so does a signal, with its reason", async () => {
    const actor = client.store("leave");
    await actor.storage.put("k", 1);
    for await (const event of actor.watch({ since: 0 })) {
        assert.equal(event.type, "put");
        break;
    }
    const controller = new AbortController();
    const events = actor.watch({ signal: controller.signal });
    await events.ready();
    const pending = events.next();
    controller.abort(new Error("enough"));
    await assert.rejects(pending, /enough/);
    const other = actor.watch();
    const waiting = other.next();
    await new Promise((resolve) => { setTimeout(resolve, 50); });
    await other.return();
    assert.equal((await waiting).done, true);
});

test("a deleted actor is a clear", async () => {
    const actor = client.store("cleared");
    await actor.storage.put("k", 1);
    const events = actor.watch();
    await events.ready();
    await actor.destroy();
    assert.equal((await events.next()).value.type, "clear");
    await events.return();
});

test("a watch goes on over a kill of the node, and misses nothing", async () => {
    const killed = await Node.start();
    const actor = killed.client().store("a");
    const state = new Map();
    const events = actor.watch({ since: 0 });
    const watching = (async () => {
        for await (const event of events) {
            if (event.type === "reset") {
                state.clear();
            } else if (event.type === "put") {
                state.set(event.key, event.value);
            }
            if (state.has("end") && event.id !== "") { // the puts of a reset come in the order of their keys
                return;
            }
        }
    })();
    for (let round = 0; round < 3; round++) {
        await actor.storage.put(`k${round}`, round);
        await killed.kill9();
        await killed.start();
        await actor.storage.put(`after${round}`, round);
    }
    await actor.storage.put("end", true);
    await watching;
    assert.deepEqual([...state.keys()].sort(), ["after0", "after1", "after2", "end", "k0", "k1", "k2"]);
});

function sse(response, ...events) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(events.join(""));
}

test("a stream that breaks is opened again after its last event, one byte at a time or in one piece", async () => {
    const server = await fake((request, response, _, n) => {
        if (!request.url.includes("/watch")) {
            return json(response, { version: 3 });
        }
        if (n === 1) {
            sse(response, ": hello\n\nevent: put\nid: 4.0\ndata: {\"key\":\"a\",\ndata: \"value\":1,\"version\":4}\n\nevent: put\nid: 5.0\nda");
            return setTimeout(() => request.socket.destroy(), 20);
        }
        if (n === 2) {
            return problem(response, 503, "unavailable", { retryable: true });
        }
        response.writeHead(200, { "content-type": "text/event-stream" });
        for (const byte of Buffer.from("event: put\r\nid: 5.0\r\ndata: {\"key\":\"é\",\"value\":2,\"version\":5}\r\n\r\n")) {
            response.write(Buffer.from([byte]));
        }
        return undefined;
    });
    const events = new Dormouse({ url: server.url }).store("a").watch();
    assert.deepEqual(await collect(events, (all) => all.length === 2), [
        { type: "put", id: "4.0", key: "a", value: 1, version: 4 }, { type: "put", id: "5.0", key: "é", value: 2, version: 5 }]);
    await events.return();
    assert.deepEqual(server.requests.map((r) => [r.path.replace(/.*\/a/, ""), r.headers["last-event-id"]]), [
        ["", undefined], ["/watch", undefined], ["/watch?since=4.0", "4.0"], ["/watch?since=4.0", "4.0"]]);
});

test("a reset that breaks off begins again, as its puts have no ids", async () => {
    const server = await fake((request, response, _, n) => {
        sse(response, "event: reset\ndata: {}\n\n", 'event: put\ndata: {"key":"a","value":1,"version":8}\n\n');
        if (n === 0) {
            return setTimeout(() => request.socket.destroy(), 20);
        }
        return response.write('event: put\nid: 9.0\ndata: {"key":"b","value":2,"version":9}\n\n');
    });
    const events = new Dormouse({ url: server.url }).store("a").watch({ since: 2 });
    const seen = await collect(events, (all) => all.length === 5);
    await events.return();
    assert.deepEqual(seen.map((e) => e.type), ["reset", "put", "reset", "put", "put"]);
    assert.ok(server.requests.every((r) => r.path.endsWith("since=2")));
});

test("a final error ends the watch, and so does a node that stays away", async () => {
    const refusing = await fake((_, response) => problem(response, 403, "forbidden"));
    await assert.rejects(new Dormouse({ url: refusing.url }).store("a").watch().next(), { code: "forbidden" });
    const gone = await fake(() => undefined);
    gone.server.close();
    const began = performance.now();
    await assert.rejects(new Dormouse({ url: gone.url }).store("a").watch({ timeoutMs: 400 }).next(), { code: "unreachable" });
    assert.ok(performance.now() - began < 600, "it gives up when its time is over, not twice that");
    const odd = await fake((_, response) => sse(response, "data: nonsense\n\n"));
    await assert.rejects(new Dormouse({ url: odd.url }).store("a").watch({ since: 0 }).next(), { code: "protocol" });
});
