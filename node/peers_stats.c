/* What a worker counts of its peers. */
#include <inttypes.h>

#include "base/invariant.h"
#include "node/peers_own.h"

static void add_lanes(const struct peer *peer, struct peer_stats *s)
{
    for (size_t i = 0; i < PEER_CHANNEL_COUNT; i++) {
        const struct lane_out *lane = &peer->lanes[i];
        peer_counts_add(&s->to, &lane->past);
        if (lane->conn == NULL) {
            continue;
        }
        struct peer_counts now = peer_conn_counts(lane->conn);
        peer_counts_add(&s->to, &now);
        s->up += peer_conn_is_up(lane->conn);
        if (lane->channel == PEER_MESSAGES) {
            s->to.rtt_us = now.rtt_us;
        }
    }
}

static void add_incoming(const struct peers *p, struct peer_stats *s)
{
    LIST_FOREACH (link, &p->sources) {
        const struct source *source = LIST_ENTRY(link, struct source, link);
        if (source->node == s->node) {
            s->up_from = source->up;
            s->undelivered = source->undelivered;
            peer_counts_add(&s->from, &source->past);
        }
    }
    LIST_FOREACH (link, &p->set.conns) {
        const struct peer_conn *c = LIST_ENTRY(link, struct peer_conn, all_link);
        const struct incoming *in = c->owner;
        if (c->options.side == PEER_ACCEPTED && in != NULL && in->is_up &&
            in->sender.node == s->node) {
            struct peer_counts now = peer_conn_counts(c);
            peer_counts_add(&s->from, &now);
        }
    }
}

size_t peers_stats(const struct peers *p, struct peer_stats *ret_stats, size_t max)
{
    size_t count = 0;
    LIST_FOREACH (link, &p->peers) {
        const struct peer *peer = LIST_ENTRY(link, struct peer, link);
        if (count == max) {
            break;
        }
        struct peer_stats *s = &ret_stats[count++];
        *s = (struct peer_stats){.node = peer->node};
        add_lanes(peer, s);
        add_incoming(p, s);
    }
    return count;
}

void peer_stats_add(struct peer_stats *to, const struct peer_stats *from)
{
    PRE(to->node == from->node);
    to->up += from->up;
    to->up_from += from->up_from;
    to->undelivered += from->undelivered;
    peer_counts_add(&to->to, &from->to);
    peer_counts_add(&to->from, &from->from);
    if (from->to.rtt_us > to->to.rtt_us) {
        to->to.rtt_us = from->to.rtt_us;
    }
}

/* Metrics */

typedef uint64_t (*reader)(const struct peer_stats *s);

#define M(name, type, help, value)                          \
    static uint64_t read_##name(const struct peer_stats *s) \
    {                                                       \
        return (uint64_t)(value);                           \
    }
#include "node/peers_metrics.def"
#undef M

void peer_stats_write(const struct peer_stats *stats, size_t count, struct buf *out)
{
    static const struct {
        const char *name;
        const char *type;
        const char *help;
        reader read;
    } metrics[] = {
#define M(name, type, help, value) {#name, type, help, read_##name},
#include "node/peers_metrics.def"
#undef M
    };
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        const char *name = metrics[i].name;
        buf_printf(out, "# HELP dormouse_peer_%s %s\n# TYPE dormouse_peer_%s %s\n", name,
                   metrics[i].help, name, metrics[i].type);
        for (size_t k = 0; k < count; k++) {
            buf_printf(out, "dormouse_peer_%s{peer=\"%" PRIu32 "\"} %" PRIu64 "\n", name,
                       stats[k].node, metrics[i].read(&stats[k]));
        }
    }
}
