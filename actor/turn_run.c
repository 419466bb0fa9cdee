#include "actor/idempotency.h"
#include "actor/ops.h"
#include "actor/turn.h"
#include "base/invariant.h"

typedef enum err (*operation)(struct turn *t, struct request *r);

static const operation operations[REQUEST_KIND_COUNT] = {
#define X(name, operation, does) op_##operation,
#include "actor/request.def"
#undef X
};

enum err turn_run(struct turn *t)
{
    struct request *r = t->request;
    bool keyed = r->idempotency_key != NULL && request_writes(r);
    turn_reset(t);
    if (keyed) {
        bool answered = false;
        enum err err = idempotency_begin(t, &answered);
        if (err != ERR_OK || answered) {
            return err;
        }
    }
    enum err err = operations[r->kind](t, r);
    if (err == ERR_COLD) {
        return ERR_COLD;
    }
    POST(err == r->reply.err);
    if (err != ERR_OK) {
        turn_discard(t);
    }
    if (keyed && reply_is_definite(&r->reply)) {
        idempotency_keep(t);
    }
    return ERR_OK;
}
