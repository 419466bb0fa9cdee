/* A guest: one connection from inside a sandbox.
 *
 *     PROXY  absolute-form, or CONNECT host:port and then as below        \
 *     HTTP   to the transparent address, port 80: where to is the Host     >--> request --> relay --> answer
 *     HTTPS  to its port 443: where to is the name of the hello (SNI)     /
 *
 *     IDLE --head--> BUSY --answer and request are over--> IDLE ...         one request at a time
 *                     |--101--> TUNNEL                                      bytes both ways
 *     any --refused for good, an end--> LAST (what is written goes out; what comes is dropped) --> gone
 *
 * TLS ends here, under a certificate that is made for the host (rpc/tls_mint.h): the broker reads the request,
 * checks it and writes it anew. Hello, CONNECT, target and Host must name one host. What is neither HTTP nor TLS
 * is refused and the connection closed.
 *
 * libcurl's callbacks only put bytes here and wake the guest; everything is done at the end of a turn, in
 * guests_run. */
#ifndef ACTOR_EGRESS_GUEST_H
#define ACTOR_EGRESS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/egress/source.h"
#include "actor/egress_frame.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "rpc/http1_inbound.h"
#include "rpc/problem.h"
#include "rpc/tls_mint.h"

struct box;
struct egress;
struct relay;
struct target;

enum {
    GUEST_MAGIC = 0x65677211,
    GUEST_IN_BYTES_MAX = 64 * 1024,   /* read and not yet used: no more is read beyond */
    GUEST_OUT_BYTES_MAX = 128 * 1024, /* written and not yet taken: answers wait beyond */
    GUEST_HEAD_MS = 15 * 1000,        /* for a hello, and for a head that has begun */
    GUEST_IDLE_MS = 60 * 1000,
    GUEST_BUSY_MS = 150 * 1000, /* without a byte in either direction */
    GUEST_TUNNEL_MS = 10 * 60 * 1000,
    GUEST_LAST_MS = 2 * 1000,
};

enum guest_state { GUEST_IDLE, GUEST_BUSY, GUEST_TUNNEL, GUEST_LAST };
enum guest_layer { GUEST_UNKNOWN, GUEST_PLAIN, GUEST_TLS };

struct guest {
    uint32_t magic;
    struct source source;
    enum guest_state state;
    enum guest_layer layer;
    enum egress_box_socket way;
    struct box *box;
    struct list link;  /* of box->guests */
    struct list awake; /* of egress->awake, or in none */
    struct heap_node deadline;
    int fd;
    uint32_t watched;  /* events */
    bool is_ended;     /* the guest sends no more */
    bool is_broken;    /* its socket: nothing more can be told */
    bool is_shut;      /* nor do we */
    bool is_late;      /* its deadline has passed */
    bool is_connected; /* CONNECT was answered: it is for this host and port alone */
    char host[TLS_MINT_HOST_BYTES_MAX + 3];
    uint16_t port;

    struct tls *tls;
    struct tls_guest hello;
    struct buf in; /* not yet used */
    struct buf out;
    size_t out_at;
    struct http1_inbound reader;
    bool request_is_over; /* all of the request under way has been read */
    bool keeps_open;      /* after its answer */
    struct relay *relay;  /* of the request under way */
};

void guest_open(struct box *b, int fd, enum egress_box_socket way);
void guests_close(struct box *b); /* at the end of the turn */
void guests_run(struct egress *e);
void guest_expire(struct guest *g);

/* For relays. */
void guest_put(struct guest *g,
               struct slice bytes); /* copied, and goes out at the end of the turn */
size_t guest_unsent(const struct guest *g);
void guest_wake(struct guest *g);
void guest_is_alive(struct guest *g); /* its deadline begins anew */
/* The relay is over. `keeps_open` false: so is the connection, once all that was put has gone out; is_whole
 * false: at once, so that the guest sees its answer broken off. */
void guest_answered(struct guest *g, bool keeps_open, bool is_whole);
void guest_switch(struct guest *g); /* to a tunnel */
/* An answer of our own; the connection stays open where it can. */
void guest_refuse(struct guest *g, enum err err, const char *detail);

/* Between guest.c and guest_request.c: a request's head is there. */
void guest_on_head(struct guest *g, const struct http1_inbound_head *h);

#endif
