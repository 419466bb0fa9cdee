/* Three defects that an older release of the consensus library had, as scenarios on the one we link: what
 * it is pinned for. Each lost or withheld what had been, or should have been, acknowledged. */
#include "base/mem.h"
#include "storage/group.h"
#include "storage/group_guard.h"
#include "tests/lib/group_cluster.h"
#include "tests/lib/test.h"

enum { STEP_MS = 5, NETWORK_STEPS = 3, DISK_STEPS = 2, STREAM_STEPS = 400, BEHIND_MAX = 30 };

struct fixture {
    struct group_cluster *c;
    struct cluster_node *old; /* the first leader */
    struct cluster_node *other;
    struct cluster_node *third;
    uint64_t last; /* index up to which all have the same */
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    group_guards_off(0);
    f->c = cluster_new(3);
    f->old = cluster_elect(f->c);
    cluster_run(f->c, 300);
    f->other = f->old == f->c->nodes[0] ? f->c->nodes[1] : f->c->nodes[0];
    f->third = f->old == f->c->nodes[2] ? f->c->nodes[1] : f->c->nodes[2];
    f->last = group_last_index(f->old->group);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cluster_free(f->c);
    mem_free(f);
    return 0;
}

static void flush_all(struct fixture *f)
{
    for (size_t i = 0; i < f->c->node_count; i++) {
        if (f->c->nodes[i]->group != NULL) {
            cluster_flush(f->c->nodes[i]);
        }
    }
}

static void deliver_votes(struct fixture *f)
{
    struct cluster_message *m;
    while ((m = LIST_FIRST(&f->c->messages, struct cluster_message, link)) != NULL) {
        enum group_message_type type = cluster_peek(m).type;
        if (type == GROUP_ASK_VOTE || type == GROUP_VOTE) {
            cluster_deliver_one(f->c, m);
        } else {
            cluster_drop(m);
        }
        flush_all(f);
    }
}

static bool believes_to_lead(const struct cluster_node *n)
{
    return group_leader(n->group) == n->replica;
}

/* Votes alone are delivered: what the new leader has to say reaches nobody. */
static struct cluster_node *elect_one_of(struct fixture *f, struct cluster_node *a,
                                         struct cluster_node *b)
{
    for (int turns = 0; !believes_to_lead(a) && !believes_to_lead(b); turns++) {
        assert_true(turns < 1000);
        f->c->now_ms += STEP_MS;
        group_tick(a->group, f->c->now_ms);
        group_tick(b->group, f->c->now_ms);
        flush_all(f);
        deliver_votes(f);
    }
    cluster_drop_all(f->c);
    return believes_to_lead(a) ? a : b;
}

/* One that leads, has an entry "old" on its own disk that nobody heard of, and is cut off; another is
 * elected without it, and has one of its own there. */
static void divide(struct fixture *f)
{
    cluster_cut_off(f->c, f->old, true);
    assert_int_equal(cluster_propose(f->old, "old"), f->last + 1);
    cluster_flush(f->old);
    struct cluster_node *elected = elect_one_of(f, f->other, f->third);
    f->third = elected == f->other ? f->third : f->other;
    f->other = elected;
    assert_int_equal(group_last_index(f->other->group), f->last + 1); /* its barrier */
}

static uint64_t match_of(const struct cluster_node *leader, const struct cluster_node *of)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = group_peers(leader->group, peers);
    for (size_t i = 0; i < count; i++) {
        if (peers[i].replica == of->replica) {
            return peers[i].match;
        }
    }
    return 0;
}

/* Figure 8 of the paper: it may be on a majority, and still be replaced. */
static void an_entry_of_an_older_term_is_not_committed_by_counting(void **state)
{
    struct fixture *f = *state;
    divide(f);
    cluster_stop_node(f->other, f->other->record_count);
    cluster_cut_off(f->c, f->old, false);
    while (believes_to_lead(f->old)) { /* until it notices that nobody follows */
        cluster_tick(f->c, f->old);
        cluster_drop_all(f->c);
    }
    assert_ptr_equal(elect_one_of(f, f->old, f->third), f->old);
    cluster_flush(f->old);
    while (cluster_find(f->c, f->old->replica, f->third->replica, GROUP_APPEND) == NULL) {
        cluster_tick(f->c, f->old);
    }

    /* "old" is on two disks of three, and what was written in the new term on one. */
    size_t records = f->third->record_count;
    for (int turns = 0; group_last_index(f->third->group) < f->last + 2; turns++) {
        assert_true(turns < 100);
        if (!cluster_deliver(f->c)) {
            cluster_tick(f->c, f->old);
        }
    }
    while (f->third->records[records].kind != CLUSTER_ENTRY) {
        records++;
    }
    cluster_make_durable(f->third, records + 1);
    while (cluster_deliver(f->c)) {
    }
    assert_int_equal(match_of(f->old, f->third), f->last + 1);
    assert_int_equal(f->old->applied, f->last);

    cluster_stop_node(f->old, f->old->record_count);
    cluster_stop_node(f->third, records + 1);
    cluster_start_node(f->other);
    cluster_start_node(f->third);
    assert_ptr_equal(cluster_elect(f->c), f->other);
    cluster_run(f->c, 500);
    assert_true(f->third->applied > f->last);
    cluster_start_node(f->old);
    cluster_run(f->c, 1000);
    assert_int_equal(f->old->applied, f->other->applied); /* and is the same: group_cluster.c */
}

