/* Attacks with TLS: handshakes that cost the node much and the attacker little, and what sessions may ask
 * for again and again. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/invariant.h"
#include "tests/lib/attack.h"

enum { BATCH = 50 };

static void die(const char *what)
{
    (void)fprintf(stderr, "attack: %s\n", what);
    exit(EX_SOFTWARE);
}

static SSL_CTX *context(int version)
{
    static SSL_CTX *made;
    if (made == NULL) {
        made = SSL_CTX_new(TLS_client_method());
        if (made == NULL) {
            die("no TLS context");
        }
        SSL_CTX_set_security_level(made, 0);
        (void)SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
        (void)SSL_CTX_set_min_proto_version(made, version);
        (void)SSL_CTX_set_max_proto_version(made, version);
    }
    return made;
}

static SSL *session(int version)
{
    SSL *ssl = SSL_new(context(version));
    if (ssl == NULL) {
        die("no TLS session");
    }
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    return ssl;
}

static void take_wire(SSL *ssl, struct buf *ret_wire)
{
    uint8_t piece[4096];
    int n;
    while ((n = BIO_read(SSL_get_wbio(ssl), piece, sizeof piece)) > 0) {
        buf_append(ret_wire, piece, (size_t)n);
    }
}

/* Handshakes. One ClientHello serves for all of them: the node computes, we do not. */

static struct slice hello(void)
{
    static struct buf wire;
    if (wire.len == 0) {
        SSL *ssl = session(TLS1_3_VERSION);
        (void)SSL_do_handshake(ssl);
        take_wire(ssl, &wire);
        SSL_free(ssl);
    }
    return buf_slice(&wire);
}

static void say_hello(struct assailant *a)
{
    buf_append_slice(&a->out, hello());
    attack_did(a, 1);
}

static void hang_up(struct assailant *a, struct slice bytes)
{
    (void)bytes;
    a->is_finished = true;
}

static void say_half_of_hello(struct assailant *a)
{
    struct slice whole = hello();
    buf_append_slice(&a->out, slice_of(whole.data, whole.len / 2));
    attack_did(a, 1);
}

static void drip_hello(struct assailant *a)
{
    struct slice whole = hello();
    if (a->step < whole.len) {
        buf_append_byte(&a->out, whole.data[a->step++]);
        attack_did(a, 1);
    }
}

static void say_nothing(struct assailant *a)
{
    attack_did(a, 1);
}

static void rubbish(struct assailant *a)
{
    static const uint8_t record[] = {22, 3, 3, 0, 8, 1, 0, 0, 4, 'r', 'u', 'b', 'b'};
    buf_append(&a->out, record, sizeof record);
    attack_did(a, 1);
}

/* Sessions */

static void begin_session(struct assailant *a, int version)
{
    a->ssl = session(version);
    (void)SSL_do_handshake(a->ssl);
    take_wire(a->ssl, &a->out);
}

static void begin_session_12(struct assailant *a)
{
    begin_session(a, TLS1_2_VERSION);
}

static void begin_session_13(struct assailant *a)
{
    begin_session(a, TLS1_3_VERSION);
}

static void end_session(struct assailant *a)
{
    SSL_free(a->ssl);
}

static void hear(struct assailant *a, struct slice bytes)
{
    uint8_t plain[4096];
    bool was_open = SSL_is_init_finished(a->ssl);
    (void)BIO_write(SSL_get_rbio(a->ssl), bytes.data, (int)bytes.len);
    while (SSL_read(a->ssl, plain, sizeof plain) > 0) {
    }
    take_wire(a->ssl, &a->out);
    if (!was_open && SSL_is_init_finished(a->ssl)) {
        attack_did(a, 1);
    }
}

static void renegotiate(struct assailant *a)
{
    if (SSL_is_init_finished(a->ssl) && SSL_renegotiate(a->ssl) == 1) {
        (void)SSL_do_handshake(a->ssl);
        take_wire(a->ssl, &a->out);
        attack_did(a, 1);
    }
}

static void update_keys(struct assailant *a)
{
    for (int i = 0; i < BATCH && SSL_is_init_finished(a->ssl); i++) {
        if (SSL_key_update(a->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
            SSL_do_handshake(a->ssl) != 1) {
            return;
        }
        attack_did(a, 1);
    }
    take_wire(a->ssl, &a->out);
}

static void tiny_records(struct assailant *a)
{
    for (int i = 0; i < BATCH && SSL_is_init_finished(a->ssl); i++) {
        (void)SSL_write(a->ssl, "\r\n", 2);
        attack_did(a, 1);
    }
    take_wire(a->ssl, &a->out);
}

static void ask(struct assailant *a)
{
    static const char request[] =
        "GET /v1/attack/Store/small/kv/k HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (int i = 0; i < BATCH && SSL_is_init_finished(a->ssl); i++) {
        (void)SSL_write(a->ssl, request, sizeof request - 1);
        attack_did(a, 1);
    }
    take_wire(a->ssl, &a->out);
}

const struct attack attacks_tls[] = {
    {.name = "tls-hellos", .connections = 100, .is_tls = true, .begin = say_hello, .hear = hang_up},
    {.name = "tls-hellos-held", .connections = 10000, .is_tls = true, .begin = say_hello},
    {.name = "tls-half-hellos", .connections = 10000, .is_tls = true, .begin = say_half_of_hello},
    {.name = "tls-slow-hellos",
     .connections = 10000,
     .is_tls = true,
     .pace_ms = 500,
     .go_on = drip_hello},
    {.name = "tls-idle", .connections = 10000, .is_tls = true, .begin = say_nothing},
    {.name = "tls-rubbish", .connections = 100, .is_tls = true, .begin = rubbish},
    {.name = "tls-sessions",
     .connections = 10000,
     .is_tls = true,
     .begin = begin_session_13,
     .hear = hear,
     .end = end_session},
    {.name = "tls-renegotiations",
     .connections = 100,
     .is_tls = true,
     .pace_ms = 1,
     .begin = begin_session_12,
     .go_on = renegotiate,
     .hear = hear,
     .end = end_session},
    {.name = "tls-key-updates",
     .connections = 100,
     .is_tls = true,
     .pace_ms = 1,
     .begin = begin_session_13,
     .go_on = update_keys,
     .hear = hear,
     .end = end_session},
    {.name = "tls-tiny-records",
     .connections = 100,
     .is_tls = true,
     .pace_ms = 1,
     .begin = begin_session_13,
     .go_on = tiny_records,
     .hear = hear,
     .end = end_session},
    {.name = "tls-requests",
     .connections = 100,
     .is_tls = true,
     .pace_ms = 1,
     .begin = begin_session_13,
     .go_on = ask,
     .hear = hear,
     .end = end_session},
    {0},
};
