/* A value as one msgpack document, as rpc/value.h has it: the structured clone of JavaScript, less
 * what a document cannot hold (views other than bytes, regular expressions, a reference to itself). Nothing
 * is written of a value that cannot be cloned. An ArrayBuffer comes back as a Uint8Array. */
import { DOMException, isDomName } from "./web/dom_exception.js";
import * as reader from "./reader.js";
import * as writer from "./writer.js";

export const DEPTH_MAX = 32;

const EXT_TIMESTAMP = 0xff;
const EXT_NO_TIME = 1;
const EXT_PAIRS = 2;
const EXT_SET = 3;
const EXT_BIGINT = 4;
const EXT_UNDEFINED = 5;
const EXT_ERROR = 6;

/* Classes whose instances are more than their members carry this on their prototypes. */
export const uncloneable = Symbol.for("dormouse.uncloneable");

for (const platform of [
    Promise, WeakMap, WeakSet, WeakRef, FinalizationRegistry, Symbol, RegExp,
    Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())),
    Object.getPrototypeOf(async function* () {}.prototype), globalThis.SharedArrayBuffer,
    globalThis.WebAssembly?.Module, globalThis.WebAssembly?.Instance, globalThis.WebAssembly?.Memory,
]) {
    const prototype = typeof platform === "function" ? platform.prototype : platform;
    if (prototype) {
        Object.defineProperty(prototype, uncloneable, { value: true });
    }
}

function refuse(what) {
    throw new DOMException(`${what} could not be cloned.`, "DataCloneError");
}

function refuseObject(value) {
    const name = value.constructor?.name;
    refuse(`#<${typeof name === "string" && name !== "" ? name : "Object"}>`);
}

/* Depth is bounded, so a cycle always ends here; the path tells one from a deep value. */
function refuseDepth(value) {
    const seen = new Set();
    let at = value;
    while (typeof at === "object" && at !== null && !seen.has(at) && seen.size < 1000) {
        seen.add(at);
        const inner = at instanceof Map ? [...at.values()] : at instanceof Set ? [...at] : Object.values(at);
        at = inner.find((one) => typeof one === "object" && one !== null);
    }
    const why = seen.has(at) ? "it refers to itself" : `it nests more than ${DEPTH_MAX} deep`;
    throw new DOMException(`The value could not be cloned: ${why}.`, "DataCloneError");
}

function writeArray(array, depth) {
    const count = array.length;
    writer.arrayHead(count);
    for (let i = 0; i < count; i++) {
        write(array[i], depth);
    }
}

function writeMembers(object, depth) {
    const keys = Object.keys(object);
    const count = keys.length;
    writer.mapHead(count);
    for (let i = 0; i < count; i++) {
        const key = keys[i];
        writer.string(key);
        write(object[key], depth);
    }
}

function writePairs(map, depth) {
    const opened = writer.openExt(EXT_PAIRS);
    const entries = [...map];
    writer.arrayHead(entries.length);
    for (const [key, value] of entries) {
        writer.arrayHead(2);
        write(key, depth);
        write(value, depth);
    }
    writer.closeExt(opened);
}

function writeSet(set, depth) {
    const opened = writer.openExt(EXT_SET);
    writeArray([...set], depth);
    writer.closeExt(opened);
}

function writeBigint(value) {
    const opened = writer.openExt(EXT_BIGINT);
    writer.string(value.toString());
    writer.closeExt(opened);
}

function writeUndefined() {
    const opened = writer.openExt(EXT_UNDEFINED);
    writer.bool(true);
    writer.closeExt(opened);
}

function writeDate(date) {
    const ms = date.getTime();
    if (Number.isNaN(ms)) {
        const opened = writer.openExt(EXT_NO_TIME);
        writer.nil();
        writer.closeExt(opened);
    } else {
        writer.timestamp(ms);
    }
}

function writeError(error, depth) {
    const members = [];
    for (const name of ["name", "message", "stack"]) {
        const value = error[name];
        if (value !== undefined) {
            members.push([name, String(value)]);
        }
    }
    const opened = writer.openExt(EXT_ERROR);
    const hasCause = Object.hasOwn(error, "cause");
    writer.mapHead(members.length + (hasCause ? 1 : 0));
    for (const [name, value] of members) {
        writer.string(name);
        writer.string(value);
    }
    if (hasCause) {
        writer.string("cause");
        write(error.cause, depth);
    }
    writer.closeExt(opened);
}

function writeObject(value, depth) {
    if (value instanceof Uint8Array) {
        writer.bin(value);
    } else if (value instanceof Date) {
        writeDate(value);
    } else if (value[uncloneable]) {
        refuseObject(value);
    } else if (value instanceof Map) {
        writePairs(value, depth);
    } else if (value instanceof Set) {
        writeSet(value, depth);
    } else if (value instanceof ArrayBuffer) {
        writer.bin(new Uint8Array(value));
    } else if (ArrayBuffer.isView(value)) {
        refuse(`${value.constructor?.name ?? "A view"}: a document holds bytes (Uint8Array, ArrayBuffer); it`);
    } else if (value instanceof Error) {
        writeError(value, depth);
    } else if (value instanceof Number || value instanceof String || value instanceof Boolean ||
               value instanceof BigInt) {
        write(value.valueOf(), depth);
    } else {
        writeMembers(value, depth);
    }
}

