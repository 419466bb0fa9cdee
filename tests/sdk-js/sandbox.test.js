// Sandboxes and workflows against a server that answers as the contract has it: what is sent, and what is made of
// the answers.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { Dormouse } from "../../sdk-js/dist/index.js";
import { fake, json, problem } from "./fake.js";

const BASE = "/v1/test/Store/a/sandboxes/main";
async function sandboxOf(answer) {
    const server = await fake((request, response, body, n) => answer(request, response, body, n));
    const client = new Dormouse({ url: server.url, namespace: "test" });
    return { server, actor: client.store("a"), sandbox: client.store("a").sandbox("main") };
}
const asked = (server) => server.requests.map((r) => [r.method, r.path.replace(BASE, ""), r.body === "" ? undefined : JSON.parse(r.body)]);
const done = (_, response) => {
    response.writeHead(204);
    response.end();
};

test("a sandbox is made with its limits, named as the API names them", async () => {
    const { server, sandbox } = await sandboxOf((_, response) => json(response, { state: "running" }, 201));
    const info = await sandbox.create({
        image: "base", limits: { memoryMb: 512, diskMb: 2048, pids: 9, cpus: 1 }, sleepAfterMs: 5000, env: { A: "b" },
        egress: { allow: ["api.example.com"], inject: { "api.example.com": { Authorization: "Bearer {{secret:T}}" } }, requestsPerMinute: 60 },
    });
    assert.equal(info.state, "running");
    assert.deepEqual(asked(server), [["PUT", "", {
        image: "base", limits: { memory_mb: 512, disk_mb: 2048, pids: 9, cpus: 1 }, sleep_after_ms: 5000, env: { A: "b" },
        egress: { allow: ["api.example.com"], inject: { "api.example.com": { Authorization: "Bearer {{secret:T}}" } }, requests_per_minute: 60 },
    }]]);
});

test("exec gives what the program wrote; bytes where it is no text", async () => {
    const { server, sandbox } = await sandboxOf((_, response) => json(response, {
        exit_code: 0, signal: null, stdout: "hi\n", stderr: { $bytes: "/w==" }, cpu_ms: 1, wall_ms: 2, timed_out: false, oom_killed: false,
    }));
    const result = await sandbox.exec("echo hi", { cwd: "/tmp", stdin: new Uint8Array([1]), execTimeoutMs: 500 });
    assert.deepEqual([result.exit_code, result.stdout, result.stderr], [0, "hi\n", new Uint8Array([255])]);
    await sandbox.exec(["ls", "-l"]);
    assert.deepEqual(asked(server), [
        ["POST", "/exec", { cmd: ["sh", "-c", "echo hi"], cwd: "/tmp", stdin: { $bytes: "AQ==" }, timeout_ms: 500 }],
        ["POST", "/exec", { cmd: ["ls", "-l"] }]]);
    assert.equal(server.requests[0].headers["idempotency-key"], undefined);
});

test("exec is not run a second time where its answer got lost", async () => {
    const { server, sandbox } = await sandboxOf((request) => request.socket.destroy());
    await assert.rejects(sandbox.exec("true"), (error) => error.code === "unreachable" && error.maybeApplied);
    assert.equal(server.requests.length, 1);
});

test("exec streams its output, and who stops listening ends it", async () => {
    let closed;
    const isClosed = new Promise((resolve) => { closed = resolve; });
    const { server, sandbox } = await sandboxOf((_, response, __, n) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write('event: start\ndata: {"pid":7}\n\nevent: stdout\ndata: {"text":"a"}\n\nevent: stderr\ndata: {"text":{"$bytes":"/w=="}}\n\n');
        if (n === 0) {
            response.end('event: exit\ndata: {"exit_code":3,"signal":null,"cpu_ms":1,"wall_ms":1,"timed_out":false,"oom_killed":false}\n\n');
        } else if (n === 1) {
            response.on("close", closed);
        } else {
            response.end();
        }
    });
    const seen = [];
    for await (const event of sandbox.stream("x")) {
        seen.push([event.type, event.text ?? event.exit_code]);
    }
    assert.deepEqual(seen, [["start", undefined], ["stdout", "a"], ["stderr", new Uint8Array([255])], ["exit", 3]]);
    assert.equal(server.requests[0].headers.accept, "text/event-stream");
    for await (const event of sandbox.stream("x")) {
        assert.equal(event.type, "start");
        break;
    }
    await isClosed;
    await assert.rejects(async () => { for await (const event of sandbox.stream("x")) { void event; } }, { code: "unreachable" });
});

