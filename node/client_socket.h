/* A client's WebSocket at the worker of its connection: between the exchange that it came by (rpc/http.h), which
 * brings bytes, and the line (node/socket_line.h) that leads to its actor.
 *
 *              client_socket_agree             the owner's first word (LINE: on_owned)
 *     ASKING ----------------------> AGREED -------------------------------------------> OPEN
 *        |                              |  CLIENT_AGREED_MS                                 |
 *        | client_socket_drop           v                                                   |  the close is over
 *        +---------> freed           refused: 503                                           v
 *                                                   any: the client goes away --> its end is said --> freed
 *
 * What the client says is handed on while less than CLIENT_WINDOW_BYTES of it wait to be taken by the actor;
 * beyond that its connection is not read. What the actor says is written as the connection takes it. All of
 * it counts with the connection's address; a message for which that has no room ends the socket (1013).
 * A line that is lost ends it with 1012. No I/O and no clock in here. */
#ifndef NODE_CLIENT_SOCKET_H
#define NODE_CLIENT_SOCKET_H

#include "base/digest.h"
#include "base/heap.h"
#include "base/list.h"
#include "node/callee.h"
#include "node/socket_line.h"
#include "rpc/websocket.h"

enum {
    CLIENT_WINDOW_BYTES = 256 * 1024, /* one message may pass it */
    CLIENT_AGREED_MS = 10 * 1000,
};

enum client_socket_state { CLIENT_ASKING, CLIENT_AGREED, CLIENT_OPEN };

struct client_sockets {
    struct socket_lines *lines;
    const struct websocket_limits *limits;
    struct list all;
    struct heap deadlines;
    size_t count;
    uint64_t now_ms;
};

struct client_socket {
    uint32_t magic;
    enum client_socket_state state;
    struct client_sockets *owner;
    struct list link;
    struct callee callee;
    struct http_exchange *x;
    struct websocket *ws;     /* OPEN */
    struct socket_line *line; /* NULL: lost, or all has been said */
    struct list letters;      /* of the actor, which ws has no room for */
    size_t letter_bytes;
    size_t ahead;                /* bytes of the connection that are not consumed */
    bool has_ended;              /* the line has heard how it ended */
    bool is_at_work;             /* further up the stack */
    bool is_over;                /* and then it is freed */
    struct http_header *headers; /* AGREED: of the answer */
    size_t header_count;
    struct buf header_text;
    struct heap_node deadline;
    bool has_token;
    uint8_t token_hash[DIGEST_BYTES];
};

/* `lines` and `limits` are borrowed until client_sockets_done. */
void client_sockets_init(struct client_sockets *s, struct socket_lines *lines,
                         const struct websocket_limits *limits);
void client_sockets_done(struct client_sockets *s); /* none may be left */
void client_sockets_tick(struct client_sockets *s, uint64_t now_ms);
/* Each is told to go elsewhere: the node stops. */
void client_sockets_end_all(struct client_sockets *s);

/* For an exchange whose request wants one; its number goes with the request to the actor. NULL: there are too
 * many. The exchange stays with whoever asks. */
struct client_socket *client_socket_new(struct client_sockets *s, struct http_exchange *x);
static inline uint64_t client_socket_id(const struct client_socket *c)
{
    return c->line->id;
}

/* It came with a token, and ends with it. */
void client_socket_set_token(struct client_socket *c, const uint8_t hash[DIGEST_BYTES]);
/* Those that are open and whose token holds no more are closed (1008). */
void client_sockets_end_revoked(struct client_sockets *s,
                                bool (*holds)(void *ctx, const uint8_t hash[DIGEST_BYTES]),
                                void *ctx);

/* The actor has answered with it: the exchange is the socket's from now on. Fields are copied. */
void client_socket_agree(struct client_socket *c, const struct http_header *headers, size_t count);
/* It has not, or the client is gone: the exchange is not touched. */
void client_socket_drop(struct client_socket *c);

#endif
