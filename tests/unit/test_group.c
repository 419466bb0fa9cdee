#include "storage/group.h"

#include "base/mem.h"
#include "tests/lib/test.h"

enum { RECORDS_MAX = 256, APPLIED_MAX = 256 };
#define REPLICA (UINT64_C(1) << 32 | 7)

enum record_kind { TERM, ENTRY, SNAPSHOT };

struct record {
    enum record_kind kind;
    uint64_t index; /* of an entry or a snapshot */
    uint64_t term;
    uint64_t vote; /* TERM; SNAPSHOT: the configuration's index */
    enum group_entry_type type;
    struct buf data; /* of an entry; the configuration of a snapshot */
};

static const struct group_keep keep_nothing = {0};

/* A log in memory and what its owner was told. Record n has the sequence number n + 1. */
struct owner {
    struct group *group;
    struct record log[RECORDS_MAX];
    size_t count;
    uint64_t durable;                /* sequence */
    struct buf applied[APPLIED_MAX]; /* data of commands, by order */
    size_t applied_count;
    uint64_t applied_index;
    int lead_count;
    int depose_count;
    uint64_t now_ms;
};

static uint64_t add(struct owner *o, const struct record *r, struct slice data)
{
    assert_true(o->count < RECORDS_MAX);
    o->log[o->count] = *r;
    buf_append_slice(&o->log[o->count].data, data);
    return ++o->count;
}

static uint64_t log_term_vote(void *ctx, uint64_t term, uint64_t vote)
{
    return add(ctx, &(struct record){.kind = TERM, .term = term, .vote = vote}, SLICE(""));
}

static uint64_t log_entry(void *ctx, const struct group_entry *e)
{
    const struct record r = {.kind = ENTRY, .index = e->index, .term = e->term, .type = e->type};
    return add(ctx, &r, e->data);
}

static uint64_t log_truncate(void *ctx, uint64_t from_index)
{
    (void)ctx;
    (void)from_index;
    fail_msg("one voter's log is never truncated");
    return 0;
}

static uint64_t log_snapshot(void *ctx, const struct group_snapshot *s)
{
    const struct record r = {
        .kind = SNAPSHOT, .index = s->index, .term = s->term, .vote = s->configuration_index};
    return add(ctx, &r, s->configuration);
}

static void apply(void *ctx, const struct group_entry *e)
{
    struct owner *o = ctx;
    assert_int_equal(e->index, o->applied_index + 1);
    o->applied_index = e->index;
    if (e->type == GROUP_COMMAND) {
        assert_true(o->applied_count < APPLIED_MAX);
        buf_append_slice(&o->applied[o->applied_count++], e->data);
    }
}

static void lead(void *ctx)
{
    ((struct owner *)ctx)->lead_count++;
}

static void depose(void *ctx)
{
    ((struct owner *)ctx)->depose_count++;
}

static const struct group_hooks hooks = {
    .log_term_vote = log_term_vote,
    .log_entry = log_entry,
    .log_truncate = log_truncate,
    .log_snapshot = log_snapshot,
    .apply = apply,
    .lead = lead,
    .depose = depose,
};

