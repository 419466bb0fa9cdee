/* CryptoKey: what is inside stays with this folder. */
import { DOMException } from "../dom_exception.js";
import { uncloneable } from "../../clone.js";

const proof = Symbol("CryptoKey");

let materialOf;

export class CryptoKey {
    #type;
    #extractable;
    #algorithm;
    #usages;
    #material; /* raw bytes of a secret, spki of a public, pkcs8 of a private key */

    static {
        materialOf = (key) => key.#material;
    }

    constructor(ours, type, extractable, algorithm, usages, material) {
        if (ours !== proof) {
            throw new TypeError("Illegal constructor");
        }
        this.#type = type;
        this.#extractable = extractable;
        this.#algorithm = algorithm;
        this.#usages = usages;
        this.#material = material;
    }

    get type() {
        return this.#type;
    }

    get extractable() {
        return this.#extractable;
    }

    get algorithm() {
        return this.#algorithm;
    }

    get usages() {
        return [...this.#usages];
    }

    get [Symbol.toStringTag]() {
        return "CryptoKey";
    }
}

Object.defineProperty(CryptoKey.prototype, uncloneable, { value: true });

export function makeKey(type, extractable, algorithm, usages, material) {
    return new CryptoKey(proof, type, extractable, algorithm, usages, material);
}

export function material(key) {
    return materialOf(key);
}

/* Usages in the order of the standard, all of them allowed. */
const order = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];

export function checkUsages(usages, allowed) {
    for (const usage of usages) {
        if (!allowed.includes(usage)) {
            throw new DOMException(`A key of this kind cannot be used to ${usage}.`, "SyntaxError");
        }
    }
    return order.filter((usage) => usages.includes(usage));
}

export function checkSomeUsage(usages) {
    if (usages.length === 0) {
        throw new DOMException("A secret or private key needs a usage.", "SyntaxError");
    }
    return usages;
}

export function dataError(message) {
    return new DOMException(message, "DataError");
}

export function operationError(message) {
    return new DOMException(message, "OperationError");
}

export function notSupported(message) {
    return new DOMException(message, "NotSupportedError");
}
