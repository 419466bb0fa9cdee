#include "storage/group.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "storage/group_own.h"

/* Other releases lose committed entries or change who frees what: DESIGN section 3. */
_Static_assert(RAFT_VERSION_NUMBER == 2201 && sizeof(struct raft) == 992,
               "storage/group is written for libraft 0.22.1 exactly");

enum {
    RETRY_MS = 25,                     /* between two time-outs at least */
    SILENT_MS = GROUP_ELECTION_MS / 2, /* more than a heartbeat, its answer and RETRY_MS */

    /* How often the owner hears that a peer lacks a snapshot. It streams them with time-outs of its own;
     * the core alone would not ask again once it has a newer one than the peer was offered. */
    INSTALL_TIMEOUT_MS = 1000,
};

static unsigned guards_off;

void group_guards_off(unsigned guards)
{
    guards_off = guards;
}

bool group_guard_is_on(enum group_guard guard)
{
    return (guards_off & guard) == 0;
}

/* Life */

struct group *group_new(const struct group_options *options, const struct group_hooks *hooks,
                        void *ctx)
{
    PRE(options->replica > 0);

    struct group *g = MEM_NEW(struct group);
    char address[GROUP_ADDRESS_BYTES]; /* the core wants one; ours are found by replica */
    g->magic = GROUP_MAGIC;
    g->hooks = hooks;
    g->ctx = ctx;
    g->next_ms = UINT64_MAX;
    list_init(&g->eras);
    list_init(&g->held);
    for (size_t i = 0; i < options->voter_count; i++) {
        group_config_add(&g->first, options->voters[i], GROUP_VOTER);
    }
    PRE(g->first.count == 0 || group_config_find(&g->first, options->replica) != NULL);
    group_address(options->replica, address);
    int rc = raft_init(&g->core, NULL, NULL, options->replica, address);
    INVARIANT(rc == 0);    /* fails on exhausted memory only */
    g->core.tracer = NULL; /* it would format each step's trace, into static memory, for nobody */
    uint64_t seed = options->random != 0 ? options->random : random_u64();
    raft_seed(&g->core, (unsigned)(seed ^ seed >> 32));
    raft_set_election_timeout(&g->core, GROUP_ELECTION_MS);
    raft_set_heartbeat_timeout(&g->core, GROUP_HEARTBEAT_MS);
    raft_set_install_snapshot_timeout(&g->core, INSTALL_TIMEOUT_MS);
    raft_set_max_inflight_entries(&g->core, GROUP_INFLIGHT_ENTRIES);
    raft_set_pre_vote(&g->core, true);
    return g;
}

static void free_era(struct group_era *era)
{
    list_remove(&era->link);
    buf_done(&era->configuration);
    mem_free(era);
}

void group_free(struct group *g)
{
    if (g == NULL) {
        return;
    }
    PRE(g->magic == GROUP_MAGIC);
    group_free_held(g);
    LIST_FOREACH_SAFE (link, &g->eras) {
        free_era(LIST_ENTRY(link, struct group_era, link));
    }
    group_log_done(&g->log);
    raft_close(&g->core, NULL);
    buf_done(&g->scratch);
    buf_done(&g->installing_configuration);
    g->magic = 0;
    mem_free(g);
}

/* Configurations */

static enum raft_entry_type type_for_core(enum group_entry_type type)
{
    switch (type) {
    case GROUP_COMMAND:
        return RAFT_COMMAND;
    case GROUP_BARRIER:
        return RAFT_BARRIER;
    case GROUP_CONFIGURATION:
        return RAFT_CHANGE;
    }
    UNREACHABLE();
}

static enum group_entry_type type_of_core(enum raft_entry_type type)
{
    switch (type) {
    case RAFT_COMMAND:
        return GROUP_COMMAND;
    case RAFT_BARRIER:
        return GROUP_BARRIER;
    case RAFT_CHANGE:
        return GROUP_CONFIGURATION;
    }
    UNREACHABLE();
}

