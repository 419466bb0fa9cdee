/* The network: every message has a delay of its own, and may be lost, doubled or overtake others; links
 * are cut one way or both. Requests and replies travel on connections: they are never doubled, keep their
 * order, and where one is lost the connection is. */
#include "base/invariant.h"
#include "base/mem.h"
#include "tests/sim/world.h"

enum { BREAK_MS = 1000, COPY_MS = 100 };

struct link_state *network_link(struct world *w, uint32_t from, uint32_t to)
{
    return &w->links[from - 1][to - 1];
}

static void free_packet(struct world *w, struct packet *p)
{
    world_call_off(w, &p->arrival);
    list_remove(&p->link);
    mem_free(p->copy);
    buf_done(&p->bytes);
    mem_free(p);
}

static void deliver(struct machine *m, struct packet *p)
{
    struct replica *r = m->slots[p->g].replica;
    switch (p->kind) {
    case PACKET_GROUP:
        if (r != NULL) {
            replica_receive(r, p->from_replica, buf_slice(&p->bytes));
        }
        break;
    case PACKET_SNAPSHOT:
        if (r != NULL) {
            snapshot_arrive(r, p);
        }
        break;
    case PACKET_REQUEST:
    case PACKET_REPLY:
        courier_hear(m, p);
        break;
    case PACKET_PULSE:
        machine_hear_pulse(m, p);
        break;
    }
}

/* Messages of replicas may come late, even to a process that has begun anew; what travels on a
 * connection does not outlive it. */
static bool is_gone(struct world *w, const struct packet *p)
{
    const struct machine *to = world_machine(w, p->to);
    bool has_connection = p->kind == PACKET_REQUEST || p->kind == PACKET_REPLY;
    return !to->is_up || (has_connection && (p->to_life != to->life ||
                                             p->from_life != world_machine(w, p->from)->life));
}

/* Of what waits for a node that stands still, as of everything else. */
static void keep_order(struct world *w, struct packet *p)
{
    struct link_state *l = network_link(w, p->from, p->to);
    if (p->arrival.at.key <= l->last_at) {
        heap_set(&w->events, &p->arrival.at, ++l->last_at);
    } else {
        l->last_at = p->arrival.at.key;
    }
}

static void arrive(struct world *w, struct event *e)
{
    struct packet *p = CONTAINER_OF(e, struct packet, arrival);
    struct machine *to = world_machine(w, p->to);
    if (is_gone(w, p)) {
        free_packet(w, p);
        return;
    }
    if (!machine_is_awake(to, e)) {
        keep_order(w, p);
        return;
    }
    list_remove(&p->link); /* it has arrived: a connection that breaks now does not lose it */
    deliver(to, p);
    machine_end_turn(to);
    free_packet(w, p);
}

static void break_connection(struct world *w, struct event *e)
{
    struct link_state *l = CONTAINER_OF(e, struct link_state, lost);
    struct machine *from = world_machine(w, l->from);
    if (machine_is_awake(from, e)) {
        courier_on_lost(&from->courier, l->to);
        courier_plan(from);
        machine_end_turn(from);
    }
}

/* What is on its way is lost, and sooner or later its senders are told. */
void network_lose_connection(struct world *w, struct link_state *l)
{
    LIST_FOREACH_SAFE (link, &w->packets) {
        struct packet *p = LIST_ENTRY(link, struct packet, link);
        bool is_on_it =
            (p->from == l->from && p->to == l->to) || (p->from == l->to && p->to == l->from);
        if (is_on_it && (p->kind == PACKET_REQUEST || p->kind == PACKET_REPLY)) {
            free_packet(w, p);
        }
    }
    world_plan_after(w, &l->lost, world_between(w, 1, BREAK_MS));
    world_plan_after(w, &network_link(w, l->to, l->from)->lost, world_between(w, 1, BREAK_MS));
    world_hit(w, FAULT_CONNECTION_LOST);
}

