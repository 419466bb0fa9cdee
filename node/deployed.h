/* What is deployed in a namespace, and was: for whoever asks, from the view. */
#ifndef NODE_DEPLOYED_H
#define NODE_DEPLOYED_H

#include "base/slice.h"
#include "node/token.h"
#include "rpc/http.h"

struct worker;

/* Each answers the exchange, now or later; `ns` is raw text of the path. */
void deployed_show(struct worker *w, struct http_exchange *x, struct slice ns);
void deployed_list(struct worker *w, struct http_exchange *x, struct slice ns); /* its versions */
void deployed_rollback(struct worker *w, struct http_exchange *x, struct slice ns,
                       const struct token *token);

#endif