struct raft_entry *group_entries_for_core(const struct group_entry *entries, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += entries[i].type == GROUP_CONFIGURATION ? entries[i].data.len : 0;
    }
    struct raft_entry *array = raft_calloc(count, sizeof *array);
    uint8_t *batch = raft_malloc(bytes + 1);
    INVARIANT(array != NULL && batch != NULL);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        array[i].term = entries[i].term;
        array[i].type = type_for_core(entries[i].type);
        array[i].batch = batch;
        array[i].buf.base = batch + at;
        if (entries[i].type == GROUP_CONFIGURATION) {
            memcpy(batch + at, entries[i].data.data, entries[i].data.len);
            array[i].buf.len = entries[i].data.len;
            at += entries[i].data.len;
        }
    }
    return array;
}

/* The bytes have passed group_config_decode. */
void group_configuration_for_core(struct slice bytes, struct raft_configuration *ret)
{
    struct raft_buffer buffer = {.base = (void *)(uintptr_t)bytes.data, .len = bytes.len};
    raft_configuration_init(ret);
    int rc = raft_configuration_decode(&buffer, ret);
    INVARIANT(rc == 0);
}

void group_note_era(struct group *g, uint64_t index, struct slice configuration)
{
    struct group_era *era = MEM_NEW(struct group_era);
    era->index = index;
    buf_append_slice(&era->configuration, configuration);
    list_append(&g->eras, &era->link);
}

struct group_era *group_era_at(const struct group *g, uint64_t index)
{
    struct group_era *found = NULL;
    LIST_FOREACH (link, &g->eras) {
        struct group_era *era = LIST_ENTRY(link, struct group_era, link);
        found = era->index <= index ? era : found;
    }
    return found;
}

void group_drop_eras(struct group *g, uint64_t index)
{
    const struct group_era *keep = group_era_at(g, index);
    struct group_era *era;
    while ((era = LIST_FIRST(&g->eras, struct group_era, link)) != NULL && era != keep) {
        free_era(era);
    }
}

bool group_is_alone(const struct group *g)
{
    const struct raft_configuration *c = &g->core.configuration;
    return c->n == 1 && c->servers[0].id == g->core.id;
}

/* Stepping */

/* One that is in no group, has no vote, or leads nobody but itself has nothing to do when time passes. (One
 * alone may have to lead again: who was removed and does not know it asked for a vote in a later term.) A
 * member that lost its log counts for the core as one that was last written to long ago: its time is always
 * past. */
uint64_t group_next_timeout(struct group *g)
{
    if (raft_role(&g->core) != RAFT_VOTER || (group_is_alone(g) && g->core_leads) ||
        g->rest.is_resting) {
        return UINT64_MAX;
    }
    uint64_t next_ms = raft_timeout(&g->core);
    uint64_t soonest_ms = g->ticked_ms + RETRY_MS;
    return next_ms > soonest_ms ? next_ms : soonest_ms;
}

static void append(struct group *g, uint64_t index, uint64_t term, enum group_entry_type type,
                   struct buf *data)
{
    INVARIANT(index == group_log_next(&g->log));
    struct group_entry entry = {
        .index = index, .term = term, .type = type, .data = buf_slice(data)};
    uint64_t sequence = g->hooks->log_entry(g->ctx, &entry);
    group_log_append(&g->log, term, type, data, sequence);
}

/* What was reported as durable of entries that are gone does not count for those in their place. */
static void truncate_log(struct group *g, uint64_t from_index)
{
    INVARIANT(from_index > g->applied);
    (void)g->hooks->log_truncate(g->ctx, from_index);
    group_log_truncate(&g->log, from_index);
    g->persisted = g->persisted < from_index ? g->persisted : from_index - 1;
}

