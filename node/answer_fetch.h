/* What an actor's fetch() answered, as an HTTP answer. */
#ifndef NODE_ANSWER_FETCH_H
#define NODE_ANSWER_FETCH_H

#include "actor/request.h"
#include "node/client_body.h"
#include "node/client_socket.h"
#include "rpc/http.h"

/* The reply's body is [status, [[name, value], ...], bytes or nil, ...]; what of it cannot stand in an
 * answer is left out, or makes it a 500. `own` fields go along. */
void answer_fetched(struct http_exchange *x, const struct request *r, const struct http_header *own,
                    size_t own_count);

/* It is [status, [[name, value], ...], nil, streams, has a socket] where one of the two is true: the client's socket
 * begins with these fields, or a body that comes in pieces. */
enum fetched { FETCHED_STREAM = 3, FETCHED_SOCKET = 4 };
bool answer_fetched_has(const struct request *r, enum fetched what);
void answer_fetched_socket(struct client_socket *c, const struct request *r,
                           const struct http_header *own, size_t own_count);
void answer_fetched_body(struct client_body *c, const struct request *r,
                         const struct http_header *own, size_t own_count);

#endif
