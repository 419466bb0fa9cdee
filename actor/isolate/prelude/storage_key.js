/* Keys of storage, as the API has them: 1 to 480 bytes of UTF-8, in the order of their bytes. */
import { host } from "./host.js";
import { apiError } from "./errors.js";

const KEY_BYTES_MAX = 480;

export function checkKey(key) {
    if (typeof key !== "string") {
        if (key === undefined || Object(key) === key || typeof key === "symbol") {
            throw new TypeError("A key is a string.");
        }
        key = String(key);
    }
    if (key.length * 3 > KEY_BYTES_MAX && host.encode(key).length > KEY_BYTES_MAX) {
        throw apiError("too_large", `Keys cannot be larger than ${KEY_BYTES_MAX} bytes.`, RangeError);
    }
    if (key.length === 0) {
        throw new TypeError("A key cannot be empty.");
    }
    return key;
}

/* Strings compare by UTF-16 units, keys by bytes: they differ where surrogates meet what follows
 * them in the table of characters. */
function weight(unit) {
    if (unit < 0xd800) {
        return unit;
    }
    return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

export function compareKeys(a, b) {
    const length = Math.min(a.length, b.length);
    for (let i = 0; i < length; i++) {
        const x = a.charCodeAt(i);
        const y = b.charCodeAt(i);
        if (x !== y) {
            return weight(x) - weight(y);
        }
    }
    return a.length - b.length;
}
