/* AES in its modes. */
import * as jwk from "./jwk.js";
import { bytesMember, numberMember } from "./algorithm.js";
import { checkSomeUsage, checkUsages, dataError, makeKey, material, notSupported, operationError } from "./key.js";
import { copyOf } from "../bytes.js";
import { host } from "../../host.js";
import { operate } from "./host_call.js";

const BLOCK_BYTES = 16;
const GCM_TAG_BITS = [32, 64, 96, 104, 112, 120, 128];

function checkBits(bits, makeError) {
    if (bits !== 128 && bits !== 192 && bits !== 256) {
        throw makeError("An AES key has 128, 192 or 256 bits.");
    }
    return bits;
}

class Aes {
    constructor(name, usages, use) {
        this.name = name;
        this.usages = usages;
        this.use = use;
    }

    make(bytes, extractable, usages) {
        return makeKey("secret", extractable, { name: this.name, length: bytes.length * 8 }, usages, bytes);
    }

    algOf(bits) {
        return `A${bits}${this.name.slice(4)}`;
    }

    generateKey(algorithm, extractable, usages) {
        const allowed = checkSomeUsage(checkUsages(usages, this.usages));
        const bytes = new Uint8Array(this.keyBits(algorithm) / 8);
        host.random(bytes);
        return this.make(bytes, extractable, allowed);
    }

    keyBits(algorithm) {
        return checkBits(Number(algorithm.length), operationError);
    }

    importKey(format, data, algorithm, extractable, usages) {
        const allowed = checkSomeUsage(checkUsages(usages, this.usages));
        let bytes;
        if (format === "raw") {
            bytes = copyOf(data);
        } else if (format === "jwk") {
            jwk.check(data, { kty: "oct", use: "enc", extractable, usages: allowed });
            bytes = jwk.decode(data, "k");
            jwk.checkAlg(data, this.algOf(bytes.length * 8));
        } else {
            throw notSupported(`AES keys have no format "${format}".`);
        }
        checkBits(bytes.length * 8, dataError);
        return this.make(bytes, extractable, allowed);
    }

    exportKey(format, key) {
        if (format === "raw") {
            return material(key).slice().buffer;
        }
        if (format === "jwk") {
            return jwk.finish({ kty: "oct", k: jwk.encode(material(key)), alg: this.algOf(key.algorithm.length) }, key);
        }
        throw notSupported(`AES keys have no format "${format}".`);
    }
}

class Gcm extends Aes {
    run(isEncrypt, algorithm, key, data) {
        const tagBits = numberMember(algorithm, "tagLength", 128);
        if (!GCM_TAG_BITS.includes(tagBits)) {
            throw operationError("The length of the tag is not one of AES-GCM.");
        }
        const iv = bytesMember(algorithm, "iv");
        if (iv.length === 0) {
            throw operationError("The iv is empty.");
        }
        const additional = bytesMember(algorithm, "additionalData", false) ?? new Uint8Array(0);
        if (!isEncrypt && data.length < tagBits / 8) {
            throw operationError("The data is shorter than its tag.");
        }
        return operate("aes-gcm", isEncrypt, material(key), iv, additional, tagBits, data);
    }
}

class Cbc extends Aes {
    run(isEncrypt, algorithm, key, data) {
        const iv = bytesMember(algorithm, "iv");
        if (iv.length !== BLOCK_BYTES) {
            throw operationError("The iv of AES-CBC has 16 bytes.");
        }
        return operate("aes-cbc", isEncrypt, material(key), iv, data);
    }
}

class Ctr extends Aes {
    run(isEncrypt, algorithm, key, data) {
        const counter = bytesMember(algorithm, "counter");
        const bits = numberMember(algorithm, "length");
        if (counter.length !== BLOCK_BYTES || bits < 1 || bits > 128) {
            throw operationError("The counter of AES-CTR has 16 bytes, of which 1 to 128 bits count.");
        }
        if (bits < 32 && Math.ceil(data.length / BLOCK_BYTES) > 2 ** bits) {
            throw operationError("The counter would come round.");
        }
        return operate("aes-ctr", material(key), counter, bits, data);
    }
}

class Kw extends Aes {
    wrap(key, data) {
        if (data.length % 8 !== 0 || data.length < 16) {
            throw operationError("AES-KW wraps whole blocks of 8 bytes, at least two.");
        }
        return operate("aes-kw", true, material(key), data);
    }

    unwrap(key, data) {
        return operate("aes-kw", false, material(key), data);
    }
}

for (const mode of [Gcm, Cbc, Ctr]) {
    Object.assign(mode.prototype, {
        encrypt(algorithm, key, data) {
            return this.run(true, algorithm, key, data);
        },
        decrypt(algorithm, key, data) {
            return this.run(false, algorithm, key, data);
        },
    });
}

const all = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];

export const aes = [
    new Gcm("AES-GCM", all, "enc"), new Cbc("AES-CBC", all, "enc"), new Ctr("AES-CTR", all, "enc"),
    new Kw("AES-KW", ["wrapKey", "unwrapKey"], "enc"),
];
