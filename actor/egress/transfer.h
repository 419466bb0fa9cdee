/* A transfer: one FETCH, from its frame to the last byte of its response.
 *
 *     ASKING --final head--> ANSWERING --all came from the network--> DRAINING --all went to the worker--> freed
 *       |  ^                     |                                       |
 *       +--+ a redirect          +------- failed, cancelled, late -------+-----------------------------> freed
 *
 * Each hop is checked as if it were the only one: the pattern, the address that it names, and the address
 * that its connection has. Bytes of the body wait here, a bounded number, until the worker has given credit
 * and the channel has room; meanwhile libcurl is paused, and so the other side. */
#ifndef ACTOR_EGRESS_TRANSFER_H
#define ACTOR_EGRESS_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "actor/egress/hop.h"
#include "actor/egress/inflater.h"
#include "actor/egress/inject.h"
#include "actor/egress/pool.h"
#include "actor/egress/response.h"
#include "actor/egress/scrubber.h"
#include "actor/egress/target.h"
#include "actor/egress_frame.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

struct egress;

enum {
    TRANSFER_MAGIC = 0x65677202,
    TRANSFER_CONNECT_MS = 10 * 1000,
    TRANSFER_WAITING_BYTES_MAX = 64 * 1024, /* of a body, as it came: libcurl is paused beyond */
    TRANSFER_REDIRECT_BODY_BYTES_MAX = 16 * 1024, /* read for the connection's sake */
};

enum transfer_state { TRANSFER_ASKING, TRANSFER_ANSWERING, TRANSFER_DRAINING };

struct transfer {
    uint32_t magic;
    enum transfer_state state;
    struct egress *egress;
    struct pool *pool;
    struct pool_user user;
    struct map_node node; /* of egress->transfers */
    struct list ready;    /* of egress->ready, or in none */
    struct heap_node deadline;
    uint64_t id;
    struct buf frame;          /* that it came in */
    struct egress_fetch fetch; /* borrowed from it */

    /* this hop */
    struct hop hop;
    struct target target;
    struct injection injection;
    CURL *easy; /* while it is under way */
    struct curl_slist *fields;
    struct response response;
    struct target next; /* where its redirect leads; no parts: there is none */
    uint64_t begun_ms;
    uint64_t received_bytes;
    uint32_t asked;  /* times that its request has been put on a connection */
    uint32_t opened; /* sockets */
    bool refused;    /* an address: it is private */
    bool is_recorded;

    /* the body */
    struct scrub_set scrub; /* of all hops */
    struct scrubber scrubber;
    struct inflater *inflater; /* NULL: it is passed on as it comes */
    struct buf waiting;
    size_t waiting_at;
    uint64_t credit;
    uint64_t told_bytes;
    bool is_paused;

    /* why it fails, where a callback of libcurl has found out */
    enum err err;
    const char *detail;
};

/* Takes the frame. What cannot begin is answered with FAIL at once. */
void transfer_begin(struct egress *e, struct slice frame, const struct egress_frame *f);
struct transfer *transfer_find(const struct egress *e, uint64_t id); /* NULL: it has ended */

void transfer_credit(struct transfer *t, uint64_t bytes);
void transfer_cancel(struct transfer *t);
void transfer_expire(struct transfer *t);

/* libcurl is done with the hop. */
void transfer_on_end(struct pool_user *user, CURLcode code);

/* Tells at most one chunk. It is in egress->ready again where there is more that may be told. */
void transfer_pump(struct transfer *t);

void transfers_close(struct egress *e);

/* Between transfer.c and transfer_curl.c: the hop's request under way; and what it calls. */
enum err transfer_start_hop(struct transfer *t, const char **ret_detail) MUST_CHECK;
void transfer_stop_hop(struct transfer *t);
enum err transfer_on_head(struct transfer *t, const char **ret_detail) MUST_CHECK;
void transfer_make_ready(struct transfer *t);
void transfer_is_alive(struct transfer *t); /* its deadline begins anew */

#endif
