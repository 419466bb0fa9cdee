/* HMAC. */
import * as jwk from "./jwk.js";
import { checkSomeUsage, checkUsages, dataError, makeKey, material, notSupported, operationError } from "./key.js";
import { copyOf } from "../bytes.js";
import { hashBlockBytes, hashOf } from "./algorithm.js";
import { host } from "../../host.js";
import { operate } from "./host_call.js";

const usagesAllowed = ["sign", "verify"];
const algOf = (hash) => `HS${hash === "SHA-1" ? "1" : hash.slice(4)}`;

function make(hash, bytes, extractable, usages) {
    return makeKey("secret", extractable, { name: "HMAC", hash: { name: hash }, length: bytes.length * 8 }, usages, bytes);
}

export const hmac = {
    name: "HMAC",

    generateKey(algorithm, extractable, usages) {
        const allowed = checkSomeUsage(checkUsages(usages, usagesAllowed));
        const hash = hashOf(algorithm.hash);
        const bits = algorithm.length === undefined ? hashBlockBytes(hash) * 8 : Number(algorithm.length);
        if (!(bits > 0) || bits % 8 !== 0) {
            throw operationError("The length of the key is not a positive number of bytes.");
        }
        const bytes = new Uint8Array(bits / 8);
        host.random(bytes);
        return make(hash, bytes, extractable, allowed);
    },

    importKey(format, data, algorithm, extractable, usages) {
        const allowed = checkSomeUsage(checkUsages(usages, usagesAllowed));
        const hash = hashOf(algorithm.hash);
        let bytes;
        if (format === "raw") {
            bytes = copyOf(data);
        } else if (format === "jwk") {
            jwk.check(data, { kty: "oct", use: "sig", extractable, usages: allowed });
            jwk.checkAlg(data, algOf(hash));
            bytes = jwk.decode(data, "k");
        } else {
            throw notSupported(`HMAC keys have no format "${format}".`);
        }
        if (bytes.length === 0) {
            throw dataError("An HMAC key has at least one byte.");
        }
        return make(hash, bytes, extractable, allowed);
    },

    exportKey(format, key) {
        if (format === "raw") {
            return material(key).slice().buffer;
        }
        if (format === "jwk") {
            return jwk.finish({ kty: "oct", k: jwk.encode(material(key)), alg: algOf(key.algorithm.hash.name) }, key);
        }
        throw notSupported(`HMAC keys have no format "${format}".`);
    },

    sign(algorithm, key, data) {
        return operate("hmac", key.algorithm.hash.name, material(key), data);
    },

    verify(algorithm, key, signature, data) {
        return timingSafeEqual(operate("hmac", key.algorithm.hash.name, material(key), data), signature);
    },

    keyBits(algorithm) {
        return algorithm.length === undefined ? hashBlockBytes(hashOf(algorithm.hash)) * 8 : Number(algorithm.length);
    },
};

/* Takes as long for the first byte that differs as for the last. */
export function timingSafeEqual(a, b) {
    if (a.length !== b.length) {
        return false;
    }
    let difference = 0;
    for (let i = 0; i < a.length; i++) {
        difference |= a[i] ^ b[i];
    }
    return difference === 0;
}
