/* A request that asks for a WebSocket: of an actor's fetch(), or of a namespace's module. */
#ifndef NODE_SOCKET_ASK_H
#define NODE_SOCKET_ASK_H

#include <stdint.h>

#include "actor/request.h"
#include "rpc/http.h"

struct worker;

/* Takes the request; the exchange is answered, now or later, or goes on as the socket. */
void socket_ask_begin(struct worker *w, struct http_exchange *x, struct request *r,
                      uint32_t timeout_ms);

#endif