/* The core hands back its own barrier, the entry that was submitted, or a part of those heard. */
static void append_entries(struct group *g, const struct raft_update *update)
{
    const struct raft_entry *entries = update->entries.batch;
    uint64_t index = update->entries.index;
    if (index < group_log_next(&g->log)) {
        truncate_log(g, index);
    }
    for (unsigned i = 0; i < update->entries.n; i++) {
        const struct raft_entry *e = &entries[i];
        struct buf data = {0};
        if (g->heard_raft != NULL) {
            buf_append_slice(&data, g->heard[&entries[i] - g->heard_raft].data);
        } else if (g->proposal != NULL) {
            data = buf_take(g->proposal);
        } else {
            buf_append(&data, e->buf.base, e->buf.len);
        }
        append(g, index + i, e->term, type_of_core(e->type), &data);
    }
    g->heard_was_taken = g->heard_raft != NULL;
    if (entries == &g->core.barrier) {
        raft_free(entries->batch);
    }
}

static void note_state(struct group *g)
{
    bool leads = raft_state(&g->core) == RAFT_LEADER;
    if (leads && !g->core_leads) {
        const struct group_item *last = group_log_find(&g->log, group_log_next(&g->log) - 1);
        g->has_own_entry = last != NULL && last->term == raft_current_term(&g->core);
    }
    g->core_leads = leads;
    group_rouse(g, g->core.now);
    if (!leads && g->leading) {
        g->leading = false;
        group_drop_reads(g);
        g->hooks->depose(g->ctx);
    }
}

/* The core restores its own state from this once it is durable and in place: group_installed. */
static void begin_install(struct group *g, struct raft_update *update)
{
    INVARIANT(g->install == GROUP_INSTALL_NONE && raft_state(&g->core) == RAFT_FOLLOWER);
    INVARIANT(update->snapshot.metadata.index == g->installing.index);
    raft_configuration_close(&update->snapshot.metadata.configuration);
    g->install = GROUP_INSTALL_LOGGED;
    g->install_sequence = g->hooks->log_install(g->ctx, &g->installing);
    group_log_start(&g->log, g->installing.index + 1);
}

int group_step(struct group *g, struct raft_event *event)
{
    PRE(event->time >= g->core.now);
    struct raft_update update = {0};
    int rc = raft_step(&g->core, event, &update);
    /* Also where the step failed: of the term it says what has happened. */
    if ((update.flags & (RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR)) != 0) {
        g->term_sequence =
            g->hooks->log_term_vote(g->ctx, raft_current_term(&g->core), raft_voted_for(&g->core));
    }
    if (rc == 0 && (update.flags & (RAFT_UPDATE_ENTRIES)) != 0) {
        append_entries(g, &update);
    }
    if (rc == 0 && (update.flags & (RAFT_UPDATE_SNAPSHOT)) != 0) {
        begin_install(g, &update);
    }
    if ((update.flags & (RAFT_UPDATE_STATE)) != 0) {
        note_state(g);
    }
    if (rc == 0 && (update.flags & (RAFT_UPDATE_MESSAGES)) != 0) {
        group_send_messages(g, &update);
    }
    g->next_ms = group_next_timeout(g);
    return rc;
}

int group_submit(struct group *g, enum group_entry_type type, struct slice data)
{
    static uint8_t batch; /* the core wants one, and gives it back untouched */
    struct raft_entry entry = {.term = raft_current_term(&g->core),
                               .type = type_for_core(type),
                               .buf = {.base = (void *)(uintptr_t)data.data, .len = data.len},
                               .batch = &batch};
    struct raft_event event = {.time = g->core.now, .type = RAFT_SUBMIT};
    event.submit.entries = &entry;
    event.submit.n = 1;
    return group_step(g, &event);
}

/* Applying */

void group_tell_core_of_configuration(struct group *g, const struct group_entry *entry)
{
    struct raft_event event = {.time = g->core.now, .type = RAFT_CONFIGURATION};
    event.configuration.index = entry->index;
    group_configuration_for_core(entry->data, &event.configuration.conf);
    int rc = group_step(g, &event);
    INVARIANT(rc == 0);
}

void group_apply(struct group *g, const struct group_entry *entry)
{
    INVARIANT(entry->index == g->applied + 1);

    g->applied = entry->index;
    if (entry->type == GROUP_CONFIGURATION) {
        group_note_era(g, entry->index, entry->data);
    }
    g->hooks->apply(g->ctx, entry);
    if (entry->type == GROUP_CONFIGURATION) {
        group_tell_core_of_configuration(g, entry);
    }
}

