// What is sent again, and what the error says of it, against a server that misbehaves on purpose.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Dormouse, DormouseError } from "../../sdk-js/dist/index.js";
import { fake, json, problem } from "./fake.js";

const clientOf = (server, options) => new Dormouse({ url: server.url, namespace: "test", ...options });
const put = (response) => {
    response.writeHead(204, { etag: '"7"' });
    response.end();
};
async function failure(promise) {
    try {
        await promise;
    } catch (error) {
        assert.ok(error instanceof DormouseError, String(error));
        return error;
    }
    throw new assert.AssertionError({ message: "nothing failed" });
}

test("a write is repeated with the same key", async () => {
    const server = await fake((_, response, __, n) => (n < 3 ? problem(response, 503, "unavailable", { retryable: true, maybe_applied: true }) : put(response)));
    assert.equal(await clientOf(server).store("a").storage.put("k", 1), 7);
    assert.equal(server.requests.length, 4);
    const keys = new Set(server.requests.map((r) => r.headers["idempotency-key"]));
    assert.equal(keys.size, 1);
    assert.match([...keys][0], /^[0-9a-f]{32}$/);
});

test("a call without a key is repeated only where nothing was done", async () => {
    const server = await fake((_, response, __, n) => problem(response, 503, "unavailable", { retryable: true, maybe_applied: n === 2 }));
    const error = await failure(clientOf(server).actor("C", "a").go());
    assert.equal(server.requests.length, 3);
    assert.equal(server.requests[0].headers["idempotency-key"], undefined);
    assert.deepEqual([error.code, error.retryable, error.maybeApplied], ["unavailable", true, true]);
});

test("a call with a key is repeated whatever happened, and any doubt stays with the error", async () => {
    const server = await fake((request, response, _, n) => (n === 0 ? request.socket.destroy() : problem(response, 500, "actor_exception", { name: "TypeError", message: "no", stack: "f@m.js:1:2" })));
    const error = await failure(clientOf(server).actor("C", "a").with({ idempotencyKey: true }).go());
    assert.equal(server.requests.length, 2);
    assert.deepEqual([error.code, error.message, error.maybeApplied], ["actor_exception", "no", true]);
    assert.deepEqual(error.exception, { name: "TypeError", message: "no", stack: "f@m.js:1:2" });
});

test("a definite answer after a doubtful one leaves no doubt", async () => {
    const server = await fake((request, response, _, n) => (n === 0 ? request.socket.destroy() : problem(response, 412, "version_mismatch")));
    const error = await failure(clientOf(server).store("a").storage.put("k", 1, { ifVersion: 3 }));
    assert.deepEqual([error.code, error.maybeApplied], ["version_mismatch", false]);
});

test("a connection that breaks in the middle of an answer is a failed attempt", async () => {
    const server = await fake((request, response, _, n) => {
        if (n > 0) {
            return json(response, { result: 1 });
        }
        response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
        response.write("{");
        return setTimeout(() => request.socket.destroy(), 20);
    });
    const error = await failure(clientOf(server).actor("C", "a").go());
    assert.deepEqual([error.code, error.maybeApplied, server.requests.length], ["unreachable", true, 1]);
});

test("what is not retryable comes back at once, with all that it says", async () => {
    const server = await fake((_, response) => problem(response, 413, "too_large", { limit: { name: "value", value: 2097152 } }));
    const error = await failure(clientOf(server).store("a").storage.put("k", 1));
    assert.deepEqual([error.code, error.status, error.limit, server.requests.length], ["too_large", 413, { name: "value", value: 2097152 }, 1]);
});

test("the server's wish is waited for", async () => {
    const server = await fake((_, response, __, n) => (n === 0 ? problem(response, 429, "overloaded", { retryable: true }, { "retry-after": "1" }) : put(response)));
    const began = performance.now();
    await clientOf(server).store("a").storage.put("k", 1);
    assert.ok(performance.now() - began >= 1000);
    const error = await failure(clientOf(await fake((_, response) => problem(response, 429, "overloaded", { retryable: true }, { "retry-after": "9" }))).store("a").storage.get("k", { timeoutMs: 500 }));
    assert.deepEqual([error.code, error.retryAfterMs], ["overloaded", 9000]);
});

test("the deadline ends all attempts, and the server is told of it", async () => {
    const server = await fake(() => undefined);
    const began = performance.now();
    const error = await failure(clientOf(server).store("a").storage.put("k", 1, { timeoutMs: 400 }));
    assert.ok(performance.now() - began < 2000);
    assert.deepEqual([error.code, error.status, error.retryable, error.maybeApplied], ["timeout", 0, true, true]);
    const told = Number(server.requests[0].headers["dormouse-timeout"]);
    assert.ok(told > 300 && told < 400, String(told));
    assert.equal((await failure(clientOf(server).store("a").storage.get("k", { timeoutMs: 100 }))).maybeApplied, false);
});

