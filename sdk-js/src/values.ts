/* Values as the API writes them in JSON, and as JavaScript has them.
 *
 *     Uint8Array {"$bytes"}   Date {"$date"}   Map {"$map"}   Set {"$set"}   Error {"$error"}
 *     bigint     an integer where it fits 64 bits and no number holds it, else {"$bigint"}
 *     undefined  {"$undefined"} in arrays and arguments; members of objects that are undefined are left out
 *
 * An integer that a number cannot hold comes as a bigint, never rounded. What only JavaScript tells apart
 * ({"$js"}: other typed arrays, regular expressions) is read and written too. A plain object with one of these
 * names as its only member is what the name says: the API has no escape for it. */

import { refused } from "./errors.js";

const DEPTH_MAX = 128;
const INT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 64n - 1n;

/* ---- base64 ---- */

interface Base64Bytes {
    toBase64?(): string;
}
interface Base64Class {
    fromBase64?(text: string): Uint8Array;
}
/* Node's, far quicker than what pages had before Uint8Array could do it. */
interface NodeBuffer {
    from(data: ArrayBufferLike, offset: number, length: number): { toString(coding: "base64"): string };
    from(text: string, coding: "base64"): Uint8Array;
}
const { Buffer: nodeBuffer } = globalThis as { Buffer?: NodeBuffer };

