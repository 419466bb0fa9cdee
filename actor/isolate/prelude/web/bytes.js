/* Bytes of buffers and views. */

export function isBytes(value) {
    return value instanceof ArrayBuffer || ArrayBuffer.isView(value);
}

/* Borrowed: the same memory. */
export function viewOf(value, what = "The argument") {
    if (value instanceof Uint8Array) {
        return value;
    }
    if (ArrayBuffer.isView(value)) {
        return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    }
    if (value instanceof ArrayBuffer) {
        return new Uint8Array(value);
    }
    throw new TypeError(`${what} is neither an ArrayBuffer nor a view of one.`);
}

/* A copy: of memory that its owner may change or transfer, and that may be shown to the host. */
export function copyOf(value, what) {
    return viewOf(value, what).slice();
}

export function concat(chunks) {
    if (chunks.length === 1) {
        return chunks[0];
    }
    let length = 0;
    for (const chunk of chunks) {
        length += chunk.length;
    }
    const all = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
        all.set(chunk, at);
        at += chunk.length;
    }
    return all;
}

/* Its own ArrayBuffer, of exactly these bytes. */
export function bufferOf(bytes) {
    return bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength
        ? bytes.buffer : bytes.slice().buffer;
}