test("a signal ends a call with its reason, also between attempts", async () => {
    const reason = new Error("enough");
    const server = await fake((_, response, __, n) => (n === 0 ? undefined : problem(response, 503, "unavailable", { retryable: true }, { "retry-after": "20" })));
    for (let n = 0; n < 2; n++) {
        const controller = new AbortController();
        setTimeout(() => controller.abort(reason), 100);
        await assert.rejects(clientOf(server).store("a").storage.put("k", 1, { signal: controller.signal }), (error) => error === reason);
    }
    await assert.rejects(clientOf(server).store("a").storage.get("k", { signal: AbortSignal.abort(reason) }), (error) => error === reason);
    assert.equal(server.requests.length, 2);
});

test("a refused connection leaves no doubt", async () => {
    const server = await fake(() => undefined);
    server.server.close();
    const error = await failure(clientOf(server, { timeoutMs: 300 }).actor("C", "a").go());
    assert.deepEqual([error.code, error.maybeApplied, error.retryable], ["unreachable", false, true]);
    const once = clientOf(server, { retries: false });
    const began = performance.now();
    await failure(once.store("a").storage.get("k"));
    assert.ok(performance.now() - began < 1000);
});

test("of several nodes one that is down, silent or without a leader is left for the next", async () => {
    const silent = await fake(() => undefined);
    const leaderless = await fake((_, response) => problem(response, 503, "unavailable", { retryable: true }));
    const good = await fake((_, response) => put(response));
    const down = await fake(() => undefined);
    down.server.close();
    const client = new Dormouse({ url: [down.url, silent.url, leaderless.url, good.url], namespace: "test", timeoutMs: 6000 });
    assert.equal(await client.store("a").storage.put("k", 1), 7);
    assert.equal(await client.store("a").storage.put("k", 2), 7);
    assert.deepEqual([silent, leaderless, good].map((s) => s.requests.length), [1, 1, 2]);
});

test("an answer that is none of the API's is named as such", async () => {
    const server = await fake((_, response, __, n) => {
        response.writeHead(200, { "content-type": n === 0 ? "text/html" : "application/json" });
        response.end("<html>");
    });
    for (let n = 0; n < 2; n++) {
        const error = await failure(clientOf(server).actor("C", "a").go());
        assert.deepEqual([error.code, error.maybeApplied], ["protocol", true]);
    }
    const proxy = await fake((_, response) => { response.writeHead(502); response.end("bad gateway"); });
    const error = await failure(clientOf(proxy, { timeoutMs: 300 }).actor("C", "a").go());
    assert.deepEqual([error.code, error.status, error.maybeApplied, proxy.requests.length], ["unavailable", 502, true, 1]);
});

test("the token goes with each request, and never into a redirect", async () => {
    const other = await fake((_, response) => put(response));
    const server = await fake((_, response, __, n) => (n === 0 ? put(response) : (response.writeHead(307, { location: other.url }), response.end())));
    const client = clientOf(server, { token: "secret", timeoutMs: 300 });
    await client.store("a").storage.put("k", 1);
    assert.equal(server.requests[0].headers.authorization, "Bearer secret");
    await failure(client.store("a").storage.put("k", 1));
    assert.equal(other.requests.length, 0);
});

test("a fetch that reads waits for an owner; what a class answers itself comes as it is", async () => {
    const server = await fake((request, response, _, n) => (n === 0 || request.method === "POST" ? problem(response, 503, "unavailable", { retryable: true }) : (response.writeHead(503), response.end("mine"))));
    const actor = clientOf(server).actor("C", "a");
    const answer = await actor.fetch("/x");
    assert.deepEqual([answer.status, await answer.text(), server.requests.length], [503, "mine", 2]);
    const posted = await actor.fetch("/x", { method: "POST", body: "b" });
    assert.deepEqual([posted.status, (await posted.json()).code, server.requests.length], [503, "unavailable", 3]);
});

test("a WebSocket is tried again until it opens, and not where it is refused", async () => {
    const server = await fake(() => undefined);
    server.server.on("upgrade", (request, socket) => {
        server.requests.push(request);
        const status = server.requests.length < 3 ? "503 Service Unavailable" : "404 Not Found";
        socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    });
    const error = await failure(clientOf(server).actor("C", "a").connect());
    assert.deepEqual([error.status, error.retryable, server.requests.length], [404, false, 3]);
});

test("options that cannot be meant are refused when the client is made", () => {
    for (const options of [{ url: "ftp://a" }, { url: "http://a/b" }, { url: [] }, { url: "nothing" }, { token: "a b" }, { namespace: "A" }]) {
        assert.throws(() => new Dormouse(options), DormouseError);
    }
});
