/* Messages from peers: from bytes to the core's events, past what the core takes amiss. */
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/group_own.h"

/* The versions that the core gives its own messages of these types. */
enum { VERSION_VOTE = 2, VERSION_APPENDED = 2 };

enum err group_hear(struct group *g, const struct group_message *m, struct raft_message *for_core,
                    uint64_t now_ms)
{
    char address[GROUP_ADDRESS_BYTES];
    group_address(m->from, address);
    for_core->server_id = m->from;
    for_core->server_address = address;
    struct raft_event event = {.time = now_ms, .type = RAFT_RECEIVE};
    event.receive.message = for_core;
    g->heard_is_old = m->term < raft_current_term(&g->core);
    int rc = group_step(g, &event);
    g->heard_is_old = false;
    INVARIANT(rc == 0 || rc == RAFT_SHUTDOWN); /* all else is exhausted memory */
    return rc == 0 ? ERR_OK : ERR_CORRUPT;
}

static bool is_of_own_term(const struct group *g, const struct group_message *m)
{
    return m->term == raft_current_term(&g->core);
}

bool group_is_second_leader(const struct group *g, const struct group_message *m)
{
    return g->core_leads && is_of_own_term(g, m);
}

/* Entries */

/* A run of entries of one message: the core hears one run after the other. */
struct run {
    const struct group_entry *entries;
    uint32_t count;
};

/* Of several entries in one event the core takes the index of the first for that of a configuration
 * among them, and does not find it again when it is applied or truncated. */
static uint32_t run_length(const struct group_entry *entries, uint32_t count)
{
    uint32_t n = count > 0 ? 1 : 0;
    while (n < count && (entries[n].type != GROUP_CONFIGURATION ||
                         !group_guard_is_on(GROUP_GUARD_FIRST_IN_EVENT))) {
        n++;
    }
    return n;
}

/* A configuration that follows another one in a leader's log proves that the other was committed, since
 * one change is made at a time. The core goes by its commit index alone, which may come later, and would
 * forget that there is one to fall back to. To wait for that index is no way out: the leader may need
 * this very entry to move it. */
static void conclude_pending(struct group *g, const struct group_message *m, const struct run *run)
{
    uint64_t pending = g->core.configuration_uncommitted_index;
    const struct group_item *previous = group_log_find(&g->log, m->append.previous_index);
    bool follows = run->count > 0 && run->entries[0].type == GROUP_CONFIGURATION && pending != 0 &&
                   pending <= m->append.previous_index;
    if (follows && m->term >= raft_current_term(&g->core) && previous != NULL &&
        previous->term == m->append.previous_term && group_guard_is_on(GROUP_GUARD_ONE_PENDING)) {
        struct group_entry entry = group_log_entry(&g->log, pending);
        group_tell_core_of_configuration(g, &entry);
    }
}

static enum err hear_run(struct group *g, const struct group_message *m, const struct run *run,
                         uint64_t now_ms)
{
    struct raft_message for_core = {.type = RAFT_APPEND_ENTRIES};
    struct raft_entry *entries =
        run->count > 0 ? group_entries_for_core(run->entries, run->count) : NULL;
    for_core.append_entries.term = m->term;
    for_core.append_entries.prev_log_index = m->append.previous_index;
    for_core.append_entries.prev_log_term = m->append.previous_term;
    for_core.append_entries.leader_commit = m->append.commit;
    for_core.append_entries.entries = entries;
    for_core.append_entries.n_entries = run->count;
    void *batch = entries != NULL ? entries[0].batch : NULL;
    g->heard = run->entries;
    g->heard_raft = entries;
    g->heard_was_taken = false;
    enum err err = group_hear(g, m, &for_core, now_ms);
    g->heard = NULL;
    g->heard_raft = NULL;
    if (g->heard_was_taken) { /* else the core has freed it */
        raft_free(batch);
    }
    raft_free(entries);
    return err;
}

static enum err hear_entries(struct group *g, struct group_message *m,
                             const struct group_entry *entries, uint64_t now_ms)
{
    uint32_t at = 0;
    enum err err;
    do {
        struct run run = {.entries = entries + at,
                          .count = run_length(entries + at, m->append.count - at)};
        conclude_pending(g, m, &run);
        err = hear_run(g, m, &run, now_ms);
        at += run.count;
        if (err != ERR_OK || run.count == 0) {
            break;
        }
        m->append.previous_index += run.count;
        m->append.previous_term = run.entries[run.count - 1].term;
    } while (at < m->append.count && group_log_next(&g->log) > m->append.previous_index);
    return err;
}

