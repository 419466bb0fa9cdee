/* A sink whose exchange is on another worker.
 *
 *     owner: the stream                                      origin: the exchange
 *       sink_write    --- a chunk ------------------------->   written, or held until there is room
 *       on_writable   <-- the same chunk, taken ------------
 *       sink_end ...  --- the end ------------------------->   after all chunks; then it lets go
 *       on_cancel     <-- a cancel ------------------------   the client went away
 *                     --- the cancel back ----------------->   then it lets go
 *                     <-- letting go: nothing follows ------
 *                     --- and back ------------------------>   freed
 *
 * Chunks that were not taken are bounded, for each sink and in total. Tasks keep their order, so what comes after
 * the chunks finds them all arrived, or all taken. */
#ifndef NODE_SINK_REMOTE_H
#define NODE_SINK_REMOTE_H

#include "actor/request.h"
#include "rpc/http.h"

struct worker;

/* On their way or held. One chunk may pass the bound; a small one is taken where none is out. */
enum {
    SINK_BYTES_MAX = 256 * 1024,           /* of one sink */
    SINK_ALL_BYTES_MAX = 64 * 1024 * 1024, /* of all that a worker writes to */
};

/* Opens a watch stream on the owner; takes the request. */
void sink_remote_open(struct worker *origin, struct worker *owner, struct http_exchange *x,
                      struct request *r, uint32_t timeout_ms);

#endif
