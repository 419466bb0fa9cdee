// The client in a page, in Chromium: a node serves the page through a module's fetch, and so it is of the node's own
// origin. What the page found out is in the store at the end.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";

import { Node, collect, deploy } from "./node.js";

const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium-headless-shell";
const SDK = readFileSync(new URL("../../sdk-js/dist/dormouse.min.js", import.meta.url), "utf8");

async function page({ Dormouse, DormouseError }) {
    const client = new Dormouse({ url: location.origin, namespace: "test" });
    const actor = client.store("page");
    const found = {};
    const events = actor.watch();
    await events.ready();
    await actor.storage.put("k", { big: 2n ** 60n, bytes: new Uint8Array([0, 255]), when: new Date(5) });
    found.value = await actor.storage.get("k");
    found.event = (await events.next()).value;
    await events.return();
    found.counted = await client.actor("Counter", "page").increment(2);
    found.run = (await actor.execute((n) => n + 1, { input: 41 })).result;
    const socket = await client.actor("Counter", "page").connect();
    found.heard = await new Promise((resolve) => {
        socket.addEventListener("message", (event) => resolve(event.data));
        socket.send("hello");
    });
    socket.close();
    found.fetched = await (await client.actor("Counter", "page").fetch("/x")).text();
    const error = await actor.storage.put("k", 1, { ifAbsent: true }).catch((e) => e);
    found.error = [error instanceof DormouseError, error.code];
    const token = new Dormouse({ url: location.origin, token: "t" });
    found.refused = await token.actor("Counter", "page").connect().then(() => "", (e) => e.code);
    return found;
}

const SOURCE = `
import { DurableObject } from "dormouse";
export class Counter extends DurableObject {
    async increment(by) {
        const n = ((await this.ctx.storage.get("n")) ?? 0) + by;
        await this.ctx.storage.put("n", n);
        return n;
    }
    async fetch(request) {
        if (request.headers.get("upgrade") !== "websocket") {
            return new Response("fetched");
        }
        const pair = new WebSocketPair();
        this.ctx.acceptWebSocket(pair[1]);
        return new Response(null, { status: 101, webSocket: pair[0] });
    }
    webSocketMessage(ws, message) { ws.send("you said " + message); }
}
const SDK = ${JSON.stringify(SDK)};
const HTML = ${JSON.stringify(`<!doctype html><script type="module">
import * as sdk from "/w/test/dormouse.js";
const store = new sdk.Dormouse({ url: location.origin, namespace: "test" }).store("outcome");
const page = ${page};
page(sdk).then((found) => store.storage.put("found", found), (error) => store.storage.put("found", error));
</script>`)};
export default {
    fetch(request) {
        return new URL(request.url).pathname.endsWith(".js")
            ? new Response(SDK, { headers: { "content-type": "text/javascript" } })
            : new Response(HTML, { headers: { "content-type": "text/html" } });
    }
};`;

test("a page puts, gets, watches, calls and connects", async () => {
    assert.ok(existsSync(BROWSER), `${BROWSER} is not installed: deploy/build --tests does it`);
    const node = await Node.start();
    const client = node.client();
    await deploy(client, SOURCE);
    const outcome = client.store("outcome").watch({ since: 0, signal: AbortSignal.timeout(60_000) });
    const profile = mkdtempSync(path.join(tmpdir(), "dormouse-sdk-js-"));
    const browser = spawn(BROWSER, ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${profile}`,
        "--remote-debugging-port=0", `${node.url}/w/test/`], { stdio: "ignore", detached: true });
    const ended = new Promise((resolve) => { browser.once("exit", resolve); });
    try {
        const [event] = await collect(outcome, (all) => all.length === 1);
        const value = { big: 2n ** 60n, bytes: new Uint8Array([0, 255]), when: new Date(5) };
        assert.ok(!(event.value instanceof Error), String(event.value));
        const { event: seen, ...found } = event.value;
        assert.deepEqual(found, {
            value, counted: 2, run: 42, heard: "you said hello", fetched: "fetched", error: [true, "version_mismatch"], refused: "invalid_argument",
        });
        assert.deepEqual([seen.type, seen.key, seen.value], ["put", "k", value]);
    } finally {
        process.kill(-browser.pid, "SIGKILL");
        await ended;
        rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    }
});
