/* Reads msgpack: heads one by one for frames, whole documents for values (clone.js).
 *
 * One reader, so that a frame costs no allocation. What is read is borrowed from the frame, which
 * lives until runtime.frame returns: whatever stays is copied. Frames come from the daemon, which
 * checked what users sent it, so a malformed one is a defect and ends the isolate. */
import { host } from "./host.js";

let bytes = new Uint8Array(0);
let view = null; /* made when the first number wants it */
let at = 0;

export function open(document) {
    bytes = document;
    view = null;
    at = 0;
}

function numbers() {
    view ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return view;
}

/* To read something else in between: restore(save()) brings the reader back. */
export function save() {
    return { bytes, view, at };
}

export function restore(saved) {
    ({ bytes, view, at } = saved);
}

/* Where it is in what it reads. */
export function position() {
    return at;
}

export function seek(to) {
    at = to;
}

function malformed() {
    throw new Error("malformed frame");
}

export function byte() {
    return bytes[at++];
}

export function uint16() {
    at += 2;
    return (bytes[at - 2] << 8) | bytes[at - 1];
}

export function uint32() {
    at += 4;
    return ((bytes[at - 4] << 24) | (bytes[at - 3] << 16) | (bytes[at - 2] << 8) | bytes[at - 1]) >>> 0;
}

export function int(width, signed) {
    at += width;
    const from = at - width;
    const view = numbers();
    if (width === 1) {
        return signed ? view.getInt8(from) : bytes[from];
    }
    if (width === 2) {
        return signed ? view.getInt16(from) : view.getUint16(from);
    }
    if (width === 4) {
        return signed ? view.getInt32(from) : view.getUint32(from);
    }
    const high = signed ? view.getInt32(from) : view.getUint32(from);
    if (high > -0x200000 && high < 0x200000) {
        return high * 0x100000000 + view.getUint32(from + 4);
    }
    return signed ? view.getBigInt64(from) : view.getBigUint64(from);
}

export function float(width) {
    at += width;
    const view = numbers();
    return width === 4 ? view.getFloat32(at - 4) : view.getFloat64(at - 8);
}

/* Short ASCII strings are made here, the others by the host. Those of up to 16 bytes are looked up
 * first: names of methods, keys and members come again and again. */
const KNOWN_SLOTS = 1024;
const KNOWN_BYTES = 16;
const known = new Array(KNOWN_SLOTS).fill("");

export function text(length) {
    const from = at;
    at += length;
    if (length === 0) {
        return "";
    }
    if (length > KNOWN_BYTES) {
        return host.decode(bytes.subarray(from, at), false, true);
    }
    let hash = length;
    for (let i = from; i < from + length; i++) {
        hash = (hash * 31 + bytes[i]) | 0;
    }
    const slot = hash & (KNOWN_SLOTS - 1);
    const seen = known[slot];
    if (seen.length === length) {
        let i = 0;
        while (i < length && seen.charCodeAt(i) === bytes[from + i] && bytes[from + i] < 0x80) {
            i++;
        }
        if (i === length) {
            return seen;
        }
    }
    const made = host.decode(bytes.subarray(from, at), false, true);
    known[slot] = made;
    return made;
}

export function copy(length) {
    at += length;
    if (at > bytes.length) {
        malformed();
    }
    return bytes.slice(at - length, at);
}

export function borrow(length) {
    at += length;
    if (at > bytes.length) {
        malformed();
    }
    return bytes.subarray(at - length, at);
}

/* Of frames, whose form is fixed: one item of the named type, or null where it is nil. */
export function arrayHead() {
    const head = bytes[at++];
    if (head >= 0x90 && head < 0xa0) {
        return head & 15;
    }
    if (head === 0xdc) {
        return uint16();
    }
    if (head === 0xdd) {
        return uint32();
    }
    return head === 0xc0 ? 0 : malformed();
}

export function mapHead() {
    const head = bytes[at++];
    if (head >= 0x80 && head < 0x90) {
        return head & 15;
    }
    if (head === 0xde) {
        return uint16();
    }
    return head === 0xdf ? uint32() : malformed();
}

export function isBin() {
    return bytes[at] >= 0xc4 && bytes[at] <= 0xc6;
}

export function uint() {
    const head = bytes[at++];
    if (head < 0x80) {
        return head;
    }
    if (head >= 0xcc && head <= 0xcf) {
        return Number(int(1 << (head - 0xcc), false));
    }
    if (head >= 0xd0 && head <= 0xd3) {
        return Number(int(1 << (head - 0xd0), true));
    }
    if (head === 0xcb) {
        return float(8);
    }
    return head >= 0xe0 ? head - 256 : malformed();
}

export function isNil() {
    if (bytes[at] !== 0xc0) {
        return false;
    }
    at++;
    return true;
}

export function bool() {
    return bytes[at++] === 0xc3;
}

export function string() {
    const head = bytes[at++];
    if (head >= 0xa0 && head < 0xc0) {
        return text(head & 31);
    }
    if (head === 0xd9) {
        return text(byte());
    }
    if (head === 0xda) {
        return text(uint16());
    }
    return head === 0xdb ? text(uint32()) : malformed();
}

export function isString() {
    const head = bytes[at];
    return (head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb);
}

/* The length of a bin, whose contents are read next; -1 where it is nil. */
export function binHead() {
    const head = bytes[at++];
    if (head === 0xc4) {
        return byte();
    }
    if (head === 0xc5) {
        return uint16();
    }
    if (head === 0xc6) {
        return uint32();
    }
    return head === 0xc0 ? -1 : malformed();
}

export function bin() {
    const length = binHead();
    return length < 0 ? null : copy(length);
}
