/* Attacks on a node, as one client machine can make them.
 *
 * An attack is a row: what each of its connections says first, and what it says then, again and again.
 * attack.c opens the connections, from an address of its own, and moves the bytes; a connection that
 * the node closes is opened anew, so that an attack goes on for as long as it is told to. What it did is
 * counted: an attack that did nothing proves nothing. */
#ifndef TESTS_LIB_ATTACK_H
#define TESTS_LIB_ATTACK_H

#include <openssl/ssl.h>

#include "base/buf.h"

struct attack;

/* One connection of the attacker's. */
struct assailant {
    const struct attack *attack;
    int fd; /* negative: closed */
    bool is_connecting;
    bool wants_write; /* as epoll was last told */
    struct buf out;
    size_t out_at;
    uint64_t next_ms;     /* a paced attack goes on then */
    uint32_t number;      /* of this connection, over the whole attack */
    uint32_t stream;      /* HTTP/2: the last one opened */
    uint32_t step;        /* for the attack's own use; 0 at first */
    bool is_finished;     /* hangs up once all is sent */
    SSL *ssl;             /* attack_tls.c */
    uint64_t units;       /* of work: requests, frames, handshakes, bytes that trickle */
    uint64_t heard_bytes; /* on this connection */
};

struct attack {
    const char *name;
    uint32_t connections; /* at a time */
    uint32_t pace_ms;     /* between two calls of `go_on`; 0: as soon as all is sent */
    bool is_deaf;         /* does not read */
    bool stays_closed;    /* a connection that the node closes is not opened again */
    bool is_tls;          /* against a node that speaks TLS */
    void (*begin)(struct assailant *a);                    /* NULL: it says nothing */
    void (*go_on)(struct assailant *a);                    /* NULL: likewise */
    void (*hear)(struct assailant *a, struct slice bytes); /* NULL: what comes is dropped */
    void (*end)(struct assailant *a);                      /* the connection is closed */
};

/* Tables, each ended by a row without a name. */
extern const struct attack attacks_http1[];
extern const struct attack attacks_http2[];
extern const struct attack attacks_tls[];

/* What attacks ask for, put there before: bytes, some of them, and an array of many numbers. */
#define ATTACK_LARGE_PATH "/v1/attack/Store/large/kv/k"
#define ATTACK_DEAR_PATH  "/v1/attack/Store/dear/kv/k"

static inline void attack_did(struct assailant *a, uint64_t units)
{
    a->units += units;
}

#endif