/* What recovery makes of the first `count` records; entries are freed by the caller. */
static struct group_recovered recover(const struct owner *o, size_t count)
{
    struct group_recovered r = {0};
    struct group_entry *entries = mem_alloc(RECORDS_MAX * sizeof *entries);
    for (size_t i = 0; i < count; i++) {
        const struct record *at = &o->log[i];
        switch (at->kind) {
        case TERM:
            r.term = at->term;
            r.vote = at->vote;
            break;
        case SNAPSHOT:
            r.snapshot = (struct group_snapshot){.index = at->index,
                                                 .term = at->term,
                                                 .configuration_index = at->vote,
                                                 .configuration = buf_slice(&at->data)};
            break;
        case ENTRY:
            break;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct record *at = &o->log[i];
        if (at->kind == ENTRY && at->index > r.snapshot.index) {
            entries[r.entry_count++] = (struct group_entry){.index = at->index,
                                                            .term = at->term,
                                                            .type = at->type,
                                                            .data = buf_slice(&at->data)};
        }
    }
    r.entries = entries;
    return r;
}

static enum err start_with(struct owner *o, const struct group_recovered *r)
{
    static const uint64_t voters[] = {REPLICA};
    const struct group_options options = {.replica = REPLICA, .voters = voters, .voter_count = 1};
    o->group = group_new(&options, &hooks, o);
    o->applied_index = r->snapshot.index;
    return group_start(o->group, r, ++o->now_ms);
}

static void forget_applied(struct owner *o)
{
    for (size_t i = 0; i < o->applied_count; i++) {
        buf_done(&o->applied[i]);
    }
    o->applied_count = 0;
}

/* The process ends; the next one finds the first `count` records. */
static enum err restart(struct owner *o, size_t count)
{
    group_free(o->group);
    forget_applied(o);
    for (size_t i = count; i < o->count; i++) {
        buf_done(&o->log[i].data);
    }
    o->count = count;
    o->durable = count;
    o->lead_count = 0;
    struct group_recovered r = recover(o, count);
    enum err err = start_with(o, &r);
    mem_free((void *)(uintptr_t)r.entries);
    return err;
}

static void make_durable(struct owner *o, uint64_t sequence)
{
    o->durable = sequence;
    group_on_durable(o->group, sequence, ++o->now_ms);
}

static void settle(struct owner *o)
{
    while (o->durable < o->count) {
        make_durable(o, o->count);
    }
}

static uint64_t propose(struct owner *o, const char *text)
{
    struct buf data = {0};
    uint64_t index;
    buf_append_str(&data, text);
    expect_err(group_propose(o->group, &data, ++o->now_ms, &index), ERR_OK);
    assert_null(data.data);
    return index;
}

static int setup(void **state)
{
    struct owner *o = MEM_NEW(struct owner);
    const struct group_recovered nothing = {0};
    o->now_ms = 1000;
    expect_err(start_with(o, &nothing), ERR_OK);
    *state = o;
    return 0;
}

static int teardown(void **state)
{
    struct owner *o = *state;
    group_free(o->group);
    forget_applied(o);
    for (size_t i = 0; i < o->count; i++) {
        buf_done(&o->log[i].data);
    }
    mem_free(o);
    return 0;
}

static void a_new_group_leads_once_its_barrier_is_durable(void **state)
{
    struct owner *o = *state;
    struct buf data = {0};
    uint64_t index;
    assert_false(group_is_leading(o->group));
    buf_append_str(&data, "early");
    expect_err(group_propose(o->group, &data, ++o->now_ms, &index), ERR_NOT_OWNER);
    expect_str(buf_slice(&data), "early"); /* still ours */
    buf_done(&data);
    for (uint64_t sequence = 1; sequence < o->count; sequence++) {
        make_durable(o, sequence);
        assert_int_equal(o->lead_count, 0);
    }
    make_durable(o, o->count);
    assert_int_equal(o->lead_count, 1);
    assert_true(group_is_leading(o->group));
}

static void a_command_is_applied_when_it_is_durable_and_not_before(void **state)
{
    struct owner *o = *state;
    settle(o);
    uint64_t first = propose(o, "one");
    uint64_t second = propose(o, "two");
    assert_int_equal(second, first + 1);
    assert_int_equal(o->applied_count, 0);
    make_durable(o, o->count - 1);
    assert_int_equal(o->applied_count, 1);
    expect_str(buf_slice(&o->applied[0]), "one");
    make_durable(o, o->count - 1); /* no news */
    assert_int_equal(o->applied_count, 1);
    make_durable(o, o->count);
    assert_int_equal(o->applied_count, 2);
    expect_str(buf_slice(&o->applied[1]), "two");
    assert_int_equal(group_applied(o->group), second);
    assert_int_equal(group_last_index(o->group), second);
}

static void a_restart_applies_the_log_and_leads_again(void **state)
{
    struct owner *o = *state;
    settle(o);
    (void)propose(o, "one");
    (void)propose(o, "two");
    settle(o);
    uint64_t term = group_term(o->group);
    expect_err(restart(o, o->count), ERR_OK);
    assert_int_equal(o->applied_count, 2);
    assert_int_equal(o->lead_count, 0);
    settle(o);
    assert_int_equal(o->lead_count, 1);
    assert_true(group_term(o->group) >= term);
    (void)propose(o, "three");
    settle(o);
    expect_str(buf_slice(&o->applied[2]), "three");
}

/* Only a single record is sure to be whole or absent: a crash can come between any two. */
static void a_log_that_ends_after_any_record_is_gone_on_with(void **state)
{
    struct owner *o = *state;
    settle(o);
    (void)propose(o, "one");
    settle(o);
    group_compact(o->group, group_applied(o->group), group_term(o->group), &keep_nothing,
                  ++o->now_ms);
    (void)propose(o, "two");
    settle(o);
    for (size_t count = o->count; count > 0; count--) {
        expect_err(restart(o, count), ERR_OK);
        settle(o);
        assert_int_equal(o->lead_count, 1);
        size_t before = o->applied_count;
        (void)propose(o, "again");
        settle(o);
        assert_int_equal(o->applied_count, before + 1);
    }
}

static void what_a_snapshot_covers_is_not_applied_again(void **state)
{
    struct owner *o = *state;
    settle(o);
    uint64_t first = propose(o, "one");
    settle(o);
    group_compact(o->group, first, group_term(o->group), &keep_nothing, ++o->now_ms);
    (void)propose(o, "two");
    settle(o);
    expect_err(restart(o, o->count), ERR_OK);
    assert_int_equal(o->applied_count, 1);
    expect_str(buf_slice(&o->applied[0]), "two");
    settle(o);
    assert_true(group_is_leading(o->group));
}

static void a_hole_in_the_log_is_refused(void **state)
{
    struct owner *o = *state;
    settle(o);
    (void)propose(o, "one");
    (void)propose(o, "two");
    settle(o);
    struct group_recovered r = recover(o, o->count);
    struct group_entry *entries = (struct group_entry *)(uintptr_t)r.entries;
    entries[r.entry_count - 1].index++;
    group_free(o->group);
    expect_err(start_with(o, &r), ERR_CORRUPT);
    mem_free(entries);
}

static void a_damaged_configuration_is_refused(void **state)
{
    struct owner *o = *state;
    settle(o);
    struct group_recovered r = recover(o, o->count);
    struct group_entry *entries = (struct group_entry *)(uintptr_t)r.entries;
    assert_int_equal(entries[0].type, GROUP_CONFIGURATION);
    entries[0].data = SLICE("nonsense");
    group_free(o->group);
    expect_err(start_with(o, &r), ERR_CORRUPT);
    mem_free(entries);
}

static void a_group_that_is_stopped_frees_what_it_holds(void **state)
{
    struct owner *o = *state;
    settle(o);
    (void)propose(o, "one");
    (void)propose(o, "two"); /* and the teardown comes: valgrind looks */
    assert_int_equal(o->applied_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_new_group_leads_once_its_barrier_is_durable),
          TEST(a_command_is_applied_when_it_is_durable_and_not_before),
          TEST(a_restart_applies_the_log_and_leads_again),
          TEST(a_log_that_ends_after_any_record_is_gone_on_with),
          TEST(what_a_snapshot_covers_is_not_applied_again), TEST(a_hole_in_the_log_is_refused),
          TEST(a_damaged_configuration_is_refused),
          TEST(a_group_that_is_stopped_frees_what_it_holds))