/* What is committed, compacted and out of the core's sight is what the leader has: the core knows
 * nothing of it and would refuse, or take entry 1 for a new one. The message is made to begin where
 * the core's memory does. A leader of an older term may lack it, and is refused for its term. */
static void skip_forgotten(const struct group *g, struct group_message *m,
                           struct group_entry **entries)
{
    const struct raft_trail *trail = &g->core.trail;
    uint64_t known = trail->snapshot.index;
    uint64_t previous = m->append.previous_index;
    if (m->term < raft_current_term(&g->core) || previous >= known || previous > trail->offset ||
        !group_guard_is_on(GROUP_GUARD_FORGOTTEN)) {
        return;
    }
    uint64_t gap = known - previous;
    uint32_t skipped = gap < m->append.count ? (uint32_t)gap : m->append.count;
    *entries += skipped;
    m->append.count -= skipped;
    m->append.previous_index = known;
    m->append.previous_term = trail->snapshot.term;
}

/* The core looks at what it knows to be committed; more may be applied here. What a leader of an older
 * term says may well be otherwise, and is refused for the term. */
static bool contradicts(const struct group *g, const struct group_message *m,
                        const struct group_entry *entries)
{
    bool is_old = m->term < raft_current_term(&g->core);
    for (uint32_t i = 0; !is_old && i < m->append.count; i++) {
        uint64_t index = m->append.previous_index + 1 + i;
        const struct group_item *item = index <= g->applied ? group_log_find(&g->log, index) : NULL;
        if (item != NULL && item->term != entries[i].term) {
            return true;
        }
    }
    return false;
}

static enum err hear_append(struct group *g, struct group_message *m, uint64_t now_ms)
{
    if (group_is_second_leader(g, m)) {
        return ERR_CORRUPT;
    }
    /* Without room it is a heartbeat still. */
    if (m->append.count > 0 && !g->hooks->accepts(g->ctx, m->append.entries.len)) {
        m->append.count = 0;
    }
    struct group_entry *entries = mem_alloc((m->append.count + 1) * sizeof *entries);
    struct slice rest = m->append.entries;
    for (uint32_t i = 0; i < m->append.count; i++) {
        group_wire_next(&rest, &entries[i]);
    }
    struct group_entry *from = entries;
    skip_forgotten(g, m, &from);
    enum err err = contradicts(g, m, from) ? ERR_CORRUPT : hear_entries(g, m, from, now_ms);
    mem_free(entries);
    return err;
}

/* A rejection of what the replica has acknowledged since is late. The core would go back behind that,
 * and then count what is on its way as less than nothing. It is a sign of life all the same. */
static bool is_stale(const struct group *g, const struct group_message *m)
{
    raft_index match;
    if (m->appended.rejected == 0 || !g->core_leads || !is_of_own_term(g, m) ||
        raft_match_index(&g->core, m->from, &match) != 0) {
        return false;
    }
    uint64_t next = m->appended.last_index + 1;
    next = next < m->appended.rejected ? next : m->appended.rejected;
    return next <= match;
}

static enum err hear_appended(struct group *g, const struct group_message *m, uint64_t now_ms)
{
    struct raft_message for_core = {.type = RAFT_APPEND_ENTRIES_RESULT};
    struct raft_append_entries_result *result = &for_core.append_entries_result;
    result->version = VERSION_APPENDED;
    result->term = m->term;
    if (!is_stale(g, m) || !group_guard_is_on(GROUP_GUARD_STALE_REJECTION)) {
        result->rejected = m->appended.rejected;
        result->last_log_index = m->appended.last_index;
    }
    enum err err = group_hear(g, m, &for_core, now_ms);
    group_send_owed(g);
    return err;
}

/* Votes */

/* Who has a vote is for the candidate's log to say: a replica that is behind may not yet have heard that
 * it has one, and without it nobody may be elected. The core goes by the replica's own log, and lets one
 * without a vote believe in its last leader for ever. For one step it is told otherwise. */
struct disguise {
    struct raft_server *self; /* NULL: none is needed */
    int role;
    raft_id leader;
};

static struct disguise put_on_disguise(struct group *g, uint64_t now_ms)
{
    struct raft_configuration *c = &g->core.configuration;
    struct disguise d = {0};
    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id == g->core.id && c->servers[i].role != RAFT_VOTER) {
            d.self = &c->servers[i];
        }
    }
    if (d.self == NULL || raft_state(&g->core) != RAFT_FOLLOWER ||
        !group_guard_is_on(GROUP_GUARD_VOTE_UNAWARE)) {
        return (struct disguise){0};
    }
    d.role = d.self->role;
    d.leader = g->core.follower_state.current_leader.id;
    d.self->role = RAFT_VOTER;
    if (now_ms >= g->core.election_timer_start + GROUP_ELECTION_MS) {
        g->core.follower_state.current_leader.id = 0;
    }
    return d;
}

