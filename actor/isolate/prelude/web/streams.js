/* Streams, and those that code or decode text on their way. */
import {
    ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController, ReadableStream,
    ReadableStreamBYOBReader, ReadableStreamBYOBRequest, ReadableStreamDefaultController,
    ReadableStreamDefaultReader, TransformStream, TransformStreamDefaultController, WritableStream,
    WritableStreamDefaultController, WritableStreamDefaultWriter,
} from "web-streams-polyfill";
import { TextDecoder, TextEncoder } from "./encoding.js";
import { uncloneable } from "../clone.js";
import { viewOf } from "./bytes.js";

export {
    ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController, ReadableStream,
    ReadableStreamBYOBReader, ReadableStreamBYOBRequest, ReadableStreamDefaultController,
    ReadableStreamDefaultReader, TransformStream, TransformStreamDefaultController, WritableStream,
    WritableStreamDefaultController, WritableStreamDefaultWriter,
};

for (const type of [ReadableStream, WritableStream, TransformStream]) {
    Object.defineProperty(type.prototype, uncloneable, { value: true });
}

/* Whether anybody has read from it. */
export function isDisturbed(stream) {
    return stream._disturbed === true;
}

/* A pair of streams around a transformer, as the classes below present it. */
export class TransformPair {
    #pair;

    constructor(transformer) {
        this.#pair = new TransformStream(transformer);
    }

    get readable() {
        return this.#pair.readable;
    }

    get writable() {
        return this.#pair.writable;
    }
}

export class TextEncoderStream extends TransformPair {
    constructor() {
        const encoder = new TextEncoder();
        let high = ""; /* the first half of a character whose second may come */
        super({
            transform(chunk, controller) {
                let text = high + String(chunk);
                const last = text.charCodeAt(text.length - 1);
                high = last >= 0xd800 && last < 0xdc00 ? text.slice(-1) : "";
                text = high === "" ? text : text.slice(0, -1);
                if (text !== "") {
                    controller.enqueue(encoder.encode(text));
                }
            },
            flush(controller) {
                if (high !== "") {
                    controller.enqueue(encoder.encode("\ufffd"));
                }
            },
        });
    }

    get encoding() {
        return "utf-8";
    }
}

export class TextDecoderStream extends TransformPair {
    #decoder;

    constructor(label = "utf-8", options = undefined) {
        const decoder = new TextDecoder(label, options);
        super({
            transform(chunk, controller) {
                const text = decoder.decode(viewOf(chunk), { stream: true });
                if (text !== "") {
                    controller.enqueue(text);
                }
            },
            flush(controller) {
                const text = decoder.decode();
                if (text !== "") {
                    controller.enqueue(text);
                }
            },
        });
        this.#decoder = decoder;
    }

    get encoding() {
        return this.#decoder.encoding;
    }

    get fatal() {
        return this.#decoder.fatal;
    }

    get ignoreBOM() {
        return this.#decoder.ignoreBOM;
    }
}

/* Bytes as they are; what is written is read. */
export class IdentityTransformStream extends TransformPair {
    constructor() {
        super({
            transform(chunk, controller) {
                const bytes = viewOf(chunk);
                if (bytes.length > 0) {
                    controller.enqueue(bytes);
                }
            },
        });
    }
}

/* As many bytes as were promised, no more and no less. */
export class FixedLengthStream extends TransformPair {
    constructor(expected) {
        const length = Number(expected);
        if (!Number.isSafeInteger(length) || length < 0) {
            throw new TypeError("FixedLengthStream: the length is not a whole number");
        }
        let left = length;
        super({
            transform(chunk, controller) {
                const bytes = viewOf(chunk);
                left -= bytes.length;
                if (left < 0) {
                    throw new TypeError("Attempt to write too many bytes through a FixedLengthStream.");
                }
                if (bytes.length > 0) {
                    controller.enqueue(bytes);
                }
            },
            flush() {
                if (left > 0) {
                    throw new TypeError("FixedLengthStream did not see all expected bytes before close().");
                }
            },
        });
    }
}
