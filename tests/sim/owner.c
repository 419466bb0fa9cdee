/* What the owner of a group does with requests: the rules of actor/ and storage/shard, for rows that are
 * one number each.
 *
 *     a turn runs on the view (applied, and what is proposed) --> a batch, or none
 *     batches become one entry, one at a time in flight
 *     the answer waits at the gate: for the newest batch that the turn has seen or made, and, where it
 *     made none, for a proof of leadership begun after the turn
 *
 * Nothing here calls the group from inside one of its hooks; what hooks note is released after the call. */
#include "actor/request_wire.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "tests/sim/world.h"

enum { BATCHES_MAX = 8 }; /* in an entry */

struct proposed {
    struct list link; /* queued, in_flight */
    uint64_t number;
    struct batch batch;
};

struct turn {
    struct list link; /* replica.turns */
    struct replica *replica;
    struct event deadline;
    struct asker asker;
    uint32_t op;
    bool has_ended; /* by what is in `err`, whatever its gates */
    uint64_t gate;  /* proposals up to this one must be applied */
    uint64_t read;  /* this proof must be there; 0: none is needed */
    enum err err;
    uint64_t version;
    uint32_t value_op;
};

/* Answers */

static void fill(struct reply *reply, enum err err, uint64_t version)
{
    if (err != ERR_OK) {
        (void)reply_fail(reply, err, NULL);
    } else {
        reply->status = 200;
    }
    reply->etag = version;
}

static void answer(struct machine *m, const struct asker *asker, enum err err, uint64_t version)
{
    if (asker->parcel != NULL) {
        struct request *r = asker->parcel->request;
        fill(&r->reply, err, version);
        r->stage = REQUEST_DONE;
        courier_answered(&m->courier, asker->parcel);
        return;
    }
    if (world_machine(m->world, asker->node)->life != asker->life) {
        return; /* the connection that it came on is gone */
    }
    struct packet *p = MEM_NEW(struct packet);
    struct reply reply;
    reply_init(&reply);
    fill(&reply, err, version);
    reply_to_wire(&reply, &p->bytes);
    reply_clear(&reply);
    p->kind = PACKET_REPLY;
    p->from = m->id;
    p->to = asker->node;
    p->id = asker->id;
    network_send(m->world, p);
}

static void free_turn(struct turn *t)
{
    list_remove(&t->link);
    world_call_off(t->replica->world, &t->deadline);
    mem_free(t);
}

static void end_turn(struct turn *t)
{
    struct world *w = t->replica->world;
    struct machine *m = t->replica->machine;
    if (t->err == ERR_OK || t->err == ERR_VERSION_MISMATCH) {
        judge_answer(t->replica, t->op, t->version, t->value_op);
        if (t->read > 0) {
            world_hit(w, FAULT_READ_PROVEN);
        }
    }
    struct turn ended = *t;
    free_turn(t);
    courier_tick(&m->courier, w->now_ms);
    answer(m, &ended.asker, ended.err, ended.version);
}

static bool is_released(const struct replica *r, const struct turn *t)
{
    bool is_proven = t->read == 0 || group_proven(r->group) >= t->read ||
                     r->world->plant == PLANT_READ_WITHOUT_PROOF;
    return t->has_ended || (t->gate <= r->settled && is_proven);
}

void owner_release(struct replica *r)
{
    struct list released;
    struct turn *t;
    list_init(&released);
    LIST_FOREACH_SAFE (link, &r->turns) {
        if (is_released(r, LIST_ENTRY(link, struct turn, link))) {
            list_remove(link);
            list_append(&released, link);
        }
    }
    while ((t = LIST_FIRST(&released, struct turn, link)) != NULL) {
        r->machine->is_dirty = true;
        end_turn(t);
    }
}

static void pass_deadline(struct world *w, struct event *e)
{
    struct turn *t = CONTAINER_OF(e, struct turn, deadline);
    struct machine *m = t->replica->machine;
    if (machine_is_awake(m, e)) {
        t->err = w->ops[t->op].kind != OP_READ ? ERR_TIMEOUT_IN_DOUBT : ERR_TIMEOUT;
        t->has_ended = true;
        machine_end_turn(m);
    }
}

/* Turns */

static const struct proposed *find_in(const struct list *proposals, uint32_t op)
{
    LIST_FOREACH (link, proposals) {
        const struct proposed *p = LIST_ENTRY(link, struct proposed, link);
        if (p->batch.op == op) {
            return p;
        }
    }
    return NULL;
}

/* What was done under this key already, or is on its way. */
static bool find_first_answer(struct replica *r, struct turn *t)
{
    const struct proposed *p = find_in(&r->in_flight, t->op);
    p = p != NULL ? p : find_in(&r->queued, t->op);
    uint64_t version = p != NULL ? p->batch.version : r->state.done[t->op];
    if (version == 0 || !r->world->ops[t->op].has_key || r->world->plant == PLANT_KEY_FORGOTTEN) {
        return false;
    }
    world_hit(r->world, FAULT_REPLAYED);
    t->version = version;
    t->value_op = t->op;
    t->gate = p != NULL ? p->number : 0;
    return true;
}

static void write_cell(struct replica *r, struct turn *t, const struct op *op)
{
    struct world *w = r->world;
    struct proposed *p = MEM_NEW(struct proposed);
    p->number = ++r->proposed;
    p->batch.version = ++r->version;
    p->batch.log_ms = log_clock_read(&r->clock, w->now_ms, machine_wall_ms(r->machine), true);
    p->batch.op = t->op;
    p->batch.key = op->key;
    list_append(&r->queued, &p->link);
    r->view[op->key] = (struct cell){.version = p->batch.version, .op = t->op};
    r->view_gate[op->key] = p->number;
    t->version = p->batch.version;
    t->value_op = t->op;
    t->gate = p->number;
}

