/* Orders that come from clients: as a request, to whoever decides it, and back as an answer. */
#ifndef NODE_ORDER_HTTP_H
#define NODE_ORDER_HTTP_H

#include "base/slice.h"
#include "node/order.h"
#include "rpc/http.h"

struct worker;

/* Answers the exchange, now or later. `subject` is raw text of the path, empty where there is none;
 * `has_body` says whether the order is told more. `token` is the one that the request came with, or
 * NULL. */
void order_open(struct worker *w, struct http_exchange *x, enum order_name name,
                struct slice subject, bool has_body, const struct token *token);

/* Likewise, with a checked document as the body (NULL: none), whose reference it takes, and the hash of the
 * token (NULL: none). */
void order_begin(struct worker *w, struct http_exchange *x, enum order_name name,
                 struct slice subject, struct bytes *body, const uint8_t *token_hash);

#endif
