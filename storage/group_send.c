/* Messages to peers: from the core's to bytes, with entries of our own log. */
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/group_own.h"

/* Holding: what a message says of term and vote is a promise, and a promise that a crash undoes elects
 * two leaders. Whatever was made after it waits as well, so that the order stays. */

static void hold(struct group *g, uint64_t to, struct slice message, uint64_t sequence)
{
    if (g->held_count == GROUP_HELD_MAX) {
        return; /* lost, like any message may be */
    }
    struct group_held *h = MEM_NEW(struct group_held);
    h->to = to;
    h->sequence = sequence;
    buf_append_slice(&h->message, message);
    list_append(&g->held, &h->link);
    g->held_count++;
}

static void free_held(struct group *g, struct group_held *h)
{
    list_remove(&h->link);
    g->held_count--;
    buf_done(&h->message);
    mem_free(h);
}

void group_free_held(struct group *g)
{
    LIST_FOREACH_SAFE (link, &g->held) {
        free_held(g, LIST_ENTRY(link, struct group_held, link));
    }
}

void group_release_held(struct group *g)
{
    struct group_held *h;
    while ((h = LIST_FIRST(&g->held, struct group_held, link)) != NULL &&
           h->sequence <= g->durable) {
        g->hooks->send(g->ctx, h->to, buf_slice(&h->message));
        free_held(g, h);
    }
}

static void send_once_durable(struct group *g, uint64_t to, struct slice message, uint64_t sequence)
{
    bool must_wait = sequence > g->durable || !list_is_empty(&g->held);
    if (must_wait && group_guard_is_on(GROUP_GUARD_HOLD)) {
        hold(g, to, message, sequence);
    } else {
        g->hooks->send(g->ctx, to, message);
    }
}

void group_send(struct group *g, uint64_t to, struct slice message)
{
    send_once_durable(g, to, message, g->term_sequence);
}

static bool is_lone_voter(const struct group *g, const struct raft_configuration *c)
{
    unsigned voters = 0;
    bool is_one = false;
    for (unsigned i = 0; i < c->n; i++) {
        voters += c->servers[i].role == RAFT_VOTER;
        is_one = is_one || (c->servers[i].role == RAFT_VOTER && c->servers[i].id == g->core.id);
    }
    return voters == 1 && is_one;
}

/* A lone voter elects itself at its start, and the core does not count that as an election: it leads again
 * in the term it had. An entry that its crash has undone would then have another one of the same index and
 * term in its place, and who had heard of the first takes one for the other. So nobody hears of an entry
 * before it is on the voter's own disk. Which configuration a start finds, the newest or the one before
 * it, the disk says. */
static uint64_t sequence_of_entries(struct group *g, const struct group_message *m)
{
    uint64_t last = m->append.previous_index + m->append.count;
    const struct group_item *item = m->append.count > 0 ? group_log_find(&g->log, last) : NULL;
    bool leads_again = is_lone_voter(g, &g->core.configuration) ||
                       is_lone_voter(g, &g->core.configuration_committed);
    return item != NULL && leads_again && group_guard_is_on(GROUP_GUARD_LONE_VOTER) ? item->sequence
                                                                                    : 0;
}

/* Messages of the core */

/* How many of the entries from `index` on go into one message. None where they are gone: a heartbeat
 * goes in their place, and a compaction lets the core offer a snapshot. */
static uint32_t count_entries(struct group *g, uint64_t index, unsigned wanted)
{
    size_t bytes = 0;
    uint32_t count = 0;
    const struct group_item *item = NULL;
    while (count < wanted && count < GROUP_WIRE_ENTRIES_MAX &&
           (item = group_log_find(&g->log, index + count)) != NULL) {
        bytes += GROUP_WIRE_ENTRY_BYTES + item->data.len;
        if (count > 0 && bytes > GROUP_MESSAGE_BYTES) {
            break;
        }
        count++;
    }
    if (count == 0 && wanted > 0) {
        g->hooks->wants_compaction(g->ctx);
    }
    return count;
}

static void encode_append(struct group *g, struct group_message *m,
                          const struct raft_append_entries *a)
{
    m->term = a->term;
    m->append.previous_index = a->prev_log_index;
    m->append.previous_term = a->prev_log_term;
    m->append.commit = a->leader_commit;
    m->append.count = count_entries(g, a->prev_log_index + 1, a->n_entries);
    group_wire_encode(m, &g->scratch);
    for (uint32_t i = 0; i < m->append.count; i++) {
        struct group_entry e = group_log_entry(&g->log, a->prev_log_index + 1 + i);
        group_wire_put(&e, &g->scratch);
    }
}

/* The answer to a message of an older term is made by the core without its last index: it would send
 * what its stack held there, and a sender that has become leader of our term meanwhile would take that
 * for entries we have. All that such an answer has to say is the term. */
