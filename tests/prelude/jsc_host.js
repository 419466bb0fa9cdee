/* The host of the prelude in the shell of JavaScriptCore, for the same tests on the engine that counts.
 * The daemon is at the other end of the standard streams (jsc.js): one line a step, bytes in hex. */
const prelude = readline();

const hexOf = (bytes, length) => {
    let text = "";
    for (let i = 0; i < length; i++) {
        text += (bytes[i] + 256).toString(16).slice(1);
    }
    return text;
};
/* The shell reads and prints Latin-1. */
const ascii = (text) => text.replace(/[^\x00-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
const bytesOf = (hex) => Uint8Array.fromHex(hex);

function decode(bytes, fatal, ignoreBOM) {
    print(`decode ${Number(Boolean(fatal))} ${Number(Boolean(ignoreBOM))} ${hexOf(bytes, bytes.length)}`);
    const answer = readline();
    if (answer === "bad") {
        throw new TypeError("not UTF-8");
    }
    return JSON.parse(answer);
}

let now = 0;

globalThis.__host = {
    send: (bytes, length) => print(`send ${hexOf(bytes, length ?? bytes.length)}`),
    receive() {
        print("receive");
        return bytesOf(readline());
    },
    now: () => now,
    random(bytes) {
        for (let i = 0; i < bytes.length; i++) {
            bytes[i] = Math.floor(Math.random() * 256);
        }
        return bytes;
    },
    evaluate: (source, url) => (0, eval)(`${source}\n//# sourceURL=${url}`),
    encode(text) {
        print(`encode ${ascii(JSON.stringify(text))}`);
        return bytesOf(readline());
    },
    decode,
    digest(name, bytes) {
        print(`digest ${name} ${hexOf(bytes, bytes.length)}`);
        return bytesOf(readline());
    },
    crypto(op, ...args) {
        print(`crypto ${ascii(JSON.stringify([op, ...args], (key, value) => value instanceof Uint8Array ? { hex: hexOf(value, value.length) } : value))}`);
        const answer = readline();
        if (answer.startsWith("bad ")) {
            throw new Error(answer.slice(4));
        }
        return JSON.parse(answer, (key, value) => value !== null && typeof value === "object" && "hex" in value ? bytesOf(value.hex) : value);
    },
    memory: () => 0,
    exit: () => print("exit"),
    onRejection() {},
};

const shell = { readline, print, read, drainMicrotasks };
const runtime = (0, eval)(read(prelude));
for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (name in shell || ["console", "quit", "gc", "load", "run"].includes(name)) {
        if (name !== "console") {
            delete globalThis[name];
        }
    }
}
runtime.forked();
shell.drainMicrotasks();
shell.print("done 0");
for (let line = shell.readline(); line; line = shell.readline()) {
    const [kind, at, hex] = line.split(" ");
    now = Number(at);
    const wait = kind === "frame" ? runtime.frame(bytesOf(hex)) : runtime.tick(now);
    shell.drainMicrotasks();
    shell.print(`done ${wait}`);
}