static void take_off_disguise(struct group *g, const struct disguise *d)
{
    if (d->self != NULL) {
        INVARIANT(raft_state(&g->core) == RAFT_FOLLOWER); /* a request elects nobody */
        d->self->role = d->role;
        g->core.follower_state.current_leader.id = d->leader;
    }
}

static enum err hear_ask_vote(struct group *g, const struct group_message *m, uint64_t now_ms)
{
    uint64_t vote = raft_voted_for(&g->core);
    if (!m->ask_vote.pre_vote && is_of_own_term(g, m) && vote != 0 && vote != m->from &&
        group_guard_is_on(GROUP_GUARD_SECOND_VOTE)) {
        return ERR_OK;
    }
    struct raft_message for_core = {.type = RAFT_REQUEST_VOTE};
    struct raft_request_vote *ask = &for_core.request_vote;
    ask->version = VERSION_VOTE;
    ask->term = m->term;
    ask->candidate_id = m->from;
    ask->last_log_index = m->ask_vote.last_index;
    ask->last_log_term = m->ask_vote.last_term;
    ask->pre_vote = m->ask_vote.pre_vote;
    ask->disrupt_leader = m->ask_vote.disrupt;
    struct disguise disguise = put_on_disguise(g, now_ms);
    enum err err = group_hear(g, m, &for_core, now_ms);
    take_off_disguise(g, &disguise);
    g->next_ms = group_next_timeout(g);
    return err;
}

/* Answers to a pre-vote carry a term that nobody is in. The core takes it for its own whenever it is no
 * candidate any more, and a leader steps down for a term that does not exist. */
static bool is_late_pre_vote(const struct group *g, const struct group_message *m)
{
    bool in_pre_vote = raft_state((struct raft *)(uintptr_t)&g->core) == RAFT_CANDIDATE &&
                       g->core.candidate_state.in_pre_vote;
    return m->vote.pre_vote && !in_pre_vote;
}

static enum err hear_vote(struct group *g, const struct group_message *m, uint64_t now_ms)
{
    if (is_late_pre_vote(g, m) && group_guard_is_on(GROUP_GUARD_LATE_PRE_VOTE)) {
        return ERR_OK;
    }
    struct raft_message for_core = {.type = RAFT_REQUEST_VOTE_RESULT};
    struct raft_request_vote_result *vote = &for_core.request_vote_result;
    vote->version = VERSION_VOTE;
    vote->term = m->term;
    vote->vote_granted = m->vote.granted;
    vote->pre_vote = m->vote.pre_vote;
    return group_hear(g, m, &for_core, now_ms);
}

static enum err hear_timeout_now(struct group *g, const struct group_message *m, uint64_t now_ms)
{
    struct raft_message for_core = {.type = RAFT_TIMEOUT_NOW};
    for_core.timeout_now.term = m->term;
    for_core.timeout_now.last_log_index = m->timeout_now.last_index;
    for_core.timeout_now.last_log_term = m->timeout_now.last_term;
    return group_hear(g, m, &for_core, now_ms);
}

static enum err hear_any(struct group *g, struct group_message *m, uint64_t now_ms)
{
    switch (m->type) {
    case GROUP_APPEND:
        return hear_append(g, m, now_ms);
    case GROUP_APPENDED:
        return hear_appended(g, m, now_ms);
    case GROUP_ASK_VOTE:
        return hear_ask_vote(g, m, now_ms);
    case GROUP_VOTE:
        return hear_vote(g, m, now_ms);
    case GROUP_INSTALL: /* comes with a file: group_accept */
        return ERR_CORRUPT;
    case GROUP_TIMEOUT_NOW:
        return hear_timeout_now(g, m, now_ms);
    case GROUP_PROBE:
        group_hear_probe(g, m);
        return ERR_OK;
    case GROUP_PROVEN:
        group_hear_proven(g, m);
        return ERR_OK;
    case GROUP_REST:
        group_hear_rest(g, m);
        return ERR_OK;
    case GROUP_RESTING:
        group_hear_resting(g, m);
        return ERR_OK;
    }
    UNREACHABLE();
}

enum err group_receive(struct group *g, uint64_t from, struct slice message, uint64_t now_ms)
{
    struct group_message m;
    enum err err = group_wire_decode(message, &m);
    if (err != ERR_OK) {
        return err;
    }
    if (m.from != from) {
        return ERR_CORRUPT;
    }
    if (m.to != g->core.id) {
        return ERR_OK;
    }
    group_rouse_for(g, &m, now_ms);
    err = hear_any(g, &m, now_ms);
    group_settle(g);
    return err;
}
