/* An order: one change of the cluster's records that an administrator or a node asks for. Whoever leads
 * the meta group decides it against the newest records (node/records.h) and says what came of it; any
 * node takes it from a client and sends it there.
 *
 *     order_http: client -> order -> orders (worker 0) -> records_submit -> decide -> outcome -> answer
 *
 * All that an order needs to be decided is in it, and all of its outcome too, as bytes; so both travel
 * between nodes. Kinds are in order.def. */
#ifndef NODE_ORDER_H
#define NODE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "node/board.h"
#include "node/cluster_view.h"
#include "node/decode.h"
#include "node/records.h"
#include "node/secret.h"

enum order_name {
#define X(name, decide) ORDER_##name,
#include "node/order.def"
#undef X
    ORDER_COUNT
};

enum { ORDER_LIMIT_BYTES = 64 };

struct order_run;

struct order {
    enum order_name name;
    struct bytes *subject; /* what it is about: an id of the path; NULL: nothing */
    struct bytes *body;    /* a checked document; NULL: none */
    bool has_asker;        /* else nobody's limits hold */
    uint8_t asker_hash[DIGEST_BYTES];

    /* of whoever decides */
    struct records_request request;
    struct order_run *run;     /* node/orders.h; NULL: none */
    const struct token *asker; /* of the view; NULL: no limits */
    uint64_t wall_ms;
    struct board *board;                /* what the nodes last said; NULL: nothing is known */
    uint32_t shard_count;               /* of the cluster */
    uint8_t secret_key[SEAL_KEY_BYTES]; /* of the cluster's secrets (node/secret.h) */

    /* outcome */
    struct decode_error error;     /* err is ERR_OK where it was done */
    char limit[ORDER_LIMIT_BYTES]; /* the name of its limit, where another node said so */
    int status;                    /* 200, 201 or 204 */
    struct buf document;           /* empty: none */
    uint64_t version;              /* of what was written (node/records.h); 0: nothing was */
};

/* Whether it is no harm where it is decided twice. */
bool order_may_repeat(enum order_name name);

void order_init(struct order *o, enum order_name name);
void order_done(struct order *o); /* wipes document and body: there may be a secret in them */

/* Sets `request.decide`; `request.done` is the caller's, and finds the outcome complete. */
void order_prepare(struct order *o);

/* The error of `request.done`, where the decision itself had none. */
void order_conclude(struct order *o, enum err err);

/* Between nodes. */
void order_encode(const struct order *o, struct buf *out);
enum err order_decode(struct slice bytes, struct order *ret_order) MUST_CHECK;
void outcome_encode(const struct order *o, struct buf *out);
enum err outcome_decode(struct slice bytes, struct order *o) MUST_CHECK;

/* For deciders: fills in the error and returns it. */
enum err order_refuse(struct order *o, enum err err, const char *format, ...) PRINTF_LIKE(3, 4);

/* The deciders of order.def. */
#define X(name, decide) \
    enum err decide(struct order *o, const struct cluster_view *v, struct records_changes *c);
#include "node/order.def"
#undef X

#endif