static uint64_t delay_ms(struct world *w, const struct packet *p, const struct link_state *l)
{
    uint64_t ms = world_draw(w, w->settings.delay_ms + 1) + l->slow_ms;
    if (world_chance(w, 2) && !w->is_healed) {
        ms += world_draw(w, w->settings.delay_ms * 20 + 1);
    }
    return p->kind == PACKET_SNAPSHOT ? ms + world_draw(w, COPY_MS) : ms;
}

static void plan_arrival(struct world *w, struct packet *p, struct link_state *l, bool keeps_order)
{
    world_plan_after(w, &p->arrival, delay_ms(w, p, l));
    if (p->kind == PACKET_SNAPSHOT) {
        return; /* on a connection of its own */
    }
    if (p->arrival.at.key > l->last_at) {
        l->last_at = p->arrival.at.key;
    } else if (keeps_order) {
        heap_set(&w->events, &p->arrival.at, ++l->last_at);
    } else {
        world_hit(w, FAULT_MESSAGE_OVERTOOK);
    }
}

static struct packet *copy_of(const struct packet *p)
{
    struct packet *copy = MEM_NEW(struct packet);
    *copy = *p;
    copy->arrival.at = (struct heap_node){0};
    copy->bytes = (struct buf){0};
    buf_append_slice(&copy->bytes, buf_slice(&p->bytes));
    copy->copy = NULL;
    return copy;
}

static void put_on_the_way(struct world *w, struct packet *p, struct link_state *l,
                           bool keeps_order)
{
    p->arrival.happen = arrive;
    list_append(&w->packets, &p->link);
    plan_arrival(w, p, l, keeps_order);
}

void network_send(struct world *w, struct packet *p)
{
    struct link_state *l = network_link(w, p->from, p->to);
    bool has_connection = p->kind == PACKET_REQUEST || p->kind == PACKET_REPLY;
    p->from_life = world_machine(w, p->from)->life;
    p->to_life = world_machine(w, p->to)->life;
    list_init(&p->link);
    bool is_lost = world_chance(w, w->is_healed ? 0 : w->settings.lost_percent);
    if (l->is_cut || (is_lost && (!has_connection || world_chance(w, 20)))) {
        world_hit(w, FAULT_MESSAGE_LOST);
        free_packet(w, p);
        if (has_connection) {
            network_lose_connection(w, l);
        }
        return;
    }
    bool keeps_order = has_connection || w->settings.keeps_order || w->is_healed;
    bool is_doubled = p->kind == PACKET_GROUP && !w->is_healed && !w->settings.keeps_order &&
                      world_chance(w, w->settings.doubled_percent);
    if (is_doubled) {
        world_hit(w, FAULT_MESSAGE_DOUBLED);
        put_on_the_way(w, copy_of(p), l, false);
    }
    put_on_the_way(w, p, l, keeps_order);
}

/* Cuts */

static void end_fault(struct world *w, struct event *e)
{
    struct link_state *l = CONTAINER_OF(e, struct link_state, end);
    (void)w;
    l->is_cut = false;
    l->slow_ms = 0;
}

void network_heal(struct world *w)
{
    for (size_t i = 0; i < w->node_count; i++) {
        for (size_t k = 0; k < w->node_count; k++) {
            world_call_off(w, &w->links[i][k].end);
            end_fault(w, &w->links[i][k].end);
        }
    }
}

void network_init(struct world *w)
{
    for (uint32_t from = 1; from <= w->node_count; from++) {
        for (uint32_t to = 1; to <= w->node_count; to++) {
            struct link_state *l = network_link(w, from, to);
            l->from = from;
            l->to = to;
            l->end.happen = end_fault;
            l->lost.happen = break_connection;
        }
    }
}

void network_done(struct world *w)
{
    LIST_FOREACH_SAFE (link, &w->packets) {
        free_packet(w, LIST_ENTRY(link, struct packet, link));
    }
}
