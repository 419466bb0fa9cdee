#include "node/peers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "node/listen_socket.h"
#include "node/peers_own.h"

enum { US_PER_MS = 1000 };

static const char *channel_name(enum peer_channel channel)
{
    return channel == PEER_BULK ? "bulk" : "messages";
}

/* Dialling */

static void on_redial(uv_timer_t *timer);

static void arm_redial(struct peers *p)
{
    uint64_t first_us = UINT64_MAX;
    LIST_FOREACH (link, &p->peers) {
        const struct peer *peer = LIST_ENTRY(link, struct peer, link);
        for (size_t i = 0; i < PEER_CHANNEL_COUNT; i++) {
            const struct lane_out *lane = &peer->lanes[i];
            if (lane->conn == NULL && lane->redial_us < first_us) {
                first_us = lane->redial_us;
            }
        }
    }
    if (first_us >= p->redial_us || p->is_closing) {
        return;
    }
    uint64_t now_us = peer_now_us();
    uint64_t wait_us = first_us > now_us ? first_us - now_us : 0;
    p->redial_us = first_us;
    int rc = uv_timer_start(&p->redial, on_redial, (wait_us + US_PER_MS - 1) / US_PER_MS, 0);
    INVARIANT(rc == 0);
}

static void dial(struct lane_out *lane)
{
    struct peer *peer = lane->peer;
    lane->conn = peer_conn_dial(&peer->peers->set, peer->address, peer->node, lane->channel,
                                lane->attempt++, lane);
}

static void on_redial(uv_timer_t *timer)
{
    OBJ_CAST(peers, timer->data, PEERS_MAGIC);
    struct peers *p = peers;
    uint64_t now_us = peer_now_us();
    p->redial_us = UINT64_MAX;
    LIST_FOREACH (link, &p->peers) {
        struct peer *peer = LIST_ENTRY(link, struct peer, link);
        for (size_t i = 0; i < PEER_CHANNEL_COUNT; i++) {
            if (peer->lanes[i].conn == NULL && peer->lanes[i].redial_us <= now_us) {
                dial(&peer->lanes[i]);
            }
        }
    }
    arm_redial(p);
}

/* Twice the last one, from the half of it on: nodes that lost the same peer do not come back together. */
static void put_off(struct lane_out *lane, bool was_steady)
{
    uint64_t doubled = 2 * lane->pause_ms;
    doubled = doubled < PEERS_BACKOFF_MS_MAX ? doubled : PEERS_BACKOFF_MS_MAX;
    lane->pause_ms = was_steady || lane->pause_ms == 0 ? PEERS_BACKOFF_MS_MIN : doubled;
    uint64_t half_us = lane->pause_ms * US_PER_MS / 2;
    lane->redial_us = peer_now_us() + half_us + random_u64() % half_us;
}

static void log_down(struct lane_out *lane, bool was_up, const char *reason)
{
    if (was_up || strcmp(lane->reason, reason) != 0) {
        (void)snprintf(lane->reason, sizeof lane->reason, "%s", reason);
        LOG(LOG_WARN, "peer_down", LOG_INT("peer", lane->peer->node),
            LOG_STR("channel", channel_name(lane->channel)), LOG_STR("why", reason));
    }
}

static void lane_up(struct lane_out *lane, const struct peer_hello *hello)
{
    struct peers *p = lane->peer->peers;
    lane->up_us = peer_now_us();
    lane->reason[0] = '\0';
    LOG(LOG_INFO, "peer_up", LOG_INT("peer", lane->peer->node),
        LOG_STR("channel", channel_name(lane->channel)), LOG_INT("worker", p->o.worker),
        LOG_INT("version", hello->version));
    p->o.hooks->on_up(p->o.ctx, hello, lane->channel);
}

static void lane_down(struct lane_out *lane, const struct peer_conn *c)
{
    struct peers *p = lane->peer->peers;
    struct peer_counts counts = peer_conn_counts(c);
    bool was_up = lane->up_us != 0;
    bool was_steady =
        was_up && peer_now_us() >= lane->up_us + (uint64_t)PEERS_STEADY_MS * US_PER_MS;
    peer_counts_add(&lane->past, &counts);
    lane->conn = NULL;
    lane->up_us = 0;
    if (p->is_closing) {
        return;
    }
    log_down(lane, was_up, peer_conn_reason(c));
    put_off(lane, was_steady);
    arm_redial(p);
    if (was_up) {
        p->o.hooks->on_lost(p->o.ctx, lane->peer->node);
    }
}

/* Connections of either side */

static struct peers *peers_of(const struct peer_conn *c)
{
    OBJ_CAST(peers, c->set->owner, PEERS_MAGIC);
    return peers;
}

static bool admits(struct peer_conn *c, const struct peer_hello *hello)
{
    struct peers *p = peers_of(c);
    return !p->is_closing && p->o.hooks->admits(p->o.ctx, hello);
}

