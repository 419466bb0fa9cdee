/* RSA: signatures with two paddings, and OAEP. */
import * as jwk from "./jwk.js";
import { Asymmetric, expectType } from "./asymmetric.js";
import { bytesMember, hashOf, numberMember } from "./algorithm.js";
import { copyOf } from "../bytes.js";
import { dataError, material, operationError } from "./key.js";
import { operate } from "./host_call.js";

const BITS_MIN = 1024;
const BITS_MAX = 8192;
const members = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];

const shortHash = (hash) => hash === "SHA-1" ? "1" : hash.slice(4);

function bitsOf(modulus) {
    return modulus.length * 8 - Math.clz32(modulus[0]) + 24;
}

class Rsa extends Asymmetric {
    kty = "RSA";

    describe(type, [n, e], algorithm) {
        return {
            name: this.name, modulusLength: bitsOf(n), publicExponent: e.slice(), hash: { name: hashOf(algorithm.hash) },
        };
    }

    generate(algorithm) {
        hashOf(algorithm.hash);
        const bits = numberMember(algorithm, "modulusLength");
        if (bits < BITS_MIN || bits > BITS_MAX) {
            throw operationError(`The modulus has ${BITS_MIN} to ${BITS_MAX} bits.`);
        }
        return operate("generate-rsa", bits, copyOf(algorithm.publicExponent, "The member publicExponent"));
    }

    expects(algorithm, type) {
        hashOf(algorithm.hash);
        expectType(type, "RSA");
    }

    fromJwk(data, algorithm) {
        jwk.checkAlg(data, this.algOf(hashOf(algorithm.hash)));
        if (data.oth !== undefined) {
            throw dataError("RSA keys of more than two primes are not supported.");
        }
        const isPrivate = data.d !== undefined;
        const names = isPrivate ? members : members.slice(0, 2);
        return { type: "RSA", parts: names.map((name) => jwk.decode(data, name)), isPrivate };
    }

    toJwk(parts, isPrivate, key) {
        const out = { kty: "RSA", alg: this.algOf(key.algorithm.hash.name) };
        members.slice(0, isPrivate ? 8 : 2).forEach((name, i) => {
            out[name] = jwk.encode(parts[i]);
        });
        return out;
    }
}

class RsaSignature extends Rsa {
    use = "sig";
    privateUsages = ["sign"];
    publicUsages = ["verify"];

    saltLength() {
        return 0;
    }

    sign(algorithm, key, data) {
        return operate("sign", this.name, key.algorithm.hash.name, material(key), data, this.saltLength(algorithm));
    }

    verify(algorithm, key, signature, data) {
        return operate("verify", this.name, key.algorithm.hash.name, material(key), signature, data, this.saltLength(algorithm));
    }
}

class Pkcs1 extends RsaSignature {
    name = "RSASSA-PKCS1-v1_5";

    algOf(hash) {
        return `RS${shortHash(hash)}`;
    }
}

class Pss extends RsaSignature {
    name = "RSA-PSS";

    algOf(hash) {
        return `PS${shortHash(hash)}`;
    }

    saltLength(algorithm) {
        return numberMember(algorithm, "saltLength");
    }
}

class Oaep extends Rsa {
    name = "RSA-OAEP";
    use = "enc";
    privateUsages = ["decrypt", "unwrapKey"];
    publicUsages = ["encrypt", "wrapKey"];

    algOf(hash) {
        return hash === "SHA-1" ? "RSA-OAEP" : `RSA-OAEP-${shortHash(hash)}`;
    }

    run(isEncrypt, algorithm, key, data) {
        const label = bytesMember(algorithm, "label", false) ?? new Uint8Array(0);
        return operate("rsa-oaep", isEncrypt, key.algorithm.hash.name, material(key), label, data);
    }

    encrypt(algorithm, key, data) {
        return this.run(true, algorithm, key, data);
    }

    decrypt(algorithm, key, data) {
        return this.run(false, algorithm, key, data);
    }
}

export const rsa = [new Pkcs1(), new Pss(), new Oaep()];
