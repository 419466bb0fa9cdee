/* The egress process: what user code asks of the outside, and nothing else, leaves the node through it.
 *
 *     channel (frames of actor/egress_frame.h) <--> transfers <--> pools of connections <--> network
 *
 * and for sandboxes: their sockets <--> guests <--> relays <--> the same pools (box.h, guest.h, relay.h)
 *
 * One loop over epoll. A transfer is one FETCH with its redirects; a pool is the connections of one namespace,
 * which no other namespace's requests ever use. All is bounded: transfers, those of a namespace, bytes of
 * requests, of responses and of what waits for the channel; a response is read only as fast as the worker
 * takes it. When the channel closes, the process ends. */
#ifndef ACTOR_EGRESS_EGRESS_H
#define ACTOR_EGRESS_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/channel.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

enum {
    EGRESS_TRANSFERS_MAX = 512,
    EGRESS_TRANSFERS_NS_MAX = 128,       /* of one namespace, so that none takes all the room */
    EGRESS_REQUEST_BYTES_MAX = 64 << 20, /* of all transfers' requests */
    EGRESS_POOLS_IDLE_MAX = 64,          /* beyond, the one idle for the longest time goes */
    EGRESS_POOL_IDLE_MS = 60 * 1000,
    EGRESS_OUT_BYTES_MAX = 1 << 20, /* bodies wait while more is on its way to the worker */
    EGRESS_READ_BYTES = 64 * 1024,
    EGRESS_FDS_MAX = 64,
};

struct tls_mint;

struct egress_options {
    int channel;
    struct slice ca; /* certificates to trust, in PEM; empty: those that the system trusts */
    int files;       /* of files_watch, or -1 */
};

struct egress {
    const struct egress_options *options;
    int epoll;
    struct channel_inbox inbox;
    struct buf out;
    size_t out_at; /* so much of it is sent */
    bool is_writable_watched;
    bool is_closed; /* the channel: nothing is left to do */
    bool is_stale;  /* a file that it needs is another one now: it ends once it has nothing to do */

    struct map transfers; /* by id */
    size_t transfer_count;
    size_t request_bytes;
    struct list ready; /* transfers that may have bytes for the channel */
    struct heap deadlines;

    struct map boxes; /* by id */
    struct list closed_boxes;
    struct tls_mint *mint; /* NULL: no box is opened before its CA has come */
    struct list awake;     /* guests that may go on */
    size_t guest_count;
    struct heap guest_deadlines;
    int fds[EGRESS_FDS_MAX]; /* that have come, and whose OPEN has not */
    size_t fd_count;

    struct list pools; /* with transfers under way, and idle ones, longest idle first */
    size_t idle_count;
    struct list unwatched; /* sockets whose events may still be in the batch at hand */
    uint64_t now_ms;
};

/* ERR_IO: epoll cannot be had. */
enum err egress_open(struct egress *e, const struct egress_options *options) MUST_CHECK;
void egress_close(struct egress *e);

/* Runs until the channel closes: ERR_OK; ERR_CORRUPT: what came on it is no frame. */
enum err egress_run(struct egress *e) MUST_CHECK;

#endif
