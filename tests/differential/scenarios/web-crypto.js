import { outcomeName, scenario } from "./harness.js";

const encode = (text) => new TextEncoder().encode(text);
const hex = (buffer) => [...new Uint8Array(buffer)].map((one) => one.toString(16).padStart(2, "0")).join("");
const raw = (usages, algorithm, size = 16) => crypto.subtle.importKey("raw", new Uint8Array(size).fill(7), algorithm, true, usages);

export default scenario({
    "digests": () => Promise.all(["SHA-1", "SHA-256", "SHA-384", "SHA-512", "MD5"].map(async (name) => hex(await crypto.subtle.digest(name, encode("x"))))),
    "a digest by object": async () => hex(await crypto.subtle.digest({ name: "sha-256" }, encode("x").buffer)),
    "an unknown digest": () => outcomeName(() => crypto.subtle.digest("SHA-3", encode("x"))),
    "HMAC": async () => {
        const key = await raw(["sign", "verify"], { name: "HMAC", hash: "SHA-256" });
        const signature = await crypto.subtle.sign("HMAC", key, encode("x"));
        return [hex(signature), await crypto.subtle.verify("HMAC", key, signature, encode("x")), await crypto.subtle.verify("HMAC", key, signature, encode("y"))];
    },
    "AES-GCM": async () => {
        const key = await raw(["encrypt", "decrypt"], "AES-GCM");
        const options = { name: "AES-GCM", iv: new Uint8Array(12), additionalData: encode("more") };
        const secret = await crypto.subtle.encrypt(options, key, encode("text"));
        return [hex(secret), new TextDecoder().decode(await crypto.subtle.decrypt(options, key, secret)),
                await outcomeName(() => crypto.subtle.decrypt({ ...options, iv: new Uint8Array(12).fill(1) }, key, secret))];
    },
    "AES-CBC": async () => {
        const key = await raw(["encrypt", "decrypt"], "AES-CBC");
        const options = { name: "AES-CBC", iv: new Uint8Array(16) };
        const secret = await crypto.subtle.encrypt(options, key, encode("text"));
        return [hex(secret), new TextDecoder().decode(await crypto.subtle.decrypt(options, key, secret))];
    },
    "AES-CTR": async () => {
        const key = await raw(["encrypt"], "AES-CTR");
        return hex(await crypto.subtle.encrypt({ name: "AES-CTR", counter: new Uint8Array(16), length: 64 }, key, encode("text")));
    },
    "PBKDF2": async () => {
        const key = await crypto.subtle.importKey("raw", encode("secret"), "PBKDF2", false, ["deriveBits"]);
        return hex(await crypto.subtle.deriveBits({ name: "PBKDF2", salt: encode("salt"), iterations: 1000, hash: "SHA-256" }, key, 128));
    },
    "HKDF": async () => {
        const key = await crypto.subtle.importKey("raw", encode("secret"), "HKDF", false, ["deriveBits"]);
        return hex(await crypto.subtle.deriveBits({ name: "HKDF", salt: encode("salt"), info: encode("info"), hash: "SHA-256" }, key, 128));
    },
    "ECDSA": async () => {
        const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
        const options = { name: "ECDSA", hash: "SHA-256" };
        const signature = await crypto.subtle.sign(options, pair.privateKey, encode("x"));
        const jwk = await crypto.subtle.exportKey("jwk", pair.publicKey);
        return [signature.byteLength, await crypto.subtle.verify(options, pair.publicKey, signature, encode("x")), jwk.kty, jwk.crv, Object.keys(jwk).filter((name) => jwk[name] !== undefined).sort()];
    },
    "Ed25519": async () => {
        const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
        const signature = await crypto.subtle.sign("Ed25519", pair.privateKey, encode("x"));
        return [signature.byteLength, await crypto.subtle.verify("Ed25519", pair.publicKey, signature, encode("x"))];
    },
    "RSA": async () => {
        const pair = await crypto.subtle.generateKey(
            { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" }, true, ["sign", "verify"]);
        const signature = await crypto.subtle.sign("RSASSA-PKCS1-v1_5", pair.privateKey, encode("x"));
        return [signature.byteLength, await crypto.subtle.verify("RSASSA-PKCS1-v1_5", pair.publicKey, signature, encode("x"))];
    },
    "a key's members": async () => {
        const key = await raw(["sign"], { name: "HMAC", hash: "SHA-256" });
        return [key.type, key.extractable, key.usages, key.algorithm.name, key.algorithm.hash.name, key.algorithm.length, hex(await crypto.subtle.exportKey("raw", key))];
    },
    "a key that stays": async () => {
        const key = await crypto.subtle.importKey("raw", new Uint8Array(16), "AES-GCM", false, ["encrypt"]);
        return [await outcomeName(() => crypto.subtle.exportKey("raw", key)), await outcomeName(() => crypto.subtle.decrypt({ name: "AES-GCM", iv: new Uint8Array(12) }, key, new Uint8Array(32)))];
    },
    "a key of a wrong size": () => outcomeName(() => raw(["encrypt"], "AES-GCM", 15)),
    "random": async () => {
        const into = new Uint32Array(4);
        return [crypto.getRandomValues(into) === into, into.some((one) => one !== 0), crypto.randomUUID().length, crypto.randomUUID() !== crypto.randomUUID(),
                await outcomeName(() => crypto.getRandomValues(new Float32Array(1)))];
    },
    "too much that is random": () => outcomeName(() => crypto.getRandomValues(new Uint8Array(65537))),
    "equal in constant time": async () => [crypto.subtle.timingSafeEqual?.(encode("a"), encode("a")), crypto.subtle.timingSafeEqual?.(encode("a"), encode("b"))],
    "a stream of a digest": async () => {
        const stream = new crypto.DigestStream("SHA-256");
        const writer = stream.getWriter();
        await writer.write(encode("x"));
        await writer.close();
        return hex(await stream.digest);
    },
});
