/* Access: whether a request may do what it asks for (API section 7). Pure.
 *
 * Without tokens: everyone on this machine, but no page that some other site serves; hence the checks of
 * Host and Origin. With tokens (node/cluster_view.h): who brings one that allows it, from wherever. */
#ifndef NODE_ACCESS_H
#define NODE_ACCESS_H

#include "base/err.h"
#include "node/cluster_view.h"
#include "node/route.h"
#include "rpc/http.h"

/* Asked first, whatever the request names. ERR_FORBIDDEN: without tokens, a foreign Host or Origin.
 * `knows_origin`: the Origin is a configured one (node/cors.h). */
enum err access_check_origin(const struct cluster_view *v, const struct http_request *h,
                             bool knows_origin) MUST_CHECK;

/* Then for the route. ERR_UNAUTHENTICATED: a token is needed, and there is none or none that is good.
 * ERR_FORBIDDEN: it does not allow this. `*ret_detail` is static text. `*ret_token`: the token that was
 * used, borrowed from the view; NULL where none was needed. */
enum err access_check_token(const struct cluster_view *v, const struct http_request *h,
                            const struct route *route, uint64_t wall_ms,
                            const struct token **ret_token, const char **ret_detail) MUST_CHECK;

#endif
