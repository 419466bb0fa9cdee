/* CompressionStream and DecompressionStream, over a script inside of this one: few programs need it. */
import source from "script:web/deflate.js";
import { TransformPair } from "./streams.js";
import { host } from "../host.js";
import { viewOf } from "./bytes.js";

const NONE = new Uint8Array(0);

let loaded = null;

function library() {
    loaded ??= host.evaluate(source, "dormouse:deflate");
    return loaded;
}

const compressors = { "gzip": "Gzip", "deflate": "Zlib", "deflate-raw": "Deflate" };
const decompressors = { "gzip": "Gunzip", "deflate": "Unzlib", "deflate-raw": "Inflate" };

/* fflate takes what is cut short for whole: its state has whether the last block came, and ended; `v` is
 * where a further member of gzip may begin. */
function hasEnded({ s: state, v: further }) {
    return (Boolean(state?.f) && !state.l) || further > 1;
}

/* `coder.push` gives what it makes to `ondata`, at once. */
function transformer(names, format, owner) {
    const name = String(format);
    if (!Object.hasOwn(names, name)) {
        throw new TypeError(`${owner}: the format is "gzip", "deflate" or "deflate-raw"`);
    }
    const coder = new (library()[names[name]])();
    let to = null;
    let hasInput = false;
    coder.ondata = (bytes) => {
        if (bytes.length > 0) {
            to.enqueue(bytes);
        }
    };
    const push = (bytes, isLast, controller) => {
        to = controller;
        try {
            coder.push(bytes, isLast);
        } catch (error) {
            throw new TypeError(`${owner}: ${error.message}`);
        }
    };
    return {
        transform(chunk, controller) {
            hasInput = true;
            push(viewOf(chunk), false, controller);
        },
        flush(controller) {
            const isWhole = hasInput && hasEnded(coder);
            push(NONE, true, controller);
            if (names === decompressors && !isWhole) {
                throw new TypeError(`${owner}: the data is cut short`);
            }
        },
    };
}

export class CompressionStream extends TransformPair {
    constructor(format) {
        super(transformer(compressors, format, "CompressionStream"));
    }
}

export class DecompressionStream extends TransformPair {
    constructor(format) {
        super(transformer(decompressors, format, "DecompressionStream"));
    }
}
