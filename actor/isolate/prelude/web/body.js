/* Bodies of requests and responses.
 *
 * A body is what it was made of (text, bytes, a stream of the daemon) for as long as nobody asks for
 * `body`: most are read or sent whole, and never become a stream. */
import { Blob, blobBytes } from "./blob.js";
import { FormData, decodeForm, encodeMultipart } from "./form_data.js";
import { IncomingStream } from "../incoming.js";
import { ReadableStream, isDisturbed } from "./streams.js";
import { URLSearchParams } from "./url.js";
import { concat, copyOf, isBytes, viewOf } from "./bytes.js";
import { host } from "../host.js";

const USED = "Body has already been used. It can only be used once. Use tee() first if you need to read it twice.";

/* {source, type}: what a body is made of, and its content type. */
export function extractBody(value) {
    if (value === null || value === undefined) {
        return { source: null, type: null };
    }
    if (typeof value === "string") {
        return { source: value, type: "text/plain;charset=UTF-8" };
    }
    if (isBytes(value)) {
        return { source: copyOf(value), type: null };
    }
    if (value instanceof ReadableStream) {
        if (value.locked || isDisturbed(value)) {
            throw new TypeError("The stream of the body is locked or was read from.");
        }
        return { source: value, type: null };
    }
    if (value instanceof Blob) {
        return { source: blobBytes(value), type: value.type === "" ? null : value.type };
    }
    if (value instanceof URLSearchParams) {
        return { source: value.toString(), type: "application/x-www-form-urlencoded;charset=UTF-8" };
    }
    if (value instanceof FormData) {
        const { bytes, boundary } = encodeMultipart(value);
        return { source: bytes, type: `multipart/form-data; boundary=${boundary}` };
    }
    return { source: String(value), type: "text/plain;charset=UTF-8" };
}

function streamOf(source) {
    if (source instanceof ReadableStream) {
        return source;
    }
    if (source instanceof IncomingStream) {
        return new ReadableStream({
            type: "bytes",
            async pull(controller) {
                const chunk = await source.read();
                if (chunk === null) {
                    controller.close();
                    controller.byobRequest?.respond(0);
                } else {
                    controller.enqueue(chunk);
                }
            },
            cancel() {
                source.cancel();
            },
        });
    }
    const bytes = typeof source === "string" ? host.encode(source) : source.slice();
    return new ReadableStream({
        type: "bytes",
        start(controller) {
            if (bytes.length > 0) {
                controller.enqueue(bytes);
            }
            controller.close();
        },
    });
}

async function readAll(stream) {
    const reader = stream.getReader();
    const chunks = [];
    for (;;) {
        const { done, value } = await reader.read();
        if (done) {
            return chunks.length === 0 ? new Uint8Array(0) : concat(chunks);
        }
        chunks.push(viewOf(value, "A chunk of the body"));
    }
}

let takeSource;
let copySource;
let isThere;

export class Body {
    #source;
    #stream = null;
    #isUsed = false;

    static {
        takeSource = (body) => body.#take();
        copySource = (body) => body.#copy();
        isThere = (body) => body.#source !== null;
    }

    constructor(source) {
        this.#source = source;
    }

    get body() {
        if (this.#source === null) {
            return null;
        }
        if (this.#stream === null) {
            this.#stream = streamOf(this.#source);
            if (this.#isUsed) {
                this.#stream.getReader(); /* what was read elsewhere is locked here */
            }
        }
        return this.#stream;
    }

    get bodyUsed() {
        return this.#isUsed || (this.#stream !== null && isDisturbed(this.#stream));
    }

    #checkUnused() {
        if (this.bodyUsed) {
            throw new TypeError(USED);
        }
        if (this.#stream?.locked) {
            throw new TypeError("This ReadableStream is currently locked to a reader.");
        }
    }

    /* What it is made of, a stream where it has become one. Afterwards it is used. */
    #take() {
        this.#checkUnused();
        if (this.#source === null) {
            return null;
        }
        if (this.#stream === null && this.#source instanceof ReadableStream) {
            this.#stream = this.#source;
            this.#checkUnused();
        }
        this.#isUsed = true;
        return this.#stream ?? this.#source;
    }

    /* The same once more, for a clone. */
    #copy() {
        this.#checkUnused();
        if (this.#source === null || (this.#stream === null && (typeof this.#source === "string" || this.#source instanceof Uint8Array))) {
            return this.#source;
        }
        const [mine, theirs] = this.body.tee();
        this.#source = mine;
        this.#stream = mine;
        return theirs;
    }

    async #bytes() {
        const source = this.#take();
        if (source === null) {
            return new Uint8Array(0);
        }
        if (typeof source === "string") {
            return host.encode(source);
        }
        if (source instanceof Uint8Array) {
            return source.slice();
        }
        return source instanceof IncomingStream ? source.readAll() : readAll(source);
    }

    async text() {
        if (typeof this.#source === "string" && this.#stream === null) {
            return this.#take();
        }
        return host.decode(await this.#bytes(), false, false);
    }

    async json() {
        return JSON.parse(await this.text());
    }

    async bytes() {
        const bytes = await this.#bytes();
        return bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
    }

    async arrayBuffer() {
        return (await this.#bytes()).slice().buffer;
    }

    async blob() {
        return new Blob([await this.#bytes()], { type: this.headers.get("content-type") ?? "" });
    }

    async formData() {
        return decodeForm(await this.#bytes(), this.headers.get("content-type"));
    }
}

/* What the body is made of: null, a string, bytes, an IncomingStream or a ReadableStream. It is used
 * afterwards. */
export function takeBody(body) {
    return takeSource(body);
}

export function hasBody(body) {
    return isThere(body);
}

export function copyBody(body) {
    return copySource(body);
}

/* All of it, as bytes or null; for what can only be sent whole. */
export async function takeBytes(body) {
    const source = takeSource(body);
    if (source === null || source instanceof Uint8Array) {
        return source;
    }
    if (typeof source === "string") {
        return host.encode(source);
    }
    return source instanceof IncomingStream ? source.readAll() : readAll(source);
}
