/* What must hold, looked at whenever something has happened that could break it.
 *
 *   - a term has one leader.
 *   - an index has one entry, the same on all replicas, snapshots included: digests of all before it.
 *   - whatever a client was told is done is applied: here and now, by every later leader, and in the end
 *     by everybody; what it was told is not done never is.
 *   - an operation is applied once, whatever is repeated.
 *   - versions and log time never fall.
 *   - each cell is linearizable. A write has a version that no other has, and versions are the order of
 *     writes; so a history is linearizable exactly if each operation's version is not lower than any that
 *     was told before the operation began, for writes higher, and no read sees what began after it ended
 *     (nobody can: a version comes from an operation that has begun). */
#include <stdio.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/group_wire.h"
#include "tests/sim/world.h"

#define ULL(n) ((unsigned long long)(n))

static struct verdict *verdict_of(const struct replica *r)
{
    return &r->world->verdicts[r->g];
}

static void *at_least(void *array, size_t *cap, size_t count, size_t size)
{
    if (count <= *cap) {
        return array;
    }
    size_t more = count * 2 + 64;
    uint8_t *grown = mem_realloc(array, more * size);
    memset(grown + *cap * size, 0, (more - *cap) * size);
    *cap = more;
    return grown;
}

void judge_done(struct world *w)
{
    for (uint32_t g = 0; g < w->group_count; g++) {
        mem_free(w->verdicts[g].chosen);
        mem_free(w->verdicts[g].leaders);
        mem_free(w->verdicts[g].ops);
    }
}

/* Entries */

static void note_members(struct verdict *v, const struct group_entry *e)
{
    if (e->type == GROUP_CONFIGURATION && e->index > v->members_index &&
        group_config_decode(e->data, &v->members) == ERR_OK) {
        v->members_index = e->index;
    }
}

static void judge_chosen(struct world *w, uint32_t g, const struct state *s)
{
    const struct chosen *c = &w->verdicts[g].chosen[s->applied];
    if (c->term != s->term || c->digest != s->digest) {
        world_fail(w, "group %u: two replicas differ at %llu: terms %llu and %llu", g,
                   ULL(s->applied), ULL(c->term), ULL(s->term));
    }
}

void judge_applied(struct replica *r, const struct group_entry *e)
{
    struct verdict *v = verdict_of(r);
    v->chosen = at_least(v->chosen, &v->chosen_cap, e->index + 1, sizeof *v->chosen);
    struct chosen *c = &v->chosen[e->index];
    if (c->term == 0) {
        *c = (struct chosen){.term = e->term, .digest = r->state.digest};
        v->chosen_last = e->index;
        note_members(v, e);
    }
    judge_chosen(r->world, r->g, &r->state);
}

void judge_state(struct world *w, uint32_t g, const struct state *s)
{
    if (s->applied > w->verdicts[g].chosen_last) {
        world_fail(w, "group %u: a snapshot of %llu, where %llu was applied by nobody", g,
                   ULL(s->applied), ULL(s->applied));
    } else {
        judge_chosen(w, g, s);
    }
}

static void judge_first_time(struct world *w, uint32_t g, const struct batch *b, uint64_t index)
{
    struct verdict *v = &w->verdicts[g];
    struct op *op = &w->ops[b->op];
    if (op->applied_index != 0) {
        world_fail(w, "operation %u is applied twice, at %llu and %llu", b->op,
                   ULL(op->applied_index), ULL(index));
    }
    if (op->state == OP_REFUSED) {
        world_fail(w, "operation %u was refused, and is applied", b->op);
    }
    if (b->version <= op->floor) {
        world_fail(w, "operation %u gets version %llu, where %llu was told before it began", b->op,
                   ULL(b->version), ULL(op->floor));
    }
    op->applied_index = index;
    op->applied_version = b->version;
    v->ops = at_least(v->ops, &v->op_cap, b->version + 1, sizeof *v->ops);
    v->ops[b->version] = b->op;
}

