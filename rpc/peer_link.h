/* A peer link: one connection between two nodes, sans I/O. TLS with a certificate on both sides, then
 * greetings, then messages from the side that dialled; the other side answers pings and nothing else, and
 * dials for messages of its own.
 *
 *     HANDSHAKE --certificates are of one cluster--> GREETING --HELLO, WELCOME--> UP
 *         |                                             |                         |
 *         +-- not TLS, another CA, greeting_ms ---------+-- refused, refuses -----+-- dead, broken, ended
 *         v                                             v                         v
 *       OVER  <---- last words are out, or LAST_WORDS_MS ---- ENDING <------------+
 *
 *   dialled                          accepted
 *     HELLO, with the cluster, its     the certificate names the node that HELLO says, of this
 *     node id, worker, channel  -->    cluster, which the owner admits: WELCOME, else REFUSE
 *     messages, PING            -->    messages to the owner, PONG
 *
 * Each side shows who it is by its certificate (rpc/peer_name.h), whose cluster must be that of the own
 * one; who dialled also knows which node it wants. The cluster's id in HELLO is that of the data: two
 * clusters under one CA do not mix. It is 0 while a node has no data yet, which then learns it from
 * WELCOME; whether such a node may come is for the owner to say, as with any other.
 *
 * A peer of whom nothing has come for dead_ms is dead; who dialled sends a PING every ping_ms, so that
 * something comes both ways. While a link is not UP messages are refused, and when it ends what waited is
 * dropped: whoever sends must cope with loss. */
#ifndef RPC_PEER_LINK_H
#define RPC_PEER_LINK_H

#include "rpc/peer_frame.h"
#include "rpc/peer_inbox.h"
#include "rpc/peer_name.h"
#include "rpc/peer_queue.h"
#include "rpc/tls.h"

enum {
    PEER_SEAL_BYTES = 128 * 1024, /* at a time; what a PING may have to wait for */
    PEER_ROOM_BYTES = 64 * 1024,  /* plaintext of one read */
    PEER_LAST_WORDS_MS = 1000,
    PEER_REASON_BYTES = 320,
};

struct peer_limits {
    uint64_t greeting_ms; /* from the first byte to WELCOME */
    uint64_t ping_ms;
    uint64_t dead_ms;
    size_t queue_bytes_max;
};

/* greeting: a node that is busy with its start; ping and dead: below what a failover takes, above what a
 * checkpoint or a busy machine holds a loop up for. */
extern const struct peer_limits peer_limits_default;

enum peer_side { PEER_DIALLED, PEER_ACCEPTED };
enum peer_link_state { LINK_HANDSHAKE, LINK_GREETING, LINK_UP, LINK_ENDING, LINK_OVER };

struct peer_link;

struct peer_link_hooks {
    /* Accepted: whether this node may come. False: it is refused as not admitted. */
    bool (*admits)(void *ctx, const struct peer_hello *hello);
    void (*on_up)(void *ctx, const struct peer_hello *hello);          /* of the other side */
    void (*on_message)(void *ctx, const struct peer_message *message); /* borrowed for the call */
    void (*on_output)(void *ctx); /* there may be something to send */
};

struct peer_link_options {
    enum peer_side side;
    struct peer_hello own; /* its version is set here */
    uint32_t wanted_node;  /* dialled; 0: whichever node of the cluster is there */
    const struct peer_limits *limits;
    const struct peer_link_hooks *hooks;
    void *ctx;
    uint8_t *room; /* of PEER_ROOM_BYTES, shared by the links of a loop */
};

struct peer_counts {
    uint64_t bytes_in;  /* of the wire */
    uint64_t bytes_out; /* likewise, sent */
    uint64_t messages_in;
    uint64_t messages_out; /* taken; not all of them need have arrived */
    uint64_t dropped;      /* messages: refused for want of room, or in the queue when it ended */
    uint64_t rtt_us;       /* of pings, smoothed; 0: none yet */
};

/* NULL when memory is exhausted. What `options` point at is borrowed until peer_link_free. */
struct peer_link *peer_link_new(const struct peer_link_options *options, struct tls_context *tls,
                                uint64_t now_us);
void peer_link_free(struct peer_link *l); /* NULL is fine */

enum peer_link_state peer_link_state(const struct peer_link *l);
/* UP: of the other side. */
const struct peer_hello *peer_link_hello(const struct peer_link *l);
struct peer_counts peer_link_counts(const struct peer_link *l);
/* Why it ended, for people; "" where it did not. */
const char *peer_link_reason(const struct peer_link *l);

/* Dialled. ERR_UNAVAILABLE: not UP; ERR_OVERLOADED: the queue is full. Then it is dropped, and counted. */
enum err peer_link_send(struct peer_link *l, const struct peer_message *m) MUST_CHECK;
size_t peer_link_queued_bytes(const struct peer_link *l);

/* As those of rpc/http_wire.h. Hooks are called from recv; none of them may call these for the link. */
void peer_link_recv(struct peer_link *l, struct slice in, uint64_t now_us);
void peer_link_recv_end(struct peer_link *l, uint64_t now_us);
struct slice peer_link_output(struct peer_link *l, uint64_t now_us);
void peer_link_sent(struct peer_link *l, size_t n, uint64_t now_us);
bool peer_link_wants_close(const struct peer_link *l); /* OVER */
uint64_t peer_link_next_us(const struct peer_link *l);
void peer_link_tick(struct peer_link *l, uint64_t now_us);

/* The owner has no more use for it: last words, then OVER. */
void peer_link_end(struct peer_link *l, const char *reason, uint64_t now_us);

#endif
