/* ECDSA and ECDH, Ed25519 and X25519. */
import * as jwk from "./jwk.js";
import { Asymmetric, expectType } from "./asymmetric.js";
import { DOMException } from "../dom_exception.js";
import { concat } from "../bytes.js";
import { dataError, material, notSupported, operationError } from "./key.js";
import { hashOf } from "./algorithm.js";
import { operate, readKey } from "./host_call.js";

const curves = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };

function curveOf(algorithm) {
    const curve = String(algorithm.namedCurve);
    if (!Object.hasOwn(curves, curve)) {
        throw notSupported(`Unrecognized curve: ${curve.slice(0, 50)}`);
    }
    return curve;
}

/* The secret that two keys make, cut to the bits that were asked for. */
function derive(algorithm, key, bits) {
    const theirs = algorithm.public;
    if (theirs?.type !== "public" || theirs.algorithm?.name !== key.algorithm.name || theirs.algorithm.namedCurve !== key.algorithm.namedCurve) {
        throw new DOMException("The member public is not a public key of this kind.", "InvalidAccessError");
    }
    const secret = operate("derive", material(key), material(theirs));
    if (bits === null || bits === undefined) {
        return secret;
    }
    const bytes = Math.ceil(bits / 8);
    if (bytes > secret.length) {
        throw operationError("The keys do not give so many bits.");
    }
    const cut = secret.slice(0, bytes);
    if (bits % 8 !== 0) {
        cut[bytes - 1] &= 0xff << (8 - bits % 8);
    }
    return cut;
}

class EllipticCurve extends Asymmetric {
    kty = "EC";

    describe(type) {
        return { name: this.name, namedCurve: type };
    }

    generate(algorithm) {
        return operate("generate-ec", curveOf(algorithm));
    }

    expects(algorithm, type) {
        expectType(type, curveOf(algorithm));
    }

    fromRaw(bytes, algorithm) {
        const curve = curveOf(algorithm);
        return { der: readKey("ec-raw", curve, bytes), type: curve };
    }

    toRaw([x, y]) {
        return concat([new Uint8Array([4]), x, y]);
    }

    fromJwk(data) {
        if (!Object.hasOwn(curves, String(data.crv))) {
            throw dataError("The JWK names no curve.");
        }
        if (this.use === "sig") {
            jwk.checkAlg(data, curves[data.crv]);
        }
        const isPrivate = data.d !== undefined;
        const names = isPrivate ? ["x", "y", "d"] : ["x", "y"];
        return { type: data.crv, parts: names.map((name) => jwk.decode(data, name)), isPrivate };
    }

    toJwk([x, y, d], isPrivate, key) {
        const members = { kty: "EC", crv: key.algorithm.namedCurve, x: jwk.encode(x), y: jwk.encode(y) };
        return isPrivate ? { ...members, d: jwk.encode(d) } : members;
    }
}

class Ecdsa extends EllipticCurve {
    name = "ECDSA";
    use = "sig";
    privateUsages = ["sign"];
    publicUsages = ["verify"];

    sign(algorithm, key, data) {
        return operate("sign", "ECDSA", hashOf(algorithm.hash), material(key), data, 0);
    }

    verify(algorithm, key, signature, data) {
        return operate("verify", "ECDSA", hashOf(algorithm.hash), material(key), signature, data, 0);
    }
}

class Ecdh extends EllipticCurve {
    name = "ECDH";
    use = "enc";
    privateUsages = ["deriveKey", "deriveBits"];
    publicUsages = [];

    deriveBits(algorithm, key, bits) {
        return derive(algorithm, key, bits);
    }
}

/* Keys of Curve25519. */
class Octet extends Asymmetric {
    kty = "OKP";

    describe() {
        return { name: this.name };
    }

    generate() {
        return operate("generate-ed", this.name);
    }

    expects(algorithm, type) {
        expectType(type, this.name);
    }

    fromRaw(bytes) {
        return { der: readKey("key-from-parts", this.name, [bytes], false), type: this.name };
    }

    toRaw([x]) {
        return x.slice();
    }

    fromJwk(data) {
        if (data.crv !== this.name) {
            throw dataError(`The JWK is not of the curve ${this.name}.`);
        }
        const isPrivate = data.d !== undefined;
        const names = isPrivate ? ["x", "d"] : ["x"];
        return { type: this.name, parts: names.map((name) => jwk.decode(data, name)), isPrivate };
    }

    toJwk([x, d], isPrivate) {
        const members = { kty: "OKP", crv: this.name, x: jwk.encode(x) };
        return isPrivate ? { ...members, d: jwk.encode(d) } : members;
    }
}

class Ed25519 extends Octet {
    name = "Ed25519";
    use = "sig";
    privateUsages = ["sign"];
    publicUsages = ["verify"];

    sign(algorithm, key, data) {
        return operate("sign", "Ed25519", null, material(key), data, 0);
    }

    verify(algorithm, key, signature, data) {
        return operate("verify", "Ed25519", null, material(key), signature, data, 0);
    }
}

class X25519 extends Octet {
    name = "X25519";
    use = "enc";
    privateUsages = ["deriveKey", "deriveBits"];
    publicUsages = [];

    deriveBits(algorithm, key, bits) {
        return derive(algorithm, key, bits);
    }
}

export const curveAlgorithms = [new Ecdsa(), new Ecdh(), new Ed25519(), new X25519()];