void judge_batch(struct replica *r, const struct batch *b, uint64_t index)
{
    if (index > verdict_of(r)->chosen_last) {
        judge_first_time(r->world, r->g, b, index);
    }
}

/* Leaders */

static void note_leader(struct replica *r)
{
    struct verdict *v = verdict_of(r);
    uint64_t term = group_term(r->group);
    v->leaders = at_least(v->leaders, &v->leader_cap, term + 1, sizeof *v->leaders);
    if (v->leaders[term] != 0 && v->leaders[term] != r->id) {
        world_fail(r->world, "group %u: nodes %u and %u lead in term %llu", r->g,
                   replica_node(v->leaders[term]), r->machine->id, ULL(term));
    }
    v->leaders[term] = r->id;
}

void judge_leader(struct replica *r)
{
    if (group_leader(r->group) == r->id) {
        note_leader(r);
    }
}

/* Messages: a leader takes nothing back of what a replica has acknowledged in its term. */

void judge_heard(struct replica *r, struct slice message)
{
    struct group_message m;
    if (group_wire_decode(message, &m) != ERR_OK || m.type != GROUP_APPENDED ||
        m.term != group_term(r->group) || group_leader(r->group) != r->id || m.to != r->id) {
        return;
    }
    if (r->acknowledged_term != m.term) {
        r->acknowledged_term = m.term;
        memset(r->acknowledged, 0, sizeof r->acknowledged);
    }
    struct acknowledged *a = &r->acknowledged[replica_node(m.from) - 1];
    if (m.appended.rejected == 0 && (a->by != m.from || m.appended.last_index > a->index)) {
        *a = (struct acknowledged){.by = m.from, .index = m.appended.last_index};
    }
}

void judge_said(struct replica *r, uint64_t to, struct slice message)
{
    struct group_message m;
    const struct acknowledged *a = &r->acknowledged[replica_node(to) - 1];
    if (group_wire_decode(message, &m) == ERR_OK && m.type == GROUP_APPEND &&
        m.term == r->acknowledged_term && a->by == to && m.append.previous_index < a->index) {
        world_fail(r->world, "group %u: node %u has %llu, and is sent what comes after %llu", r->g,
                   replica_node(to), ULL(a->index), ULL(m.append.previous_index));
    }
}

static bool is_write(const struct op *op)
{
    return op->kind != OP_READ;
}

static void judge_keeps(struct world *w, uint32_t g, const struct state *s, uint32_t number)
{
    const struct op *op = &w->ops[number];
    bool is_done = op->is_answered && is_write(op) && op->g == g;
    if (is_done && s->done[number] != op->applied_version) {
        world_fail(w, "group %u: operation %u was acknowledged, and is not there at %llu", g,
                   number, ULL(s->applied));
    }
}

/* One that stood still may begin to lead in a term that is over for all others, and lack what these have
 * done since: nobody takes its word for anything. */
void judge_lead(struct replica *r)
{
    note_leader(r);
    for (uint32_t i = 1; i <= r->world->op_count; i++) {
        if (r->world->ops[i].answered_term <= group_term(r->group)) {
            judge_keeps(r->world, r->g, &r->state, i);
        }
    }
}

/* Answers */

void judge_invoked(struct world *w, uint32_t number)
{
    struct op *op = &w->ops[number];
    op->floor = w->verdicts[op->g].told[op->key];
}

void judge_answer(const struct replica *r, uint32_t number, uint64_t version, uint32_t value_op)
{
    struct world *w = r->world;
    struct op *op = &w->ops[number];
    const struct verdict *v = &w->verdicts[op->g];
    if (version != 0 && (version >= v->op_cap || v->ops[version] != value_op)) {
        world_fail(w, "operation %u is answered with version %llu, which is not applied", number,
                   ULL(version));
    }
    if (is_write(op) && value_op == number) {
        op->is_answered = true;
        op->answered_term = group_term(r->group);
    }
}

