#include "tests/lib/group_cluster.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "tests/lib/test.h"

enum { STEP_MS = 10, WAIT_MS = 20 * 1000, TURNS_MAX = 100 * 1000 };

/* Hooks */

static uint64_t add(struct cluster_node *n, const struct cluster_record *r, struct slice data)
{
    assert_true(n->record_count < CLUSTER_RECORDS_MAX);
    n->records[n->record_count] = *r;
    buf_append_slice(&n->records[n->record_count].data, data);
    return ++n->record_count;
}

static uint64_t log_term_vote(void *ctx, uint64_t term, uint64_t vote)
{
    return add(ctx, &(struct cluster_record){.kind = CLUSTER_TERM, .term = term, .other = vote},
               SLICE(""));
}

static uint64_t log_entry(void *ctx, const struct group_entry *e)
{
    const struct cluster_record r = {
        .kind = CLUSTER_ENTRY, .index = e->index, .term = e->term, .type = e->type};
    return add(ctx, &r, e->data);
}

static uint64_t log_truncate(void *ctx, uint64_t from_index)
{
    struct cluster_node *n = ctx;
    assert_true(from_index > n->applied);
    return add(n, &(struct cluster_record){.kind = CLUSTER_TRUNCATE, .index = from_index},
               SLICE(""));
}

static uint64_t log_marker(struct cluster_node *n, enum cluster_record_kind kind,
                           const struct group_snapshot *s)
{
    const struct cluster_record r = {
        .kind = kind, .index = s->index, .term = s->term, .other = s->configuration_index};
    assert_true(s->configuration_index <= s->index);
    return add(n, &r, s->configuration);
}

static uint64_t log_snapshot(void *ctx, const struct group_snapshot *s)
{
    return log_marker(ctx, CLUSTER_SNAPSHOT, s);
}

static uint64_t log_install(void *ctx, const struct group_snapshot *s)
{
    return log_marker(ctx, CLUSTER_INSTALL, s);
}

static void apply(void *ctx, const struct group_entry *e)
{
    struct cluster_node *n = ctx;
    assert_int_equal(e->index, n->applied + 1);
    assert_true(e->index < CLUSTER_ENTRIES_MAX);
    n->applied = e->index;
    struct cluster_applied *a = &n->store[e->index];
    if (a->term != 0) { /* a restart: it is in the store */
        assert_int_equal(a->term, e->term);
        expect_slice(buf_slice(&a->data), e->data);
        return;
    }
    a->term = e->term;
    a->type = e->type;
    buf_append_slice(&a->data, e->data);
    for (size_t i = 0; i < n->cluster->node_count; i++) { /* the same everywhere */
        const struct cluster_applied *other = &n->cluster->nodes[i]->store[e->index];
        if (other->term != 0) {
            assert_int_equal(other->term, e->term);
            expect_slice(buf_slice(&other->data), e->data);
        }
    }
}

static void lead(void *ctx)
{
    struct cluster_node *n = ctx;
    n->lead_count++;
    for (size_t i = 0; i < n->cluster->node_count; i++) { /* one in a term */
        const struct cluster_node *other = n->cluster->nodes[i];
        assert_false(other != n && other->group != NULL && group_is_leading(other->group) &&
                     group_term(other->group) == group_term(n->group));
    }
}

static void depose(void *ctx)
{
    ((struct cluster_node *)ctx)->depose_count++;
}

static void send(void *ctx, uint64_t to, struct slice message)
{
    struct cluster_node *n = ctx;
    if (n->is_cut_off || n->is_mute) {
        return;
    }
    struct cluster_message *m = MEM_NEW(struct cluster_message);
    m->from = n->replica;
    m->to = to;
    buf_append_slice(&m->bytes, message);
    list_append(&n->cluster->messages, &m->link);
}

static bool accepts(void *ctx, size_t bytes)
{
    (void)bytes;
    return !((struct cluster_node *)ctx)->refuses_entries;
}

static void wants_snapshot(void *ctx, uint64_t to, uint64_t index)
{
    struct cluster_node *n = ctx;
    n->snapshot_wanted_by = to;
    n->snapshot_wanted_index = index;
}

