/* JSON Web Keys. */
import { ofBase64Url, toBase64Url } from "../base64.js";
import { dataError } from "./key.js";

const operations = new Set(["sign", "verify", "encrypt", "decrypt", "wrapKey", "unwrapKey", "deriveKey", "deriveBits"]);

export const encode = toBase64Url;

export function decode(jwk, member) {
    const value = jwk[member];
    const bytes = typeof value === "string" ? ofBase64Url(value) : null;
    if (bytes === null) {
        throw dataError(`The JWK has no valid member "${member}".`);
    }
    return bytes;
}

/* What all kinds have to agree on. `use` is "sig" or "enc". */
export function check(jwk, { kty, use, extractable, usages }) {
    if (typeof jwk !== "object" || jwk === null) {
        throw new TypeError("The key is no JWK.");
    }
    if (jwk.kty !== kty) {
        throw dataError(`The JWK is not of the type "${kty}".`);
    }
    if (jwk.use !== undefined && usages.length > 0 && jwk.use !== use) {
        throw dataError(`The JWK is for another use than "${use}".`);
    }
    if (jwk.key_ops !== undefined) {
        if (!Array.isArray(jwk.key_ops) || jwk.key_ops.some((one) => !operations.has(one)) ||
            new Set(jwk.key_ops).size !== jwk.key_ops.length || usages.some((one) => !jwk.key_ops.includes(one))) {
            throw dataError("The JWK does not allow these usages.");
        }
    }
    if (jwk.ext === false && extractable) {
        throw dataError("The JWK is not extractable.");
    }
    return jwk;
}

export function checkAlg(jwk, alg) {
    if (jwk.alg !== undefined && jwk.alg !== alg) {
        throw dataError(`The JWK is for "${jwk.alg}", not "${alg}".`);
    }
}

export function finish(jwk, key) {
    return { ...jwk, key_ops: key.usages, ext: key.extractable };
}
