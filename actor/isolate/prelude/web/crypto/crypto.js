/* crypto: randomness of the kernel, and subtle. */
import { DOMException } from "../dom_exception.js";
import { SubtleCrypto } from "./subtle.js";
import { WritableStream } from "../streams.js";
import { concat, viewOf } from "../bytes.js";
import { hashOf } from "./algorithm.js";
import { host } from "../../host.js";

const QUOTA_BYTES = 65536;

const integerArrays = new Set([
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array,
]);

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/* A stream whose `digest` is that of all that was written to it. */
class DigestStream extends WritableStream {
    #digest;

    constructor(algorithm) {
        const hash = hashOf(algorithm, true);
        const chunks = [];
        let resolve;
        let reject;
        const promise = new Promise((...settle) => {
            [resolve, reject] = settle;
        });
        super({
            write(chunk) {
                chunks.push(typeof chunk === "string" ? host.encode(chunk) : viewOf(chunk).slice());
            },
            close() {
                resolve(host.digest(hash, chunks.length === 0 ? new Uint8Array(0) : concat(chunks)).buffer);
            },
            abort(reason) {
                reject(reason);
            },
        });
        promise.catch(() => {});
        this.#digest = promise;
    }

    get digest() {
        return this.#digest;
    }
}

export class Crypto {
    #subtle = new SubtleCrypto();

    get subtle() {
        return this.#subtle;
    }

    getRandomValues(array) {
        if (!integerArrays.has(array?.constructor)) {
            throw new DOMException("The array is not one of integers.", "TypeMismatchError");
        }
        if (array.byteLength > QUOTA_BYTES) {
            throw new DOMException(`At most ${QUOTA_BYTES} bytes at once.`, "QuotaExceededError");
        }
        const bytes = new Uint8Array(array.byteLength);
        host.random(bytes);
        viewOf(array).set(bytes);
        return array;
    }

    randomUUID() {
        const bytes = new Uint8Array(16);
        host.random(bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        const h = (i) => hex[bytes[i]];
        return `${h(0)}${h(1)}${h(2)}${h(3)}-${h(4)}${h(5)}-${h(6)}${h(7)}-${h(8)}${h(9)}-${h(10)}${h(11)}${h(12)}${h(13)}${h(14)}${h(15)}`;
    }

    get [Symbol.toStringTag]() {
        return "Crypto";
    }
}

Crypto.prototype.DigestStream = DigestStream;

export const crypto = new Crypto();
