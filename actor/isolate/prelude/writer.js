/* Writes msgpack into one buffer that all frames and values share.
 *
 * Use is a stack: a writer remembers `mark()`, writes, takes what it wrote, and goes back to its mark
 * with `reset(mark)`, also when it fails. Encoding a value may run code of the user (a getter), and
 * that code may send frames of its own in between: they land above the mark and are gone again. */
import { host } from "./host.js";
import { FRAME_BYTES_MAX } from "./frames.js";

const KEPT_BYTES = 64 * 1024;
const SHORT_STRING = 200; /* up to here a loop is faster than a call of the host */

let bytes = new Uint8Array(KEPT_BYTES);
let view = new DataView(bytes.buffer);
let at = 0;

export function mark() {
    return at;
}

export function reset(to) {
    at = to;
    if (to === 0 && bytes.length > KEPT_BYTES) {
        bytes = new Uint8Array(KEPT_BYTES);
        view = new DataView(bytes.buffer);
    }
}

/* Sends what was written since `from` as one frame; `isUrgent`: at once, not at the end of the turn. */
export function send(from, isUrgent = false) {
    if (from === 0) {
        host.send(bytes, at, isUrgent);
    } else {
        const frame = bytes.subarray(from, at);
        host.send(frame, frame.length, isUrgent);
    }
    reset(from);
}

export function writtenCopy(from) {
    return bytes.slice(from, at);
}

function grow(need) {
    if (at + need > FRAME_BYTES_MAX) {
        throw new RangeError(`a message may be ${FRAME_BYTES_MAX} bytes at most`);
    }
    let size = bytes.length * 2;
    while (size < at + need) {
        size *= 2;
    }
    const larger = new Uint8Array(size);
    larger.set(bytes.subarray(0, at));
    bytes = larger;
    view = new DataView(larger.buffer);
}

function room(need) {
    if (at + need > bytes.length) {
        grow(need);
    }
}

export function nil() {
    room(1);
    bytes[at++] = 0xc0;
}

export function bool(value) {
    room(1);
    bytes[at++] = value ? 0xc3 : 0xc2;
}

function float(value) {
    bytes[at] = 0xcb;
    view.setFloat64(at + 1, value);
    at += 9;
}

function largeInt(value) {
    if (value >= 0) {
        if (value <= 0xffffffff) {
            bytes[at] = 0xce;
            view.setUint32(at + 1, value);
            at += 5;
            return;
        }
        bytes[at] = 0xcf;
    } else {
        if (value >= -0x80000000) {
            bytes[at] = 0xd2;
            view.setInt32(at + 1, value);
            at += 5;
            return;
        }
        bytes[at] = 0xd3;
    }
    view.setInt32(at + 1, Math.floor(value / 0x100000000));
    view.setUint32(at + 5, value >>> 0);
    at += 9;
}

/* Integers that JavaScript has exactly are integers on the wire, all else (also -0) is a float. */
export function number(value) {
    room(9);
    if (!Number.isSafeInteger(value) || (value === 0 && 1 / value < 0)) {
        float(value);
    } else if (value >= 0 && value < 128) {
        bytes[at++] = value;
    } else if (value < 0 && value >= -32) {
        bytes[at++] = value + 256;
    } else if (value >= 0 && value < 256) {
        bytes[at++] = 0xcc;
        bytes[at++] = value;
    } else if (value >= 0 && value < 65536) {
        bytes[at] = 0xcd;
        view.setUint16(at + 1, value);
        at += 3;
    } else if (value < 0 && value >= -128) {
        bytes[at++] = 0xd0;
        bytes[at++] = value & 0xff;
    } else if (value < 0 && value >= -32768) {
        bytes[at] = 0xd1;
        view.setInt16(at + 1, value);
        at += 3;
    } else {
        largeInt(value);
    }
}

/* `at` is past the head; the bytes of an ASCII string follow, or false and nothing is written. */
function ascii(text, length) {
    let to = at;
    for (let i = 0; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > 0x7f) {
            return false;
        }
        bytes[to++] = code;
    }
    at = to;
    return true;
}

