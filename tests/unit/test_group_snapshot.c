#include "storage/group.h"

#include "base/mem.h"
#include "storage/group_guard.h"
#include "tests/lib/group_cluster.h"
#include "tests/lib/test.h"

enum { ENTRIES = 100, KEEP_ALL = 1 << 30 };

/* Three replicas: `behind` is down while the other two write and compact. */
struct fixture {
    struct group_cluster *cluster;
    struct cluster_node *leader;
    struct cluster_node *behind;
    uint64_t last;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    group_guards_off(0);
    f->cluster = cluster_new(3);
    f->leader = cluster_elect(f->cluster);
    f->behind = f->leader == f->cluster->nodes[0] ? f->cluster->nodes[1] : f->cluster->nodes[0];
    cluster_run(f->cluster, 500);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    group_guards_off(0);
    cluster_free(f->cluster);
    mem_free(f);
    return 0;
}

static void write_some(struct fixture *f, int count)
{
    for (int i = 0; i < count; i++) {
        f->last = cluster_propose(f->leader, "x");
    }
    cluster_settle(f->cluster);
    assert_int_equal(f->leader->applied, f->last);
}

/* The one that is behind stops, the others go on and compact. */
static void fall_behind(struct fixture *f, size_t keep_bytes)
{
    cluster_stop_node(f->behind, f->behind->durable);
    write_some(f, ENTRIES);
    cluster_compact(f->leader, f->last, keep_bytes);
    cluster_start_node(f->behind);
    cluster_run(f->cluster, 1000);
}

static enum err offer(struct fixture *f, struct buf *message)
{
    uint64_t index = f->leader->applied;
    return group_offer(f->leader->group, f->behind->replica, index, f->leader->store[index].term,
                       message);
}

/* The copy of the store arrives, and with it the offer. */
static bool accept(struct fixture *f, struct slice message)
{
    bool taken;
    cluster_copy_store(f->behind, f->leader);
    expect_err(
        group_accept(f->behind->group, f->leader->replica, message, f->cluster->now_ms, &taken),
        ERR_OK);
    return taken;
}

static void install(struct fixture *f)
{
    struct buf message = {0};
    expect_err(offer(f, &message), ERR_OK);
    assert_true(accept(f, buf_slice(&message)));
    assert_true(group_is_installing(f->behind->group));
    cluster_flush(f->behind);
    assert_true(f->behind->must_install);
    buf_done(&message);
}

/* The file has taken the store's place. */
static void place(struct fixture *f)
{
    f->behind->applied = f->behind->stored;
    group_installed(f->behind->group, f->cluster->now_ms);
    assert_false(group_is_installing(f->behind->group));
}

static void entries_that_are_kept_spare_a_peer_the_snapshot(void **state)
{
    struct fixture *f = *state;
    fall_behind(f, KEEP_ALL);
    assert_int_equal(f->behind->applied, f->last);
    assert_int_equal(f->leader->snapshot_wanted_by, 0);
}

static void kept_entries_take_no_more_than_they_may(void **state)
{
    struct fixture *f = *state;
    size_t before = group_kept_bytes(f->leader->group);
    write_some(f, ENTRIES);
    size_t all = group_kept_bytes(f->leader->group) - before;
    cluster_compact(f->leader, f->last, all / 2);
    assert_in_range(group_kept_bytes(f->leader->group), all / 2 - all / ENTRIES, all / 2);
}

/* However little is kept in general, what a peer lacks is not taken away under its eyes. */
static void what_a_peer_lacks_is_kept_within_its_own_bound(void **state)
{
    struct fixture *f = *state;
    cluster_stop_node(f->behind, f->behind->durable);
    write_some(f, ENTRIES);
    size_t all = group_kept_bytes(f->leader->group);
    const struct group_keep keep = {.bytes = 0, .bytes_for_peers = all};
    cluster_compact_keeping(f->leader, f->last, &keep);
    assert_in_range(group_kept_bytes(f->leader->group), all / 2, all - 1);
    cluster_start_node(f->behind);
    cluster_run(f->cluster, 1000);
    assert_int_equal(f->behind->applied, f->last);
    assert_int_equal(f->leader->snapshot_wanted_by, 0);
    write_some(f, 1);
    cluster_run(f->cluster, 200); /* now all have it */
    cluster_compact_keeping(f->leader, f->last, &keep);
    assert_true(group_kept_bytes(f->leader->group) < all / ENTRIES);
}

static void a_peer_that_lacks_what_is_gone_needs_a_snapshot(void **state)
{
    struct fixture *f = *state;
    fall_behind(f, 0);
    assert_true(f->behind->applied < f->last);
    assert_int_equal(f->leader->snapshot_wanted_by, f->behind->replica);
    assert_int_equal(f->leader->snapshot_wanted_index, f->last);
    assert_int_equal(f->leader->compactions_wanted, 0);
}