static void wants_compaction(void *ctx)
{
    ((struct cluster_node *)ctx)->compactions_wanted++;
}

static void install(void *ctx, const struct group_snapshot *s)
{
    struct cluster_node *n = ctx;
    assert_int_equal(n->records[n->durable - 1].kind, CLUSTER_INSTALL);
    assert_int_equal(n->records[n->durable - 1].index, s->index);
    n->must_install = true;
}

static void reads_proven(void *ctx, uint64_t read)
{
    struct cluster_node *n = ctx;
    assert_true(read > n->proven);
    n->proven = read;
}

static bool is_watched(void *ctx, uint64_t replica)
{
    (void)replica;
    return ((struct cluster_node *)ctx)->watches_others;
}

static const struct group_hooks hooks = {
    .log_term_vote = log_term_vote,
    .log_entry = log_entry,
    .log_truncate = log_truncate,
    .log_snapshot = log_snapshot,
    .log_install = log_install,
    .apply = apply,
    .lead = lead,
    .depose = depose,
    .send = send,
    .accepts = accepts,
    .wants_snapshot = wants_snapshot,
    .wants_compaction = wants_compaction,
    .install = install,
    .reads_proven = reads_proven,
    .is_watched = is_watched,
};

/* Nodes */

static void take_marker(struct group_recovered *r, const struct cluster_record *at)
{
    r->snapshot = (struct group_snapshot){.index = at->index,
                                          .term = at->term,
                                          .configuration_index = at->other,
                                          .configuration = buf_slice(&at->data)};
}

/* What recovery makes of the records. */
static struct group_recovered recover(const struct cluster_node *n, struct group_entry *entries)
{
    struct group_recovered r = {.entries = entries};
    static struct group_entry at_index[CLUSTER_ENTRIES_MAX];
    uint64_t last = 0;
    for (size_t i = 0; i < n->record_count; i++) {
        const struct cluster_record *at = &n->records[i];
        switch (at->kind) {
        case CLUSTER_TERM:
            r.term = at->term;
            r.vote = at->other;
            break;
        case CLUSTER_ENTRY:
            at_index[at->index] = (struct group_entry){.index = at->index,
                                                       .term = at->term,
                                                       .type = at->type,
                                                       .data = buf_slice(&at->data)};
            last = at->index;
            break;
        case CLUSTER_TRUNCATE:
            last = at->index - 1;
            break;
        case CLUSTER_INSTALL:
            last = at->index;
            take_marker(&r, at);
            break;
        case CLUSTER_SNAPSHOT:
            take_marker(&r, at);
            break;
        }
    }
    for (uint64_t index = r.snapshot.index + 1; index <= last; index++) {
        entries[r.entry_count++] = at_index[index];
    }
    return r;
}

void cluster_start_node(struct cluster_node *n)
{
    PRE(n->group == NULL);
    uint64_t voters[CLUSTER_NODES_MAX];
    for (size_t i = 0; i < n->cluster->voter_count; i++) {
        voters[i] = CLUSTER_REPLICA(i);
    }
    const struct group_options options = {.replica = n->replica,
                                          .voters = voters,
                                          .voter_count = n->is_joiner ? 0 : n->cluster->voter_count,
                                          .random = n->replica * 31 + n->record_count + 1};
    struct group_entry *entries = mem_alloc(CLUSTER_ENTRIES_MAX * sizeof *entries);
    struct group_recovered r = recover(n, entries);
    n->applied = r.snapshot.index;
    assert_true(n->stored >= n->applied);
    r.committed = n->stored;
    n->durable = n->record_count;
    n->group = group_new(&options, &hooks, n);
    expect_err(group_start(n->group, &r, n->cluster->now_ms), ERR_OK);
    mem_free(entries);
}