static void on_up(struct peer_conn *c, const struct peer_hello *hello)
{
    if (c->options.side == PEER_ACCEPTED) {
        incoming_up(c, hello);
    } else if (c->owner != NULL) {
        lane_up(c->owner, hello);
    }
}

static void on_message(struct peer_conn *c, const struct peer_message *m)
{
    if (c->owner != NULL) {
        incoming_message(c, m);
    }
}

static void on_closed(struct peer_conn *c)
{
    if (c->owner != NULL && c->options.side == PEER_ACCEPTED) {
        incoming_closed(c);
    } else if (c->owner != NULL) {
        lane_down(c->owner, c);
    }
}

static void check_closed(struct peers *p);

static void on_empty(struct peer_set *set)
{
    OBJ_CAST(peers, set->owner, PEERS_MAGIC);
    check_closed(peers);
}

static const struct peer_conn_hooks conn_hooks = {admits, on_up, on_message, on_closed, on_empty};

/* Members */

static struct peer *find_peer(const struct peers *p, uint32_t node)
{
    LIST_FOREACH (link, &p->peers) {
        struct peer *peer = LIST_ENTRY(link, struct peer, link);
        if (peer->node == node) {
            return peer;
        }
    }
    return NULL;
}

/* Its connections go by themselves, and nobody hears of it. */
static void leave_lane(struct lane_out *lane, const char *reason)
{
    if (lane->conn != NULL) {
        lane->conn->owner = NULL;
        peer_conn_end(lane->conn, reason);
        lane->conn = NULL;
    }
}

static void free_peer(struct peer *peer)
{
    list_remove(&peer->link);
    mem_free(peer);
}

static void remove_peer(struct peer *peer)
{
    static const char reason[] = "it is no longer a member";
    struct peers *p = peer->peers;
    uint32_t node = peer->node;
    bool was_up = false;
    for (size_t i = 0; i < PEER_CHANNEL_COUNT; i++) {
        was_up = was_up || peer->lanes[i].up_us != 0;
        leave_lane(&peer->lanes[i], reason);
    }
    free_peer(peer);
    incoming_end_of(p, node, reason);
    if (was_up) {
        p->o.hooks->on_lost(p->o.ctx, node);
    }
}

static void add_peer(struct peers *p, const struct peers_member *m)
{
    struct peer *peer = MEM_NEW(struct peer);
    peer->peers = p;
    peer->node = m->node;
    (void)snprintf(peer->address, sizeof peer->address, "%s", m->address);
    for (size_t i = 0; i < PEER_CHANNEL_COUNT; i++) {
        peer->lanes[i] = (struct lane_out){.peer = peer, .channel = (enum peer_channel)i};
    }
    list_append(&p->peers, &peer->link);
}

/* Dialled anew: it is the same node, so what is lost is lost as with any break. */
static void move_peer(struct peer *peer, const char *address)
{
    (void)snprintf(peer->address, sizeof peer->address, "%s", address);
    for (size_t i = 0; i < PEER_CHANNEL_COUNT; i++) {
        struct lane_out *lane = &peer->lanes[i];
        if (lane->conn != NULL) {
            peer_conn_drop(lane->conn, "it has another address");
        }
        lane->redial_us = 0;
        lane->pause_ms = 0;
    }
}

static bool is_among(uint32_t node, const struct peers_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].node == node) {
            return true;
        }
    }
    return false;
}

