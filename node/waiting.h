/* Waiting: an exchange whose request is on an errand (node/errand.h). */
#ifndef NODE_WAITING_H
#define NODE_WAITING_H

#include "actor/request.h"
#include "node/decode.h"
#include "rpc/http.h"

struct worker;

/* Takes the request. Answers the exchange, now or later. */
void waiting_begin(struct worker *origin, struct http_exchange *x, struct request *r,
                   uint32_t timeout_ms, enum body_form form);

#endif
