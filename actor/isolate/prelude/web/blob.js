/* Blob and File: bytes in memory. */
import { ReadableStream } from "./streams.js";
import { concat, copyOf, isBytes } from "./bytes.js";
import { host } from "../host.js";
import { uncloneable } from "../clone.js";

let bytesOfBlob;

export class Blob {
    #bytes;
    #type;

    static {
        bytesOfBlob = (blob) => blob.#bytes;
    }

    constructor(parts = [], options = undefined) {
        if (parts === null || typeof parts !== "object" || typeof parts[Symbol.iterator] !== "function") {
            throw new TypeError("Blob: the parts are not a sequence");
        }
        const chunks = [];
        for (const part of parts) {
            if (part instanceof Blob) {
                chunks.push(part.#bytes);
            } else {
                chunks.push(isBytes(part) ? copyOf(part) : host.encode(String(part)));
            }
        }
        this.#bytes = chunks.length === 0 ? new Uint8Array(0) : concat(chunks);
        const type = String(options?.type ?? "");
        this.#type = /[^\x20-\x7e]/.test(type) ? "" : type.toLowerCase();
    }

    get size() {
        return this.#bytes.length;
    }

    get type() {
        return this.#type;
    }

    slice(start = 0, end = this.size, type = "") {
        const part = new Blob([], { type });
        const at = (value) => Math.trunc(Number(value)) || 0;
        part.#bytes = this.#bytes.subarray(...boundsOf(at(start), at(end), this.size));
        return part;
    }

    async text() {
        return host.decode(this.#bytes.slice(), false, false);
    }

    async arrayBuffer() {
        return this.#bytes.slice().buffer;
    }

    async bytes() {
        return this.#bytes.slice();
    }

    stream() {
        const bytes = this.#bytes;
        return new ReadableStream({
            type: "bytes",
            start(controller) {
                if (bytes.length > 0) {
                    controller.enqueue(bytes.slice());
                }
                controller.close();
            },
        });
    }

    get [Symbol.toStringTag]() {
        return "Blob";
    }
}

function boundsOf(start, end, size) {
    const bound = (value) => value < 0 ? Math.max(size + value, 0) : Math.min(value, size);
    const from = bound(start);
    return [from, Math.max(bound(end), from)];
}

export class File extends Blob {
    #name;
    #lastModified;

    constructor(parts, name, options = undefined) {
        if (arguments.length < 2) {
            throw new TypeError("File: the name is missing");
        }
        super(parts, options);
        this.#name = String(name);
        this.#lastModified = options?.lastModified === undefined ? Date.now() : Math.trunc(Number(options.lastModified)) || 0;
    }

    get name() {
        return this.#name;
    }

    get lastModified() {
        return this.#lastModified;
    }

    get [Symbol.toStringTag]() {
        return "File";
    }
}

Object.defineProperty(Blob.prototype, uncloneable, { value: true });

/* Borrowed. */
export function blobBytes(blob) {
    return bytesOfBlob(blob);
}
