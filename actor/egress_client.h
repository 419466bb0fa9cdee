/* The worker's end of its egress process: requests to the outside by their ids, and what becomes of them.
 *
 *        egress_client_fetch, first of a process --> hooks.start
 *     STOPPED ------------------------------------------------> RUNNING
 *        ^                                                         |
 *        +---- egress_client_lost: the channel has ended, or said --+
 *              nonsense; all that is under way fails, retryable
 *
 * The process is started when something is asked for, and again when it has died, each time later than the
 * last if it does so soon. It is not trusted: what it says is bounded by the credit that was given, and what
 * makes no sense ends it.
 *
 * Invariants
 *   - each request that was taken ends once: by its last chunk, by `fail`, or by egress_client_cancel.
 *   - STOPPED implies that none is under way.
 *
 * Pure: no process and no clock in here. */
#ifndef ACTOR_EGRESS_CLIENT_H
#define ACTOR_EGRESS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/channel.h"
#include "actor/egress_frame.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"

enum {
    EGRESS_REQUESTS_MAX = 512,            /* under way; the process takes as many */
    EGRESS_REQUESTS_BYTES_MAX = 64 << 20, /* of their frames */
    EGRESS_BOXES_MAX = 256,               /* sandboxes; the process takes as many */
    EGRESS_RESTART_MS = 100,              /* the first time; doubled each time it dies soon */
    EGRESS_RESTART_MS_MAX = 10 * 1000,
    EGRESS_STEADY_MS = 60 * 1000, /* who has run for so long did not die soon */
};

struct egress_request;

/* Of who asks. All may ask, credit and cancel; none is called from inside a call. After the last
 * chunk and after `fail` the request is its owner's again. */
struct egress_request_hooks {
    void (*head)(struct egress_request *r, const struct egress_head *h);
    void (*chunk)(struct egress_request *r, struct slice bytes, bool is_end);
    void (*fail)(struct egress_request *r, const struct egress_fail *f);
};

/* Embedded by who asks; the fields are the client's. */
struct egress_request {
    const struct egress_request_hooks *hooks;
    struct map_node node;
    uint64_t id;
    uint64_t credit; /* bytes that may still come */
    size_t frame_bytes;
    bool has_head;
};

/* A sandbox whose requests the process takes; embedded by who opens it. The process may end: then no box is open,
 * and who opened it does so again. The fields are the client's. */
struct egress_box {
    struct list link;
    uint64_t id; /* in the process; 0: it is not open */
};

/* Of the worker. */
struct egress_client_hooks {
    bool (*start)(void *ctx); /* a process with its channel; false: there can be none */
    void (*send)(void *ctx, struct slice bytes); /* on the channel; copied */
    /* Likewise, with EGRESS_BOX_SOCKETS descriptors at its first byte, of which it makes its own copies. False: they
     * cannot be sent. */
    bool (*send_sockets)(void *ctx, struct slice bytes, const int *fds);
    void (*record)(void *ctx, const struct egress_record *r);
};

struct egress_counters {
    uint64_t requests; /* records: each hop is one */
    uint64_t denied;
    uint64_t failed; /* for any other reason */
    uint64_t sent_bytes;
    uint64_t received_bytes;
    uint64_t starts;
    uint64_t refused; /* too many were under way, or there was no process */
};

struct egress_client {
    const struct egress_client_hooks *hooks;
    void *ctx;
    bool is_running;
    bool is_greeted;
    uint32_t layers; /* that the process is locked down by, of enum egress_layer */
    struct map requests;
    size_t request_bytes;
    struct list boxes; /* open */
    size_t box_count;
    bool has_ca; /* the process does */
    uint64_t last_id;
    struct channel_inbox inbox;
    uint64_t started_ms;
    uint64_t restart_ms; /* not before */
    uint32_t early_deaths;
    struct egress_counters counters;
};

void egress_client_init(struct egress_client *c, const struct egress_client_hooks *hooks,
                        void *ctx);
void egress_client_done(
    struct egress_client *c); /* nothing may be under way: egress_client_lost before */

/* ERR_OVERLOADED; ERR_UNAVAILABLE: there is no process and can be none now; ERR_TOO_LARGE: the body, the URL or
 * the fields; ERR_BAD_REQUEST: fields or list are none. Then nothing is under way and no hook is called. What `f`
 * points to is not kept; limits over the highest ones are lowered to these. */
enum err egress_client_fetch(struct egress_client *c, struct egress_request *r,
                             const struct egress_request_hooks *hooks, const struct egress_fetch *f,
                             uint64_t now_ms) MUST_CHECK;

/* So many bytes more may come. */
void egress_client_credit(struct egress_client *c, struct egress_request *r, uint64_t bytes);

/* Nothing more comes, and the request is its owner's again. */
void egress_client_cancel(struct egress_client *c, struct egress_request *r);

/* ERR_OVERLOADED, ERR_UNAVAILABLE: as of a fetch; ERR_BAD_REQUEST: the rules are none. `fds` stay the caller's. */
enum err egress_client_box_open(struct egress_client *c, struct egress_box *b,
                                const struct egress_box_open *o, const struct egress_ca *ca,
                                const int fds[EGRESS_BOX_SOCKETS], uint64_t now_ms) MUST_CHECK;
/* For requests that begin from now on. A box that is not open gets its rules when it is opened. ERR_BAD_REQUEST. */
enum err egress_client_box_rules(struct egress_client *c, const struct egress_box *b,
                                 const struct egress_box_rules *r) MUST_CHECK;
void egress_client_box_close(struct egress_client *c, struct egress_box *b);

/* What came on the channel. ERR_CORRUPT: the caller ends the channel, and calls egress_client_lost. */
enum err egress_client_feed(struct egress_client *c, struct slice bytes) MUST_CHECK;

/* The channel is gone, and the process with it. */
void egress_client_lost(struct egress_client *c, uint64_t now_ms);

#endif
