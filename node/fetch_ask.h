/* A request for an actor's fetch(), a module's, or a sandbox, on its way there and back. Its answer is whole, or begins a body
 * that comes in pieces (node/client_body.h), or is the consent to a WebSocket (node/client_socket.h). */
#ifndef NODE_FETCH_ASK_H
#define NODE_FETCH_ASK_H

#include <stdint.h>

#include "actor/request.h"
#include "node/decode.h"
#include "rpc/http.h"

struct worker;

/* Takes the request; the exchange is answered, now or later. */
void fetch_ask_begin(struct worker *w, struct http_exchange *x, struct request *r,
                     uint32_t timeout_ms);
/* Likewise, where an answer that is a document shows in that form. */
void fetch_ask_begin_in(struct worker *w, struct http_exchange *x, struct request *r,
                        uint32_t timeout_ms, enum body_form form);

#endif