test("processes are started, waited for, read and ended", async () => {
    const { server, sandbox } = await sandboxOf((request, response) => {
        if (request.url.endsWith("/logs?follow=true")) {
            response.writeHead(200, { "content-type": "text/event-stream" });
            return response.end('event: stdout\ndata: {"text":"a\\n"}\n\nevent: exit\ndata: {"exit_code":5,"signal":null}\n\n');
        }
        return json(response, request.url.endsWith("/logs") ? { stdout: "a\n", stderr: "", lost_bytes: 0 } : { pid: 7, processes: [{ pid: 7 }] });
    });
    const process = await sandbox.start("sleep 9", { env: { A: "1" } });
    await process.wait({ port: 8080 }, { waitMs: 1000 });
    await process.wait({ log: /ready: \d+/ });
    await process.wait({ http: { port: 8080, path: "/", status: [200, 399] } });
    await process.info();
    assert.deepEqual(await sandbox.processes(), [{ pid: 7 }]);
    await process.kill(9);
    assert.equal((await process.logs()).stdout, "a\n");
    const written = [];
    for await (const event of process.follow()) {
        written.push(event.text ?? event.exit_code);
    }
    assert.deepEqual(written, ["a\n", 5]);
    assert.deepEqual(asked(server), [
        ["POST", "/processes", { cmd: ["sh", "-c", "sleep 9"], env: { A: "1" } }],
        ["POST", "/processes/7/wait", { port: 8080, timeout_ms: 1000 }],
        ["POST", "/processes/7/wait", { log: "ready: \\d+" }],
        ["POST", "/processes/7/wait", { http: { port: 8080, path: "/", status: [200, 399] } }],
        ["GET", "/processes/7", undefined], ["GET", "/processes", undefined],
        ["DELETE", "/processes/7?signal=9", undefined], ["GET", "/processes/7/logs", undefined],
        ["GET", "/processes/7/logs?follow=true", undefined]]);
    assert.ok(server.requests[0].headers["idempotency-key"]);
});

test("files go both ways, of any size, and paths are what they say", async () => {
    const big = new Uint8Array(3 << 20).fill(7);
    const { server, sandbox } = await sandboxOf((request, response) => {
        if (request.method === "PUT" && request.url.endsWith("full")) {
            return problem(response, 507, "storage_full", { limit: { name: "disk_mb", value: 1 } });
        }
        if (request.method !== "GET") {
            return done(request, response);
        }
        return request.url.includes("list=") ? json(response, { entries: [{ path: "f", type: "file", size: 1 }] }) : response.end(Buffer.from(big));
    });
    const { files } = sandbox;
    await files.write("/srv/a b/ü.txt", "text");
    await files.write("/big", new Blob([big]).stream());
    assert.deepEqual(await files.read("/big"), big);
    let bytes = 0;
    for await (const piece of await files.open("/big")) {
        bytes += piece.length;
    }
    assert.equal(bytes, big.length);
    assert.deepEqual(await files.list("/srv", { recursive: true }), [{ path: "f", type: "file", size: 1 }]);
    await files.mkdir("/d");
    await files.move("/a", "/b c");
    await files.copy("/a", "/b");
    await files.delete("/a");
    await assert.rejects(files.write("/full", "x"), (error) => error.code === "storage_full" && error.limit.value === 1);
    for (const path of ["relative", "/a/../b", "/.", "/a/./b"]) {
        await assert.rejects(files.read(path), { code: "invalid_argument" });
    }
    assert.deepEqual(server.requests.map((r) => [r.method, r.path.replace(BASE, "")]).slice(0, 9), [
        ["PUT", "/files/srv/a%20b/%C3%BC.txt"], ["PUT", "/files/big"], ["GET", "/files/big"], ["GET", "/files/big"],
        ["GET", "/files/srv?list=true&recursive=true"], ["POST", "/files/d?op=mkdir"], ["POST", "/files/a?op=move&to=%2Fb%20c"],
        ["POST", "/files/a?op=copy&to=%2Fb"], ["DELETE", "/files/a"]]);
    assert.deepEqual(new Uint8Array(server.requests[1].bytes), big);
});

test("contexts, ports, sleep, snapshots and forks are asked for", async () => {
    const { server, sandbox } = await sandboxOf((request, response) => {
        const path = request.url.replace(BASE, "");
        const answers = {
            "POST /contexts": { id: "c1" }, "POST /contexts/c1/run": { results: [{ "text/plain": "2" }], stdout: "", stderr: "", error: null },
            "POST /ports/8080": { url: "http://8080-x.preview.localhost:7420/" }, "POST /snapshots": { id: "s1" }, "GET /snapshots": { snapshots: [{ id: "s1", name: "before" }] },
        };
        const answer = answers[`${request.method} ${path}`];
        return answer === undefined ? done(request, response) : json(response, answer);
    });
    const context = await sandbox.context("python");
    assert.equal((await context.run("1+1", { runTimeoutMs: 9 })).results[0]["text/plain"], "2");
    await context.delete();
    assert.match(await sandbox.expose(8080), /preview/);
    await sandbox.unexpose(8080);
    await sandbox.sleep();
    await sandbox.wake();
    assert.equal(await sandbox.snapshot("before"), "s1");
    assert.deepEqual(await sandbox.snapshots(), [{ id: "s1", name: "before" }]);
    await sandbox.restore("s1");
    await sandbox.deleteSnapshot("s1");
    await sandbox.fork({ id: "b", name: "s" });
    await sandbox.delete();
    assert.deepEqual(asked(server), [
        ["POST", "/contexts", { language: "python" }], ["POST", "/contexts/c1/run", { code: "1+1", timeout_ms: 9 }], ["DELETE", "/contexts/c1", undefined],
        ["POST", "/ports/8080", undefined], ["DELETE", "/ports/8080", undefined], ["POST", "/sleep", undefined], ["POST", "/wake", undefined],
        ["POST", "/snapshots", { name: "before" }], ["GET", "/snapshots", undefined], ["POST", "/restore", { snapshot: "s1" }],
        ["DELETE", "/snapshots/s1", undefined], ["POST", "/fork", { id: "b", name: "s" }], ["DELETE", "", undefined]]);
});

