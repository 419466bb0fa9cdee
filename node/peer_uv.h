/* Connections to and from other nodes on a libuv loop: they move bytes between sockets and
 * rpc/peer_link.h, and no more.
 *
 *     dialled:   RESOLVING --> CONNECTING --> OPEN --> CLOSING --> freed
 *     accepted:                               OPEN
 *
 * Any state may go to CLOSING: no such name, nobody listens, the link is over. on_closed says so at once,
 * with the reason; the memory goes when libuv has let go of it.
 *
 * As with clients, what became ready to send is written once per loop iteration: peer_set_flush is called
 * from the worker's uv_prepare. */
#ifndef NODE_PEER_UV_H
#define NODE_PEER_UV_H

#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "rpc/peer_link.h"

struct peer_set;
struct peer_conn;

enum peer_conn_state { CONN_RESOLVING, CONN_CONNECTING, CONN_LINKED, CONN_GONE };

struct peer_conn_hooks {
    bool (*admits)(struct peer_conn *c, const struct peer_hello *hello);
    void (*on_up)(struct peer_conn *c, const struct peer_hello *hello);
    void (*on_message)(struct peer_conn *c, const struct peer_message *m);
    void (*on_closed)(struct peer_conn *c); /* peer_conn_reason says why */
    void (*on_empty)(struct peer_set *set); /* the last of its connections was freed */
};

struct peer_conn {
    uint32_t magic;
    enum peer_conn_state state;
    struct peer_set *set;
    struct peer_link *link; /* NULL before there is a connection */
    struct peer_link_options options;
    uint16_t port;
    uint32_t attempt; /* which of the addresses of a name */
    uv_tcp_t tcp;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_write_t write;
    size_t write_bytes; /* under way; 0: no write is */
    bool is_resolving;
    bool is_tcp_closed;
    struct list all_link;   /* in set->conns */
    struct list dirty_link; /* in set->dirty, or alone */
    struct heap_node deadline;
    uint64_t connect_us; /* when it must have connected */
    char reason[PEER_REASON_BYTES];
    void *owner; /* of whoever made it */
};

struct peer_set {
    uv_loop_t *loop;
    const struct peer_limits *limits;
    const struct peer_conn_hooks *hooks;
    struct tls_context *tls; /* of connections to come */
    struct peer_hello own;
    struct list conns;
    struct list dirty;
    size_t count;
    struct heap deadlines;
    uv_timer_t timer;
    uint64_t timer_us; /* when it fires; UINT64_MAX: it is stopped */
    uint8_t *room;     /* plaintext of one read */
    char *read_buffer; /* shared: what is read is consumed before the next read */
    void *owner;
};

uint64_t peer_now_us(void); /* monotonic */

/* `limits` and `hooks` stay until peer_set_close has called back. */
void peer_set_open(struct peer_set *set, uv_loop_t *loop, const struct peer_limits *limits,
                   const struct peer_conn_hooks *hooks, const struct peer_hello *own,
                   struct tls_context *tls);
void peer_set_use_tls(struct peer_set *set, struct tls_context *tls); /* takes a reference */
void peer_set_flush(struct peer_set *set);
/* No connection may be left. The memory is the caller's again in `cb`, whose handle is the timer (its
 * data is the set). */
void peer_set_close(struct peer_set *set, uv_close_cb cb);

/* Dials "HOST:PORT", "[V6]:PORT". `attempt` chooses among the addresses of a name. Never NULL: what goes
 * wrong comes through on_closed, never from inside this call. */
struct peer_conn *peer_conn_dial(struct peer_set *set, const char *address, uint32_t node,
                                 enum peer_channel channel, uint32_t attempt, void *owner);
/* Accepts what waits at `server`; NULL: it is gone already, or memory is exhausted. */
struct peer_conn *peer_conn_accept(struct peer_set *set, uv_stream_t *server, void *owner);

bool peer_conn_is_up(const struct peer_conn *c);
enum err peer_conn_send(struct peer_conn *c, const struct peer_message *m) MUST_CHECK;
struct peer_counts peer_conn_counts(const struct peer_conn *c);
const char *peer_conn_reason(const struct peer_conn *c);
void peer_conn_end(struct peer_conn *c, const char *reason);  /* with last words */
void peer_conn_drop(struct peer_conn *c, const char *reason); /* now; on_closed is called */

#endif
