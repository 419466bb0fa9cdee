/* crypto: vectors of standards, and what the standard says of keys. */
import assert from "node:assert/strict";
import test from "node:test";
import { js } from "./daemon.js";

const HELPERS = `
    const s = crypto.subtle, enc = (t) => new TextEncoder().encode(t);
    const hex = (b) => Array.from(new Uint8Array(b), (x) => x.toString(16).padStart(2, "0")).join("");
    const un = (h) => new Uint8Array((h.match(/../g) ?? []).map((x) => parseInt(x, 16)));
    const fails = async (f) => { try { await f(); return "none"; } catch (e) { return e.name; } };
    `;

const cases = [
    ["digests", "return [hex(await s.digest('SHA-256', enc('abc'))), hex(await s.digest({ name: 'sha-1' }, enc('abc'))), hex(await s.digest('MD5', enc(''))), (await s.digest('SHA-512', new ArrayBuffer(0))).byteLength, await fails(() => s.digest('SHA-3', enc('')))]",
     ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "a9993e364706816aba3e25717850c26c9cd0d89d", "d41d8cd98f00b204e9800998ecf8427e", 64, "NotSupportedError"]],
    ["HMAC (RFC 4231, case 2)", `
        const k = await s.importKey("raw", enc("Jefe"), { name: "HMAC", hash: "SHA-256" }, true, ["sign", "verify"]);
        const m = await s.sign("HMAC", k, enc("what do ya want for nothing?")); const j = await s.exportKey("jwk", k); const again = await s.importKey("jwk", j, { name: "hmac", hash: { name: "sha-256" } }, false, ["verify"]);
        return [hex(m), await s.verify("HMAC", again, m, enc("what do ya want for nothing?")), await s.verify("HMAC", k, m, enc("other")), j, k.algorithm, await fails(() => s.exportKey("raw", again)), await fails(() => s.sign("HMAC", again, m))];`,
     ["5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", true, false, { kty: "oct", k: "SmVmZQ", alg: "HS256", key_ops: ["sign", "verify"], ext: true }, { name: "HMAC", hash: { name: "SHA-256" }, length: 32 }, "InvalidAccessError", "InvalidAccessError"]],
    ["AES-GCM (SP 800-38D, case 4)", `
        const k = await s.importKey("raw", un("feffe9928665731c6d6a8f9467308308"), "AES-GCM", true, ["encrypt", "decrypt"]);
        const p = { name: "AES-GCM", iv: un("cafebabefacedbaddecaf888"), additionalData: un("feedfacedeadbeeffeedfacedeadbeefabaddad2") };
        const c = await s.encrypt(p, k, un("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"));
        const bad = new Uint8Array(c).slice(); bad[0] ^= 1;
        return [hex(c).slice(-32), hex(await s.decrypt(p, k, c)).slice(0, 8), await fails(() => s.decrypt(p, k, bad)), await fails(() => s.decrypt(p, k, new Uint8Array(4))), await fails(() => s.encrypt({ ...p, tagLength: 8 }, k, bad))];`,
     ["5bc94fbc3221a5db94fae95ae7121a47", "d9313225", "OperationError", "OperationError", "OperationError"]],
    ["AES-CBC (SP 800-38A)", `
        const k = await s.importKey("raw", un("2b7e151628aed2a6abf7158809cf4f3c"), "AES-CBC", false, ["encrypt", "decrypt"]); const p = { name: "AES-CBC", iv: un("000102030405060708090a0b0c0d0e0f") };
        const c = await s.encrypt(p, k, un("6bc1bee22e409f96e93d7e117393172a")); return [hex(c).slice(0, 32), c.byteLength, hex(await s.decrypt(p, k, c)), await fails(() => s.decrypt(p, k, new Uint8Array(15))), await fails(() => s.encrypt({ name: "AES-CBC", iv: new Uint8Array(8) }, k, c))];`,
     ["7649abac8119b246cee98e9b12e9197d", 32, "6bc1bee22e409f96e93d7e117393172a", "OperationError", "OperationError"]],
    ["AES-CTR (SP 800-38A), and its counter comes round in its own bits", `
        const k = await s.importKey("raw", un("2b7e151628aed2a6abf7158809cf4f3c"), "AES-CTR", false, ["encrypt"]);
        const c = await s.encrypt({ name: "AES-CTR", counter: un("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"), length: 128 }, k, un("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"));
        const w = await s.encrypt({ name: "AES-CTR", counter: un("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"), length: 4 }, k, new Uint8Array(32)); const x = await s.encrypt({ name: "AES-CTR", counter: un("f0f1f2f3f4f5f6f7f8f9fafbfcfdfef0"), length: 4 }, k, new Uint8Array(16));
        return [hex(c), hex(w).slice(32) === hex(x), await fails(() => s.encrypt({ name: "AES-CTR", counter: new Uint8Array(16), length: 1 }, k, new Uint8Array(48)))];`,
     ["874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff", true, "OperationError"]],
    ["AES-KW (RFC 3394, 4.1)", `
        const kek = await s.importKey("raw", un("000102030405060708090a0b0c0d0e0f"), "AES-KW", false, ["wrapKey", "unwrapKey"]); const k = await s.importKey("raw", un("00112233445566778899aabbccddeeff"), "AES-CBC", true, ["encrypt"]);
        const w = await s.wrapKey("raw", k, kek, "AES-KW"); const u = await s.unwrapKey("raw", w, kek, "AES-KW", "AES-CBC", true, ["encrypt"]); return [hex(w), hex(await s.exportKey("raw", u))];`,
     ["1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5", "00112233445566778899aabbccddeeff"]],
    ["PBKDF2 (RFC 6070) and HKDF (RFC 5869)", `
        const p = await s.importKey("raw", enc("password"), "PBKDF2", false, ["deriveBits", "deriveKey"]); const h = await s.importKey("raw", un("0b".repeat(22)), "HKDF", false, ["deriveBits"]);
        const k = await s.deriveKey({ name: "PBKDF2", hash: "SHA-1", salt: enc("salt"), iterations: 2 }, p, { name: "AES-GCM", length: 128 }, true, ["encrypt"]);
        return [hex(await s.deriveBits({ name: "PBKDF2", hash: "SHA-1", salt: enc("salt"), iterations: 2 }, p, 160)), hex(await s.exportKey("raw", k)),
            hex(await s.deriveBits({ name: "HKDF", hash: "SHA-256", salt: un("000102030405060708090a0b0c"), info: un("f0f1f2f3f4f5f6f7f8f9") }, h, 336)),
            await fails(() => s.deriveBits({ name: "PBKDF2", hash: "SHA-1", salt: enc("salt"), iterations: 0 }, p, 160)), await fails(() => s.importKey("raw", enc("x"), "HKDF", true, ["deriveBits"]))];`,
     ["ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957", "ea6c014dc72d6f8ccd1ed92ace1d41f0",
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865", "OperationError", "SyntaxError"]],
    ["ECDSA keys sign, and go through every format", `
        const out = [];
        for (const [namedCurve, hash] of [["P-256", "SHA-256"], ["P-384", "SHA-384"], ["P-521", "SHA-512"]]) {
            const a = { name: "ECDSA", namedCurve }, p = { name: "ECDSA", hash }, data = enc("data");
            const pair = await s.generateKey(a, true, ["sign", "verify"]); const sig = await s.sign(p, pair.privateKey, data);
            const good = [];
            for (const f of ["raw", "spki", "jwk"]) { const k = await s.importKey(f, await s.exportKey(f, pair.publicKey), a, true, ["verify"]); good.push(await s.verify(p, k, sig, data), await s.verify(p, k, sig, enc("other"))); }
            for (const f of ["pkcs8", "jwk"]) { const k = await s.importKey(f, await s.exportKey(f, pair.privateKey), a, true, ["sign"]); good.push(await s.verify(p, pair.publicKey, await s.sign(p, k, data), data)); }
            out.push(sig.byteLength, good.join(), pair.privateKey.usages.join(), pair.publicKey.algorithm.namedCurve, await s.verify(p, pair.publicKey, new Uint8Array(3), data));
        }
        return out;`,
     [64, "true,false,true,false,true,false,true,true", "sign", "P-256", false, 96, "true,false,true,false,true,false,true,true", "sign", "P-384", false, 132, "true,false,true,false,true,false,true,true", "sign", "P-521", false]],
    ["ECDH and X25519 agree on a secret", `
        const out = [];
        for (const a of [{ name: "ECDH", namedCurve: "P-256" }, { name: "X25519" }]) {
            const x = await s.generateKey(a, false, ["deriveBits", "deriveKey"]), y = await s.generateKey(a, true, ["deriveBits"]);
            out.push(hex(await s.deriveBits({ name: a.name, public: y.publicKey }, x.privateKey, 256)) === hex(await s.deriveBits({ name: a.name, public: x.publicKey }, y.privateKey, 256)));
            out.push((await s.deriveKey({ name: a.name, public: y.publicKey }, x.privateKey, { name: "AES-GCM", length: 256 }, false, ["encrypt"])).type, await fails(() => s.deriveBits({ name: a.name, public: x.privateKey }, x.privateKey, 256)));
        }
        return out;`, [true, "secret", "InvalidAccessError", true, "secret", "InvalidAccessError"]],
    ["Ed25519 (RFC 8032, test 2)", `
        const k = await s.importKey("jwk", { kty: "OKP", crv: "Ed25519", d: "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs", x: "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw" }, "Ed25519", true, ["sign"]);
        const pub = await s.importKey("raw", un("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"), "Ed25519", true, ["verify"]);
        const sig = await s.sign("Ed25519", k, un("72")); return [hex(sig), await s.verify("Ed25519", pub, sig, un("72")), await s.verify("Ed25519", pub, sig, un("73")), hex(await s.exportKey("raw", pub)).slice(0, 8), (await s.exportKey("jwk", k)).d];`,
     ["92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00", true, false, "3d4017c3", "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs"]],
    ["RSA keys sign and encrypt, and go through every format", `
        const out = [], data = enc("data"), g = { modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" };
        const pair = await s.generateKey({ name: "RSASSA-PKCS1-v1_5", ...g }, true, ["sign", "verify"]);
        out.push(pair.publicKey.algorithm.modulusLength, [...pair.publicKey.algorithm.publicExponent].join(), pair.publicKey.algorithm.hash.name);
        for (const name of ["RSASSA-PKCS1-v1_5", "RSA-PSS"]) {
            const a = { name, hash: "SHA-256" }, p = { name, saltLength: 32 };
            const priv = await s.importKey("pkcs8", await s.exportKey("pkcs8", pair.privateKey), a, true, ["sign"]), pub = await s.importKey("spki", await s.exportKey("spki", pair.publicKey), a, true, ["verify"]);
            const j = await s.importKey("jwk", await s.exportKey("jwk", priv), a, true, ["sign"]); const sig = await s.sign(p, j, data);
            out.push((await s.exportKey("jwk", pub)).alg, await s.verify(p, pub, sig, data), await s.verify(p, pub, sig, enc("x")));
        }
        const o = { name: "RSA-OAEP", hash: "SHA-1" }; const e = await s.importKey("spki", await s.exportKey("spki", pair.publicKey), o, true, ["encrypt"]), d = await s.importKey("pkcs8", await s.exportKey("pkcs8", pair.privateKey), o, true, ["decrypt"]);
        out.push(new TextDecoder().decode(await s.decrypt({ name: "RSA-OAEP", label: enc("l") }, d, await s.encrypt({ name: "RSA-OAEP", label: enc("l") }, e, data))), await fails(async () => s.decrypt("RSA-OAEP", d, await s.encrypt({ name: "RSA-OAEP", label: enc("l") }, e, data))));
        return out;`, [1024, "1,0,1", "SHA-256", "RS256", true, false, "PS256", true, false, "data", "OperationError"]],
    ["a key can be wrapped as a JWK by AES-GCM", `
        const w = await s.generateKey({ name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]), k = await s.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"]); const a = { name: "AES-GCM", iv: new Uint8Array(12) };
        const u = await s.unwrapKey("jwk", await s.wrapKey("jwk", k, w, a), w, a, { name: "HMAC", hash: "SHA-256" }, true, ["sign"]); return hex(await s.exportKey("raw", u)) === hex(await s.exportKey("raw", k));`, true],
    ["what is wrong with keys is the standard's error", `return [
        await fails(() => s.importKey("raw", new Uint8Array(5), "AES-GCM", true, ["encrypt"])), await fails(() => s.importKey("raw", new Uint8Array(16), "AES-GCM", true, ["sign"])), await fails(() => s.importKey("raw", new Uint8Array(16), "AES-GCM", true, [])),
        await fails(() => s.importKey("spki", new Uint8Array(16), { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"])), await fails(() => s.importKey("raw", new Uint8Array(65), { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"])), await fails(() => s.importKey("raw", new Uint8Array(65), { name: "ECDSA", namedCurve: "P-1" }, true, [])),
        await fails(() => s.importKey("jwk", { kty: "RSA" }, { name: "HMAC", hash: "SHA-256" }, true, ["sign"])), await fails(() => s.sign("HMAC", {}, new Uint8Array(1))), await fails(() => s.generateKey("Nothing", true, [])), await fails(() => s.generateKey({ name: "AES-GCM", length: 100 }, true, ["encrypt"])), await fails(() => new CryptoKey())];`,
     ["DataError", "SyntaxError", "SyntaxError", "DataError", "DataError", "NotSupportedError", "DataError", "TypeError", "NotSupportedError", "OperationError", "TypeError"]],
    ["random values and UUIDs", `
        const a = crypto.getRandomValues(new Uint32Array(4)), u = crypto.randomUUID();
        return [a.some((x) => x !== 0), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(u), u !== crypto.randomUUID(), await fails(() => crypto.getRandomValues(new Uint8Array(65537))), await fails(() => crypto.getRandomValues(new Float32Array(1))), crypto.subtle.timingSafeEqual(new Uint8Array([1]), new Uint8Array([1]))];`,
     [true, true, true, "QuotaExceededError", "TypeMismatchError", true]],
    ["a DigestStream has the digest of all that was written", "const d = new crypto.DigestStream('SHA-256'); const w = d.getWriter(); w.write(enc('a')); w.write(enc('bc')); w.close(); return hex(await d.digest).slice(0, 8)", "ba7816bf"],
];

for (const [what, code, value] of cases) {
    test(what, async () => assert.deepEqual(await js(HELPERS + code), value));
}
