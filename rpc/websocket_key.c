#include "rpc/websocket_key.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/buf.h"
#include "base/invariant.h"

/* What RFC 6455 has every server append. */
static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool websocket_key_is_valid(struct slice key)
{
    enum { KEY_BYTES = 16, DECODED_BYTES = 18, ENCODED_BYTES = 24 };
    uint8_t bytes[DECODED_BYTES];
    uint8_t again[ENCODED_BYTES + 1];
    if (key.len != ENCODED_BYTES ||
        EVP_DecodeBlock(bytes, key.data, ENCODED_BYTES) != DECODED_BYTES) {
        return false;
    }
    /* The library skips blanks and takes any padding: only what it would write itself is valid. */
    int len = EVP_EncodeBlock(again, bytes, KEY_BYTES);
    return len == ENCODED_BYTES && slice_equal(key, slice_of(again, ENCODED_BYTES));
}

void websocket_key_accept(struct slice key, char ret_accept[WEBSOCKET_ACCEPT_BYTES])
{
    struct buf text = {0};
    uint8_t digest[SHA_DIGEST_LENGTH];
    uint8_t encoded[WEBSOCKET_ACCEPT_BYTES + 1];
    buf_append_slice(&text, key);
    buf_append_str(&text, magic);
    int rc = EVP_Digest(text.data, text.len, digest, NULL, EVP_sha1(), NULL);
    INVARIANT(rc == 1);
    int len = EVP_EncodeBlock(encoded, digest, sizeof digest);
    INVARIANT(len == WEBSOCKET_ACCEPT_BYTES);
    memcpy(ret_accept, encoded, WEBSOCKET_ACCEPT_BYTES);
    buf_done(&text);
}
