/* A value as one msgpack document, as rpc/value.h has it: the structured clone of JavaScript. Nothing is
 * written of a value that cannot be cloned.
 *
 * What only JavaScript has is an ext of scalars (clone_js.js). An object that comes again is how many
 * objects ago it was begun. Readers count nothing until they meet such a reference; then they read once more.
 * A Uint8Array is bytes of its own, whatever buffer it shows; other views keep theirs. */
import { DOMException, isDomName } from "./web/dom_exception.js";
import * as js from "./clone_js.js";
import * as numbers from "./clone_numbers.js";
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
const EXT_JS = 7;

/* Classes whose instances are more than their members carry this on their prototypes. */
export const uncloneable = Symbol.for("dormouse.uncloneable");

for (const platform of [
    Promise, WeakMap, WeakSet, WeakRef, FinalizationRegistry, Symbol,
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

function refuseDepth() {
    throw new DOMException(`The value could not be cloned: it nests more than ${DEPTH_MAX} deep.`, "DataCloneError");
}

function writeArray(array, depth) {
    const count = array.length;
    writer.arrayHead(count);
    for (let i = 0; i < count; i++) {
        const value = array[i];
        if (value === undefined && !(i in array)) {
            js.writeHole();
        } else {
            write(value, depth);
        }
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

const errorTexts = ["name", "message", "stack"];

/* Its texts come first: they make the error that the others may refer to. */
function writeError(error, depth) {
    const texts = errorTexts.filter((name) => error[name] !== undefined);
    const others = Object.keys(error).filter((name) => name !== "cause" && !errorTexts.includes(name));
    if (Object.hasOwn(error, "cause")) {
        others.push("cause");
    }
    const opened = writer.openExt(EXT_ERROR);
    writer.mapHead(texts.length + others.length);
    for (const name of texts) {
        writer.string(name);
        writer.string(String(error[name]));
    }
    for (const name of others) {
        writer.string(name);
        write(error[name], depth);
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
        js.writeBuffer(value);
    } else if (ArrayBuffer.isView(value)) {
        js.writeView(value);
    } else if (value instanceof Error) {
        writeError(value, depth);
    } else if (value instanceof RegExp) {
        js.writeRegExp(value);
    } else if (isBox(value)) {
        const opened = js.openBox();
        write(value.valueOf(), depth);
        js.close(opened);
    } else {
        writeMembers(value, depth);
    }
}

function isBox(value) {
    return value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt;
}

function write(value, depth) {
    switch (typeof value) {
    case "string":
        if (value.isWellFormed?.() === false) {
            js.writeUnits(value);
        } else {
            writer.string(value);
        }
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
        writeReferred(value, depth);
    }
}

function writeReferred(value, depth) {
    const ago = numbers.ago(value);
    if (ago > 0) {
        js.writeReference(ago);
        return;
    }
    numbers.give(value);
    if (depth === 0) {
        if (!isLeaf(value)) {
            refuseDepth();
        }
        writeObject(value, 0);
    } else if (Array.isArray(value)) {
        writeArray(value, depth - 1);
    } else if (Object.getPrototypeOf(value) === Object.prototype) {
        writeMembers(value, depth - 1);
    } else {
        writeObject(value, depth - 1);
    }
}

/* What counts nothing in the depth of a document. */
function isLeaf(value) {
    return value instanceof Date || value instanceof ArrayBuffer || ArrayBuffer.isView(value) ||
        value instanceof RegExp || isBox(value);
}

/* Appends the document to the writer; its caller resets the writer where this throws. A value whose getters
 * encode another one in between has its own numbers. */
export function encode(value) {
    const others = numbers.begin();
    try {
        write(value, DEPTH_MAX);
    } finally {
        numbers.end(others);
    }
}

/* The document on its own. */
export function encodeCopy(value) {
    const from = writer.mark();
    try {
        encode(value);
        return writer.writtenCopy(from);
    } finally {
        writer.reset(from);
    }
}

const errorTypes = {
    Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError,
    AggregateError: function (message) {
        return new AggregateError([], message);
    },
};

/* An error as it was somewhere else. */
export function makeError(name, message, stack) {
    let error;
    if (Object.hasOwn(errorTypes, name)) {
        error = new errorTypes[name](message);
    } else if (isDomName(name)) {
        error = new DOMException(message, name);
    } else {
        error = new Error(message);
        error.name = name;
    }
    if (stack !== undefined) {
        Object.defineProperty(error, "stack", { value: stack, configurable: true, writable: true });
    }
    return error;
}

function readError() {
    const number = objects === null ? 0 : objects.push(null) - 1;
    const texts = {};
    let error = null;
    const made = () => {
        error ??= makeError(texts.name ?? "Error", texts.message ?? "", texts.stack);
        if (objects !== null) {
            objects[number] = error;
        }
        return error;
    };
    for (let left = reader.mapHead(); left > 0; left--) {
        const name = reader.string();
        if (errorTexts.includes(name)) {
            texts[name] = item();
        } else {
            Object.defineProperty(made(), name, {
                value: item(), configurable: true, enumerable: name !== "cause", writable: true,
            });
        }
    }
    return made();
}

function readPairs() {
    const map = begun(new Map());
    for (let left = reader.arrayHead(); left > 0; left--) {
        reader.arrayHead();
        const key = item();
        map.set(key, item());
    }
    return map;
}

function readSet() {
    const set = begun(new Set());
    for (let left = reader.arrayHead(); left > 0; left--) {
        set.add(item());
    }
    return set;
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
        return begun(readTimestamp(length));
    case EXT_NO_TIME:
        item();
        return begun(new Date(NaN));
    case EXT_PAIRS:
        return readPairs();
    case EXT_SET:
        return readSet();
    case EXT_BIGINT:
        return BigInt(item());
    case EXT_UNDEFINED:
        item();
        isHole = false;
        return undefined;
    case EXT_ERROR:
        return readError();
    case EXT_JS:
        return readJs();
    default:
        throw new Error(`a value has the unknown type ${type}`);
    }
}

/* Whether the `undefined` that was read last is none. */
let isHole = false;

function readJs() {
    const count = reader.arrayHead();
    const kind = reader.string();
    switch (kind) {
    case js.HOLE:
        isHole = true;
        return undefined;
    case js.REFERENCE:
        if (objects === null) {
            throw NEEDS_NUMBERS;
        }
        return js.found(objects, item());
    case js.VIEW: {
        const number = objects === null ? 0 : objects.push(null) - 1;
        const [name, offset, length, from] = [item(), item(), item(), item()];
        if (typeof from === "number" && objects === null) {
            throw NEEDS_NUMBERS;
        }
        const view = js.readView(name, offset, length, from, objects);
        if (objects !== null) {
            objects[number] = view;
        }
        return view;
    }
    default: {
        const parts = [];
        for (let i = 1; i < count; i++) {
            parts.push(reader.isBin() ? reader.bin() : item());
        }
        const made = js.make(kind, parts);
        return typeof made === "object" ? begun(made) : made;
    }
    }
}

function readArray(count) {
    const array = begun(new Array(count));
    for (let i = 0; i < count; i++) {
        const value = item();
        if (value === undefined && isHole) {
            isHole = false;
        } else {
            array[i] = value;
        }
    }
    return array;
}

function readMap(count) {
    const object = begun({});
    for (let i = 0; i < count; i++) {
        const key = reader.string();
        if (key === "__proto__") {
            Object.defineProperty(object, key, {
                value: item(), configurable: true, enumerable: true, writable: true,
            });
        } else {
            object[key] = item();
        }
    }
    return object;
}

/* The objects of the document that is read, where it refers to them. */
let objects = null;
const NEEDS_NUMBERS = Symbol("needs numbers");

function begun(object) {
    if (objects !== null) {
        objects.push(object);
    }
    return object;
}

/* Reads the document that the reader is at. */
export function read() {
    const from = reader.position();
    try {
        return item();
    } catch (error) {
        if (error !== NEEDS_NUMBERS) {
            throw error;
        }
    }
    reader.seek(from);
    objects = [];
    try {
        return item();
    } finally {
        objects = null;
    }
}

function item() {
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
        return begun(reader.copy(reader.byte()));
    case 0xc5:
        return begun(reader.copy(reader.uint16()));
    case 0xc6:
        return begun(reader.copy(reader.uint32()));
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
