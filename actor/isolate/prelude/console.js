/* console: each call is one line of the actor's log. A flood is cut off and counted. */
import * as channel from "./channel.js";
import { format, inspect } from "./inspect.js";
import { host } from "./host.js";
import { stackOf } from "./stack.js";

const LINE_CHARACTERS_MAX = 64 * 1024;
const WINDOW_MS = 1000;
const WINDOW_CHARACTERS_MAX = 1024 * 1024;
const WINDOW_LINES_MAX = 10000;

let windowBegan = -Infinity;
let characters = 0;
let lines = 0;
let dropped = 0;

function closeWindow(now) {
    if (dropped > 0) {
        channel.tell("log", ["warn", `${dropped} lines were dropped: too many at once`]);
    }
    windowBegan = now;
    characters = 0;
    lines = 0;
    dropped = 0;
}

/* Tells of lines that were dropped once there is room again; the loop calls it. */
export function tickLog(now) {
    if (dropped > 0 && now - windowBegan >= WINDOW_MS) {
        closeWindow(now);
    }
}

export function hasDropped() {
    return dropped > 0;
}

export function log(level, text) {
    const now = host.now();
    if (now - windowBegan >= WINDOW_MS) {
        closeWindow(now);
    }
    if (lines >= WINDOW_LINES_MAX || characters >= WINDOW_CHARACTERS_MAX) {
        dropped++;
        return;
    }
    const line = text.length > LINE_CHARACTERS_MAX ? `${text.slice(0, LINE_CHARACTERS_MAX)}…` : text;
    lines++;
    characters += line.length;
    channel.tell("log", [level, line], true);
}

const counts = new Map();
const times = new Map();
let indent = "";

function write(level, args) {
    const text = format(args);
    log(level, indent === "" ? text : indent + text.replaceAll("\n", `\n${indent}`));
}

export const console = {
    log: (...args) => write("log", args),
    info: (...args) => write("info", args),
    warn: (...args) => write("warn", args),
    error: (...args) => write("error", args),
    debug: (...args) => write("debug", args),
    trace: (...args) => {
        write("debug", [`Trace: ${format(args)}\n${stackOf(new Error().stack ?? "")}`]);
    },
    dir: (value) => write("log", [inspect(value)]),
    dirxml: (...args) => write("log", args),
    table: (value) => write("log", [inspect(value)]),
    assert: (condition, ...args) => {
        if (!condition) {
            write("error", args.length === 0 ? ["Assertion failed"] : ["Assertion failed:", ...args]);
        }
    },
    count: (label = "default") => {
        const count = (counts.get(label) ?? 0) + 1;
        counts.set(label, count);
        write("log", [`${label}: ${count}`]);
    },
    countReset: (label = "default") => {
        counts.delete(label);
    },
    group: (...args) => {
        if (args.length > 0) {
            write("log", args);
        }
        indent = indent.length < 40 ? `${indent}  ` : indent;
    },
    groupCollapsed: (...args) => console.group(...args),
    groupEnd: () => {
        indent = indent.slice(2);
    },
    time: (label = "default") => {
        times.set(label, host.now());
    },
    timeLog: (label = "default", ...args) => {
        if (times.has(label)) {
            write("log", [`${label}: ${(host.now() - times.get(label)).toFixed(3)}ms`, ...args]);
        }
    },
    timeEnd: (label = "default") => {
        console.timeLog(label);
        times.delete(label);
    },
    clear: () => {},
};
