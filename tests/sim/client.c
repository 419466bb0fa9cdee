/* Clients and their couriers. A client asks one thing after the other, of any node, through the courier of
 * that node, and asks again what it does not know the outcome of where it may: reads, and writes under an
 * Idempotency-Key. */
#include "base/invariant.h"
#include "base/mem.h"
#include "tests/sim/world.h"

enum {
    TIMEOUT_MS = 4000,
    QUIET_OPS_MS = 1500, /* for so long after the last fault there are new operations */
    NO_NODE_MS = 50,
    AGAIN_MS = 100,
    ATTEMPTS_MAX = 8,
    LEAVE_MS = 300,
    NAP_MS_MIN = 800,
    NAP_MS_MAX = 3000,
};

/* The courier of a node */

static uint32_t leader_of(void *ctx, uint32_t g)
{
    struct machine *m = ctx;
    struct world *w = m->world;
    const struct replica *r = m->slots[g].replica;
    if (r != NULL) {
        return replica_node(group_leader(r->group));
    }
    /* A node without a replica asks any that has one. */
    const struct place *place = &w->places[g];
    uint32_t node = replica_node(place->replicas[world_draw(w, place->replica_count)]);
    return node != m->id ? node : COURIER_NODE_UNKNOWN;
}

static uint32_t op_of(const struct request *r)
{
    return ((const struct client *)r->user)->op;
}

static void run(void *ctx, struct parcel *p, uint32_t timeout_ms)
{
    const struct asker asker = {.parcel = p};
    owner_run(ctx, op_of(p->request), timeout_ms, &asker);
}

static void cancel(void *ctx, struct parcel *p)
{
    (void)ctx;
    (void)p; /* it is under way: it ends with its answer */
}

static bool send_away(void *ctx, const struct parcel *parcel, uint32_t node, uint64_t id,
                      uint32_t timeout_ms)
{
    struct machine *m = ctx;
    struct world *w = m->world;
    if (!world_machine(w, node)->is_up ||
        (network_link(w, m->id, node)->is_cut && world_chance(w, 70))) {
        return false; /* there is no connection, and it is known */
    }
    struct packet *p = MEM_NEW(struct packet);
    p->kind = PACKET_REQUEST;
    p->from = m->id;
    p->to = node;
    p->id = id;
    p->op = op_of(parcel->request);
    p->timeout_ms = timeout_ms;
    network_send(w, p);
    return true;
}

static void send_cancel(void *ctx, const struct parcel *p)
{
    (void)ctx;
    (void)p; /* it comes too late */
}

static const struct courier_hooks hooks = {.leader_of = leader_of,
                                           .run = run,
                                           .cancel = cancel,
                                           .send = send_away,
                                           .send_cancel = send_cancel};

void courier_hear(struct machine *m, struct packet *p)
{
    courier_tick(&m->courier, m->world->now_ms);
    if (p->kind == PACKET_REPLY) {
        courier_on_reply(&m->courier, p->from, p->id, buf_slice(&p->bytes));
        return;
    }
    const struct asker asker = {.node = p->from, .life = p->from_life, .id = p->id};
    owner_run(m, p->op, p->timeout_ms, &asker);
}

static void courier_is_due(struct world *w, struct event *e)
{
    struct machine *m = CONTAINER_OF(e, struct machine, courier_due);
    if (machine_is_awake(m, e)) {
        courier_tick(&m->courier, w->now_ms);
        machine_end_turn(m);
    }
}

void courier_plan(struct machine *m)
{
    uint64_t next_ms = courier_next_ms(&m->courier);
    if (next_ms == UINT64_MAX) {
        world_call_off(m->world, &m->courier_due);
    } else if (!heap_has(&m->courier_due.at) || m->courier_due.at.key >> 16 != next_ms) {
        world_plan(m->world, &m->courier_due, next_ms);
    }
}

void courier_begin(struct machine *m)
{
    courier_init(&m->courier, &hooks, m, m->id);
    courier_tick(&m->courier, m->world->now_ms);
    m->courier_due.happen = courier_is_due;
}

void courier_end(struct machine *m)
{
    m->world->hits[FAULT_ROUTED] += m->courier.sent;
    m->world->hits[FAULT_REPEATED] += m->courier.retried;
    world_call_off(m->world, &m->courier_due);
    map_done(&m->courier.by_id);
    heap_done(&m->courier.due);
}

/* What a client makes of an answer */

static bool is_write(const struct op *op)
{
    return op->kind != OP_READ;
}

static void plan_next(struct client *c)
{
    struct world *w = c->world;
    uint64_t at_ms = w->now_ms + world_draw(w, w->settings.think_ms);
    if (w->settings.has_naps && world_chance(w, 1)) {
        w->nap_until_ms = w->now_ms + world_between(w, NAP_MS_MIN, NAP_MS_MAX);
    }
    world_plan(w, &c->next, at_ms > w->nap_until_ms ? at_ms : w->nap_until_ms);
}

static void conclude(struct client *c, enum op_state state)
{
    struct op *op = &c->world->ops[c->op];
    op->state = state;
    if (state == OP_IN_DOUBT) {
        world_hit(c->world, FAULT_IN_DOUBT);
    } else if (state == OP_REFUSED) {
        judge_refused(c->world, c->op);
    }
    c->op = 0;
    plan_next(c);
}

