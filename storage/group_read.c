/* Reads that prove leadership by asking: ReadIndex (dissertation, 6.4), which the library does not have.
 *
 * A voter that still follows this leader, after the read came, has not voted for a later one by then. A
 * majority of such voters: no later leader had been elected when the read came, so no later leader had
 * committed anything.
 *
 * One probe is on its way at a time; reads that come meanwhile wait for the next one. */
#include "base/invariant.h"
#include "storage/group_own.h"

static bool has_answered(const struct group *g, uint64_t replica)
{
    for (size_t i = 0; i < g->reads.answer_count; i++) {
        if (g->reads.answers[i] == replica) {
            return true;
        }
    }
    return replica == g->core.id;
}

/* The newest configuration in the log decides, as it does for entries. */
static bool has_majority(const struct group *g)
{
    const struct raft_configuration *c = &g->core.configuration;
    size_t voters = 0;
    size_t answers = 0;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].role == RAFT_VOTER) {
            voters++;
            answers += has_answered(g, c->servers[i].id);
        }
    }
    return answers > voters / 2;
}

static bool is_asking(const struct group *g)
{
    return g->reads.asked > g->reads.proven;
}

static void send_probe(struct group *g, uint64_t now_ms)
{
    const struct raft_configuration *c = &g->core.configuration;
    struct group_message m = {.type = GROUP_PROBE,
                              .from = g->core.id,
                              .term = raft_current_term(&g->core),
                              .probe = g->reads.asked};
    g->reads.sent_ms = now_ms;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].role == RAFT_VOTER && !has_answered(g, c->servers[i].id)) {
            m.to = c->servers[i].id;
            buf_clear(&g->scratch);
            group_wire_encode(&m, &g->scratch);
            group_send(g, m.to, buf_slice(&g->scratch));
        }
    }
}

void group_prove_reads(struct group *g)
{
    if (g->leading && is_asking(g) && g->applied >= g->reads.commit && has_majority(g)) {
        g->reads.proven = g->reads.asked;
        g->hooks->reads_proven(g->ctx, g->reads.proven);
    }
}

static void ask(struct group *g)
{
    g->reads.asked = g->reads.last;
    g->reads.commit = raft_commit_index(&g->core);
    g->reads.answer_count = 0;
}

/* Alone among the voters: nobody else can be elected. */
static bool needs_nobody(struct group *g)
{
    g->reads.answer_count = 0;
    return has_majority(g) && g->applied >= raft_commit_index(&g->core);
}

enum err group_read(struct group *g, uint64_t *ret_read)
{
    if (!g->leading) {
        return ERR_NOT_OWNER;
    }
    if (!is_asking(g) && g->reads.last == g->reads.asked && needs_nobody(g)) {
        *ret_read = g->reads.proven;
        return ERR_OK;
    }
    if (g->reads.last == g->reads.asked) {
        g->reads.last++;
    }
    *ret_read = g->reads.last;
    return ERR_OK;
}

void group_probe(struct group *g, uint64_t now_ms)
{
    if (g->leading && !is_asking(g) && g->reads.last > g->reads.asked) {
        group_rouse(g, now_ms);
        ask(g);
        send_probe(g, now_ms);
        group_prove_reads(g);
    }
}

/* A probe or its answers were lost, or came when the peer had not yet heard of this leader. */
void group_probe_again(struct group *g, uint64_t now_ms)
{
    if (g->leading && is_asking(g) && now_ms >= g->reads.sent_ms + GROUP_HEARTBEAT_MS) {
        send_probe(g, now_ms);
    }
}

bool group_has_reads(const struct group *g)
{
    return g->reads.last > g->reads.proven;
}

uint64_t group_proven(const struct group *g)
{
    return g->reads.proven;
}

/* Their owner hears of it through `depose`; numbers are not used again. */
void group_drop_reads(struct group *g)
{
    g->reads.last++;
    g->reads.asked = g->reads.last;
    g->reads.proven = g->reads.last;
}

void group_hear_probe(struct group *g, const struct group_message *m)
{
    bool follows = raft_state(&g->core) == RAFT_FOLLOWER &&
                   g->core.follower_state.current_leader.id == m->from &&
                   m->term == raft_current_term(&g->core);
    if (!follows) {
        return;
    }
    struct group_message answer = {.type = GROUP_PROVEN,
                                   .from = g->core.id,
                                   .to = m->from,
                                   .term = m->term,
                                   .probe = m->probe};
    buf_clear(&g->scratch);
    group_wire_encode(&answer, &g->scratch);
    group_send(g, answer.to, buf_slice(&g->scratch));
}

void group_hear_proven(struct group *g, const struct group_message *m)
{
    if (!g->leading || m->term != raft_current_term(&g->core) || !is_asking(g) ||
        m->probe != g->reads.asked || has_answered(g, m->from) ||
        g->reads.answer_count == GROUP_MEMBERS_MAX) {
        return;
    }
    g->reads.answers[g->reads.answer_count++] = m->from;
}