void cluster_stop_node(struct cluster_node *n, size_t records)
{
    PRE(records <= n->record_count);
    group_free(n->group);
    n->group = NULL;
    n->must_install = false;
    n->proven = 0;
    for (size_t i = records; i < n->record_count; i++) {
        buf_done(&n->records[i].data);
    }
    n->record_count = records;
    for (uint64_t index = n->stored + 1; index <= n->applied; index++) {
        buf_done(&n->store[index].data);
        n->store[index] = (struct cluster_applied){0};
    }
}

static struct cluster_node *add_node(struct group_cluster *c, bool is_joiner)
{
    PRE(c->node_count < CLUSTER_NODES_MAX);
    struct cluster_node *n = MEM_NEW(struct cluster_node);
    n->cluster = c;
    n->replica = CLUSTER_REPLICA(c->node_count);
    n->is_joiner = is_joiner;
    c->nodes[c->node_count++] = n;
    return n;
}

struct group_cluster *cluster_new(size_t voter_count)
{
    struct group_cluster *c = MEM_NEW(struct group_cluster);
    list_init(&c->messages);
    c->now_ms = 1000;
    c->voter_count = voter_count;
    for (size_t i = 0; i < voter_count; i++) {
        cluster_start_node(add_node(c, false));
    }
    return c;
}

struct cluster_node *cluster_join(struct group_cluster *c)
{
    struct cluster_node *n = add_node(c, true);
    cluster_start_node(n);
    return n;
}

static void free_node(struct cluster_node *n)
{
    cluster_stop_node(n, 0);
    for (size_t i = 0; i < CLUSTER_ENTRIES_MAX; i++) {
        buf_done(&n->store[i].data);
    }
    mem_free(n);
}

void cluster_free(struct group_cluster *c)
{
    cluster_drop_all(c);
    for (size_t i = 0; i < c->node_count; i++) {
        free_node(c->nodes[i]);
    }
    mem_free(c);
}

static struct cluster_node *node_of(struct group_cluster *c, uint64_t replica)
{
    for (size_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i]->replica == replica) {
            return c->nodes[i];
        }
    }
    return NULL;
}

/* Messages */

struct group_message cluster_peek(const struct cluster_message *m)
{
    struct group_message decoded;
    expect_err(group_wire_decode(buf_slice(&m->bytes), &decoded), ERR_OK);
    return decoded;
}

struct cluster_message *cluster_find(struct group_cluster *c, uint64_t from, uint64_t to,
                                     enum group_message_type type)
{
    LIST_FOREACH (link, &c->messages) {
        struct cluster_message *m = LIST_ENTRY(link, struct cluster_message, link);
        if (m->from == from && m->to == to && cluster_peek(m).type == type) {
            return m;
        }
    }
    return NULL;
}

void cluster_drop(struct cluster_message *m)
{
    list_remove(&m->link);
    buf_done(&m->bytes);
    mem_free(m);
}

void cluster_drop_all(struct group_cluster *c)
{
    LIST_FOREACH_SAFE (link, &c->messages) {
        cluster_drop(LIST_ENTRY(link, struct cluster_message, link));
    }
}

void cluster_deliver_one(struct group_cluster *c, struct cluster_message *m)
{
    struct cluster_node *to = node_of(c, m->to);
    if (to != NULL && to->group != NULL && !to->is_cut_off) {
        expect_err(group_receive(to->group, m->from, buf_slice(&m->bytes), c->now_ms), ERR_OK);
    }
    cluster_drop(m);
}

bool cluster_deliver(struct group_cluster *c)
{
    struct cluster_message *m = LIST_FIRST(&c->messages, struct cluster_message, link);
    if (m != NULL) {
        cluster_deliver_one(c, m);
    }
    return m != NULL;
}

enum err cluster_say(struct group_cluster *c, const struct group_message *m,
                     const struct group_entry *entries)
{
    struct buf bytes = {0};
    group_wire_encode(m, &bytes);
    for (uint32_t i = 0; m->type == GROUP_APPEND && i < m->append.count; i++) {
        group_wire_put(&entries[i], &bytes);
    }
    enum err err = group_receive(node_of(c, m->to)->group, m->from, buf_slice(&bytes), c->now_ms);
    buf_done(&bytes);
    return err;
}

