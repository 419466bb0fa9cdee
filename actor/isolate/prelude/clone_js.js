/* What only JavaScript has, as an ext whose payload is an array of scalars: its kind, and
 *
 *    "ref", n                        the object that was begun n objects ago; 1 is the last one
 *    "hole"                          an element of an array that is not there
 *    "buffer", bytes                 an ArrayBuffer
 *    "view", name, offset, length, bytes or n
 *                                    a view (length in elements) of a buffer, which is one more object, or one
 *                                    that was begun n objects ago
 *    "regexp", source, flags         a RegExp
 *    "box", value                    a Number, String, Boolean or BigInt object
 *    "units", bytes                  a string with half a surrogate pair: UTF-16, little-endian
 */
import * as numbers from "./clone_numbers.js";
import * as writer from "./writer.js";

export const REFERENCE = "ref";
export const HOLE = "hole";
export const VIEW = "view";

const EXT_JS = 7;

const views = new Map([
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array, DataView, globalThis.Float16Array,
].filter(Boolean).map((type) => [type.name, type]));

const tagOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;

function open(kind, count) {
    const opened = writer.openExt(EXT_JS);
    writer.arrayHead(count);
    writer.string(kind);
    return opened;
}

export const close = writer.closeExt;

export function writeReference(ago) {
    const opened = open(REFERENCE, 2);
    writer.number(ago);
    close(opened);
}

export function writeHole() {
    close(open(HOLE, 1));
}

export function writeBuffer(buffer) {
    const opened = open("buffer", 2);
    writer.bin(new Uint8Array(buffer));
    close(opened);
}

/* PRE: the view has its number */
export function writeView(view) {
    const { buffer } = view;
    if (!(buffer instanceof ArrayBuffer)) {
        throw new TypeError("A view of shared memory cannot be cloned.");
    }
    const opened = open(VIEW, 5);
    writer.string(tagOf.call(view) ?? "DataView");
    writer.number(view.byteOffset);
    writer.number(view.length ?? view.byteLength);
    const ago = numbers.ago(buffer);
    if (ago > 0) {
        writer.number(ago);
    } else {
        numbers.give(buffer);
        writer.bin(new Uint8Array(buffer));
    }
    close(opened);
}

export function writeRegExp({ source, flags }) {
    const opened = open("regexp", 3);
    writer.string(source);
    writer.string(flags);
    close(opened);
}

export function openBox() {
    return open("box", 2);
}

export function writeUnits(text) {
    const bytes = new Uint8Array(text.length * 2);
    for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        bytes[2 * i] = unit & 0xff;
        bytes[2 * i + 1] = unit >> 8;
    }
    const opened = open("units", 2);
    writer.bin(bytes);
    close(opened);
}

function malformed() {
    throw new TypeError("A value is malformed.");
}

export function found(objects, ago) {
    const object = objects[objects.length - ago];
    return object === undefined || object === null ? malformed() : object;
}

/* `from`: the bytes of its buffer, or how many objects ago that was begun. */
export function readView(name, offset, length, from, objects) {
    const type = views.get(name) ?? malformed();
    let buffer;
    if (from instanceof Uint8Array) {
        ({ buffer } = from);
        if (objects !== null) {
            objects[objects.lastIndexOf(from)] = buffer;
        }
    } else {
        buffer = found(objects, from);
    }
    return new type(buffer, offset, length);
}

function textOfUnits(bytes) {
    const parts = [];
    for (let i = 0; i + 1 < bytes.length; i += 2) {
        parts.push(String.fromCharCode(bytes[i] | (bytes[i + 1] << 8)));
    }
    return parts.join("");
}

/* All other kinds. */
export function make(kind, parts) {
    switch (kind) {
    case "buffer":
        return parts[0].buffer;
    case "regexp":
        return new RegExp(parts[0], parts[1]);
    case "box":
        return Object(parts[0]);
    case "units":
        return textOfUnits(parts[0]);
    default:
        return malformed();
    }
}