static void encode_appended(struct group *g, struct group_message *m,
                            const struct raft_append_entries_result *a)
{
    bool says_term_alone = g->heard_is_old && group_guard_is_on(GROUP_GUARD_OLD_TERM);
    m->term = a->term;
    m->appended.rejected = says_term_alone ? 0 : a->rejected;
    m->appended.last_index = says_term_alone ? 0 : a->last_log_index;
    group_wire_encode(m, &g->scratch);
}

/* A refused pre-vote would carry the asker's own term back. An asker whose log is the longest, but
 * whose term is behind, would be refused for ever, and refuse all others. */
static void encode_vote(struct group *g, struct group_message *m,
                        const struct raft_request_vote_result *v)
{
    m->term = v->term;
    if (v->pre_vote && !v->vote_granted && v->term < raft_current_term(&g->core) &&
        group_guard_is_on(GROUP_GUARD_PRE_VOTE_TERM)) {
        m->term = raft_current_term(&g->core);
    }
    m->vote.granted = v->vote_granted;
    m->vote.pre_vote = v->pre_vote;
    group_wire_encode(m, &g->scratch);
}

static void encode_ask_vote(struct group *g, struct group_message *m,
                            const struct raft_request_vote *v)
{
    m->term = v->term;
    m->ask_vote.last_index = v->last_log_index;
    m->ask_vote.last_term = v->last_log_term;
    m->ask_vote.pre_vote = v->pre_vote;
    m->ask_vote.disrupt = v->disrupt_leader;
    group_wire_encode(m, &g->scratch);
}

/* Leadership */

/* The core lets a replica go as soon as it has acknowledged anything, and only once. One that still writes
 * what came after that does not take it, and all proposals would wait until the core gives up. */
static bool must_wait_for_log(const struct group *g, uint64_t to, const struct raft_timeout_now *t)
{
    raft_index match = 0;
    return raft_match_index(&g->core, to, &match) == 0 && match < t->last_log_index &&
           group_guard_is_on(GROUP_GUARD_WHOLE_LOG);
}

static void send_timeout_now(struct group *g, uint64_t to, uint64_t last_index, uint64_t last_term)
{
    struct group_message m = {.type = GROUP_TIMEOUT_NOW,
                              .from = g->core.id,
                              .to = to,
                              .term = raft_current_term(&g->core)};
    m.timeout_now.last_index = last_index;
    m.timeout_now.last_term = last_term;
    buf_clear(&g->scratch);
    group_wire_encode(&m, &g->scratch);
    send_once_durable(g, to, buf_slice(&g->scratch), g->term_sequence);
}

static void hand_over(struct group *g, uint64_t to, const struct raft_timeout_now *t)
{
    if (must_wait_for_log(g, to, t)) {
        g->owed_index = t->last_log_index;
        g->owed_term = t->last_log_term;
    } else {
        send_timeout_now(g, to, t->last_log_index, t->last_log_term);
    }
}

void group_send_owed(struct group *g)
{
    uint64_t to = g->core_leads ? raft_transferee(&g->core) : 0;
    raft_index match;
    if (g->owed_index == 0) {
        return;
    }
    if (to == 0) {
        g->owed_index = 0; /* it has given up */
    } else if (raft_match_index(&g->core, to, &match) == 0 && match >= g->owed_index) {
        send_timeout_now(g, to, g->owed_index, g->owed_term);
        g->owed_index = 0;
    }
}

static void send_message(struct group *g, const struct raft_message *from_core)
{
    uint64_t sequence = g->term_sequence;
    struct group_message m = {.from = g->core.id, .to = from_core->server_id};
    buf_clear(&g->scratch);
    switch (from_core->type) {
    case RAFT_APPEND_ENTRIES:
        m.type = GROUP_APPEND;
        g->rest.is_asking = false; /* who hears it does not rest */
        encode_append(g, &m, &from_core->append_entries);
        uint64_t of_entries = sequence_of_entries(g, &m);
        sequence = of_entries > sequence ? of_entries : sequence;
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        m.type = GROUP_APPENDED;
        encode_appended(g, &m, &from_core->append_entries_result);
        break;
    case RAFT_REQUEST_VOTE:
        m.type = GROUP_ASK_VOTE;
        encode_ask_vote(g, &m, &from_core->request_vote);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        m.type = GROUP_VOTE;
        encode_vote(g, &m, &from_core->request_vote_result);
        break;
    case RAFT_INSTALL_SNAPSHOT: /* goes with the file, and tells of that: group_offer */
        g->hooks->wants_snapshot(g->ctx, m.to, from_core->install_snapshot.last_index);
        return;
    case RAFT_TIMEOUT_NOW:
        hand_over(g, m.to, &from_core->timeout_now);
        return;
    }
    send_once_durable(g, m.to, buf_slice(&g->scratch), sequence);
}

void group_send_messages(struct group *g, const struct raft_update *update)
{
    for (unsigned i = 0; i < update->messages.n; i++) {
        send_message(g, &update->messages.batch[i]);
    }
}
