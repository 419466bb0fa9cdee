/* A guard before a TLS server: it looks at the lengths that a peer announces before OpenSSL does.
 *
 * OpenSSL makes room for a whole handshake message as soon as it has seen its 4 bytes of header: 128 KB
 * for a ClientHello of which nothing else ever comes, on every connection. What is in the clear is
 * followed here, record by record, until the first one that is not of the handshake; behind that
 * OpenSSL's own bounds are near enough.
 *
 * Pure. Malformed records are let through: OpenSSL has the right alert for each. */
#ifndef RPC_TLS_GUARD_H
#define RPC_TLS_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Twice a ClientHello with post-quantum key shares and a large ticket. */
enum { TLS_GUARD_MESSAGE_BYTES_MAX = 16 * 1024 };

/* Zero-initialised is the start of a connection. */
struct tls_guard {
    uint8_t record[5]; /* header of the record, as far as it has come */
    uint8_t record_has;
    uint8_t message[4]; /* header of the handshake message, likewise; it may span records */
    uint8_t message_has;
    uint16_t record_left;  /* bytes of the record's body to come */
    uint32_t message_left; /* bytes of the message's body to come */
    bool is_done;
};

/* False: a message of more than TLS_GUARD_MESSAGE_BYTES_MAX is announced. Nothing of `in` may be given
 * to OpenSSL then. */
bool tls_guard_pass(struct tls_guard *g, struct slice in);

#endif
