/* Of host_crypto*.c alone. */
#ifndef ACTOR_ISOLATE_HOST_CRYPTO_OWN_H
#define ACTOR_ISOLATE_HOST_CRYPTO_OWN_H

#include <openssl/evp.h>

#include "actor/isolate/engine.h"

/* An operation: its arguments begin at CRYPTO_FIRST. Where it fails without a word, an Error is thrown. */
enum { CRYPTO_FIRST = 1 };
typedef bool crypto_fn(struct engine_call *c);

/* Arguments; false with an exception. Bytes that are empty have a pointer too, which libcrypto wants. */
bool crypto_arg_slice(struct engine_call *c, size_t at, struct slice *ret);
bool crypto_arg_hash(struct engine_call *c, size_t at, const EVP_MD **ret); /* null: NULL */
bool crypto_arg_count(struct engine_call *c, size_t at, size_t max, size_t *ret);
bool crypto_arg_is(struct engine_call *c, size_t at, const char *text);

crypto_fn crypto_aes_gcm, crypto_aes_cbc, crypto_aes_ctr, crypto_aes_kw;
crypto_fn crypto_generate_ec, crypto_generate_ed, crypto_generate_rsa, crypto_public,
    crypto_check_key;
crypto_fn crypto_key_parts, crypto_key_from_parts, crypto_ec_raw;
crypto_fn crypto_sign, crypto_verify, crypto_rsa_oaep, crypto_derive;

/* Keys; NULL where the bytes are none, to the last one. */
EVP_PKEY *crypto_read_private(struct slice pkcs8);
EVP_PKEY *crypto_read_public(struct slice spki);
EVP_PKEY *crypto_arg_key(struct engine_call *c, size_t at, bool is_private);

#endif