/* Committed and durable here: the commit index may be ahead of the own log, application never. */
static void apply_committed(struct group *g)
{
    while (g->applied < raft_commit_index(&g->core) && g->applied < g->persisted) {
        struct group_entry entry = group_log_entry(&g->log, g->applied + 1);
        group_apply(g, &entry);
        if (g->core_leads && !g->leading && entry.term == raft_current_term(&g->core)) {
            g->leading = true;
            g->hooks->lead(g->ctx);
        }
        if (group_is_alone(g)) {
            group_log_drop(&g->log, g->applied);
        }
    }
}

void group_settle(struct group *g)
{
    if (g->install != GROUP_INSTALL_NONE) {
        return; /* the store that entries belong to is on its way */
    }
    apply_committed(g);
    /* The core appends a barrier only where it has something to commit. */
    if (g->core_leads && !g->has_own_entry && raft_transferee(&g->core) == 0 &&
        group_guard_is_on(GROUP_GUARD_BARRIER)) {
        g->has_own_entry = true;
        int rc = group_submit(g, GROUP_BARRIER, (struct slice){0});
        INVARIANT(rc == 0);
    }
    group_prove_reads(g);
}

/* Events */

enum err group_propose(struct group *g, struct buf *data, uint64_t now_ms, uint64_t *ret_index)
{
    PRE(data->len > 0 && now_ms >= g->core.now);

    if (!g->leading) {
        return ERR_NOT_OWNER;
    }
    if (raft_transferee(&g->core) != 0) {
        return ERR_OVERLOADED;
    }
    group_rouse(g, now_ms);
    g->core.now = now_ms;
    g->proposal = data;
    int rc = group_submit(g, GROUP_COMMAND, buf_slice(data));
    g->proposal = NULL;
    INVARIANT(rc == 0); /* it leads, and hands leadership to nobody */
    *ret_index = raft_last_index(&g->core);
    POST(data->len == 0);
    return ERR_OK;
}

/* In order, and of entries that are still there alone. */
static void report_persisted(struct group *g, uint64_t now_ms)
{
    uint64_t highest = g->persisted;
    const struct group_item *item;
    while ((item = group_log_find(&g->log, highest + 1)) != NULL &&
           (item->sequence <= g->durable || !group_guard_is_on(GROUP_GUARD_DURABLE))) {
        highest++;
    }
    if (highest == g->persisted) {
        return;
    }
    g->persisted = highest;
    struct raft_event event = {.time = now_ms, .type = RAFT_PERSISTED_ENTRIES};
    event.persisted_entries.index = highest;
    int rc = group_step(g, &event);
    INVARIANT(rc == 0);
    group_settle(g);
}

void group_on_durable(struct group *g, uint64_t sequence, uint64_t now_ms)
{
    PRE(sequence >= g->durable);
    g->durable = sequence;
    group_release_held(g);
    if (g->install == GROUP_INSTALL_LOGGED && g->install_sequence <= sequence) {
        g->install = GROUP_INSTALL_PLACED;
        g->hooks->install(g->ctx, &g->installing);
    }
    if (g->install == GROUP_INSTALL_NONE) {
        report_persisted(g, now_ms);
    }
}

uint64_t group_next_ms(const struct group *g)
{
    return g->next_ms;
}

/* A leader's core takes a peer that it has not heard since its last time-out for unreachable: until the peer
 * has taken an entry, it gets entries with heartbeats alone. But time-outs are those of all peers. Once one is
 * away, they come between the heartbeats of the others, and each write after a pause would wait for the next
 * heartbeat. So the core is told of an earlier time-out; that from which on it counts how long it goes
 * without a majority stays the last. */
