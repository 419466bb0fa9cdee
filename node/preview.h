/* Previews: ports of sandboxes that have a Host name of their own, {port}-{token}.<preview domain>.
 *
 * A token is 160 bits of a digest under the cluster's key over the sandbox and the port: who knows none cannot make one,
 * and any node finds the same. That it holds is a record of an actor whose namespace no client can know: there from POST
 * to DELETE, and found by the token alone.
 *
 *     POST ports/{port}    is the sandbox there? --> the record --> 200 {"url"}
 *     a preview's Host     the record --> the sandbox's owner: a request to the port (actor/sandbox_preview.c)
 *
 * Nothing else of the node is reachable by such a Host, and no bearer token is asked for. */
#ifndef NODE_PREVIEW_H
#define NODE_PREVIEW_H

#include <stdbool.h>

#include "node/route.h"
#include "rpc/http.h"

struct worker;

/* Whether the Host is below the preview domain, of a preview that is there or not. */
bool preview_is(const struct worker *w, const struct http_request *h);
void preview_answer(struct worker *w, struct http_exchange *x);
/* POST or DELETE of a port. */
void preview_port(struct worker *w, struct http_exchange *x, const struct route *route);

#endif
