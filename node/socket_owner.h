/* Sockets at the worker that owns their actors: brings what comes from clients' nodes to the sets of actors
 * (actor/socket_set.h), and what the actors say to the clients' nodes (node/socket_line.h).
 *
 *     accepted, or OPEN
 *        |
 *        v        the shard is lost                 all is sent
 *     SERVING -------------------------> ENDING --------------------> END, freed
 *        |   it is over at the actor                all is taken, GONE, or SOCKET_LINGER_MS
 *        +-----------------------------> LINGERING -------------------------------------> freed
 *
 * Nothing that an actor has said is lost on the way without the client's end learning so: letters are kept
 * until it has them, and END says how many there were. A socket of which nothing is heard for
 * SOCKET_SILENT_MS is lost. What a client does not take is bounded, for each socket and for all of a worker;
 * one that goes over it is closed. */
#ifndef NODE_SOCKET_OWNER_H
#define NODE_SOCKET_OWNER_H

#include "actor/socket_set.h"
#include "base/list.h"
#include "base/map.h"
#include "node/socket_mail.h"

enum {
    SOCKET_UNTAKEN_BYTES_MAX = 4 * 1024 * 1024, /* of one; one letter may pass it */
    SOCKET_ALL_UNTAKEN_BYTES_MAX = 128 * 1024 * 1024,
    SOCKET_LINGER_MS = 30 * 1000,
    SOCKET_ASK_MS = 60 * 1000,    /* without a word of the client's node we ask for one ... */
    SOCKET_SILENT_MS = 90 * 1000, /* ... and then it is gone */
};

struct socket_owner {
    struct socket_sets sets;
    const struct socket_net *net;
    void *ctx;
    uint32_t own_node;
    struct map ends; /* by id */
    struct list all;
    struct list dirty; /* they may have something to send */
    size_t count;
    size_t untaken_bytes;
    uint64_t now_ms;
    uint64_t wall_ms;
    uint64_t next_look_ms;
    bool has_orphans; /* sockets that another actor of this worker had accepted before */
};

void socket_owner_init(struct socket_owner *o, const struct socket_net *net, void *ctx,
                       uint32_t own_node);
void socket_owner_done(struct socket_owner *o);

/* A mail of the client's node. ERR_CORRUPT. */
enum err socket_owner_take(struct socket_owner *o, uint32_t from,
                           const struct socket_mail *m) MUST_CHECK;
void socket_owner_on_lost(struct socket_owner *o, uint32_t node); /* a connection to or from it */
/* The shard leads here no more; the code host has given back or lost what it had of it. */
void socket_owner_depose(struct socket_owner *o, uint32_t shard);

void socket_owner_tick(struct socket_owner *o, uint64_t now_ms, uint64_t wall_ms);
void socket_owner_flush(struct socket_owner *o); /* before the loop sleeps */

#endif