/* An attempt that ended without an answer. */
static void fail_attempt(struct client *c, bool maybe_applied)
{
    struct op *op = &c->world->ops[c->op];
    op->maybe_applied = op->maybe_applied || (maybe_applied && is_write(op));
    if (!op->maybe_applied && is_write(op)) {
        judge_refused(c->world, c->op); /* by now */
    }
    bool may_retry = !op->maybe_applied || op->has_key;
    if (may_retry && c->attempts < ATTEMPTS_MAX) {
        world_hit(c->world, FAULT_RETRIED);
        world_plan_after(c->world, &c->next, world_draw(c->world, AGAIN_MS));
        return;
    }
    conclude(c, op->maybe_applied ? OP_IN_DOUBT : OP_REFUSED);
}

static void end_attempt(struct client *c)
{
    c->is_waiting = false;
    world_call_off(c->world, &c->leave);
    request_free(c->parcel.request);
    c->parcel.request = NULL;
}

static void done(struct parcel *p)
{
    struct client *c = CONTAINER_OF(p, struct client, parcel);
    struct op *op = &c->world->ops[c->op];
    enum err err = p->request->reply.err;
    uint64_t version = p->request->reply.etag;
    end_attempt(c);
    if (err == ERR_OK || err == ERR_VERSION_MISMATCH) {
        op->version = version;
        c->seen[op->g][op->key] = version;
        judge_told(c->world, c->op, version, err == ERR_VERSION_MISMATCH);
        conclude(c, OP_DONE);
        return;
    }
    fail_attempt(c, err_info(err)->maybe_applied || err == ERR_CLOSED);
}

void client_lose(struct client *c)
{
    if (c->is_waiting) {
        end_attempt(c);
        fail_attempt(c, true);
    }
}

/* Asking */

static void leave(struct world *w, struct event *e)
{
    struct client *c = CONTAINER_OF(e, struct client, leave);
    struct machine *m = c->machine;
    if (machine_is_awake(m, e)) {
        world_hit(w, FAULT_CANCELLED);
        courier_tick(&m->courier, w->now_ms);
        if (c->is_waiting) {
            courier_cancel(&m->courier, &c->parcel);
        }
        machine_end_turn(m);
    }
}

static void choose_node(struct client *c)
{
    struct world *w = c->world;
    if (c->machine == NULL || !c->machine->is_up || world_chance(w, 20)) {
        c->machine = w->machines[world_draw(w, w->node_count)];
    }
}

static void invent_op(struct client *c)
{
    struct world *w = c->world;
    c->op = ++w->op_count;
    c->attempts = 0;
    struct op *op = &w->ops[c->op];
    op->kind = (enum op_kind)world_draw(w, 3);
    op->g = (uint32_t)world_draw(w, w->group_count);
    op->key = (uint32_t)world_draw(w, w->settings.keys);
    op->has_key = world_chance(w, 70);
    op->if_version = c->seen[op->g][op->key];
    judge_invoked(w, c->op);
}

static void submit(struct client *c)
{
    struct world *w = c->world;
    const struct op *op = &w->ops[c->op];
    struct request *r = request_new(is_write(op) ? REQUEST_KV_PUT : REQUEST_KV_GET);
    r->idempotency_key = op->has_key && is_write(op) ? bytes_new(SLICE("key")) : NULL;
    r->user = c;
    c->parcel = (struct parcel){.request = r, .shard = op->g, .done = done};
    c->attempts++;
    c->is_waiting = true;
    if (!w->is_healed && world_chance(w, 3)) {
        world_plan_after(w, &c->leave, world_draw(w, LEAVE_MS));
    }
    courier_tick(&c->machine->courier, w->now_ms);
    courier_submit(&c->machine->courier, &c->parcel,
                   (uint32_t)world_between(w, TIMEOUT_MS / 8, TIMEOUT_MS));
}

static bool has_ended(const struct world *w)
{
    return w->op_count + 1 == WORLD_OPS_MAX ||
           w->now_ms >= WORLD_START_MS + w->settings.faults_ms + QUIET_OPS_MS;
}

static void next(struct world *w, struct event *e)
{
    struct client *c = CONTAINER_OF(e, struct client, next);
    if (c->op == 0 && has_ended(w)) {
        return;
    }
    choose_node(c);
    struct machine *m = c->machine;
    if (!m->is_up) {
        world_plan_after(w, e, world_between(w, 1, NO_NODE_MS));
        return;
    }
    if (machine_is_awake(m, e)) {
        if (c->op == 0) {
            invent_op(c);
        }
        submit(c);
        machine_end_turn(m);
    }
}

void client_init(struct world *w, struct client *c, uint32_t number)
{
    c->world = w;
    c->number = number;
    c->next.happen = next;
    c->leave.happen = leave;
    plan_next(c);
}

void client_done(struct client *c)
{
    request_free(c->parcel.request);
}

bool client_is_quiet(const struct client *c)
{
    return c->op == 0 && !c->is_waiting && !heap_has(&c->next.at);
}
