/* The inside of peers, for node/peers*.c alone. */
#ifndef NODE_PEERS_OWN_H
#define NODE_PEERS_OWN_H

#include "node/peers.h"

enum { PEERS_MAGIC = 0x70656572 };

/* One of the two connections to a peer, and when it is tried next. */
struct lane_out {
    struct peer *peer;
    enum peer_channel channel;
    struct peer_conn *conn; /* NULL: it waits for redial_us */
    uint64_t redial_us;
    uint64_t pause_ms; /* the last */
    uint32_t attempt;
    uint64_t up_us;                 /* since when; 0: it is not */
    struct peer_counts past;        /* of connections that are gone */
    char reason[PEER_REASON_BYTES]; /* why the last one went, as logged */
};

/* A node that is dialled. */
struct peer {
    struct list link;
    struct peers *peers;
    uint32_t node;
    char address[PEERS_ADDRESS_BYTES];
    struct lane_out lanes[PEER_CHANNEL_COUNT];
};

/* Whose message it is, beyond its replica. */
struct sender {
    uint32_t node;
    uint16_t worker;
    uint8_t channel;
    uint64_t number; /* of the connection; later ones have higher ones */
};

/* An accepted connection. */
struct incoming {
    struct peers *peers;
    bool is_up;
    struct sender sender; /* once it is up */
};

/* The newest connection of a sender that something was delivered of. */
struct origin {
    struct map_node node;
    struct sender newest;
};

/* A node that has dialled, and what came from it. */
struct source {
    struct list link;
    uint32_t node;
    uint32_t up;
    struct peer_counts past;
    uint64_t undelivered;
};

struct peers {
    uint32_t magic;
    struct peers_options o;
    struct peer_set set;
    uv_tcp_t tcp;
    uv_timer_t redial;
    uint64_t redial_us; /* when it fires; UINT64_MAX: it is stopped */
    struct list peers;
    struct list sources;
    struct map origins;
    size_t stranger_count;
    uint64_t complained_us; /* when an accepted connection was last logged as refused */
    int handles_open;
    bool is_closing;
    void (*on_closed)(void *ctx);
};

/* Of the loop's side. */
void peers_accept(uv_stream_t *server, int status);
void peers_log_refused(struct peers *p, const char *reason);

/* Accepted connections (peers_in.c). */
void incoming_up(struct peer_conn *c, const struct peer_hello *hello);
void incoming_message(struct peer_conn *c, const struct peer_message *m);
void incoming_closed(struct peer_conn *c);
void incoming_end_of(struct peers *p, uint32_t node, const char *reason);
void incoming_done(struct peers *p); /* none is left */

static inline void peer_counts_add(struct peer_counts *to, const struct peer_counts *from)
{
    to->bytes_in += from->bytes_in;
    to->bytes_out += from->bytes_out;
    to->messages_in += from->messages_in;
    to->messages_out += from->messages_out;
    to->dropped += from->dropped;
}

#endif