export function toBase64(bytes: Uint8Array): string {
    if (nodeBuffer !== undefined) {
        return nodeBuffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
    }
    const native = (bytes as Base64Bytes).toBase64;
    if (native !== undefined) {
        return native.call(bytes);
    }
    let text = "";
    for (let i = 0; i < bytes.length; i += 0x8000) {
        text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
    }
    return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
    if (nodeBuffer !== undefined) {
        return new Uint8Array(nodeBuffer.from(text, "base64")); // a copy: a Buffer is of a class of its own
    }
    const native = (Uint8Array as Base64Class).fromBase64;
    return native !== undefined ? native.call(Uint8Array, text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/* ---- writing ---- */

/* JSON.stringify writes no bigint and no -0: such a number goes in as a text that nobody else can have written, and out as digits. */
const MARK = `number:${crypto.randomUUID()}:`;
const MARKED = new RegExp(`"${MARK}(-?[\\d.]+)"`, "g");

interface Writing {
    hasMarks: boolean;
}

function marked(digits: string, w: Writing): string {
    w.hasMarks = true;
    return MARK + digits;
}

function writeBigint(value: bigint, w: Writing): unknown {
    const isSafe = value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
    if (isSafe || value < INT_MIN || value > INT_MAX) {
        return { $bigint: String(value) };
    }
    return marked(String(value), w);
}

function bytesOf(view: ArrayBufferView): Uint8Array {
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function writeView(view: ArrayBufferView): unknown {
    if (view instanceof Uint8Array) {
        return { $bytes: toBase64(view) };
    }
    const name = Object.prototype.toString.call(view).slice(8, -1);
    const length = "length" in view ? (view as unknown as { length: number }).length : view.byteLength;
    return { $js: ["view", name, 0, length, { $bytes: toBase64(bytesOf(view)) }] };
}

function writeArray(array: unknown[], w: Writing, depth: number): unknown[] {
    const items: unknown[] = new Array(array.length);
    for (let i = 0; i < array.length; i++) {
        items[i] = i in array ? write(array[i], w, depth + 1) : { $js: ["hole"] };
    }
    return items;
}

function writeObject(object: object, w: Writing, depth: number): unknown {
    if (Array.isArray(object)) {
        return writeArray(object, w, depth);
    }
    if (ArrayBuffer.isView(object)) {
        return writeView(object);
    }
    if (object instanceof Date) {
        return { $date: Number.isNaN(object.getTime()) ? null : object.getTime() };
    }
    if (object instanceof Map) {
        return { $map: Array.from(object, ([k, v]) => [write(k, w, depth + 2), write(v, w, depth + 2)]) };
    }
    if (object instanceof Set) {
        return { $set: Array.from(object, (v) => write(v, w, depth + 2)) };
    }
    if (object instanceof Error) {
        return { $error: { name: object.name, message: object.message, stack: object.stack ?? "" } };
    }
    if (object instanceof ArrayBuffer) {
        return { $js: ["buffer", { $bytes: toBase64(new Uint8Array(object)) }] };
    }
    if (object instanceof RegExp) {
        return { $js: ["regexp", object.source, object.flags] };
    }
    const { toJSON } = object as { toJSON?: unknown };
    if (typeof toJSON === "function") {
        return write(toJSON.call(object, ""), w, depth + 1);
    }
    const members: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(object)) {
        if (value !== undefined) {
            // "__proto__" as an assignment would set the prototype.
            Object.defineProperty(members, name, {
                value: write(value, w, depth + 1), enumerable: true, configurable: true, writable: true,
            });
        }
    }
    return members;
}

function write(value: unknown, w: Writing, depth: number): unknown {
    if (depth > DEPTH_MAX) {
        throw refused("The value nests too deep, or holds itself.");
    }
    switch (typeof value) {
    case "string":
    case "boolean":
        return value;
    case "number":
        if (!Number.isFinite(value)) {
            throw refused(`${value} is no value in JSON.`);
        }
        return Object.is(value, -0) ? marked("-0.0", w) : value;
    case "bigint":
        return writeBigint(value, w);
    case "undefined":
        return { $undefined: true };
    case "object":
        return value === null ? null : writeObject(value, w, depth);
    default:
        throw refused(`A ${typeof value} is no value.`);
    }
}

/** The JSON of a value, or of a request's body with values in it. */
export function encode(value: unknown): string {
    const w: Writing = { hasMarks: false };
    const json = JSON.stringify(write(value, w, 0));
    return w.hasMarks ? json.replace(MARKED, "$1") : json;
}

/* ---- reading ---- */

const LONG_DIGITS = /\d{16}/;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;
const INTEGER = /^-?\d{16,}$/;

/* Texts are passed over, so that digits inside of them stay. */
function keepIntegers(json: string): string {
    return json.replace(TOKENS, (token) =>
        INTEGER.test(token) && !Number.isSafeInteger(Number(token)) ? `{"$bigint":"${token}"}` : token);
}

const ERRORS: Record<string, new (message: string) => Error> = {
    EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError,
};
const VIEWS: Record<string, new (buffer: ArrayBuffer, offset: number, length: number) => ArrayBufferView> = {
    Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
    BigInt64Array, BigUint64Array, DataView, Uint8Array,
};

function readError(parts: { name?: unknown; message?: unknown; stack?: unknown }): Error {
    const name = String(parts.name ?? "Error");
    const error = new (ERRORS[name] ?? Error)(String(parts.message ?? ""));
    if (error.name !== name) {
        Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
    }
    if (typeof parts.stack === "string") {
        // Node prints an error by its stack, and expects its name and message there; JavaScriptCore has them apart.
        error.stack = parts.stack.startsWith(name) ? parts.stack : `${name}: ${error.message}\n${parts.stack.replace(/^(?=.)/gm, "    at ")}`;
    }
    return error;
}

function bufferOf(bytes: unknown): ArrayBuffer {
    const from = bytes as Uint8Array;
    return from.buffer.slice(from.byteOffset, from.byteOffset + from.byteLength) as ArrayBuffer;
}

/* Kinds that are not known here stay as they are shown. */
function readJs(items: unknown[], shown: object): unknown {
    const [kind, a, b, c, d] = items;
    if (kind === "buffer" && a instanceof Uint8Array) {
        return bufferOf(a);
    }
    if (kind === "view" && d instanceof Uint8Array && VIEWS[String(a)] !== undefined) {
        return new VIEWS[String(a)]!(bufferOf(d), Number(b), Number(c));
    }
    if (kind === "regexp") {
        return new RegExp(String(a), String(b));
    }
    return kind === "box" ? Object(a) : shown;
}

function readSpecial(name: string, content: unknown, shown: object): unknown {
    switch (name) {
    case "$bytes":
        return typeof content === "string" ? fromBase64(content) : shown;
    case "$date":
        return new Date(content === null ? NaN : Number(content));
    case "$bigint":
        return typeof content === "string" ? BigInt(content) : shown;
    case "$undefined":
        return undefined;
    case "$map":
        return Array.isArray(content) ? new Map((read(content) as [unknown, unknown][])) : shown;
    case "$set":
        return Array.isArray(content) ? new Set(read(content) as unknown[]) : shown;
    case "$error":
        return typeof content === "object" && content !== null ? readError(content) : shown;
    case "$js":
        return Array.isArray(content) ? readJs(read(content) as unknown[], shown) : shown;
    default:
        return shown;
    }
}

function isHole(item: unknown): boolean {
    const js = (item as { $js?: unknown } | null)?.$js;
    return Array.isArray(js) && js[0] === "hole";
}

function readArray(array: unknown[]): unknown[] {
    for (let i = 0; i < array.length; i++) {
        if (isHole(array[i])) {
            delete array[i];
        } else {
            array[i] = read(array[i]);
        }
    }
    return array;
}

/* Changes what was parsed in place: nobody else has it. */
function read(value: unknown): unknown {
    if (typeof value !== "object" || value === null) {
        return value;
    }
    if (Array.isArray(value)) {
        return readArray(value);
    }
    const names = Object.keys(value);
    const object = value as Record<string, unknown>;
    const [only] = names;
    if (names.length === 1 && only !== undefined && only.startsWith("$")) {
        const special = readSpecial(only, object[only], object);
        if (special !== object) {
            return special;
        }
    }
    for (const name of names) {
        const member = object[name];
        if (typeof member === "object" && member !== null && name !== "__proto__") {
            object[name] = read(member);
        }
    }
    return object;
}

/** The value that a JSON text shows. Throws SyntaxError where it is none. */
export function decode(json: string): unknown {
    const text = LONG_DIGITS.test(json) ? keepIntegers(json) : json;
    const value: unknown = JSON.parse(text);
    return text.includes('"$') ? read(value) : value;
}
