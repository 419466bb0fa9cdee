#include "node/listener_uv.h"

#include <netinet/in.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "node/listen_socket.h"

enum {
    LISTENER_MAGIC = 0x6c697374,
    ACCEPTS_NS = 2 * 1000 * 1000, /* in one iteration; then those that are accepted are served */
};

static void listener_move(struct listener *l, enum listener_state to)
{
    INVARIANT(to > l->state);
    l->state = to;
}

/* Accepting */

/* NULL: over a cap. */
static struct client_host *admit(struct listener *l, const struct sockaddr_storage *address)
{
    if (l->conns.count >= l->conns_max) {
        return NULL;
    }
    struct client_host *host = client_host_join(&l->hosts, address);
    if (host->conn_count > l->conns_per_address_max) {
        client_host_leave(&l->hosts, host);
        return NULL;
    }
    return host;
}

/* False: nobody waits any more. */
static bool accept_one(struct listener *l)
{
    struct accepted new;
    switch (acceptor_take(&l->acceptor, &new)) {
    case ACCEPTOR_NONE:
        return false;
    case ACCEPTOR_GONE:
        return true;
    case ACCEPTOR_TURNED_AWAY:
        l->refused_count++;
        return true;
    case ACCEPTOR_ONE:
        break;
    }
    struct client_host *host = admit(l, &new.from);
    if (host == NULL) {
        (void)close(new.fd);
        l->refused_count++;
    } else {
        conn_uv_start(&l->conns, &new, host);
    }
    return true;
}

static void accept_some(struct listener *l)
{
    uint64_t until_ns = clock_mono_ns() + ACCEPTS_NS;
    for (int left = LISTENER_ACCEPTS_MAX; l->has_waiting && left > 0; left--) {
        l->has_waiting = accept_one(l);
        if (clock_mono_ns() >= until_ns) {
            break;
        }
    }
}

/* Said in each iteration for as long as somebody waits. */
static void on_door(uv_poll_t *door, int status, int events)
{
    (void)status;
    (void)events;
    OBJ_CAST(listener, door->data, LISTENER_MAGIC);
    listener->has_waiting = true;
}

static void check_drained(struct listener *l)
{
    bool is_drained = l->state == LISTENER_DRAINING && l->conns.count == 0 &&
                      uv_is_closing((uv_handle_t *)&l->door) && l->handles_open < 2;
    if (is_drained && l->on_drained != NULL) {
        listener_cb cb = l->on_drained;
        l->on_drained = NULL;
        (void)uv_timer_stop(&l->grace);
        cb(l);
    }
}

static void check_closed(struct listener *l);

static void on_conn_closed(struct conn_set *set, struct conn_uv *c)
{
    OBJ_CAST(listener, set->owner, LISTENER_MAGIC);
    client_host_leave(&listener->hosts, c->host);
    check_drained(listener);
    check_closed(listener);
}

/* Opening */

static void start(struct listener *l, uv_loop_t *loop, int fd)
{
    acceptor_init(&l->acceptor, fd);
    int rc = uv_poll_init(loop, &l->door, fd);
    rc = rc != 0 ? rc : uv_timer_init(loop, &l->grace);
    l->door.data = l;
    l->grace.data = l;
    l->handles_open = 2;
    rc = rc != 0 ? rc : uv_poll_start(&l->door, UV_READABLE, on_door);
    INVARIANT(rc == 0); /* it is a socket, and already listens */
}

enum err listener_open(struct listener *l, uv_loop_t *loop, const struct listener_options *options,
                       const struct http_hooks *hooks, void *ctx, const char **ret_reason)
{
    int fd;
    enum err err =
        listen_socket_open(options->host, options->port, options->is_first, &fd, ret_reason);
    if (err != ERR_OK) {
        return err;
    }
    *l = (struct listener){.magic = LISTENER_MAGIC};
    l->conns_max = options->conns_max != 0 ? options->conns_max : LISTENER_CONNS_MAX;
    l->conns_per_address_max = options->conns_per_address_max != 0 ? options->conns_per_address_max
                                                                   : LISTENER_CONNS_PER_ADDRESS_MAX;
    const struct http_limits *limits =
        options->limits != NULL ? options->limits : &http_limits_default;
    conn_set_open(&l->conns, loop, limits, hooks, ctx, &l->hosts.load, on_conn_closed);
    l->conns.date = options->date;
    l->conns.owner = l;
    if (options->tls != NULL) {
        conn_set_use_tls(&l->conns, options->tls);
    }
    start(l, loop, fd);
    return ERR_OK;
}

void listener_use_tls(struct listener *l, struct tls_context *tls)
{
    PRE(tls != NULL && l->conns.tls != NULL);
    conn_set_use_tls(&l->conns, tls);
}

uint16_t listener_port(const struct listener *l)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int rc = getsockname(l->acceptor.fd, (struct sockaddr *)&address, &len);
    INVARIANT(rc == 0);
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                              : ((struct sockaddr_in6 *)&address)->sin6_port);
}

size_t listener_conn_count(const struct listener *l)
{
    return l->conns.count;
}

void listener_serve(struct listener *l)
{
    accept_some(l);
    conn_set_serve(&l->conns);
}

bool listener_write(struct listener *l)
{
    return conn_set_write(&l->conns);
}

/* Draining and closing */

static void on_handle_closed(uv_handle_t *handle)
{
    OBJ_CAST(listener, handle->data, LISTENER_MAGIC);
    listener->handles_open--;
    check_drained(listener);
    check_closed(listener);
}

static void stop_accepting(struct listener *l)
{
    if (!uv_is_closing((uv_handle_t *)&l->door)) {
        uv_close((uv_handle_t *)&l->door, on_handle_closed);
        acceptor_done(&l->acceptor);
        l->has_waiting = false;
    }
}

static void on_grace(uv_timer_t *grace)
{
    OBJ_CAST(listener, grace->data, LISTENER_MAGIC);
    conn_set_cut(&listener->conns);
}

void listener_drain(struct listener *l, uint64_t grace_ms, listener_cb cb)
{
    listener_move(l, LISTENER_DRAINING);
    l->on_drained = cb;
    stop_accepting(l);
    conn_set_drain(&l->conns);
    int rc = uv_timer_start(&l->grace, on_grace, grace_ms, 0);
    INVARIANT(rc == 0);
}

static void on_set_closed(uv_handle_t *handle)
{
    struct conn_set *set = handle->data;
    OBJ_CAST(listener, set->owner, LISTENER_MAGIC);
    client_hosts_done(&listener->hosts);
    listener->magic = 0;
    listener->on_closed(listener);
}

static void check_closed(struct listener *l)
{
    if (l->state == LISTENER_CLOSING && l->conns.count == 0 && l->handles_open == 0) {
        l->handles_open = -1; /* only once */
        conn_set_close(&l->conns, on_set_closed);
    }
}

void listener_close(struct listener *l, listener_cb cb)
{
    listener_move(l, LISTENER_CLOSING);
    l->on_closed = cb;
    l->on_drained = NULL;
    stop_accepting(l);
    uv_close((uv_handle_t *)&l->grace, on_handle_closed);
    conn_set_cut(&l->conns);
}