static void time_out(struct group *g, uint64_t now_ms)
{
    struct raft_event event = {.time = now_ms, .type = RAFT_TIMEOUT};
    uint64_t last_ms = g->core.election_timer_start;
    uint64_t told_ms = now_ms > SILENT_MS ? now_ms - SILENT_MS : 0;
    bool is_told = g->core_leads && told_ms < last_ms && group_guard_is_on(GROUP_GUARD_SILENCE);
    g->ticked_ms = now_ms;
    if (is_told) {
        g->core.election_timer_start = told_ms;
    }
    int rc = group_step(g, &event);
    INVARIANT(rc == 0);
    if (is_told && g->core.election_timer_start == told_ms) {
        INVARIANT(g->core_leads); /* it steps down after GROUP_ELECTION_MS */
        g->core.election_timer_start = last_ms;
        g->next_ms = group_next_timeout(g);
    }
}

void group_tick(struct group *g, uint64_t now_ms)
{
    if (now_ms < g->next_ms) {
        return;
    }
    time_out(g, now_ms);
    group_settle(g);
    group_probe_again(g, now_ms);
    group_ask_for_rest(g);
    POST(g->next_ms > now_ms);
}

/* The last entry that all peers with a log are known to have: what is sent after it names it. */
static uint64_t last_shared(struct group *g)
{
    const struct raft_configuration *c = &g->core.configuration;
    uint64_t lowest = UINT64_MAX;
    for (unsigned i = 0; g->core_leads && i < c->n; i++) {
        raft_index match;
        if (c->servers[i].role != RAFT_SPARE && c->servers[i].id != g->core.id &&
            raft_match_index(&g->core, c->servers[i].id, &match) == 0) {
            lowest = match < lowest ? match : lowest;
        }
    }
    return lowest;
}

static uint64_t first_to_keep(struct group *g, uint64_t index, const struct group_keep *keep)
{
    if (group_is_alone(g)) {
        return index + 1;
    }
    uint64_t usual = group_log_tail(&g->log, index, keep->bytes);
    uint64_t wanted = last_shared(g);
    uint64_t lowest = group_log_tail(&g->log, index, keep->bytes_for_peers);
    wanted = wanted > lowest ? wanted : lowest;
    return wanted < usual ? wanted : usual;
}

void group_compact(struct group *g, uint64_t index, uint64_t term, const struct group_keep *keep,
                   uint64_t now_ms)
{
    PRE(index > g->compacted && index <= g->applied && index <= g->persisted);
    PRE(g->install == GROUP_INSTALL_NONE);

    const struct group_era *era = group_era_at(g, index);
    INVARIANT(era != NULL);
    struct group_snapshot snapshot = {.index = index,
                                      .term = term,
                                      .configuration_index = era->index,
                                      .configuration = buf_slice(&era->configuration)};
    (void)g->hooks->log_snapshot(g->ctx, &snapshot);
    uint64_t from = first_to_keep(g, index, keep);
    group_log_drop(&g->log, from - 1);
    g->compacted = index;

    struct raft_event event = {.time = now_ms, .type = RAFT_SNAPSHOT};
    event.snapshot.metadata.index = index;
    event.snapshot.metadata.term = term;
    event.snapshot.metadata.configuration_index = snapshot.configuration_index;
    event.snapshot.trailing = (unsigned)(index + 1 - from);
    group_configuration_for_core(snapshot.configuration, &event.snapshot.metadata.configuration);
    group_drop_eras(g, index);
    int rc = group_step(g, &event);
    INVARIANT(rc == 0);
}

/* Looking */

bool group_is_leading(const struct group *g)
{
    return g->leading;
}

bool group_is_installing(const struct group *g)
{
    return g->install != GROUP_INSTALL_NONE;
}

uint64_t group_term(const struct group *g)
{
    return raft_current_term(&g->core);
}

uint64_t group_applied(const struct group *g)
{
    return g->applied;
}

uint64_t group_last_index(const struct group *g)
{
    return raft_last_index((struct raft *)(uintptr_t)&g->core);
}

uint64_t group_leader(const struct group *g)
{
    raft_id id;
    const char *address;
    if (g->core_leads) {
        return g->core.id;
    }
    raft_leader((struct raft *)(uintptr_t)&g->core, &id, &address);
    return id;
}

size_t group_kept_bytes(const struct group *g)
{
    return group_is_alone(g) ? 0 : g->log.bytes;
}
