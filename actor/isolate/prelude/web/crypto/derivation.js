/* PBKDF2 and HKDF: bits of a password or a secret. */
import { bytesMember, hashBytes, hashOf, numberMember, wholeBytes } from "./algorithm.js";
import { checkSomeUsage, checkUsages, makeKey, material, notSupported, operationError } from "./key.js";
import { DOMException } from "../dom_exception.js";
import { copyOf } from "../bytes.js";
import { operate } from "./host_call.js";

const ITERATIONS_MAX = 10000000;

function importSecret(name, format, data, extractable, usages) {
    if (format !== "raw") {
        throw notSupported(`${name} keys have no format "${format}".`);
    }
    const allowed = checkSomeUsage(checkUsages(usages, ["deriveKey", "deriveBits"]));
    if (extractable) {
        throw new DOMException(`${name} keys cannot be extractable.`, "SyntaxError");
    }
    return makeKey("secret", false, { name }, allowed, copyOf(data));
}

export const pbkdf2 = {
    name: "PBKDF2",

    importKey(format, data, algorithm, extractable, usages) {
        return importSecret("PBKDF2", format, data, extractable, usages);
    },

    deriveBits(algorithm, key, bits) {
        const iterations = numberMember(algorithm, "iterations");
        if (iterations < 1 || iterations > ITERATIONS_MAX) {
            throw operationError(`The iterations are 1 to ${ITERATIONS_MAX}.`);
        }
        return operate("pbkdf2", hashOf(algorithm.hash), material(key), bytesMember(algorithm, "salt"), iterations, wholeBytes(bits));
    },
};

export const hkdf = {
    name: "HKDF",

    importKey(format, data, algorithm, extractable, usages) {
        return importSecret("HKDF", format, data, extractable, usages);
    },

    deriveBits(algorithm, key, bits) {
        const hash = hashOf(algorithm.hash);
        const bytes = wholeBytes(bits);
        if (bytes > 255 * hashBytes(hash)) {
            throw operationError("HKDF does not give so many bits.");
        }
        return operate("hkdf", hash, material(key), bytesMember(algorithm, "salt"), bytesMember(algorithm, "info"), bytes);
    },
};
