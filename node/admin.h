/* What the node says of itself: health, metrics, the cluster, who lives in it. */
#ifndef NODE_ADMIN_H
#define NODE_ADMIN_H

#include "base/slice.h"
#include "node/route.h"
#include "rpc/http.h"

struct worker;

/* Answers a LOCAL route. `token` is the one that the request came with, or NULL. */
void admin_answer(struct worker *w, struct http_exchange *x, const struct route *route,
                  struct slice query, const struct token *token);

#endif
