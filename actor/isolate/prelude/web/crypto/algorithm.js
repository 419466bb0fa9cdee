/* Names of algorithms and hashes, and members of the objects that describe them. */
import { copyOf } from "../bytes.js";
import { notSupported, operationError } from "./key.js";

const hashes = { "SHA-1": 160, "SHA-256": 256, "SHA-384": 384, "SHA-512": 512 };
const hashNames = { ...hashes, MD5: 128 };

export function nameOf(algorithm) {
    const name = typeof algorithm === "string" ? algorithm : algorithm?.name;
    if (typeof name !== "string") {
        throw new TypeError("The algorithm has no name.");
    }
    return name;
}

/* The canonical name of a hash; MD5 is for digest() alone. */
export function hashOf(algorithm, mayBeMd5 = false) {
    const name = nameOf(algorithm).toUpperCase();
    if (!Object.hasOwn(mayBeMd5 ? hashNames : hashes, name)) {
        throw notSupported(`Unrecognized hash: ${name.slice(0, 50)}`);
    }
    return name;
}

export const hashBytes = (hash) => hashes[hash] / 8;
export const hashBlockBytes = (hash) => hash === "SHA-1" || hash === "SHA-256" ? 64 : 128;

export function bytesMember(algorithm, name, isNeeded = true) {
    const value = algorithm[name];
    if (value === undefined && !isNeeded) {
        return null;
    }
    return copyOf(value, `The member ${name}`);
}

export function numberMember(algorithm, name, otherwise) {
    const value = algorithm[name];
    if (value === undefined) {
        if (otherwise === undefined) {
            throw new TypeError(`The member ${name} is missing.`);
        }
        return otherwise;
    }
    const number = Number(value);
    if (!Number.isSafeInteger(number) || number < 0) {
        throw new TypeError(`The member ${name} is not a whole number.`);
    }
    return number;
}

/* Bits that a derivation was asked for, in bytes. */
export function wholeBytes(bits) {
    if (bits === null || bits === undefined || bits % 8 !== 0) {
        throw operationError("The length is not a whole number of bytes.");
    }
    return bits / 8;
}
