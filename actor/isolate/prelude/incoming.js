/* Bodies that the daemon sends in chunks. It may send 256 KiB ahead of what was read; reading gives it
 * more credit. */
import * as frames from "./frames.js";
import * as writer from "./writer.js";
import { host } from "./host.js";
import { concat } from "./web/bytes.js";

const CREDIT_AT_BYTES = 64 * 1024; /* so much was read before more credit is given */

const streams = new Map();
let readers = 0; /* who wait for a chunk */

export function readersWaiting() {
    return readers;
}

function sendCredit(stream, bytes) {
    const from = writer.mark();
    writer.arrayHead(3);
    writer.number(frames.CREDIT_OUT);
    writer.number(stream);
    writer.number(bytes);
    writer.send(from);
}

export class IncomingStream {
    #id;
    #chunks = [];
    #hasEnded = false;
    #error = null;
    #waiter = null;
    #read = 0;
    #onCancel;
    #onEnd;

    /* `onCancel(id)` tells the daemon; `onEnd()` is called once, when nothing more comes. */
    constructor(id, onCancel, onEnd = () => {}) {
        this.#id = id;
        this.#onCancel = onCancel;
        this.#onEnd = onEnd;
        streams.set(id, this);
    }

    #end() {
        this.#hasEnded = true;
        streams.delete(this.#id);
        this.#onEnd();
    }

    #wake() {
        const waiter = this.#waiter;
        this.#waiter = null;
        waiter?.();
    }

    arrived(bytes, hasEnded, error) {
        if (bytes.length > 0) {
            this.#chunks.push(bytes);
        }
        if (hasEnded || error !== null) {
            this.#error = error;
            this.#end();
        }
        this.#wake();
    }

    /* The next chunk; null at the end. */
    async read() {
        while (this.#chunks.length === 0) {
            if (this.#error !== null) {
                throw this.#error;
            }
            if (this.#hasEnded) {
                return null;
            }
            readers++;
            await new Promise((resolve) => {
                this.#waiter = resolve;
            });
            readers--;
        }
        const chunk = this.#chunks.shift();
        this.#read += chunk.length;
        if (this.#read >= CREDIT_AT_BYTES && !this.#hasEnded) {
            sendCredit(this.#id, this.#read);
            this.#read = 0;
        }
        return chunk;
    }

    async readAll() {
        const chunks = [];
        for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) {
            chunks.push(chunk);
        }
        return chunks.length === 0 ? new Uint8Array(0) : concat(chunks);
    }

    cancel() {
        this.#chunks = [];
        if (!this.#hasEnded) {
            this.#end();
            this.#onCancel(this.#id);
            this.#wake();
        }
    }

    /* Whoever reads it gets the error, also in place of what has come already. */
    abort(error) {
        if (!this.#hasEnded) {
            this.#error = error;
            this.cancel();
        }
    }
}

/* A CHUNK that has come. */
export function chunkArrived(id, bytes, hasEnded, error) {
    streams.get(id)?.arrived(bytes, hasEnded, error);
}
