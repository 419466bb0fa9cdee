/* Host functions on libcrypto: `digest(name, bytes)` and `crypto(operation, ...)`, what the prelude's
 * crypto.subtle is made of. Bytes in and out are Uint8Array; hashes and curves have the names of the Web
 * Cryptography API; keys are DER, `pkcs8` private and `spki` public. What fails throws an Error.
 *
 *     hmac(hash, key, data)                       aes-gcm(isEncrypt, key, iv, additional, tagBits, data)
 *     pbkdf2(hash, password, salt, rounds, bytes) aes-cbc(isEncrypt, key, iv, data)
 *     hkdf(hash, key, salt, info, bytes)          aes-ctr(key, counter, lengthBits, data)
 *     generate-ec(curve)                          aes-kw(isWrap, key, data)
 *     generate-ed("Ed25519"|"X25519")             sign(scheme, hash|null, pkcs8, data, saltLength)
 *     generate-rsa(bits, exponent)                verify(scheme, hash|null, spki, signature, data, saltLength)
 *     public(pkcs8)                               rsa-oaep(isEncrypt, hash, key, label, data)
 *     check-key("spki"|"pkcs8", bytes)            derive(pkcs8, spki)
 *     key-parts("spki"|"pkcs8", bytes)            ec-raw(curve, point)
 *     key-from-parts(type, parts, isPrivate)
 *
 * Schemes: ECDSA (r||s), Ed25519, RSASSA-PKCS1-v1_5, RSA-PSS. Types, as check-key gives them: a curve,
 * Ed25519, X25519, RSA. Parts are big-endian: EC x, y, d of the curve's size; Ed25519 and X25519 x, d; RSA n, e,
 * d, p, q, dp, dq, qi. */
#ifndef ACTOR_ISOLATE_HOST_CRYPTO_H
#define ACTOR_ISOLATE_HOST_CRYPTO_H

#include "actor/isolate/engine.h"

/* In the zygote: what libcrypto sets up on first use is set up here, once, before any fork. */
void host_crypto_init(void);
void host_crypto_add(struct engine *e);

#endif
