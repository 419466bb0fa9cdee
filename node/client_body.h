/* The body of an answer that comes in pieces, at the worker of its client's connection: from the line
 * (node/socket_line.h) that went with the request to the exchange.
 *
 *              client_body_begin                  the close that makes it whole: the answer ends
 *     ASKING ----------------------> STREAMING -----------------------------------------------> freed
 *        | client_body_drop               | any other close, or the line is lost: it is broken off
 *        +---------> freed                +-----------------------------------------------------> freed
 *
 * A piece is taken, and the actor may send another, once it is with the connection, which takes as much as its client
 * and what its address holds allow. No I/O and no clock in here. */
#ifndef NODE_CLIENT_BODY_H
#define NODE_CLIENT_BODY_H

#include "base/list.h"
#include "node/callee.h"
#include "node/socket_line.h"
#include "rpc/http.h"

struct client_bodies {
    struct socket_lines *lines;
    struct list all;
    size_t count;
};

struct client_body {
    uint32_t magic;
    struct client_bodies *owner;
    struct list link;
    struct callee callee;
    struct http_exchange *x;
    struct socket_line *line; /* NULL: lost */
    struct list letters;      /* pieces that wait for room */
    size_t at;                /* of the first, written already */
    bool is_streaming;
};

void client_bodies_init(struct client_bodies *b, struct socket_lines *lines);
void client_bodies_done(struct client_bodies *b);    /* none may be left */
void client_bodies_end_all(struct client_bodies *b); /* the node stops: they are broken off */

/* For the answer of an exchange; its number goes with the request to the actor. NULL: there are too many lines.
 * The exchange stays with whoever asks. */
struct client_body *client_body_new(struct client_bodies *b, struct http_exchange *x);
static inline uint64_t client_body_id(const struct client_body *c)
{
    return c->line->id;
}

/* The answer has begun, and the exchange is the body's from now on. Fields are copied. */
void client_body_begin(struct client_body *c, int status, const struct http_header *headers,
                       size_t count);
/* It is whole, or the client is gone: the exchange is not touched. */
void client_body_drop(struct client_body *c);

#endif