static void read_cell(struct replica *r, struct turn *t, const struct op *op)
{
    const struct cell *cell = &r->view[op->key];
    t->version = cell->version;
    t->value_op = cell->op;
    t->gate = r->view_gate[op->key];
    if (op->kind == OP_WRITE_IF) {
        t->err = ERR_VERSION_MISMATCH;
        world_hit(r->world, FAULT_MISMATCH);
    }
}

/* True: it has made a batch, whose commit is the proof. */
static bool run_turn(struct replica *r, struct turn *t)
{
    const struct op *op = &r->world->ops[t->op];
    if (op->kind != OP_READ && find_first_answer(r, t)) {
        return false;
    }
    if (op->kind == OP_WRITE ||
        (op->kind == OP_WRITE_IF && r->view[op->key].version == op->if_version)) {
        write_cell(r, t, op);
        return true;
    }
    read_cell(r, t, op);
    return false;
}

void owner_run(struct machine *m, uint32_t op, uint32_t timeout_ms, const struct asker *asker)
{
    struct world *w = m->world;
    struct replica *r = m->slots[w->ops[op].g].replica;
    m->is_dirty = true;
    if (r == NULL || !group_is_leading(r->group)) {
        answer(m, asker, ERR_NOT_OWNER, 0);
        return;
    }
    struct turn *t = MEM_NEW(struct turn);
    t->replica = r;
    t->asker = *asker;
    t->op = op;
    t->deadline.happen = pass_deadline;
    world_plan_after(w, &t->deadline, timeout_ms);
    list_append(&r->turns, &t->link);
    if (!run_turn(r, t)) {
        enum err err = group_read(r->group, &t->read);
        INVARIANT(err == ERR_OK); /* it leads */
    }
}

/* Entries */

static void free_proposals(struct list *proposals)
{
    LIST_FOREACH_SAFE (link, proposals) {
        list_remove(link);
        mem_free(LIST_ENTRY(link, struct proposed, link));
    }
}

static void submit(struct replica *r)
{
    if (r->in_flight_index != 0 || list_is_empty(&r->queued) || !group_is_leading(r->group) ||
        group_is_transferring(r->group)) {
        return;
    }
    struct buf entry = {0};
    struct proposed *p;
    for (int n = 0; n < BATCHES_MAX && (p = LIST_FIRST(&r->queued, struct proposed, link)) != NULL;
         n++) {
        buf_append(&entry, &p->batch, sizeof p->batch);
        list_remove(&p->link);
        list_append(&r->in_flight, &p->link);
    }
    r->in_flight_term = group_term(r->group);
    enum err err = group_propose(r->group, &entry, r->world->now_ms, &r->in_flight_index);
    INVARIANT(err == ERR_OK); /* it leads, and hands leadership to nobody */
}

void owner_flush(struct replica *r)
{
    submit(r);
    group_probe(r->group, r->world->now_ms);
}

void owner_hear_applied(struct replica *r, const struct group_entry *e)
{
    if (r->in_flight_index == e->index && r->in_flight_term == e->term) {
        const struct proposed *last = LIST_ENTRY(r->in_flight.prev, struct proposed, link);
        r->settled = last->number;
        r->in_flight_index = 0;
        free_proposals(&r->in_flight);
        r->machine->is_dirty = true;
    }
}

/* Leading */

void owner_lead(struct replica *r)
{
    r->version = r->state.version;
    log_clock_start(&r->clock, r->state.log_ms, r->world->now_ms);
    memcpy(r->view, r->state.cells, sizeof r->view);
    memset(r->view_gate, 0, sizeof r->view_gate);
}

/* An entry that is on its way may yet be committed by the next leader; one that was never made cannot. */
void owner_depose(struct replica *r)
{
    uint64_t on_its_way = r->proposed;
    LIST_FOREACH (link, &r->queued) {
        on_its_way = LIST_ENTRY(link, struct proposed, link)->number - 1;
        break;
    }
    LIST_FOREACH (link, &r->turns) {
        struct turn *t = LIST_ENTRY(link, struct turn, link);
        bool writes = r->world->ops[t->op].kind != OP_READ && t->err != ERR_VERSION_MISMATCH;
        bool is_on_its_way = writes && t->gate > r->settled && t->gate <= on_its_way;
        if (is_on_its_way && r->world->plant == PLANT_DEPOSED_ANSWERS) {
            t->has_ended = true;
        } else if (!t->has_ended) {
            t->has_ended = true;
            t->err = is_on_its_way ? ERR_OUTCOME_UNKNOWN : ERR_NOT_OWNER;
            if (is_on_its_way) {
                world_hit(r->world, FAULT_OUTCOME_UNKNOWN);
            }
        }
    }
    free_proposals(&r->in_flight);
    free_proposals(&r->queued);
    r->in_flight_index = 0;
    r->settled = r->proposed;
}

void owner_init(struct replica *r)
{
    list_init(&r->queued);
    list_init(&r->in_flight);
    list_init(&r->turns);
}

void owner_done(struct replica *r)
{
    LIST_FOREACH_SAFE (link, &r->turns) {
        free_turn(LIST_ENTRY(link, struct turn, link));
    }
    free_proposals(&r->in_flight);
    free_proposals(&r->queued);
}
