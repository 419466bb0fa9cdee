/* Secrets, as /admin/v1/namespaces/{ns}/secrets sets, lists and removes them:
 *
 *     PUT     …/{name} {"value"}   204, also where there was one
 *     DELETE  …/{name}             204; 404 `no_such_secret`
 *     GET                          {"secrets":[{"name","created","updated"}]}
 *
 * Setting and removing are orders (node/order.def). */
#ifndef NODE_SECRETS_H
#define NODE_SECRETS_H

#include "base/slice.h"
#include "node/token.h"
#include "rpc/http.h"

struct worker;

/* Segments of the path, raw. */
void secrets_list(struct worker *w, struct http_exchange *x, struct slice ns);
void secrets_change(struct worker *w, struct http_exchange *x, struct slice ns, struct slice name,
                    const struct token *token);

#endif
