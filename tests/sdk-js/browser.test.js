// The client in a page, in Chromium: of the node's own origin, as a module's fetch serves it; and of another server's,
// which the node's --cors-origins names. What the page found out is in the store at the end.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import { Node, decode, deploy } from "./node.js";

const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium-headless-shell";
const SDK = readFileSync(new URL("../../sdk-js/dist/dormouse.min.js", import.meta.url), "utf8");

/* Runs in the page. */
async function page({ Dormouse, DormouseError }, url, timeoutMs) {
    const client = new Dormouse({ url, namespace: "test", timeoutMs });
    const actor = client.store(`page of ${location.origin}`);
    const found = {};
    const events = actor.watch();
    await events.ready();
    found.version = await actor.storage.put("k", { big: 2n ** 60n, bytes: new Uint8Array([0, 255]), when: new Date(5) }, { ifAbsent: true });
    const entry = await actor.storage.entry("k");
    found.value = entry.value;
    found.isSame = entry.version === found.version;
    delete found.version;
    found.event = (await events.next()).value;
    await events.return();
    found.deleted = await actor.storage.delete("k");
    found.counted = await client.actor("Counter", actor.id).with({ idempotencyKey: true }).increment(2);
    found.run = (await actor.execute((n) => n + 1, { input: 41 })).result;
    const socket = await client.actor("Counter", actor.id).connect();
    found.heard = await new Promise((resolve) => {
        socket.addEventListener("message", (event) => resolve(event.data));
        socket.send("hello");
    });
    socket.close();
    found.fetched = await (await client.actor("Counter", actor.id).fetch("/x")).text();
    const error = await actor.storage.put("k", 1, { ifVersion: 1 }).catch((e) => e);
    found.error = [error instanceof DormouseError, error.code];
    const token = new Dormouse({ url, token: "t" });
    found.refused = await token.actor("Counter", "page").connect().then(() => "", (e) => e.code);
    return found;
}

const HTML = `<!doctype html><script type="module">
import * as sdk from "./dormouse.js";
const wish = new URLSearchParams(location.search);
const page = ${page};
const report = (found) => navigator.sendBeacon(wish.get("report"), sdk.encode(found));
page(sdk, wish.get("node") ?? location.origin, Number(wish.get("timeout") ?? 30000)).then(report, report);
</script>`;

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
const HTML = ${JSON.stringify(HTML)};
export default {
    fetch(request) {
        const { pathname } = new URL(request.url);
        return pathname.endsWith(".js") ? new Response(SDK, { headers: { "content-type": "text/javascript" } })
            : new Response(HTML, { headers: { "content-type": "text/html" } });
    }
};`;
/* Another server than the node: of pages, and what they report. */
let reports;
let elsewhere;
let close;
before(async () => {
    const server = createServer(async (request, response) => {
        if (request.method === "POST") {
            const parts = [];
            for await (const part of request) {
                parts.push(part);
            }
            response.end();
            reports(decode(Buffer.concat(parts).toString()));
            return;
        }
        const isScript = request.url.endsWith(".js");
        response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html" });
        response.end(isScript ? SDK : HTML);
    });
    await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
    elsewhere = `http://127.0.0.1:${server.address().port}`;
    close = () => {
        server.closeAllConnections();
        server.close();
    };
});
after(() => close());

async function browse(url) {
    assert.ok(existsSync(BROWSER), `${BROWSER} is not installed: deploy/build --tests does it`);
    const reported = new Promise((resolve, reject) => {
        reports = resolve;
        setTimeout(() => reject(new Error("the page reported nothing")), 60_000).unref();
    });
    const profile = mkdtempSync(path.join(tmpdir(), "dormouse-sdk-js-"));
    const browser = spawn(BROWSER, ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${profile}`,
        "--remote-debugging-port=0", url], { stdio: "ignore", detached: true });
    const ended = new Promise((resolve) => { browser.once("exit", resolve); });
    try {
        return await reported;
    } finally {
        process.kill(-browser.pid, "SIGKILL");
        await ended;
        rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    }
}

async function expectAll(url) {
    const found = await browse(url);
    assert.ok(!(found instanceof Error), String(found));
    const value = { big: 2n ** 60n, bytes: new Uint8Array([0, 255]), when: new Date(5) };
    const { event, ...rest } = found;
    assert.deepEqual(rest, {
        value, isSame: true, deleted: true, counted: 2, run: 42, heard: "you said hello", fetched: "fetched", error: [true, "version_mismatch"],
        refused: "invalid_argument",
    });
    assert.deepEqual([event.type, event.key, event.value], ["put", "k", value]);
}

test("a page of the node's own origin puts, gets, watches, calls and connects", async () => {
    const node = await Node.start();
    await deploy(node.client(), SOURCE);
    await expectAll(`${node.url}/w/test/?report=${elsewhere}/found`);
});

test("so does one of an origin that the node is told of", async () => {
    const node = await Node.start("--cors-origins", elsewhere);
    await deploy(node.client(), SOURCE);
    await expectAll(`${elsewhere}/?node=${node.url}&report=${elsewhere}/found`);
});

test("a page of another origin is refused, and cannot see why", async () => {
    const node = await Node.start();
    const found = await browse(`${elsewhere}/?node=${node.url}&report=${elsewhere}/found&timeout=500`);
    assert.match(String(found), /^DormouseError: The server cannot be reached/);
});
