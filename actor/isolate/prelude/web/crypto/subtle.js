/* crypto.subtle. */
import { CryptoKey, notSupported } from "./key.js";
import { DOMException } from "../dom_exception.js";
import { aes } from "./aes.js";
import { copyOf } from "../bytes.js";
import { curveAlgorithms } from "./ec.js";
import { hashOf, nameOf } from "./algorithm.js";
import { hkdf, pbkdf2 } from "./derivation.js";
import { hmac, timingSafeEqual } from "./hmac.js";
import { host } from "../../host.js";
import { rsa } from "./rsa.js";

const algorithms = new Map(
    [hmac, ...aes, pbkdf2, hkdf, ...curveAlgorithms, ...rsa].map((one) => [one.name.toUpperCase(), one]));

/* What does the operation for that algorithm, and the algorithm as an object. */
function find(algorithm, operation) {
    const name = nameOf(algorithm);
    const found = algorithms.get(name.toUpperCase());
    if (found?.[operation] === undefined) {
        throw notSupported(`${name.slice(0, 50)} has no ${operation}.`);
    }
    return { found, described: typeof algorithm === "string" ? { name: algorithm } : algorithm };
}

function invalidAccess(message) {
    return new DOMException(message, "InvalidAccessError");
}

function checkKey(key, name, usage) {
    if (!(key instanceof CryptoKey)) {
        throw new TypeError("The key is not a CryptoKey.");
    }
    if (key.algorithm.name !== name) {
        throw invalidAccess(`The key is for ${key.algorithm.name}, not ${name}.`);
    }
    if (!key.usages.includes(usage)) {
        throw invalidAccess(`The key is not for ${usage}.`);
    }
}

function use(operation, algorithm, key, ...data) {
    const { found, described } = find(algorithm, operation);
    checkKey(key, found.name, operation);
    return found[operation](described, key, ...data.map((one) => copyOf(one, "The data")));
}

function importKey(format, data, algorithm, extractable, usages) {
    const { found, described } = find(algorithm, "importKey");
    return found.importKey(String(format), data, described, Boolean(extractable), [...usages]);
}

function exportKey(format, key) {
    if (!(key instanceof CryptoKey)) {
        throw new TypeError("The key is not a CryptoKey.");
    }
    const { found } = find(key.algorithm.name, "importKey");
    if (found.exportKey === undefined) {
        throw notSupported(`${found.name} keys cannot be exported.`);
    }
    if (!key.extractable) {
        throw invalidAccess("The key is not extractable.");
    }
    return found.exportKey(String(format), key);
}

function derive(algorithm, key, bits, usage) {
    const { found, described } = find(algorithm, "deriveBits");
    checkKey(key, found.name, usage);
    return found.deriveBits(described, key, bits);
}

export class SubtleCrypto {
    async digest(algorithm, data) {
        return host.digest(hashOf(algorithm, true), copyOf(data, "The data")).buffer;
    }

    async generateKey(algorithm, extractable, usages) {
        const { found, described } = find(algorithm, "generateKey");
        return found.generateKey(described, Boolean(extractable), [...usages]);
    }

    async importKey(format, data, algorithm, extractable, usages) {
        return importKey(format, data, algorithm, extractable, usages);
    }

    async exportKey(format, key) {
        return exportKey(format, key);
    }

    async sign(algorithm, key, data) {
        return use("sign", algorithm, key, data).buffer;
    }

    async verify(algorithm, key, signature, data) {
        return use("verify", algorithm, key, signature, data);
    }

    async encrypt(algorithm, key, data) {
        return use("encrypt", algorithm, key, data).buffer;
    }

    async decrypt(algorithm, key, data) {
        return use("decrypt", algorithm, key, data).buffer;
    }

    async deriveBits(algorithm, key, bits = null) {
        return derive(algorithm, key, bits, "deriveBits").slice().buffer;
    }

    async deriveKey(algorithm, key, derived, extractable, usages) {
        const { found } = find(derived, "importKey");
        const described = typeof derived === "string" ? { name: derived } : derived;
        const bits = found.keyBits?.(described) ?? null;
        const bytes = derive(algorithm, key, bits, "deriveKey");
        return importKey("raw", bytes, derived, extractable, usages);
    }

    async wrapKey(format, key, wrapping, algorithm) {
        const exported = exportKey(format, key);
        const bytes = format === "jwk" ? host.encode(JSON.stringify(exported)) : new Uint8Array(exported);
        const found = algorithms.get(nameOf(algorithm).toUpperCase());
        if (found?.wrap === undefined && found?.encrypt === undefined) {
            throw notSupported(`${nameOf(algorithm).slice(0, 50)} has no wrapKey.`);
        }
        checkKey(wrapping, found.name, "wrapKey");
        return (found.wrap?.(wrapping, bytes) ?? found.encrypt(algorithm, wrapping, bytes)).buffer;
    }

    async unwrapKey(format, wrapped, wrapping, algorithm, keyAlgorithm, extractable, usages) {
        const found = algorithms.get(nameOf(algorithm).toUpperCase());
        if (found?.unwrap === undefined && found?.decrypt === undefined) {
            throw notSupported(`${nameOf(algorithm).slice(0, 50)} has no unwrapKey.`);
        }
        checkKey(wrapping, found.name, "unwrapKey");
        const data = copyOf(wrapped, "The key");
        const bytes = found.unwrap?.(wrapping, data) ?? found.decrypt(algorithm, wrapping, data);
        const key = format === "jwk" ? JSON.parse(host.decode(bytes, true, false)) : bytes;
        return importKey(format, key, keyAlgorithm, extractable, usages);
    }

    timingSafeEqual(a, b) {
        const [left, right] = [copyOf(a), copyOf(b)];
        if (left.length !== right.length) {
            throw new TypeError("Input buffers must have the same byte length.");
        }
        return timingSafeEqual(left, right);
    }

    get [Symbol.toStringTag]() {
        return "SubtleCrypto";
    }
}