/* Time and disks */

void cluster_make_durable(struct cluster_node *n, uint64_t sequence)
{
    n->durable = sequence;
    group_on_durable(n->group, sequence, n->cluster->now_ms);
}

void cluster_flush(struct cluster_node *n)
{
    while (n->durable < n->record_count) {
        cluster_make_durable(n, n->record_count);
    }
}

static bool has_unflushed(const struct cluster_node *n)
{
    return n->group != NULL && n->durable < n->record_count;
}

void cluster_settle(struct group_cluster *c)
{
    for (int turns = 0;; turns++) {
        assert_true(turns < TURNS_MAX);
        bool worked = cluster_deliver(c);
        for (size_t i = 0; !worked && i < c->node_count; i++) {
            if (has_unflushed(c->nodes[i])) {
                cluster_flush(c->nodes[i]);
                worked = true;
            }
        }
        if (!worked) {
            return;
        }
    }
}

void cluster_run(struct group_cluster *c, uint64_t ms)
{
    for (uint64_t until = c->now_ms + ms; c->now_ms < until;) {
        c->now_ms += STEP_MS;
        for (size_t i = 0; i < c->node_count; i++) {
            if (c->nodes[i]->group != NULL) {
                group_tick(c->nodes[i]->group, c->now_ms);
            }
        }
        cluster_settle(c);
    }
}

void cluster_tick(struct group_cluster *c, struct cluster_node *n)
{
    uint64_t next_ms = group_next_ms(n->group);
    assert_true(next_ms != UINT64_MAX);
    c->now_ms = next_ms > c->now_ms ? next_ms : c->now_ms;
    group_tick(n->group, c->now_ms);
}

/* Leading */

struct cluster_node *cluster_leader(struct group_cluster *c)
{
    struct cluster_node *found = NULL;
    for (size_t i = 0; i < c->node_count; i++) {
        struct cluster_node *n = c->nodes[i];
        if (n->group != NULL && group_is_leading(n->group) &&
            (found == NULL || group_term(n->group) > group_term(found->group))) {
            found = n;
        }
    }
    return found;
}

struct cluster_node *cluster_elect(struct group_cluster *c)
{
    for (uint64_t waited = 0; waited < WAIT_MS; waited += STEP_MS) {
        cluster_settle(c);
        struct cluster_node *leader = cluster_leader(c);
        if (leader != NULL && !leader->is_cut_off) {
            return leader;
        }
        cluster_run(c, STEP_MS);
    }
    fail_msg("no leader came up");
    return NULL;
}

void cluster_cut_off(struct group_cluster *c, struct cluster_node *n, bool is_cut_off)
{
    (void)c;
    n->is_cut_off = is_cut_off;
}

/* Entries */

uint64_t cluster_propose(struct cluster_node *n, const char *text)
{
    struct buf data = {0};
    uint64_t index;
    buf_append_str(&data, text);
    expect_err(group_propose(n->group, &data, n->cluster->now_ms, &index), ERR_OK);
    return index;
}

void cluster_expect(struct cluster_node *n, uint64_t index, const char *text)
{
    assert_true(n->applied >= index);
    expect_str(buf_slice(&n->store[index].data), text);
}

void cluster_compact(struct cluster_node *n, uint64_t index, size_t keep_bytes)
{
    const struct group_keep keep = {.bytes = keep_bytes};
    cluster_compact_keeping(n, index, &keep);
}

void cluster_compact_keeping(struct cluster_node *n, uint64_t index, const struct group_keep *keep)
{
    n->stored = index;
    group_compact(n->group, index, n->store[index].term, keep, n->cluster->now_ms);
}

void cluster_copy_store(struct cluster_node *to, const struct cluster_node *from)
{
    for (uint64_t index = 1; index <= from->applied; index++) {
        if (to->store[index].term == 0) {
            to->store[index].term = from->store[index].term;
            to->store[index].type = from->store[index].type;
            buf_append_slice(&to->store[index].data, buf_slice(&from->store[index].data));
        }
    }
    to->stored = from->applied;
}
