// A dormoused of a test's own, on a port that stays its own while it is down; and clients of it.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after } from "node:test";

export * from "../../sdk-js/dist/index.js";
import { Dormouse } from "../../sdk-js/dist/index.js";

const PROGRAM = process.env.DORMOUSED ?? new URL("../../build/dormoused", import.meta.url).pathname;
const EPHEMERAL_FROM = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split("\t")[0]);

/** Below those that the kernel gives to connections. */
async function freePort() {
    for (;;) {
        const port = 10000 + Math.floor(Math.random() * (Math.max(EPHEMERAL_FROM, 20000) - 10000));
        const isFree = await new Promise((resolve) => {
            const server = createServer().once("error", () => resolve(false));
            server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
        });
        if (isFree) {
            return port;
        }
    }
}

// Of the whole file: a hook that is set in another one would be that one's.
const nodes = [];
after(() => Promise.all(nodes.map((node) => node.finish())));

export class Node {
    static async start(...options) {
        const node = new Node();
        node.directory = mkdtempSync(path.join(tmpdir(), "dormouse-sdk-js-"));
        node.port = await freePort();
        node.options = options;
        await node.start();
        nodes.push(node);
        return node;
    }

    get url() {
        return `http://127.0.0.1:${this.port}`;
    }

    client(options = {}) {
        return new Dormouse({ url: this.url, namespace: "test", ...options });
    }

    async start() {
        this.process = spawn(PROGRAM, ["--data", path.join(this.directory, "data"), "--listen", `127.0.0.1:${this.port}`,
            "--memory", "64M", "--max-disk", "512M", ...this.options],
        { stdio: ["ignore", "pipe", "pipe"], env: { DORMOUSE_USER: "root", ...process.env } });
        let errors = "";
        this.process.stderr.on("data", (data) => { errors = (errors + data).slice(-20000); });
        this.ended = new Promise((resolve) => this.process.once("exit", (code, signal) => resolve(code ?? signal)));
        const ready = new Promise((resolve) => this.process.stdout.once("data", resolve));
        const early = await Promise.race([ready.then(() => undefined), this.ended]);
        if (early !== undefined) {
            throw new Error(`the node ended with ${early}: ${errors}`);
        }
    }

    async kill9() {
        this.process.kill("SIGKILL");
        await this.ended;
    }

    async finish() {
        this.process.kill("SIGTERM");
        const status = await this.ended;
        rmSync(this.directory, { recursive: true, force: true });
        if (status !== 0 && status !== "SIGKILL") {
            throw new Error(`the node ended with ${status}`);
        }
    }
}

/** Deploys one module in the namespace of the client. */
export async function deploy(client, source) {
    return client.namespace().deploy({ modules: { "main.js": source }, main: "main.js" });
}

/** Collects from an iterator until the condition holds for what is collected. */
export async function collect(iterator, isEnough) {
    const items = [];
    while (!isEnough(items)) {
        const { done, value } = await iterator.next();
        if (done) {
            break;
        }
        items.push(value);
    }
    return items;
}
