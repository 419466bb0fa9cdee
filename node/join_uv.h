/* Joining: before a node has any data it asks a member to be let into the cluster, and learns what its data
 * must say: the cluster's id, its number of shards, its key for addresses.
 *
 *     dials the seed, whichever node that is  -- ORDER MEMBER_ADD, with the token -->
 *     hears the seed, which dials it back     <-- OUTCOME, once the cluster knows it --
 *
 * Asking again is no harm, so it does, until it is answered: by who is let in, or why it is not. Runs on
 * the main thread, on a loop of its own; nothing else of the node runs yet. */
#ifndef NODE_JOIN_UV_H
#define NODE_JOIN_UV_H

#include <stdint.h>

#include "base/err.h"
#include "node/member.h"
#include "rpc/tls_context.h"
#include "storage/data_dir.h"

enum { JOIN_TIMEOUT_MS = 60 * 1000, JOIN_RETRY_MS = 500, JOIN_DETAIL_BYTES = 512 };

struct join_request {
    struct cluster_member self;
    const char *token; /* may be empty: of a node that was let in and did not hear so */
    const char *seed;  /* "HOST:PORT" */
    const char *host;  /* numeric, to listen on */
    uint16_t port;
    struct tls_context *tls;
    bool (*is_stopped)(void *ctx); /* asked now and then */
    void *ctx;
};

/* ERR_FORBIDDEN, ERR_CONFLICT and others: it is refused; ERR_UNAVAILABLE: nobody answered in time;
 * ERR_BAD_REQUEST, ERR_BUSY: it cannot listen; ERR_CLOSED: it was stopped. With one sentence. */
enum err join_cluster(const struct join_request *r, struct data_origin *ret_origin,
                      char ret_detail[JOIN_DETAIL_BYTES]) MUST_CHECK;

#endif
