/* Bodies that the isolate sends in chunks, as far as the daemon has given credit. A chunk leaves after
 * the writes that were made before it. */
import * as channel from "./channel.js";
import * as frames from "./frames.js";
import * as writer from "./writer.js";

const CREDIT_BYTES = 256 * 1024; /* of a stream that begins */
const CHUNK_BYTES_MAX = 64 * 1024;
const none = new Uint8Array(0);

const streams = new Map();
let lastId = 0;

class OutgoingStream {
    #id = ++lastId;
    #credit = CREDIT_BYTES;
    #waiter = null;
    isCancelled = false;
    onCancel = null;

    constructor() {
        streams.set(this.#id, this);
    }

    get id() {
        return this.#id;
    }

    #send(bytes, end) {
        if (this.isCancelled) {
            return;
        }
        channel.flushWrites();
        const from = writer.mark();
        writer.arrayHead(4);
        writer.number(frames.CHUNK_OUT);
        writer.number(this.#id);
        writer.bin(bytes);
        if (typeof end === "string") {
            writer.string(end);
        } else {
            writer.bool(end);
        }
        writer.send(from);
    }

    async #waitForCredit() {
        while (this.#credit <= 0 && !this.isCancelled) {
            await new Promise((resolve) => {
                this.#waiter = resolve;
            });
        }
    }

    #wake() {
        const waiter = this.#waiter;
        this.#waiter = null;
        waiter?.();
    }

    async write(bytes) {
        for (let at = 0; at < bytes.length; at += CHUNK_BYTES_MAX) {
            await this.#waitForCredit();
            const part = bytes.subarray(at, at + CHUNK_BYTES_MAX);
            this.#credit -= part.length;
            this.#send(part, false);
        }
    }

    end() {
        this.#send(none, true);
        streams.delete(this.#id);
    }

    /* It breaks off: whoever reads it must not take it for whole. */
    fail(message) {
        this.#send(none, message);
        streams.delete(this.#id);
    }

    credit(bytes) {
        this.#credit += bytes;
        this.#wake();
    }

    cancel() {
        this.isCancelled = true;
        streams.delete(this.#id);
        this.#wake();
        this.onCancel?.();
    }
}

export function openOutgoing() {
    return new OutgoingStream();
}

export function outgoingOpen() {
    return streams.size;
}

export function creditArrived(id, bytes) {
    streams.get(id)?.credit(bytes);
}
