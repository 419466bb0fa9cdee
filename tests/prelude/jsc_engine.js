/* The prelude in the shell of JavaScriptCore (jsc_host.js), through two named pipes. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { execFileSync, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { host } from "./host.js";
import { join } from "node:path";
import { tmpdir } from "node:os";

const folder = mkdtempSync(join(tmpdir(), "prelude-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const bytesOf = (text) => new Uint8Array(Buffer.from(text ?? "", "hex"));
const withBytes = (key, value) => value !== null && typeof value === "object" && "hex" in value ? bytesOf(value.hex) : value;
const withHex = (key, value) => value instanceof Uint8Array ? { hex: hex(value) } : value;

/* The shell reads and prints Latin-1. */
const ascii = (text) => text.replace(/[^\x00-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

let count = 0;

export class JscEngine {
    #daemon;
    #in;
    #out;
    #rest = Buffer.alloc(0);

    constructor(bundle, daemon) {
        this.#daemon = daemon;
        const name = join(folder, String(count++));
        writeFileSync(join(folder, "prelude.js"), bundle);
        execFileSync("mkfifo", [`${name}.in`, `${name}.out`]);
        const child = spawn("sh", ["-c", `exec jsc ${fileURLToPath(new URL("jsc_host.js", import.meta.url))} <${name}.in >${name}.out`], { stdio: "inherit" });
        child.unref();
        this.#in = openSync(`${name}.in`, "w");
        this.#out = openSync(`${name}.out`, "r");
        process.on("exit", () => child.kill());
        this.#write(join(folder, "prelude.js"));
        this.#serve();
    }

    #write(line) {
        const bytes = Buffer.from(`${line}\n`);
        for (let at = 0; at < bytes.length;) {
            at += writeSync(this.#in, bytes, at);
        }
    }

    #line() {
        const parts = [this.#rest];
        for (;;) {
            const last = parts[parts.length - 1];
            const end = last.indexOf(10);
            if (end >= 0) {
                this.#rest = last.subarray(end + 1);
                parts[parts.length - 1] = last.subarray(0, end);
                return Buffer.concat(parts).toString();
            }
            const piece = Buffer.alloc(65536);
            const length = readSync(this.#out, piece);
            if (length === 0) {
                throw new Error("the shell of JavaScriptCore has ended");
            }
            parts.push(piece.subarray(0, length));
        }
    }

    /* Answers what the prelude asks of its host until it is done; what it is done with. */
    #serve() {
        for (;;) {
            const line = this.#line();
            const at = line.indexOf(" ");
            const kind = at < 0 ? line : line.slice(0, at);
            const rest = at < 0 ? "" : line.slice(at + 1);
            if (kind === "done") {
                return rest === "undefined" ? undefined : Number(rest);
            }
            this.#answer(kind, rest);
        }
    }

    #answer(kind, rest) {
        switch (kind) {
        case "send":
            this.#daemon.sent(bytesOf(rest));
            break;
        case "receive":
            this.#write(hex(this.#daemon.nextFrame()));
            break;
        case "encode":
            this.#write(hex(host.encode(JSON.parse(rest))));
            break;
        case "decode": {
            const [fatal, ignoreBOM, bytes] = rest.split(" ");
            try {
                this.#write(ascii(JSON.stringify(host.decode(bytesOf(bytes), fatal === "1", ignoreBOM === "1"))));
            } catch {
                this.#write("bad");
            }
            break;
        }
        case "digest": {
            const [name, bytes] = rest.split(" ");
            this.#write(hex(host.digest(name, bytesOf(bytes))));
            break;
        }
        case "crypto":
            try {
                this.#write(JSON.stringify(host.crypto(...JSON.parse(rest, withBytes)), withHex));
            } catch (error) {
                this.#write(`bad ${error.message.replaceAll("\n", " ")}`);
            }
            break;
        case "exit":
            this.#daemon.exited();
            break;
        default:
            console.log(`jsc: ${kind} ${rest}`);
        }
    }

    frame(bytes) {
        this.#write(`frame ${this.#daemon.now} ${hex(bytes)}`);
        return this.#serve();
    }

    tick(now) {
        this.#write(`tick ${now}`);
        return this.#serve();
    }

    close() {
        closeSync(this.#in);
        closeSync(this.#out);
    }
}
