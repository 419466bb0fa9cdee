/* The intake: a request to an actor, from the HTTP request to what a turn can run. A body that is large is
 * decoded on the sideline, others at once. */
#ifndef NODE_INTAKE_H
#define NODE_INTAKE_H

#include "actor/request.h"
#include "node/decode.h"
#include "node/route.h"

struct worker;

struct intake {
    struct worker *worker;
    struct http_exchange *x;
    struct route route;
    struct slice query;
    bool has_token;
    uint8_t token_hash[DIGEST_BYTES];
    enum body_form form; /* of the answer */
};

/* What came of it: the request, which is the callee's, or an error. The exchange is there. */
typedef void (*intake_cb)(const struct intake *in, enum err err, struct request *r,
                          uint32_t timeout_ms, const struct decode_error *error);

/* Calls back once, from inside or later; not where the client goes away before. */
void intake_begin(const struct intake *in, intake_cb cb);

#endif