/* A copy that is lost on its way is asked for again, also where the leader has compacted since. */
static void a_snapshot_is_wanted_until_it_is_there(void **state)
{
    struct fixture *f = *state;
    fall_behind(f, 0);
    for (int i = 0; i < 3; i++) {
        f->leader->snapshot_wanted_by = 0;
        write_some(f, 3);
        cluster_compact(f->leader, f->last, 0);
        cluster_run(f->cluster, 1500);
        assert_int_equal(f->leader->snapshot_wanted_by, f->behind->replica);
        assert_int_equal(f->leader->snapshot_wanted_index, f->last);
    }
    install(f);
    place(f);
    f->leader->snapshot_wanted_by = 0;
    cluster_run(f->cluster, 1500);
    assert_int_equal(f->leader->snapshot_wanted_by, 0);
    assert_int_equal(f->behind->applied, f->last);
}

static void a_snapshot_is_gone_on_from(void **state)
{
    struct fixture *f = *state;
    fall_behind(f, 0);
    install(f);
    place(f);
    assert_int_equal(group_applied(f->behind->group), f->last);
    write_some(f, 3);
    cluster_run(f->cluster, 500);
    assert_int_equal(f->behind->applied, f->last);
    assert_int_equal(group_leader(f->behind->group), f->leader->replica);
}

/* The copy was made later than the core asked for it: it has more. */
static void a_snapshot_may_hold_more_than_was_asked_for(void **state)
{
    struct fixture *f = *state;
    fall_behind(f, 0);
    uint64_t wanted = f->leader->snapshot_wanted_index;
    write_some(f, 5);
    assert_true(f->leader->applied > wanted);
    install(f);
    place(f);
    assert_int_equal(group_applied(f->behind->group), f->last);
    write_some(f, 3);
    cluster_run(f->cluster, 500);
    assert_int_equal(f->behind->applied, f->last);
}

static void nothing_is_applied_while_the_file_is_not_in_place(void **state)
{
    struct fixture *f = *state;
    fall_behind(f, 0);
    uint64_t applied = f->behind->applied;
    install(f);
    write_some(f, 3);
    cluster_run(f->cluster, 2000); /* and the leader goes on writing to it */
    assert_int_equal(f->behind->applied, applied);
    assert_int_equal(group_applied(f->behind->group), applied);
    f->behind->applied = f->behind->stored;
    group_installed(f->behind->group, f->cluster->now_ms);
    cluster_run(f->cluster, 500);
    assert_int_equal(f->behind->applied, f->last);
}

static void a_snapshot_that_is_not_needed_is_not_taken(void **state)
{
    struct fixture *f = *state;
    struct buf message = {0};
    write_some(f, 3);
    cluster_run(f->cluster, 500);
    expect_err(offer(f, &message), ERR_OK);
    size_t records = f->behind->record_count;
    assert_false(accept(f, buf_slice(&message)));
    assert_int_equal(f->behind->record_count, records);
    buf_done(&message);
}

static void a_second_snapshot_is_not_taken_before_the_first_is_in_place(void **state)
{
    struct fixture *f = *state;
    struct buf message = {0};
    fall_behind(f, 0);
    install(f);
    write_some(f, 3);
    expect_err(offer(f, &message), ERR_OK);
    assert_false(accept(f, buf_slice(&message)));
    buf_done(&message);
}

static void a_crash_before_the_record_leaves_what_was_there(void **state)
{
    struct fixture *f = *state;
    struct buf message = {0};
    fall_behind(f, 0);
    uint64_t applied = f->behind->applied;
    uint64_t stored = f->behind->stored;
    expect_err(offer(f, &message), ERR_OK);
    size_t durable = f->behind->durable;
    assert_true(accept(f, buf_slice(&message)));
    f->behind->stored = stored; /* the file is beside the store */
    cluster_stop_node(f->behind, durable);
    f->behind->stored = stored;
    cluster_start_node(f->behind);
    cluster_run(f->cluster, 500);
    assert_true(f->behind->applied <= applied);
    assert_int_equal(f->leader->snapshot_wanted_by, f->behind->replica);
    install(f);
    place(f);
    cluster_run(f->cluster, 500);
    assert_int_equal(f->behind->applied, f->last);
    buf_done(&message);
}

static void a_crash_after_the_record_begins_with_the_snapshot(void **state)
{
    struct fixture *f = *state;
    fall_behind(f, 0);
    install(f);
    cluster_stop_node(f->behind, f->behind->durable);
    cluster_start_node(f->behind);
    assert_int_equal(group_applied(f->behind->group), f->last);
    write_some(f, 3);
    cluster_run(f->cluster, 500);
    assert_int_equal(f->behind->applied, f->last);
}

