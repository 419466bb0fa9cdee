/* What keys with two halves have in common: EC (ECDSA, ECDH), Ed25519, X25519, RSA. */
import * as jwk from "./jwk.js";
import { checkSomeUsage, checkUsages, dataError, makeKey, material, notSupported } from "./key.js";
import { DOMException } from "../dom_exception.js";
import { copyOf } from "../bytes.js";
import { operate, readKey } from "./host_call.js";

/* A kind says: name, publicUsages, privateUsages, use; describe(type, members) → algorithm of the key;
 * generate(algorithm) → pkcs8; expects(algorithm, type) or it throws; fromJwk(jwk, algorithm) →
 * {type, parts, isPrivate}; toJwk(type, parts, isPrivate, key) → members; optionally fromRaw, toRaw. */
export class Asymmetric {
    allowedOf(isPrivate) {
        return isPrivate ? this.privateUsages : this.publicUsages;
    }

    make(isPrivate, der, algorithm, type, extractable, usages) {
        const allowed = checkUsages(usages, this.allowedOf(isPrivate));
        const parts = readKey("key-parts", isPrivate ? "pkcs8" : "spki", der);
        return makeKey(isPrivate ? "private" : "public", extractable, this.describe(type, parts, algorithm),
                       isPrivate ? checkSomeUsage(allowed) : allowed, der);
    }

    generateKey(algorithm, extractable, usages) {
        checkUsages(usages, [...this.privateUsages, ...this.publicUsages]);
        const mine = (allowed) => usages.filter((usage) => allowed.includes(usage));
        checkSomeUsage(mine(this.privateUsages));
        const pkcs8 = this.generate(algorithm);
        const type = operate("check-key", "pkcs8", pkcs8);
        return {
            publicKey: this.make(false, operate("public", pkcs8), algorithm, type, true, mine(this.publicUsages)),
            privateKey: this.make(true, pkcs8, algorithm, type, extractable, mine(this.privateUsages)),
        };
    }

    importKey(format, data, algorithm, extractable, usages) {
        if (format === "spki" || format === "pkcs8") {
            const der = copyOf(data);
            const type = readKey("check-key", format, der);
            this.expects(algorithm, type);
            return this.make(format === "pkcs8", der, algorithm, type, extractable, usages);
        }
        if (format === "jwk") {
            return this.importJwk(data, algorithm, extractable, usages);
        }
        if (format === "raw" && this.fromRaw !== undefined) {
            const { der, type } = this.fromRaw(copyOf(data), algorithm);
            return this.make(false, der, algorithm, type, extractable, usages);
        }
        throw notSupported(`${this.name} keys have no format "${format}".`);
    }

    importJwk(data, algorithm, extractable, usages) {
        jwk.check(data, { kty: this.kty, use: this.use, extractable, usages });
        const { type, parts, isPrivate } = this.fromJwk(data, algorithm);
        this.expects(algorithm, type);
        const der = readKey("key-from-parts", type, parts, isPrivate);
        return this.make(isPrivate, der, algorithm, type, extractable, usages);
    }

    exportKey(format, key) {
        const isPrivate = key.type === "private";
        if (format === (isPrivate ? "pkcs8" : "spki")) {
            return material(key).slice().buffer;
        }
        if (format === "spki" || format === "pkcs8" || (format === "raw" && isPrivate)) {
            throw new DOMException(`A ${key.type} key has no format "${format}".`, "InvalidAccessError");
        }
        const parts = operate("key-parts", isPrivate ? "pkcs8" : "spki", material(key));
        if (format === "jwk") {
            return jwk.finish(this.toJwk(parts, isPrivate, key), key);
        }
        if (format === "raw" && this.toRaw !== undefined) {
            return this.toRaw(parts).buffer;
        }
        throw notSupported(`${this.name} keys have no format "${format}".`);
    }
}

export function expectType(type, expected) {
    if (type !== expected) {
        throw dataError(`The key is not of the type ${expected}.`);
    }
}