void judge_told(struct world *w, uint32_t number, uint64_t version, bool is_mismatch)
{
    const struct op *op = &w->ops[number];
    bool has_written = is_write(op) && !is_mismatch;
    uint64_t *told = &w->verdicts[op->g].told[op->key];
    if (version < op->floor || (has_written && version == op->floor)) {
        world_fail(w, "operation %u (%s) saw version %llu, where %llu was told before it began",
                   number, has_written ? "write" : "read", ULL(version), ULL(op->floor));
    }
    if (has_written && version != op->applied_version) {
        world_fail(w, "operation %u was told version %llu and has %llu", number, ULL(version),
                   ULL(op->applied_version));
    }
    if (is_mismatch && (version == op->if_version || op->applied_index != 0)) {
        world_fail(w, "operation %u met its condition, and was told otherwise", number);
    }
    *told = version > *told ? version : *told;
}

void judge_refused(struct world *w, uint32_t number)
{
    if (w->ops[number].applied_index != 0) {
        world_fail(w, "operation %u is refused, and was applied", number);
    }
}

/* The end */

/* NULL, or what is not at rest (static). */
static const char *unrest_of(struct world *w, uint32_t g)
{
    static char text[120];
    const struct replica *leader = members_leader(w, g);
    if (leader == NULL) {
        return "nobody leads";
    }
    if (!members_are_settled(leader)) {
        return "members are not as they should be";
    }
    uint64_t last = group_last_index(leader->group);
    size_t found = 0;
    for (size_t i = 0; i < w->node_count; i++) {
        const struct replica *r = w->machines[i]->slots[g].replica;
        if (r != NULL && r->state.applied != last) {
            (void)snprintf(text, sizeof text, "node %zu has applied %llu of %llu", i + 1,
                           ULL(r->state.applied), ULL(last));
            return text;
        }
        found += r != NULL;
    }
    return found == w->places[g].replica_count ? NULL : "a replica is missing, or one too many";
}

bool judge_is_quiet(struct world *w)
{
    for (size_t i = 0; i < w->client_count; i++) {
        if (!client_is_quiet(&w->clients[i])) {
            return false;
        }
    }
    for (uint32_t g = 0; g < w->group_count; g++) {
        if (unrest_of(w, g) != NULL) {
            return false;
        }
    }
    return true;
}

void judge_unrest(struct world *w)
{
    for (uint32_t g = 0; g < w->group_count; g++) {
        const char *unrest = unrest_of(w, g);
        if (unrest != NULL) {
            world_fail(w, "group %u is not well again after a long time without faults: %s", g,
                       unrest);
        }
    }
    world_fail(w, "a client still waits after a long time without faults");
}

/* Nobody is told that the node is gone: they find out, whether they rested or not. */
void judge_failover(struct world *w, const struct machine *dead)
{
    for (uint32_t g = 0; g < w->group_count; g++) {
        const struct replica *leader = members_leader(w, g);
        bool is_led = leader != NULL && leader->machine != dead;
        if (w->places[g].replica_count >= 3 && !is_led) {
            world_fail(w, "group %u: nobody leads long after node %u has crashed", g, dead->id);
        }
    }
}

static void judge_replica(struct world *w, const struct replica *r)
{
    judge_chosen(w, r->g, &r->state);
    for (uint32_t i = 1; i <= w->op_count; i++) {
        const struct op *op = &w->ops[i];
        judge_keeps(w, r->g, &r->state, i);
        if (op->state == OP_REFUSED && r->state.done[i] != 0) {
            world_fail(w, "operation %u was refused, and is there", i);
        }
    }
}

void judge_end(struct world *w)
{
    for (uint32_t g = 0; g < w->group_count; g++) {
        for (size_t i = 0; i < w->node_count; i++) {
            const struct replica *r = w->machines[i]->slots[g].replica;
            if (r != NULL && r->state.applied > 0) {
                judge_replica(w, r);
            }
        }
    }
}
