/* Tokens, as /admin/v1/tokens makes, lists and revokes them:
 *
 *     POST    {"namespace","scopes":["call",…],"actor"?:"CLASS/ID-PREFIX","ttl_ms"?}
 *             201 {"id","token","namespace","scopes","actor","created","expires"}: the only time that
 *             the token itself is shown
 *     GET     {"tokens":[{"id","namespace","scopes","actor","created","expires"}]}
 *     DELETE  …/{id}  204; 404 `no_such_token`
 *
 * Who brings a token makes, sees and revokes those of its own namespace alone, or all with "*". A change
 * is answered once it is in force on this node. The last token with the scope admin that does not expire
 * is not revoked: nobody could make another. */
#ifndef NODE_TOKENS_H
#define NODE_TOKENS_H

#include "base/slice.h"
#include "node/token.h"
#include "rpc/http.h"

struct worker;

/* Making and revoking are orders (node/order.def). `token` is the one that the request came with, or
 * NULL. */
void tokens_list(struct worker *w, struct http_exchange *x, const struct token *token);

#endif
