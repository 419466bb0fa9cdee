/* The operations that a host has of libcrypto, by node. */
import {
    constants, createCipheriv, createDecipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman, ECDH, generateKeyPairSync,
    hkdfSync, pbkdf2Sync, privateDecrypt, publicEncrypt, sign, verify,
} from "node:crypto";

const nodeHash = (hash) => hash.replace("-", "").toLowerCase();
const bytes = (buffer) => new Uint8Array(buffer);
const curves = { "P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1" };
const url = (data) => Buffer.from(data).toString("base64url");
const unurl = (text) => new Uint8Array(Buffer.from(text, "base64url"));

function keyOf(format, der) {
    const make = format === "pkcs8" ? createPrivateKey : createPublicKey;
    return make({ key: Buffer.from(der), format: "der", type: format });
}

const derOf = (key) => bytes(key.export({ format: "der", type: key.type === "private" ? "pkcs8" : "spki" }));

function typeOf(key) {
    if (key.asymmetricKeyType === "ec") {
        return Object.keys(curves).find((name) => curves[name] === key.asymmetricKeyDetails.namedCurve);
    }
    return { ed25519: "Ed25519", x25519: "X25519", rsa: "RSA" }[key.asymmetricKeyType];
}

function membersOf(type, isPrivate) {
    if (type === "RSA") {
        return ["n", "e", "d", "p", "q", "dp", "dq", "qi"].slice(0, isPrivate ? 8 : 2);
    }
    return [...(type.startsWith("P-") ? ["x", "y"] : ["x"]), ...(isPrivate ? ["d"] : [])];
}

function ctr(key, counter, bits, data) {
    const out = new Uint8Array(data.length);
    const block = Uint8Array.from(counter);
    for (let at = 0; at < data.length; at += 16) {
        const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false);
        const stream = cipher.update(block);
        for (let i = at; i < Math.min(at + 16, data.length); i++) {
            out[i] = data[i] ^ stream[i - at];
        }
        let left = bits;
        for (let i = 15; left > 0; i--, left -= 8) {
            const mask = left >= 8 ? 0xff : (1 << left) - 1;
            const next = (block[i] & mask) + 1;
            block[i] = (block[i] & ~mask) | (next & mask);
            if (next <= mask) {
                break;
            }
        }
    }
    return out;
}

const signing = (scheme, key, saltLength) => ({
    key,
    ...(scheme === "ECDSA" ? { dsaEncoding: "ieee-p1363" } : {}),
    ...(scheme === "RSA-PSS" ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength } : {}),
});

const operations = {
    hmac: (hash, key, data) => bytes(createHmac(nodeHash(hash), key).update(data).digest()),
    "aes-gcm"(isEncrypt, key, iv, additional, tagBits, data) {
        const name = `aes-${key.length * 8}-gcm`;
        const options = { authTagLength: tagBits / 8 };
        if (isEncrypt) {
            const cipher = createCipheriv(name, key, iv, options).setAAD(additional);
            return bytes(Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]));
        }
        const at = data.length - tagBits / 8;
        const decipher = createDecipheriv(name, key, iv, options).setAAD(additional).setAuthTag(data.subarray(at));
        return bytes(Buffer.concat([decipher.update(data.subarray(0, at)), decipher.final()]));
    },
    "aes-cbc"(isEncrypt, key, iv, data) {
        const cipher = (isEncrypt ? createCipheriv : createDecipheriv)(`aes-${key.length * 8}-cbc`, key, iv);
        return bytes(Buffer.concat([cipher.update(data), cipher.final()]));
    },
    "aes-ctr": ctr,
    "aes-kw"(isWrap, key, data) {
        const cipher = (isWrap ? createCipheriv : createDecipheriv)(`id-aes${key.length * 8}-wrap`, key, Buffer.alloc(8, 0xa6));
        return bytes(Buffer.concat([cipher.update(data), cipher.final()]));
    },
    pbkdf2: (hash, password, salt, iterations, count) => bytes(pbkdf2Sync(password, salt, iterations, count, nodeHash(hash))),
    hkdf: (hash, key, salt, info, count) => bytes(hkdfSync(nodeHash(hash), key, salt, info, count)),
    "generate-ec": (curve) => derOf(generateKeyPairSync("ec", { namedCurve: curves[curve] }).privateKey),
    "generate-ed": (name) => derOf(generateKeyPairSync(name.toLowerCase()).privateKey),
    "generate-rsa": (bits, exponent) => derOf(generateKeyPairSync("rsa", { modulusLength: bits, publicExponent: Number(`0x${Buffer.from(exponent).toString("hex")}`) }).privateKey),
    public: (pkcs8) => derOf(createPublicKey(keyOf("pkcs8", pkcs8))),
    "check-key"(format, der) {
        const type = typeOf(keyOf(format, der));
        if (type === undefined) {
            throw new Error("a key of another kind");
        }
        return type;
    },
    "key-parts"(format, der) {
        const key = keyOf(format, der);
        const jwk = key.export({ format: "jwk" });
        return membersOf(typeOf(key), format === "pkcs8").map((name) => unurl(jwk[name]));
    },
    "key-from-parts"(type, parts, isPrivate) {
        const kty = type === "RSA" ? "RSA" : type.startsWith("P-") ? "EC" : "OKP";
        const jwk = { kty, crv: type };
        membersOf(type, isPrivate).forEach((name, i) => {
            jwk[name] = url(parts[i]);
        });
        return derOf((isPrivate ? createPrivateKey : createPublicKey)({ key: jwk, format: "jwk" }));
    },
    "ec-raw"(curve, raw) {
        const point = ECDH.convertKey(raw, curves[curve], undefined, undefined, "uncompressed");
        const half = (point.length - 1) / 2;
        return operations["key-from-parts"](curve, [point.subarray(1, 1 + half), point.subarray(1 + half)], false);
    },
    sign: (scheme, hash, pkcs8, data, saltLength) =>
        bytes(sign(hash && nodeHash(hash), data, signing(scheme, keyOf("pkcs8", pkcs8), saltLength))),
    verify: (scheme, hash, spki, signature, data, saltLength) =>
        verify(hash && nodeHash(hash), data, signing(scheme, keyOf("spki", spki), saltLength), signature),
    "rsa-oaep"(isEncrypt, hash, der, label, data) {
        const key = { key: keyOf(isEncrypt ? "spki" : "pkcs8", der), oaepHash: nodeHash(hash), oaepLabel: label, padding: constants.RSA_PKCS1_OAEP_PADDING };
        return bytes(isEncrypt ? publicEncrypt(key, data) : privateDecrypt(key, data));
    },
    derive: (pkcs8, spki) => bytes(diffieHellman({ privateKey: keyOf("pkcs8", pkcs8), publicKey: keyOf("spki", spki) })),
};

export function crypto(op, ...args) {
    return operations[op](...args);
}