/* Entries of its own are on their way to the disk when the snapshot takes their place. */
static void what_becomes_durable_of_a_log_that_is_gone_does_not_count(void **state)
{
    struct fixture *f = *state;
    struct buf message = {0};
    fall_behind(f, 0);
    uint64_t next = group_last_index(f->behind->group) + 1;
    struct group_message m = {.type = GROUP_APPEND,
                              .from = f->leader->replica,
                              .to = f->behind->replica,
                              .term = group_term(f->leader->group)};
    m.append.previous_index = next - 1;
    m.append.previous_term = f->leader->store[next - 1].term;
    m.append.count = 1;
    struct group_entry entry = {
        .term = f->leader->store[next].term, .type = GROUP_COMMAND, .data = SLICE("x")};
    expect_err(cluster_say(f->cluster, &m, &entry), ERR_OK);
    size_t pending = f->behind->record_count;
    assert_true(f->behind->durable < pending);
    expect_err(offer(f, &message), ERR_OK);
    assert_true(accept(f, buf_slice(&message)));
    cluster_make_durable(f->behind, pending);
    assert_false(f->behind->must_install);
    cluster_flush(f->behind);
    assert_true(f->behind->must_install);
    place(f);
    write_some(f, 3);
    cluster_run(f->cluster, 500);
    assert_int_equal(f->behind->applied, f->last);
    buf_done(&message);
}

/* And then it may compact, without having heard from anybody. */
static void what_the_store_holds_is_applied_at_the_start(void **state)
{
    struct fixture *f = *state;
    write_some(f, 20);
    cluster_run(f->cluster, 500);
    cluster_compact(f->behind, f->last - 10, 0);
    f->behind->stored = f->last - 5; /* a checkpoint, and then the crash */
    cluster_stop_node(f->behind, f->behind->durable);
    cluster_start_node(f->behind);
    assert_int_equal(f->behind->applied, f->last - 5);
    cluster_compact(f->behind, f->last - 5, 0);
    cluster_run(f->cluster, 500);
    assert_int_equal(f->behind->applied, f->last);
}

static void a_copy_from_before_the_last_compaction_is_of_no_use(void **state)
{
    struct fixture *f = *state;
    struct buf message = {0};
    fall_behind(f, 0);
    uint64_t index = f->last;
    write_some(f, 5);
    cluster_compact(f->leader, f->last, 0);
    expect_err(group_offer(f->leader->group, f->behind->replica, index,
                           f->leader->store[index].term, &message),
               ERR_NOT_FOUND);
    assert_int_equal(message.len, 0);
}

static void who_does_not_lead_offers_nothing(void **state)
{
    struct fixture *f = *state;
    struct buf message = {0};
    expect_err(group_offer(f->behind->group, f->leader->replica, 1, 1, &message), ERR_NOT_OWNER);
}

static void an_offer_without_its_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buf message = {0};
    fall_behind(f, 0);
    expect_err(offer(f, &message), ERR_OK);
    expect_err(group_receive(f->behind->group, f->leader->replica, buf_slice(&message),
                             f->cluster->now_ms),
               ERR_CORRUPT);
    buf_done(&message);
}

/* The replica hears, but nobody hears it: to the leader it is where it was long ago, and meanwhile it
 * has compacted all of that away. */
static bool comes_back_from_silence(struct fixture *f)
{
    f->behind->is_mute = true;
    write_some(f, 10);
    cluster_run(f->cluster, 1000);
    assert_int_equal(f->behind->applied, f->last);
    cluster_compact(f->behind, f->last, 0);
    f->behind->is_mute = false;
    cluster_run(f->cluster, 1000);
    write_some(f, 3);
    cluster_run(f->cluster, 1000);
    return f->behind->applied == f->last;
}

static void a_replica_that_compacted_what_it_could_not_acknowledge_goes_on(void **state)
{
    struct fixture *f = *state;
    assert_true(comes_back_from_silence(f));
    assert_int_equal(f->leader->snapshot_wanted_by, 0);
}

static void without_its_guard_it_is_written_to_in_vain(void **state)
{
    group_guards_off(GROUP_GUARD_FORGOTTEN);
    assert_false(comes_back_from_silence(*state));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(entries_that_are_kept_spare_a_peer_the_snapshot),
          TEST(kept_entries_take_no_more_than_they_may),
          TEST(what_a_peer_lacks_is_kept_within_its_own_bound),
          TEST(a_peer_that_lacks_what_is_gone_needs_a_snapshot),
          TEST(a_snapshot_is_wanted_until_it_is_there), TEST(a_snapshot_is_gone_on_from),
          TEST(a_snapshot_may_hold_more_than_was_asked_for),
          TEST(nothing_is_applied_while_the_file_is_not_in_place),
          TEST(a_snapshot_that_is_not_needed_is_not_taken),
          TEST(a_second_snapshot_is_not_taken_before_the_first_is_in_place),
          TEST(a_crash_before_the_record_leaves_what_was_there),
          TEST(a_crash_after_the_record_begins_with_the_snapshot),
          TEST(what_becomes_durable_of_a_log_that_is_gone_does_not_count),
          TEST(what_the_store_holds_is_applied_at_the_start),
          TEST(a_copy_from_before_the_last_compaction_is_of_no_use),
          TEST(who_does_not_lead_offers_nothing), TEST(an_offer_without_its_file_is_refused),
          TEST(a_replica_that_compacted_what_it_could_not_acknowledge_goes_on),
          TEST(without_its_guard_it_is_written_to_in_vain))
