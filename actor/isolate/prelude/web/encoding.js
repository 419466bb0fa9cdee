/* TextEncoder and TextDecoder. UTF-8 is the host's; other encodings are a script that is evaluated
 * when the first of them is named. */
import legacySource from "script:web/legacy_encoding.js";
import { concat, viewOf } from "./bytes.js";
import { host } from "../host.js";

const utf8Labels = new Set(["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"]);

let legacy = null;

function legacyDecoder(label, options) {
    legacy ??= host.evaluate(legacySource, "dormouse:legacy_encoding");
    return new legacy.TextDecoder(label, options);
}

export class TextEncoder {
    get encoding() {
        return "utf-8";
    }

    encode(text = "") {
        return host.encode(String(text));
    }

    /* As many whole characters as fit. */
    encodeInto(source, destination) {
        const text = String(source);
        const bytes = host.encode(text);
        if (bytes.length <= destination.length) {
            destination.set(bytes);
            return { read: text.length, written: bytes.length };
        }
        let end = destination.length;
        while (end > 0 && (bytes[end] & 0xc0) === 0x80) {
            end--;
        }
        destination.set(bytes.subarray(0, end));
        return { read: host.decode(bytes.slice(0, end), false, true).length, written: end };
    }
}

/* How many bytes at the end are the beginning of a character that may go on in the next chunk. */
function unfinished(bytes) {
    for (let back = 1; back <= Math.min(3, bytes.length); back++) {
        const byte = bytes[bytes.length - back];
        if ((byte & 0xc0) === 0x80) {
            continue;
        }
        const need = byte >= 0xf0 && byte < 0xf5 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
        return byte < 0xf5 && need > back && mayGoOn(bytes, bytes.length - back) ? back : 0;
    }
    return 0;
}

/* Some second bytes can follow no first one; then the character is wrong already. */
function mayGoOn(bytes, from) {
    const second = bytes[from + 1];
    if (second === undefined) {
        return true;
    }
    switch (bytes[from]) {
    case 0xe0:
        return second >= 0xa0;
    case 0xed:
        return second < 0xa0;
    case 0xf0:
        return second >= 0x90;
    case 0xf4:
        return second < 0x90;
    default:
        return true;
    }
}

export class TextDecoder {
    #fatal;
    #ignoreBOM;
    #other = null;
    #rest = null; /* bytes of an unfinished character */
    #hasBegun = false;

    constructor(label = "utf-8", options = undefined) {
        this.#fatal = Boolean(options?.fatal);
        this.#ignoreBOM = Boolean(options?.ignoreBOM);
        if (!utf8Labels.has(String(label).trim().toLowerCase())) {
            this.#other = legacyDecoder(String(label), { fatal: this.#fatal, ignoreBOM: this.#ignoreBOM });
        }
    }

    get encoding() {
        return this.#other?.encoding ?? "utf-8";
    }

    get fatal() {
        return this.#fatal;
    }

    get ignoreBOM() {
        return this.#ignoreBOM;
    }

    decode(input, options) {
        if (this.#other !== null) {
            return this.#other.decode(input, options);
        }
        let bytes = input === undefined ? new Uint8Array(0) : viewOf(input).slice();
        if (this.#rest !== null) {
            bytes = concat([this.#rest, bytes]);
            this.#rest = null;
        }
        const goesOn = Boolean(options?.stream);
        const kept = goesOn ? unfinished(bytes) : 0;
        if (kept > 0) {
            this.#rest = bytes.slice(bytes.length - kept);
            bytes = bytes.slice(0, bytes.length - kept);
        }
        const ignoresBOM = this.#ignoreBOM || this.#hasBegun;
        this.#hasBegun = goesOn && (this.#hasBegun || bytes.length > 0);
        try {
            return host.decode(bytes, this.#fatal, ignoresBOM);
        } catch {
            this.#rest = null;
            this.#hasBegun = false;
            throw new TypeError("The encoded data was not valid for encoding utf-8");
        }
    }
}
