/* atob and btoa, over the engine's own base64. */
import { DOMException } from "./dom_exception.js";

function refuse() {
    throw new DOMException("The string to be encoded contains characters outside of the Latin1 range.",
                           "InvalidCharacterError");
}

function bytesOfLatin1(text) {
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) {
        const code = text.charCodeAt(i);
        if (code > 0xff) {
            refuse();
        }
        bytes[i] = code;
    }
    return bytes;
}

export function latin1OfBytes(bytes) {
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) {
        text += String.fromCharCode.apply(null, bytes.subarray(i, i + 8192));
    }
    return text;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Engines without Uint8Array.fromBase64 (tests run on one) do it by hand. */
export function toBase64(bytes) {
    if (bytes.toBase64) {
        return bytes.toBase64();
    }
    let text = "";
    for (let i = 0; i < bytes.length; i += 3) {
        const group = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
        text += ALPHABET[group >> 18] + ALPHABET[(group >> 12) & 63] +
            (i + 1 < bytes.length ? ALPHABET[(group >> 6) & 63] : "=") +
            (i + 2 < bytes.length ? ALPHABET[group & 63] : "=");
    }
    return text;
}

/* PRE: digits of base64 without padding */
function ofDigits(digits) {
    if (Uint8Array.fromBase64) {
        return Uint8Array.fromBase64(digits);
    }
    const bytes = new Uint8Array(Math.floor(digits.length * 3 / 4));
    let bits = 0;
    let value = 0;
    let at = 0;
    for (const digit of digits) {
        value = ((value << 6) | ALPHABET.indexOf(digit)) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[at++] = (value >> bits) & 0xff;
        }
    }
    return bytes;
}

/* Forgiving: white space, and padding or none. Null where it is no base64. */
export function ofBase64(text) {
    let digits = text.replace(/[\t\n\f\r ]/g, "");
    if (digits.length % 4 === 0) {
        digits = digits.replace(/={1,2}$/, "");
    }
    return digits.length % 4 === 1 || !/^[A-Za-z0-9+/]*$/.test(digits) ? null : ofDigits(digits);
}

export function toBase64Url(bytes) {
    return toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function ofBase64Url(text) {
    return /^[A-Za-z0-9_-]*$/.test(text) ? ofBase64(text.replaceAll("-", "+").replaceAll("_", "/")) : null;
}

export function btoa(text) {
    if (arguments.length === 0) {
        throw new TypeError("btoa: the argument is missing");
    }
    return toBase64(bytesOfLatin1(String(text)));
}

export function atob(text) {
    if (arguments.length === 0) {
        throw new TypeError("atob: the argument is missing");
    }
    const bytes = ofBase64(String(text));
    if (bytes === null) {
        throw new DOMException("The string to be decoded is not correctly encoded.", "InvalidCharacterError");
    }
    return latin1OfBytes(bytes);
}