function stringHead(length) {
    room(5 + length);
    if (length < 32) {
        bytes[at++] = 0xa0 | length;
    } else if (length < 256) {
        bytes[at++] = 0xd9;
        bytes[at++] = length;
    } else if (length < 65536) {
        bytes[at] = 0xda;
        view.setUint16(at + 1, length);
        at += 3;
    } else {
        bytes[at] = 0xdb;
        view.setUint32(at + 1, length);
        at += 5;
    }
}

export function string(text) {
    const length = text.length;
    if (length <= SHORT_STRING) {
        const before = at;
        stringHead(length);
        if (ascii(text, length)) {
            return;
        }
        at = before;
    }
    const utf8 = host.encode(text);
    stringHead(utf8.length);
    bytes.set(utf8, at);
    at += utf8.length;
}

export function arrayHead(count) {
    room(5);
    if (count < 16) {
        bytes[at++] = 0x90 | count;
    } else if (count < 65536) {
        bytes[at] = 0xdc;
        view.setUint16(at + 1, count);
        at += 3;
    } else {
        bytes[at] = 0xdd;
        view.setUint32(at + 1, count);
        at += 5;
    }
}

/* Heads whose count is known only at the end, for what is counted while it is written. */
export function openMap() {
    room(5);
    bytes[at] = 0xdf;
    at += 5;
    return at;
}

export function closeMap(opened, count) {
    view.setUint32(opened - 4, count);
}

export function mapHead(count) {
    room(5);
    if (count < 16) {
        bytes[at++] = 0x80 | count;
    } else if (count < 65536) {
        bytes[at] = 0xde;
        view.setUint16(at + 1, count);
        at += 3;
    } else {
        bytes[at] = 0xdf;
        view.setUint32(at + 1, count);
        at += 5;
    }
}

function binHead(length) {
    room(5 + length);
    if (length < 256) {
        bytes[at++] = 0xc4;
        bytes[at++] = length;
    } else if (length < 65536) {
        bytes[at] = 0xc5;
        view.setUint16(at + 1, length);
        at += 3;
    } else {
        bytes[at] = 0xc6;
        view.setUint32(at + 1, length);
        at += 5;
    }
}

export function bin(data) {
    binHead(data.length);
    bytes.set(data, at);
    at += data.length;
}

/* A bin, or an ext, whose contents are written between open and close. */
export function openBin() {
    room(5);
    bytes[at] = 0xc6;
    at += 5;
    return at;
}

export function closeBin(opened) {
    view.setUint32(opened - 4, at - opened);
}

export function openExt(type) {
    room(6);
    bytes[at] = 0xc9;
    bytes[at + 5] = type;
    at += 6;
    return at;
}

export function closeExt(opened) {
    view.setUint32(opened - 5, at - opened);
}

/* A Date: msgpack's own timestamp, in its shortest form. */
export function timestamp(ms) {
    room(15);
    const seconds = Math.floor(ms / 1000);
    const nanoseconds = (ms - seconds * 1000) * 1000000;
    if (nanoseconds === 0 && seconds >= 0 && seconds <= 0xffffffff) {
        bytes[at] = 0xd6;
        bytes[at + 1] = 0xff;
        view.setUint32(at + 2, seconds);
        at += 6;
    } else if (seconds >= 0 && seconds < 0x400000000) {
        bytes[at] = 0xd7;
        bytes[at + 1] = 0xff;
        view.setUint32(at + 2, nanoseconds * 4 + Math.floor(seconds / 0x100000000));
        view.setUint32(at + 6, seconds >>> 0);
        at += 10;
    } else {
        bytes[at] = 0xc7;
        bytes[at + 1] = 12;
        bytes[at + 2] = 0xff;
        view.setUint32(at + 3, nanoseconds);
        view.setInt32(at + 7, Math.floor(seconds / 0x100000000));
        view.setUint32(at + 11, seconds >>> 0);
        at += 15;
    }
}
