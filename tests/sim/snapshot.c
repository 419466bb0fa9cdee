/* Checkpoints of a replica's rows, what they let go of its log, and copies for others. */
#include "base/invariant.h"
#include "base/mem.h"
#include "tests/sim/world.h"

enum { CHECKPOINT_MS = 60, SLOW_CHECKPOINT_MS = 1500, PLACE_MS = 20, WAIT_MS = 5, OFFER_MS = 100 };

struct state *snapshot_copy(const struct state *s)
{
    struct state *copy = mem_alloc(sizeof *copy);
    *copy = *s;
    return copy;
}

static struct slot *slot_of(const struct replica *r)
{
    return &r->machine->slots[r->g];
}

static uint64_t stored_index(const struct replica *r)
{
    const struct state *stored = slot_of(r)->stored;
    return stored != NULL ? stored->applied : 0;
}

/* Checkpoints */

static void end_checkpoint(struct world *w, struct event *e)
{
    struct replica *r = CONTAINER_OF(e, struct replica, checkpoint);
    if (!machine_is_awake(r->machine, e)) {
        return;
    }
    mem_free(slot_of(r)->stored);
    slot_of(r)->stored = r->frozen;
    r->frozen = NULL;
    r->wants_checkpoint = false;
    world_hit(w, FAULT_CHECKPOINT);
    machine_end_turn(r->machine);
}

void snapshot_begin_checkpoint(struct replica *r)
{
    struct world *w = r->world;
    uint64_t fresh = r->state.applied - stored_index(r);
    bool is_due = fresh >= w->settings.checkpoint_entries || (fresh > 0 && r->wants_checkpoint);
    if (!is_due || r->frozen != NULL || group_is_installing(r->group)) {
        return;
    }
    bool is_slow = r->machine->slow_disk_until_ms > w->now_ms;
    r->frozen = snapshot_copy(&r->state);
    world_plan_after(w, &r->checkpoint,
                     world_draw(w, is_slow ? SLOW_CHECKPOINT_MS : CHECKPOINT_MS));
}

void snapshot_compact(struct replica *r)
{
    const struct state *stored = slot_of(r)->stored;
    if (stored_index(r) > r->compacted && !group_is_installing(r->group)) {
        const struct group_keep keep = {.bytes = r->world->settings.keep_bytes,
                                        .bytes_for_peers = 2 * r->world->settings.keep_bytes};
        r->compacted = stored->applied;
        group_compact(r->group, stored->applied, stored->term, &keep, r->world->now_ms);
    }
}

/* Copies for others. The file is whole at the other side before the message with it counts. */

static void send_copy(struct replica *r, struct buf *message)
{
    struct packet *p = MEM_NEW(struct packet);
    p->kind = PACKET_SNAPSHOT;
    p->from = r->machine->id;
    p->to = replica_node(r->offer_to);
    p->g = r->g;
    p->from_replica = r->id;
    p->bytes = buf_take(message);
    p->copy = snapshot_copy(slot_of(r)->stored);
    if (r->world->plant == PLANT_SNAPSHOT_TOO_OLD) {
        p->copy->cells[0] = (struct cell){0};
    }
    network_send(r->world, p);
}

void snapshot_offer(struct replica *r)
{
    const struct state *stored = slot_of(r)->stored;
    if (r->offer_to == 0 || r->world->now_ms < r->offered_ms + OFFER_MS) {
        return;
    }
    if (stored == NULL) {
        r->wants_checkpoint = true;
        return;
    }
    struct buf message = {0};
    enum err err = group_offer(r->group, r->offer_to, stored->applied, stored->term, &message);
    if (err == ERR_OK) {
        send_copy(r, &message);
        r->offered_ms = r->world->now_ms;
    } else if (err == ERR_NOT_FOUND) {
        r->wants_checkpoint = true;
    }
    r->offer_to = 0;
}

/* Copies from others */

void snapshot_arrive(struct replica *r, struct packet *p)
{
    struct slot *slot = slot_of(r);
    bool is_taken = false;
    if (slot->staged != NULL) {
        return;
    }
    slot->staged = p->copy;
    p->copy = NULL;
    enum err err =
        group_accept(r->group, p->from_replica, buf_slice(&p->bytes), r->world->now_ms, &is_taken);
    if (err != ERR_OK) {
        world_fail(r->world, "group %u: a snapshot of node %u is refused: %s", r->g, p->from,
                   err_info(err)->name);
    }
    if (!is_taken) {
        mem_free(slot->staged);
        slot->staged = NULL;
    }
}

void snapshot_place(struct replica *r)
{
    world_plan_after(r->world, &r->place, world_draw(r->world, PLACE_MS));
}

static void place(struct world *w, struct event *e)
{
    struct replica *r = CONTAINER_OF(e, struct replica, place);
    struct slot *slot = slot_of(r);
    if (!machine_is_awake(r->machine, e)) {
        return;
    }
    if (r->frozen != NULL) {
        world_plan_after(w, e, WAIT_MS); /* it is being written into the file that goes */
        return;
    }
    mem_free(slot->stored);
    slot->stored = slot->staged;
    slot->staged = NULL;
    slot->generation++;
    r->state = *slot->stored;
    r->compacted = slot->stored->applied;
    judge_state(w, r->g, &r->state);
    world_hit(w, FAULT_INSTALL);
    group_installed(r->group, w->now_ms);
    machine_end_turn(r->machine);
}

void snapshot_init(struct replica *r)
{
    r->checkpoint.happen = end_checkpoint;
    r->place.happen = place;
}

void snapshot_done(struct replica *r)
{
    world_call_off(r->world, &r->checkpoint);
    world_call_off(r->world, &r->place);
    mem_free(r->frozen);
}
