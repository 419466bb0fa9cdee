/* Connections on a libuv loop: they move bytes between sockets and rpc/http_wire.h, and no more.
 *
 *     OPEN --http wants to close--> LINGERING --the peer closes, or LINGER_MS--> CLOSING --> freed
 *      |                                                                          ^
 *      +-- read or write error, end of input, conn_set_cut -----------------------+
 *
 * A set holds the connections of one loop. The loop only says which of them are readable; they are
 * read, and what became ready to send is written, in conn_set_serve, which the worker calls from its
 * uv_prepare, before every poll. There addresses take turns, one connection each (node/rota.h), and
 * one call takes only so long: whoever keeps the node busy from one address delays another's request
 * by a few milliseconds.
 *
 * LINGERING has sent its last byte and drops what still comes in: closing a socket with unread
 * input makes the kernel reset it, and the client would lose the answer. */
#ifndef NODE_CONN_UV_H
#define NODE_CONN_UV_H

#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "node/acceptor.h"
#include "node/client_host.h"
#include "node/rota.h"
#include "rpc/http_wire.h"

struct conn_set;

enum conn_state { CONN_OPEN, CONN_LINGERING, CONN_CLOSING };

struct conn_uv {
    uint32_t magic;
    enum conn_state state;
    struct conn_set *set;
    struct http_wire *wire;
    uv_tcp_t tcp;
    int fd;
    uv_write_t write;
    uv_shutdown_t shutdown;
    size_t write_bytes; /* under way; 0: no write is */
    bool is_reading;
    bool is_at_end;   /* the peer has closed its side: reading would say so for ever */
    size_t read_max;  /* bytes at a time: fewer where they cost much */
    struct list link; /* in set->conns */
    struct client_host *host;
    struct rota_member reader;
    struct rota_member writer;
    struct heap_node deadline;
};

typedef void (*conn_closed_cb)(struct conn_set *set, struct conn_uv *c);

struct conn_set {
    uv_loop_t *loop;
    const struct http_limits *limits;
    const struct http_hooks *hooks; /* the callee's; on_output is not called */
    void *ctx;
    conn_closed_cb on_closed; /* before it is freed */
    struct list conns;
    struct rota readers; /* connections with something to read */
    struct rota writers; /* ... that may have something to write, or want to close */
    size_t count;
    const struct http_load *load; /* of all hosts */
    const struct http_date *date; /* of the answers; set after conn_set_open; NULL: none */
    struct http_wire_shared shared;
    struct tls_context *tls; /* of connections to come; NULL: in the clear */
    uint64_t swept_ms;       /* when all connections were last ticked because of the load */
    struct heap deadlines;
    uv_timer_t timer;
    uint64_t timer_ms;       /* when it fires; UINT64_MAX: it is stopped */
    uint64_t slice_began_ns; /* of the connection that is read or written now */
    char *read_buffer;       /* shared: what is read is consumed before the next read */
    void *owner;
};

/* `limits`, `hooks`, `load` and the set itself stay until conn_set_close has called back. */
void conn_set_open(struct conn_set *set, uv_loop_t *loop, const struct http_limits *limits,
                   const struct http_hooks *hooks, void *ctx, const struct http_load *load,
                   conn_closed_cb on_closed);
/* Connections to come speak TLS under `tls`; those that are open go on as they are. */
void conn_set_use_tls(struct conn_set *set, struct tls_context *tls);
void conn_set_serve(struct conn_set *set);
bool conn_set_write(struct conn_set *set); /* what became ready since; false: nothing had */
void conn_set_drain(struct conn_set *set); /* each closes after the exchanges it has */
void conn_set_cut(struct conn_set *set);   /* closes all now */
/* No connection may be left. The memory is the caller's again in `cb`, whose handle is the timer
 * (its data is the set). */
void conn_set_close(struct conn_set *set, uv_close_cb cb);

/* A connection on an accepted socket, which is its own from here on; `host` outlives it. */
void conn_uv_start(struct conn_set *set, const struct accepted *new, struct client_host *host);

/* Whose turn it is on the sideline, for an exchange of such a connection: its address'. */
struct rota_party *conn_uv_sidework(const struct http_exchange *x);

#endif