function write(value, depth) {
    switch (typeof value) {
    case "string":
        writer.string(value);
        break;
    case "number":
        writer.number(value);
        break;
    case "boolean":
        writer.bool(value);
        break;
    case "undefined":
        writeUndefined();
        break;
    case "bigint":
        writeBigint(value);
        break;
    case "function":
        refuse(String(value).slice(0, 200));
        break;
    case "symbol":
        refuse(String(value));
        break;
    case "object":
        if (value === null) {
            writer.nil();
            break;
        }
        if (depth === 0) {
            if (isLeaf(value)) {
                writeObject(value, 0);
                break;
            }
            refuseDepth(value);
        }
        if (Array.isArray(value)) {
            writeArray(value, depth - 1);
        } else if (Object.getPrototypeOf(value) === Object.prototype) {
            writeMembers(value, depth - 1);
        } else {
            writeObject(value, depth - 1);
        }
    }
}

/* What counts nothing in the depth of a document. */
function isLeaf(value) {
    return value instanceof Date || value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

/* Appends the document to the writer; its caller resets the writer where this throws. */
export function encode(value) {
    write(value, DEPTH_MAX);
}

/* The document on its own. */
export function encodeCopy(value) {
    const from = writer.mark();
    try {
        write(value, DEPTH_MAX);
        return writer.writtenCopy(from);
    } finally {
        writer.reset(from);
    }
}

const errorTypes = { Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError };

/* An error as it was somewhere else. */
export function makeError(name, message, stack) {
    let error;
    if (Object.hasOwn(errorTypes, name)) {
        error = new errorTypes[name](message);
    } else if (isDomName(name)) {
        error = new DOMException(message, name);
    } else {
        error = new Error(message);
        Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
    }
    if (stack !== undefined) {
        Object.defineProperty(error, "stack", { value: stack, configurable: true, writable: true });
    }
    return error;
}

function readError() {
    const members = read();
    const error = makeError(members.name ?? "Error", members.message ?? "", members.stack);
    if (Object.hasOwn(members, "cause")) {
        Object.defineProperty(error, "cause", { value: members.cause, configurable: true, writable: true });
    }
    return error;
}

function readTimestamp(length) {
    if (length === 4) {
        return new Date(reader.uint32() * 1000);
    }
    let nanoseconds = reader.uint32();
    let seconds;
    if (length === 8) {
        seconds = (nanoseconds & 3) * 0x100000000 + reader.uint32();
        nanoseconds = Math.floor(nanoseconds / 4);
    } else {
        seconds = Number(reader.int(8, true));
    }
    return new Date(seconds * 1000 + Math.floor(nanoseconds / 1000000));
}

function readExt(length) {
    const type = reader.byte();
    switch (type) {
    case EXT_TIMESTAMP:
        return readTimestamp(length);
    case EXT_NO_TIME:
        read();
        return new Date(NaN);
    case EXT_PAIRS:
        return new Map(read());
    case EXT_SET:
        return new Set(read());
    case EXT_BIGINT:
        return BigInt(read());
    case EXT_UNDEFINED:
        read();
        return undefined;
    case EXT_ERROR:
        return readError();
    default:
        throw new Error(`a value has the unknown type ${type}`);
    }
}

function readArray(count) {
    const array = new Array(count);
    for (let i = 0; i < count; i++) {
        array[i] = read();
    }
    return array;
}

function readMap(count) {
    const object = {};
    for (let i = 0; i < count; i++) {
        const key = reader.string();
        if (key === "__proto__") {
            Object.defineProperty(object, key, {
                value: read(), configurable: true, enumerable: true, writable: true,
            });
        } else {
            object[key] = read();
        }
    }
    return object;
}

/* Reads the document that the reader is at. */
export function read() {
    const head = reader.byte();
    if (head < 0x80) {
        return head;
    }
    if (head < 0x90) {
        return readMap(head & 15);
    }
    if (head < 0xa0) {
        return readArray(head & 15);
    }
    if (head < 0xc0) {
        return reader.text(head & 31);
    }
    if (head >= 0xe0) {
        return head - 256;
    }
    switch (head) {
    case 0xc0:
        return null;
    case 0xc2:
        return false;
    case 0xc3:
        return true;
    case 0xc4:
        return reader.copy(reader.byte());
    case 0xc5:
        return reader.copy(reader.uint16());
    case 0xc6:
        return reader.copy(reader.uint32());
    case 0xc7:
        return readExt(reader.byte());
    case 0xc8:
        return readExt(reader.uint16());
    case 0xc9:
        return readExt(reader.uint32());
    case 0xca:
        return reader.float(4);
    case 0xcb:
        return reader.float(8);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return reader.int(1 << (head - 0xcc), false);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return reader.int(1 << (head - 0xd0), true);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return readExt(1 << (head - 0xd4));
    case 0xd9:
        return reader.text(reader.byte());
    case 0xda:
        return reader.text(reader.uint16());
    case 0xdb:
        return reader.text(reader.uint32());
    case 0xdc:
        return readArray(reader.uint16());
    case 0xdd:
        return readArray(reader.uint32());
    case 0xde:
        return readMap(reader.uint16());
    case 0xdf:
        return readMap(reader.uint32());
    default:
        throw new Error("a value is malformed");
    }
}

/* The value of a document that stands alone; the reader stays where it was. */
export function decode(document) {
    const saved = reader.save();
    try {
        reader.open(document);
        return read();
    } finally {
        reader.restore(saved);
    }
}
