/* A deploy, from `PUT /v1/{namespace}` to its answer.
 *
 *     READ (sideline) --> CHECKED (node/code_check.h) --> BUNDLED (sideline) --> ORDERED --> answered
 *
 * Until it is ordered it ends where its client goes away. Few run at a time: each has its code in memory
 * several times. */
#ifndef NODE_DEPLOY_H
#define NODE_DEPLOY_H

#include "base/slice.h"
#include "node/token.h"
#include "rpc/http.h"

struct worker;

enum { DEPLOYS_MAX = 4 }; /* of a worker */

/* Answers the exchange, now or later. `ns` is raw text of the path; `token` is the one that the request
 * came with, or NULL. */
void deploy_open(struct worker *w, struct http_exchange *x, struct slice ns,
                 const struct token *token);

#endif