/* What a replica has beyond the point that its leader has spoken of counts for nothing. */
static void a_suffix_that_differs_is_not_acknowledged(void **state)
{
    struct fixture *f = *state;
    divide(f);
    (void)cluster_propose(f->old, "old, too");
    (void)cluster_propose(f->old, "and this");
    cluster_flush(f->old);
    cluster_flush(f->other);
    cluster_cut_off(f->c, f->third, true);
    cluster_cut_off(f->c, f->old, false);
    cluster_drop_all(f->c);

    const struct group_message heartbeat = {.type = GROUP_APPEND,
                                            .from = f->other->replica,
                                            .to = f->old->replica,
                                            .term = group_term(f->other->group),
                                            .append = {.previous_index = f->last,
                                                       .previous_term = f->old->store[f->last].term,
                                                       .commit = f->last}};
    expect_err(cluster_say(f->c, &heartbeat, NULL), ERR_OK);
    cluster_flush(f->old); /* the term */
    struct cluster_message *answer =
        cluster_find(f->c, f->old->replica, f->other->replica, GROUP_APPENDED);
    assert_non_null(answer);
    cluster_deliver_one(f->c, answer);
    assert_int_equal(f->other->applied, f->last);

    /* Neither does what is in memory in its place. */
    cluster_drop_all(f->c);
    for (int turns = 0; group_last_index(f->old->group) != f->last + 1; turns++) {
        assert_true(turns < 100);
        if (!cluster_deliver(f->c)) {
            cluster_tick(f->c, f->other);
        }
    }
    while (cluster_deliver(f->c)) {
    }
    assert_int_equal(group_last_index(f->old->group), f->last + 1);
    assert_int_equal(f->other->applied, f->last);
    cluster_settle(f->c);
    assert_int_equal(f->other->applied, f->last + 1);
}

static size_t count_messages(const struct group_cluster *c)
{
    size_t count = 0;
    LIST_FOREACH (link, &c->messages) {
        count++;
    }
    return count;
}

/* A write every 5 ms, on a network of 15 ms and disks of 10: each is committed while the next ones come. */
static void a_stream_of_writes_is_committed_while_it_runs(void **state)
{
    struct fixture *f = *state;
    static size_t sent[STREAM_STEPS];       /* messages, by the end of each step */
    static size_t records[STREAM_STEPS][3]; /* likewise, of each node */
    size_t delivered = 0;
    for (size_t step = 0; step < STREAM_STEPS; step++) {
        uint64_t index = cluster_propose(f->old, "x");
        f->c->now_ms += STEP_MS;
        for (size_t i = 0; i < 3; i++) {
            struct cluster_node *n = f->c->nodes[i];
            group_tick(n->group, f->c->now_ms);
            if (step >= DISK_STEPS && records[step - DISK_STEPS][i] > n->durable) {
                cluster_make_durable(n, records[step - DISK_STEPS][i]);
            }
        }
        while (step >= NETWORK_STEPS && delivered < sent[step - NETWORK_STEPS]) {
            assert_true(cluster_deliver(f->c));
            delivered++;
        }
        sent[step] = delivered + count_messages(f->c);
        for (size_t i = 0; i < 3; i++) {
            records[step][i] = f->c->nodes[i]->record_count;
        }
        assert_true(f->old->applied + BEHIND_MAX >= index);
    }
    assert_true(f->old->applied > f->last + STREAM_STEPS - BEHIND_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(an_entry_of_an_older_term_is_not_committed_by_counting),
          TEST(a_suffix_that_differs_is_not_acknowledged),
          TEST(a_stream_of_writes_is_committed_while_it_runs))
