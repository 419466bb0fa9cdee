/* A listener: one listening socket of one loop, and the connections that came in through it.
 *
 *     LISTENING --listener_drain--> DRAINING --no connection left, or cut at grace_ms--> cb
 *         |                             |
 *         +-------listener_close--------+--> CLOSING --> cb: the memory is the caller's
 *
 * The socket has SO_REUSEPORT, so that every worker of the process has its own. Two processes must
 * not share a port by mistake: the first listener of a process asks with `is_first`, and finds the
 * port busy then.
 *
 * Connections are capped in total and per remote address (node/client_host.h); what comes over a cap is
 * closed at once, before anything is made for it. The queue of those that wait to be accepted is the
 * system's, and one for all addresses: it is emptied as fast as can be, for where it is full the system
 * drops who comes next, and he tries again after a second. */
#ifndef NODE_LISTENER_UV_H
#define NODE_LISTENER_UV_H

#include "base/err.h"
#include "node/acceptor.h"
#include "node/client_host.h"
#include "node/conn_uv.h"

enum {
    LISTENER_CONNS_MAX = 4096,
    LISTENER_CONNS_PER_ADDRESS_MAX = 2048, /* half: one address never keeps the others out */
    LISTENER_ACCEPTS_MAX = 512,            /* in one iteration of the loop */
};

struct listener_options {
    const char *host; /* numeric: "127.0.0.1", "::1" */
    uint16_t port;    /* 0: the system chooses, see listener_port */
    bool is_first;    /* of this process on this port */
    size_t conns_max; /* 0: the default */
    size_t conns_per_address_max;
    const struct http_limits *limits; /* NULL: the defaults; borrowed until closed */
    const struct http_date *date;     /* of the answers; NULL: they have none; borrowed likewise */
    struct tls_context *tls;          /* NULL: in the clear */
};

struct listener;
typedef void (*listener_cb)(struct listener *l);

enum listener_state { LISTENER_LISTENING, LISTENER_DRAINING, LISTENER_CLOSING };

struct listener {
    uint32_t magic;
    enum listener_state state;
    struct conn_set conns;
    struct client_hosts hosts;
    size_t conns_max;
    size_t conns_per_address_max;
    struct acceptor acceptor;
    bool has_waiting;     /* connections to be accepted */
    size_t refused_count; /* connections closed because of a cap or for want of descriptors */
    uv_poll_t door;       /* of the acceptor */
    uv_timer_t grace;
    int handles_open;
    listener_cb on_drained;
    listener_cb on_closed;
    void *user; /* the owner's */
};

/* ERR_BUSY: the port is taken; ERR_BAD_REQUEST: not a numeric host; ERR_UNAVAILABLE: anything else. Then
 * nothing is open, and `*ret_reason` is the system's text for it. `hooks` is borrowed until closed;
 * its on_output is not called. */
enum err listener_open(struct listener *l, uv_loop_t *loop, const struct listener_options *options,
                       const struct http_hooks *hooks, void *ctx,
                       const char **ret_reason) MUST_CHECK;
/* A new certificate; not where there was none. Open connections go on under theirs. */
void listener_use_tls(struct listener *l, struct tls_context *tls);
uint16_t listener_port(const struct listener *l);
size_t listener_conn_count(const struct listener *l);

/* Reads what came and writes what became ready: from the worker's uv_prepare, in each iteration. */
void listener_serve(struct listener *l);
bool listener_write(
    struct listener *l); /* what became ready to be sent since; false: nothing had */

/* Stops accepting; connections finish the exchanges they have; after grace_ms they are cut. `cb`
 * is called when none is left, never from inside this call. */
void listener_drain(struct listener *l, uint64_t grace_ms, listener_cb cb);

/* Cuts what is left. A drain's callback that has not come yet does not come any more. */
void listener_close(struct listener *l, listener_cb cb);

#endif