test("changes are followed", async () => {
    const { server, sandbox } = await sandboxOf((_, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write('event: create\ndata: {"path":"/a"}\n\n');
    });
    const changes = sandbox.changes("/", { recursive: true });
    assert.deepEqual((await changes.next()).value, { type: "create", id: "", path: "/a" });
    await changes.return();
    assert.equal(server.requests[0].path, `${BASE}/changes?path=%2F&recursive=true`);
});

/* A terminal's server, of frames that are small and whole. */
function frame(opcode, payload) {
    return Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload]);
}
function terminalServer(server, onOpen) {
    let count = 0;
    server.on("upgrade", (request, socket) => {
        const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
        const text = (value) => socket.write(frame(1, Buffer.from(JSON.stringify(value))));
        const bytes = (value) => socket.write(frame(2, Buffer.from(value)));
        const heard = [];
        socket.on("data", (data) => {
            for (let at = 0; at + 6 <= data.length;) {
                const length = data[at + 1] & 127;
                const mask = data.subarray(at + 2, at + 6);
                heard.push(Buffer.from(data.subarray(at + 6, at + 6 + length).map((b, i) => b ^ mask[i % 4])).toString());
                at += 6 + length;
            }
        });
        socket.on("error", () => undefined);
        onOpen({ request, socket, text, bytes, heard, n: count++ });
    });
}

test("a terminal comes back after its connection broke, with what it missed", async () => {
    const server = await fake(() => undefined);
    const heard = [];
    terminalServer(server.server, (t) => {
        heard.push(t.heard);
        t.text({ type: "ready", id: "pty-1", cursor: t.n === 0 ? 0 : 8 });
        if (t.n === 0) {
            t.bytes("hello");
            setTimeout(() => t.socket.destroy(), 50);
        } else {
            t.bytes("new");
            setTimeout(() => {
                t.text({ type: "exit", code: 4 });
                t.socket.end();
            }, 100);
        }
        heard.urls = [...(heard.urls ?? []), t.request.url.replace(BASE, "")];
    });
    const sandbox = new Dormouse({ url: server.url, namespace: "test" }).store("a").sandbox("main");
    let output = "";
    const terminal = await sandbox.terminal({ cols: 80, rows: 24, onData: (bytes) => { output += new TextDecoder().decode(bytes); } });
    assert.equal(terminal.id, "pty-1");
    terminal.resize(100, 30);
    terminal.write("ls\n");
    assert.equal(await terminal.exited, 4);
    assert.equal(output, "hellonew");
    assert.equal(terminal.cursor, 8);
    assert.deepEqual(heard.urls, ["/terminal?cols=80&rows=24", "/terminal?cols=100&rows=30&id=pty-1&cursor=5"]);
    assert.deepEqual(heard[0], ['{"type":"resize","cols":100,"rows":30}', "ls\n"]);
    terminal.close();
});

test("a workflow is started, looked at, told and steered", async () => {
    const WORKFLOW = "/v1/test/Flow/w1/workflow";
    const server = await fake((request, response, _, n) => {
        if (request.url !== WORKFLOW) {
            return request.url.endsWith("/events") ? (response.writeHead(202), response.end()) : json(response, {});
        }
        if (request.method === "POST") {
            return json(response, { status: "running" }, 201);
        }
        return json(response, n < 8 ? { status: "waiting", output: null, error: null, steps: [] } : { status: "complete", output: { at: { $date: 5 } }, error: null, steps: [] });
    });
    const { workflow } = new Dormouse({ url: server.url, namespace: "test" }).actor("Flow", "w1");
    assert.equal((await workflow.create({ n: 1 })).status, "running");
    assert.equal((await workflow.status()).status, "waiting");
    await workflow.sendEvent("approved", { by: "a" });
    await workflow.pause();
    await workflow.resume();
    await workflow.terminate();
    await workflow.restart({ from: "second" });
    assert.deepEqual((await workflow.ended()).output, { at: new Date(5) });
    assert.deepEqual(server.requests.slice(0, 7).map((r) => [r.method, r.path.replace(WORKFLOW, ""), r.body && JSON.parse(r.body)]), [
        ["POST", "", { params: { n: 1 } }], ["GET", "", ""], ["POST", "/events", { type: "approved", payload: { by: "a" } }],
        ["POST", "/pause", {}], ["POST", "/resume", {}], ["POST", "/terminate", {}], ["POST", "/restart", { from: "second" }]]);
    assert.ok(server.requests[0].headers["idempotency-key"]);
    await assert.rejects(workflow.ended({ waitMs: 1 }).then(() => { throw new Error("ended"); }), /ended/);
});
