/* Rest: a group of which nothing is under way is quiet. Heartbeats of hundreds of groups are most of what an
 * idle node would do.
 *
 *     leader, after some heartbeats without news       member
 *       REST(round)  ------------------------------->    has all, applied: rests
 *       all have answered in this round: rests  <----  RESTING(round)
 *
 * To rest is to hold back time-outs from the core, of a leader those that send heartbeats and of a follower
 * those that ask for votes. Nothing else changes: every message goes to the core as ever, and so what is
 * promised by terms, votes and logs does not know of rest. What may suffer is how soon a new leader is
 * found. Therefore
 *
 *   - a member rests only where its owner watches the other node: it falls silent or begins anew, the group
 *     is roused. For a follower its time-out then runs from when the node was last heard, as if each sign of
 *     life had been a heartbeat.
 *   - whatever is asked of the group or said to it rouses it. A leader that is roused sends heartbeats, and
 *     so rouses the others; a follower that is roused by mistake times out, and its pre-vote rouses them.
 *   - a leader rests only when all members do, in one round without a message between: else one that does
 *     not would time out. */
#include "base/invariant.h"
#include "storage/group_own.h"

bool group_is_resting(const struct group *g)
{
    return g->rest.is_resting;
}

static bool is_watched(const struct group *g, uint64_t replica)
{
    return g->hooks->is_watched != NULL && g->hooks->is_watched(g->ctx, replica);
}

/* Here, as far as this replica knows. */
static bool has_all(struct group *g)
{
    uint64_t last = raft_last_index(&g->core);
    return g->install == GROUP_INSTALL_NONE && g->held_count == 0 &&
           g->core.configuration_uncommitted_index == 0 && g->applied == last &&
           g->persisted == last && raft_commit_index(&g->core) == last;
}

static bool member_has_all(struct group *g, const struct raft_server *member)
{
    raft_index match;
    return member->role != RAFT_SPARE && raft_match_index(&g->core, member->id, &match) == 0 &&
           match == raft_last_index(&g->core);
}

static bool may_lead_to_rest(struct group *g)
{
    const struct raft_configuration *c = &g->core.configuration;
    if (!g->leading || raft_transferee(&g->core) != 0 || group_has_reads(g) ||
        (!has_all(g) && group_guard_is_on(GROUP_GUARD_REST))) {
        return false;
    }
    for (unsigned i = 0; i < c->n; i++) {
        bool has = member_has_all(g, &c->servers[i]) || !group_guard_is_on(GROUP_GUARD_REST);
        if (c->servers[i].id != g->core.id && (!has || !is_watched(g, c->servers[i].id))) {
            return false;
        }
    }
    return c->n > 1;
}

static void send_rest(struct group *g, enum group_message_type type, uint64_t to, uint64_t round)
{
    struct group_message m = {.type = type,
                              .from = g->core.id,
                              .to = to,
                              .term = raft_current_term(&g->core),
                              .rest = {.last_index = raft_last_index(&g->core), .round = round}};
    buf_clear(&g->scratch);
    group_wire_encode(&m, &g->scratch);
    group_send(g, to, buf_slice(&g->scratch));
}

void group_ask_for_rest(struct group *g)
{
    const struct raft_configuration *c = &g->core.configuration;
    if (!may_lead_to_rest(g)) {
        g->rest.calm_beats = 0;
        return;
    }
    if (++g->rest.calm_beats < GROUP_CALM_BEATS) {
        return;
    }
    g->rest.calm_beats = 0;
    g->rest.round++;
    g->rest.is_asking = true;
    g->rest.answer_count = 0;
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id != g->core.id) {
            send_rest(g, GROUP_REST, c->servers[i].id, g->rest.round);
        }
    }
}

static void begin_rest(struct group *g)
{
    g->rest.is_resting = true;
    g->next_ms = group_next_timeout(g);
}

static bool follows(struct group *g, const struct group_message *m)
{
    return raft_state(&g->core) == RAFT_FOLLOWER && m->term == raft_current_term(&g->core) &&
           g->core.follower_state.current_leader.id == m->from;
}

void group_hear_rest(struct group *g, const struct group_message *m)
{
    bool has = (has_all(g) && m->rest.last_index == raft_last_index(&g->core)) ||
               !group_guard_is_on(GROUP_GUARD_REST);
    if (follows(g, m) && has && is_watched(g, m->from)) {
        begin_rest(g);
        send_rest(g, GROUP_RESTING, m->from, m->rest.round);
    }
}

static bool has_answered(const struct group *g, uint64_t replica)
{
    for (size_t i = 0; i < g->rest.answer_count; i++) {
        if (g->rest.answers[i] == replica) {
            return true;
        }
    }
    return replica == g->core.id;
}

static bool have_all_answered(const struct group *g)
{
    const struct raft_configuration *c = &g->core.configuration;
    for (unsigned i = 0; i < c->n; i++) {
        if (!has_answered(g, c->servers[i].id)) {
            return false;
        }
    }
    return true;
}

void group_hear_resting(struct group *g, const struct group_message *m)
{
    if (!g->rest.is_asking || m->rest.round != g->rest.round ||
        m->term != raft_current_term(&g->core) || !may_lead_to_rest(g) ||
        has_answered(g, m->from) || g->rest.answer_count == GROUP_MEMBERS_MAX) {
        return;
    }
    g->rest.answers[g->rest.answer_count++] = m->from;
    if (have_all_answered(g)) {
        g->rest.is_asking = false;
        begin_rest(g);
    }
}

/* The leader's core counts from its last heartbeat, which all had answered: it is due, and no sign that
 * they were lost. */
void group_rouse(struct group *g, uint64_t heard_ms)
{
    g->rest.calm_beats = 0;
    g->rest.is_asking = false;
    if (!g->rest.is_resting) {
        return;
    }
    g->rest.is_resting = false;
    if (!g->core_leads && heard_ms > g->core.election_timer_start) {
        g->core.election_timer_start = heard_ms;
    }
    g->next_ms = group_next_timeout(g);
}

/* Late answers to the last heartbeats are no news to a leader, nor is what is said of rest itself. */
static bool is_news(struct group *g, const struct group_message *m)
{
    raft_index match;
    switch (m->type) {
    case GROUP_APPENDED:
        return !g->core_leads || m->term != raft_current_term(&g->core) ||
               m->appended.rejected != 0 || raft_match_index(&g->core, m->from, &match) != 0 ||
               m->appended.last_index > match;
    case GROUP_REST:
        return !follows(g, m);
    case GROUP_RESTING:
        return false;
    case GROUP_APPEND:
    case GROUP_ASK_VOTE:
    case GROUP_VOTE:
    case GROUP_INSTALL:
    case GROUP_TIMEOUT_NOW:
    case GROUP_PROBE:
    case GROUP_PROVEN:
        return true;
    }
    UNREACHABLE();
}

void group_rouse_for(struct group *g, const struct group_message *m, uint64_t now_ms)
{
    if (g->rest.is_resting && is_news(g, m)) {
        group_rouse(g, now_ms);
    }
}