void peers_set_members(struct peers *p, const struct peers_member *members, size_t count)
{
    PRE(!p->is_closing && !is_among(p->o.node, members, count));
    LIST_FOREACH_SAFE (link, &p->peers) {
        struct peer *peer = LIST_ENTRY(link, struct peer, link);
        if (!is_among(peer->node, members, count)) {
            remove_peer(peer);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct peer *peer = find_peer(p, members[i].node);
        if (peer == NULL) {
            add_peer(p, &members[i]);
        } else if (strcmp(peer->address, members[i].address) != 0) {
            move_peer(peer, members[i].address);
        }
    }
    arm_redial(p);
}

void peers_set_cluster(struct peers *p, uint64_t cluster_id)
{
    PRE(cluster_id != 0 && (p->set.own.cluster_id == 0 || p->set.own.cluster_id == cluster_id));
    p->set.own.cluster_id = cluster_id;
}

void peers_set_term(struct peers *p, uint64_t term)
{
    p->set.own.term = term;
}

/* Sending */

enum err peers_send(struct peers *p, uint32_t node, enum peer_channel channel,
                    const struct peer_message *m)
{
    struct peer *peer = find_peer(p, node);
    if (peer == NULL) {
        return ERR_UNAVAILABLE;
    }
    struct lane_out *lane = &peer->lanes[channel];
    if (lane->conn == NULL) {
        lane->past.dropped++;
        return ERR_UNAVAILABLE;
    }
    return peer_conn_send(lane->conn, m);
}

bool peers_is_up(const struct peers *p, uint32_t node, enum peer_channel channel)
{
    const struct peer *peer = find_peer(p, node);
    return peer != NULL && peer->lanes[channel].conn != NULL &&
           peer_conn_is_up(peer->lanes[channel].conn);
}

void peers_flush(struct peers *p)
{
    if (!p->is_closing) {
        peer_set_flush(&p->set);
    }
}

/* Opening */

void peers_shared_init(struct peers_shared *s, uint32_t workers)
{
    PRE(workers > 0 && workers <= PEER_WORKERS_MAX);
    memset(s, 0, sizeof *s);
    s->workers = workers;
}

/* The certificate is what others know this node by. */
static enum err check_name(const struct tls_context *tls, uint32_t node,
                           char detail[PEERS_DETAIL_BYTES])
{
    struct peer_name name;
    const char *uri = tls_context_uri(tls);
    if (peer_name_parse(slice_of_str(uri), &name) != ERR_OK || name.node != node) {
        (void)snprintf(detail, PEERS_DETAIL_BYTES,
                       "the certificate is that of %s, and this is node %" PRIu32, uri, node);
        return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

static void start_listening(struct peers *p, uv_loop_t *loop, int fd)
{
    int rc = uv_tcp_init(loop, &p->tcp);
    INVARIANT(rc == 0);
    p->tcp.data = p;
    rc = uv_tcp_open(&p->tcp, fd);
    INVARIANT(rc == 0); /* it is a socket, and already listens */
    rc = uv_listen((uv_stream_t *)&p->tcp, LISTEN_BACKLOG, peers_accept);
    INVARIANT(rc == 0);
    rc = uv_timer_init(loop, &p->redial);
    INVARIANT(rc == 0);
    p->redial.data = p;
    p->handles_open = 2;
}

enum err peers_open(struct peers **ret_peers, uv_loop_t *loop, const struct peers_options *o,
                    char ret_detail[PEERS_DETAIL_BYTES])
{
    PRE(o->node > 0 && o->worker < o->shared->workers);
    int fd;
    const char *reason;
    enum err err = check_name(o->tls, o->node, ret_detail);
    if (err != ERR_OK) {
        return err;
    }
    err = listen_socket_open(o->host, o->port, o->is_first, &fd, &reason);
    if (err != ERR_OK) {
        (void)snprintf(ret_detail, PEERS_DETAIL_BYTES, "%.256s:%u: %s", o->host, o->port, reason);
        return err;
    }
    struct peers *p = MEM_NEW(struct peers);
    const struct peer_hello own = {.cluster_id = o->cluster_id,
                                   .node = o->node,
                                   .worker = (uint16_t)o->worker,
                                   .workers = (uint16_t)o->shared->workers};
    p->magic = PEERS_MAGIC;
    p->o = *o;
    p->redial_us = UINT64_MAX;
    list_init(&p->peers);
    list_init(&p->sources);
    peer_set_open(&p->set, loop, o->limits != NULL ? o->limits : &peer_limits_default, &conn_hooks,
                  &own, o->tls);
    p->set.owner = p;
    start_listening(p, loop, fd);
    o->shared->of[o->worker].peers = p;
    *ret_peers = p;
    return ERR_OK;
}

enum err peers_use_tls(struct peers *p, struct tls_context *tls,
                       char ret_detail[PEERS_DETAIL_BYTES])
{
    enum err err = check_name(tls, p->o.node, ret_detail);
    if (err == ERR_OK) {
        peer_set_use_tls(&p->set, tls);
    }
    return err;
}

uint16_t peers_port(const struct peers *p)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    int rc = uv_tcp_getsockname(&p->tcp, (struct sockaddr *)&address, &len);
    INVARIANT(rc == 0);
    return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                              : ((struct sockaddr_in6 *)&address)->sin6_port);
}

/* Closing */

static void on_set_closed(uv_handle_t *handle)
{
    struct peer_set *set = handle->data;
    OBJ_CAST(peers, set->owner, PEERS_MAGIC);
    struct peers *p = peers;
    void (*cb)(void *ctx) = p->on_closed;
    void *ctx = p->o.ctx;
    incoming_done(p);
    p->magic = 0;
    mem_free(p);
    cb(ctx);
}

static void check_closed(struct peers *p)
{
    if (p->is_closing && p->handles_open == 0 && p->set.count == 0) {
        p->handles_open = -1; /* only once */
        peer_set_close(&p->set, on_set_closed);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    OBJ_CAST(peers, handle->data, PEERS_MAGIC);
    peers->handles_open--;
    check_closed(peers);
}

void peers_close(struct peers *p, void (*cb)(void *ctx))
{
    PRE(!p->is_closing);
    p->is_closing = true;
    p->on_closed = cb;
    p->o.shared->of[p->o.worker].peers = NULL;
    LIST_FOREACH (link, &p->set.conns) {
        peer_conn_drop(LIST_ENTRY(link, struct peer_conn, all_link), "the node stops");
    }
    struct peer *peer;
    while ((peer = LIST_FIRST(&p->peers, struct peer, link)) != NULL) {
        free_peer(peer);
    }
    uv_close((uv_handle_t *)&p->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&p->redial, on_handle_closed);
}
