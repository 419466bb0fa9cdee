// Another implementation of the Web Cryptography API (Node's), for test_isolate_crypto.py: reads a JSON list of
// [operation, arguments] on standard input, bytes as {hex}, and writes the list of results.
import { webcrypto } from "node:crypto";
import { text } from "node:stream/consumers";

const { subtle } = webcrypto;
const hex = bytes => ({ hex: Buffer.from(bytes).toString("hex") });
const plain = value => value !== null && typeof value === "object" && "hex" in value ? Buffer.from(value.hex, "hex")
    : Array.isArray(value) ? value.map(plain)
    : value !== null && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
    : value;

const operations = {
    async generate(algorithm, usages) {
        const pair = await subtle.generateKey(algorithm, true, usages);
        return {
            pkcs8: hex(await subtle.exportKey("pkcs8", pair.privateKey)),
            spki: hex(await subtle.exportKey("spki", pair.publicKey)),
            jwk: await subtle.exportKey("jwk", pair.privateKey),
        };
    },
    async sign(algorithm, format, key, data) {
        return hex(await subtle.sign(algorithm, await subtle.importKey(format, key, algorithm, false, ["sign"]), data));
    },
    async verify(algorithm, key, signature, data) {
        return subtle.verify(algorithm, await subtle.importKey("spki", key, algorithm, false, ["verify"]), signature, data);
    },
    async encrypt(algorithm, format, key, data) {
        return hex(await subtle.encrypt(algorithm, await subtle.importKey(format, key, algorithm, false, ["encrypt"]), data));
    },
    async decrypt(algorithm, format, key, data) {
        return hex(await subtle.decrypt(algorithm, await subtle.importKey(format, key, algorithm, false, ["decrypt"]), data));
    },
    async wrap(key, data) {
        const wrapping = await subtle.importKey("raw", key, "AES-KW", false, ["wrapKey"]);
        const wrapped = await subtle.importKey("raw", data, "AES-GCM", true, ["encrypt"]);
        return hex(await subtle.wrapKey("raw", wrapped, wrapping, "AES-KW"));
    },
    async deriveBits(algorithm, format, key, bits) {
        return hex(await subtle.deriveBits(algorithm, await subtle.importKey(format, key, algorithm, false, ["deriveBits"]), bits));
    },
    async agree(name, curve, pkcs8, spki) {
        const algorithm = curve === null ? { name } : { name, namedCurve: curve };
        const ours = await subtle.importKey("pkcs8", pkcs8, algorithm, false, ["deriveBits"]);
        const theirs = await subtle.importKey("spki", spki, algorithm, false, []);
        return hex(await subtle.deriveBits({ name, public: theirs }, ours, null));
    },
};

const results = [];
for (const [name, ...args] of JSON.parse(await text(process.stdin))) {
    results.push(await operations[name](...args.map(plain)));
}
process.stdout.write(JSON.stringify(results));
