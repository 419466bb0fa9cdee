/* Beginning, and going on from what was recovered. */
#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/group_own.h"

/* What a record of the log may say is checked here: the core asserts it, or trusts it. */
static enum err check_entries(const struct group_recovered *r)
{
    uint64_t term = r->snapshot.term;
    for (size_t i = 0; i < r->entry_count; i++) {
        const struct group_entry *e = &r->entries[i];
        struct group_config ignored;
        if (e->index != r->snapshot.index + 1 + i || e->term == 0 || e->term < term ||
            e->term > r->term || (e->index == 1 && e->type != GROUP_CONFIGURATION)) {
            return ERR_CORRUPT;
        }
        if (e->type == GROUP_CONFIGURATION) {
            enum err err = group_config_decode(e->data, &ignored);
            if (err != ERR_OK) {
                return err;
            }
        }
        term = e->term;
    }
    return ERR_OK;
}

static enum err check(const struct group_recovered *r)
{
    struct group_config ignored;
    if (r->snapshot.index > 0) {
        if (r->snapshot.term == 0 || r->snapshot.term > r->term) {
            return ERR_CORRUPT;
        }
        enum err err = group_config_decode(r->snapshot.configuration, &ignored);
        if (err != ERR_OK) {
            return err;
        }
    }
    return check_entries(r);
}

static void free_entries_for_core(struct raft_entry *array)
{
    if (array != NULL) {
        raft_free(array[0].batch);
        raft_free(array);
    }
}

static void start_core(struct group *g, const struct group_recovered *r, uint64_t now_ms)
{
    struct raft_snapshot_metadata metadata = {0};
    struct raft_event event = {.time = now_ms, .type = RAFT_START};
    if (r->snapshot.index > 0) {
        group_configuration_for_core(r->snapshot.configuration, &metadata.configuration);
        metadata.index = r->snapshot.index;
        metadata.term = r->snapshot.term;
        metadata.configuration_index = r->snapshot.configuration_index;
        event.start.metadata = &metadata;
        group_note_era(g, r->snapshot.configuration_index, r->snapshot.configuration);
    }
    event.start.term = r->term;
    event.start.voted_for = r->vote;
    event.start.start_index = r->snapshot.index + 1;
    event.start.n_entries = (unsigned)r->entry_count;
    if (r->entry_count > 0) {
        event.start.entries = group_entries_for_core(r->entries, r->entry_count);
    }
    group_log_start(&g->log, r->snapshot.index + 1);
    g->applied = r->snapshot.index;
    g->compacted = r->snapshot.index;
    g->persisted = r->snapshot.index + r->entry_count;
    int rc = group_step(g, &event);
    INVARIANT(rc == 0); /* what it could refuse was checked */
    free_entries_for_core(event.start.entries);
}

/* A replica alone has committed all it has stored: it is applied from where it lies. Others wait for a
 * leader with what goes beyond the owner's state, and what they have is for peers as well. */
static void take_over_entries(struct group *g, const struct group_recovered *r)
{
    uint64_t committed = raft_commit_index(&g->core);
    committed = committed > r->committed ? committed : r->committed;
    for (size_t i = 0; i < r->entry_count; i++) {
        const struct group_entry *e = &r->entries[i];
        bool is_committed = e->index <= committed;
        if (is_committed && group_is_alone(g)) {
            group_log_drop(&g->log, e->index);
        } else {
            struct buf data = {0};
            buf_append_slice(&data, e->data);
            group_log_append(&g->log, e->term, e->type, &data, 0);
        }
        if (is_committed) {
            group_apply(g, e);
        }
    }
}

/* A replica that never ran, or did not come further than its first term: its first configuration is
 * entry 1 of term 1, the same on all the first members, logged before it counts. It is not yet durable
 * when the core starts; that is safe because nothing later in the same log can be durable before it.
 *
 * One that has heard of a later term, or voted, has run, and then entry 1 comes from a leader. */
static bool begins(const struct group *g, const struct group_recovered *r)
{
    return g->first.count > 0 && r->snapshot.index == 0 && r->entry_count == 0 && r->term <= 1 &&
           r->vote == 0;
}

enum err group_start(struct group *g, const struct group_recovered *r, uint64_t now_ms)
{
    PRE(g->applied == 0 && g->log.first == 0);

    struct buf configuration = {0};
    struct group_entry first = {.index = 1, .term = 1, .type = GROUP_CONFIGURATION};
    struct group_recovered begun = *r;
    if (begins(g, r)) {
        if (r->term == 0) {
            (void)g->hooks->log_term_vote(g->ctx, 1, 0);
        }
        group_config_encode(&g->first, &configuration);
        first.data = buf_slice(&configuration);
        g->term_sequence = g->hooks->log_entry(g->ctx, &first);
        begun.term = 1;
        begun.entries = &first;
        begun.entry_count = 1;
    }
    enum err err = check(&begun);
    PRE(err != ERR_OK || r->committed <= begun.snapshot.index + begun.entry_count);
    if (err == ERR_OK) {
        start_core(g, &begun, now_ms);
        take_over_entries(g, &begun);
        group_settle(g);
    }
    buf_done(&configuration);
    return err;
}
