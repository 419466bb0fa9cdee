#include "storage/wal.h"

#include <pthread.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#include "tests/lib/test.h"
#include "tests/unit/wal_log.h"

/* Round trips */

static void a_new_log_is_empty(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    assert_int_equal(l.r->group_count, 0);
    assert_int_equal(l.r->newest, 0);
    log_reopen(&l);
    assert_int_equal(l.r->group_count, 0);
    log_done(&l);
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    struct log l;
    struct slice parts[3] = {SLICE("one "), {0}, SLICE("entry")};
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 7, 71);
    (void)wal_term_vote(l.w, 7, 3, 71);
    (void)wal_entry(l.w, 7, 1, 3, 5, parts, 3);
    (void)log_put(&l, 7, 2, 3, "");
    log_reopen(&l);

    const struct wal_recovered_group *g = log_group(&l, 7);
    assert_non_null(g);
    assert_int_equal(g->replica, 71);
    assert_int_equal(g->term, 3);
    assert_int_equal(g->vote, 71);
    assert_int_equal(g->entry_count, 2);
    assert_int_equal(g->entries[0].index, 1);
    assert_int_equal(g->entries[0].term, 3);
    assert_int_equal(g->entries[0].type, 5);
    expect_str(g->entries[0].data, "one entry");
    expect_str(g->entries[1].data, "");
    log_done(&l);
}

static void nothing_is_durable_before_the_flusher_has_written(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    uint64_t number = log_put(&l, 1, 1, 1, "a");
    assert_int_equal(wal_poll(l.w), 0);
    wal_kick(l.w);
    assert_int_equal(wal_poll(l.w), 0);
    assert_int_equal(log_flush(&l), number);
    log_crash(&l);
    log_expect_entries(&l, 1, 1, 1);
    log_done(&l);
}

static void what_comes_during_a_flush_goes_out_with_the_next(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    wal_kick(l.w);
    for (uint64_t i = 1; i <= 10; i++) {
        (void)log_put(&l, 1, i, 1, "x");
        wal_kick(l.w);
    }
    (void)log_flush(&l);
    assert_int_equal(wal_stats(l.w).flushes, 2);
    log_reopen(&l);
    log_expect_entries(&l, 1, 1, 10);
    log_done(&l);
}

static void an_entry_after_a_truncation_is_the_one_that_counts(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    for (uint64_t i = 1; i <= 5; i++) {
        (void)log_put(&l, 1, i, 1, "old");
    }
    (void)log_flush(&l);
    (void)wal_truncate(l.w, 1, 3);
    (void)log_put(&l, 1, 3, 2, "new");
    log_reopen(&l);

    log_expect_entries(&l, 1, 1, 3);
    const struct wal_recovered_group *g = log_group(&l, 1);
    assert_int_equal(g->entries[2].term, 2);
    expect_str(g->entries[2].data, "new");
    log_done(&l);
}

static void a_snapshot_hides_what_it_covers_and_an_install_everything(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    (void)wal_create_replica(l.w, 2, 1);
    for (uint64_t i = 1; i <= 5; i++) {
        (void)log_put(&l, 1, i, 1, "x");
        (void)log_put(&l, 2, i, 1, "x");
    }
    (void)log_snapshot(&l, 1, 3);
    struct wal_snapshot s = {.index = 3, .term = 2, .configuration = SLICE("others")};
    (void)wal_install(l.w, 2, &s);
    log_reopen(&l);

    log_expect_entries(&l, 1, 4, 5);
    expect_str(log_group(&l, 1)->snapshot.configuration, "voters");
    log_expect_entries(&l, 2, 4, 3);
    expect_str(log_group(&l, 2)->snapshot.configuration, "others");
    assert_int_equal(log_group(&l, 2)->snapshot.term, 2);
    log_done(&l);
}

static void a_removed_replica_leaves_nothing_to_its_successor(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    (void)wal_create_replica(l.w, 2, 1);
    (void)wal_term_vote(l.w, 1, 9, 1);
    (void)log_put(&l, 1, 1, 9, "x");
    (void)log_flush(&l);
    (void)wal_remove_replica(l.w, 1);
    (void)wal_remove_replica(l.w, 2);
    (void)wal_create_replica(l.w, 1, 2);
    log_reopen(&l);

    assert_int_equal(l.r->group_count, 1);
    assert_int_equal(log_group(&l, 1)->replica, 2);
    assert_int_equal(log_group(&l, 1)->term, 0);
    assert_int_equal(log_group(&l, 1)->entry_count, 0);
    log_done(&l);
}

static void a_log_goes_on_after_many_starts(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    (void)log_flush(&l);
    for (uint64_t i = 1; i <= 20; i++) {
        (void)log_put_bytes(&l, 1, i, 100 * (size_t)i);
        (void)log_flush(&l);
        if (i % 2 == 0) {
            log_crash(&l);
        } else {
            log_reopen(&l);
        }
        log_expect_entries(&l, 1, 1, i);
    }
    log_done(&l);
}

/* Segments */

static void segments_are_used_again_once_snapshots_cover_them(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    for (uint64_t i = 1; i <= 400; i++) {
        expect_err(wal_reserve(l.w, 1000), ERR_OK);
        (void)log_put_bytes(&l, 1, i, 1000);
        if (i % 20 == 0) {
            (void)log_snapshot(&l, 1, i - 5);
        }
        (void)log_flush(&l);
    }
    assert_true(wal_stats(l.w).total_bytes <= 8 * SEGMENT);
    assert_true(wal_stats(l.w).segments <= 3);
    log_crash(&l);
    assert_true(l.r->floor > 10);
    log_expect_entries(&l, 1, 396, 400);
    log_done(&l);
}

static void a_stalled_group_pins_segments_until_its_snapshot_comes(void **state)
{
    (void)state;
    struct log l;
    struct wal_holder holder = {0};
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    (void)wal_create_replica(l.w, 2, 1);
    (void)log_put_bytes(&l, 2, 1, 100);
    uint64_t i = 1;
    for (; wal_reserve(l.w, 1000) == ERR_OK; i++) {
        (void)log_put_bytes(&l, 1, i, 1000);
        (void)log_flush(&l);
        (void)log_snapshot(&l, 1, i);
        (void)log_flush(&l);
    }
    expect_err(wal_reserve(l.w, 1000), ERR_STORAGE_FULL);
    assert_int_equal(wal_pinned(l.w, &holder, 1), 1);
    assert_int_equal(holder.group, 2);
    assert_int_equal(holder.max_index, 1);

    (void)log_snapshot(&l, 2, 1);
    (void)log_flush(&l);
    expect_err(wal_reserve(l.w, 1000), ERR_OK);
    assert_int_equal(wal_pinned(l.w, &holder, 1), 0);
    log_reopen(&l);
    log_expect_entries(&l, 1, i, i - 1);
    log_done(&l);
}

static void a_copied_tail_lets_its_old_segment_go(void **state)
{
    (void)state;
    struct log l;
    struct slice part = SLICE("idle");
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    (void)wal_create_replica(l.w, 2, 1);
    for (uint64_t i = 1; i <= 3; i++) {
        (void)log_put(&l, 2, i, 1, "idle");
    }
    for (uint64_t i = 1; i <= 100; i++) {
        (void)log_put_bytes(&l, 1, i, 1000);
        (void)log_snapshot(&l, 1, i);
        (void)log_flush(&l);
    }
    (void)log_put(&l, 2, 4, 1, "late");
    uint32_t before = wal_stats(l.w).segments;
    for (uint64_t i = 1; i <= 3; i++) {
        (void)wal_copy(l.w, 2, i, 1, 1, &part, 1);
    }
    (void)log_flush(&l);
    assert_true(before >= 3);
    assert_int_equal(wal_stats(l.w).segments, 1);
    log_crash(&l);
    log_expect_entries(&l, 2, 1, 4);
    expect_str(log_group(&l, 2)->entries[0].data, "idle");
    expect_str(log_group(&l, 2)->entries[3].data, "late");
    log_done(&l);
}

static size_t count_slots(const struct log *l)
{
    size_t count = 0;
    for (uint32_t slot = 0; slot < 64; slot++) {
        char *path = wal_slot_path(l->dir, slot, false);
        count += access(path, F_OK) == 0 ? 1 : 0;
        mem_free(path);
    }
    return count;
}

static void a_log_larger_than_its_budget_shrinks_as_its_segments_become_free(void **state)
{
    (void)state;
    struct log l;
    uint64_t i = 1;
    log_init(&l);
    l.options.budget_bytes = 12 * SEGMENT;
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    for (; wal_reserve(l.w, 1000) == ERR_OK; i++) {
        (void)log_put_bytes(&l, 1, i, 1000);
        (void)log_flush(&l);
    }
    l.options.budget_bytes = WAL_SEGMENTS_MIN * SEGMENT;
    log_reopen(&l);
    assert_int_equal(count_slots(&l), 12); /* all are needed, or the last resort */
    log_expect_entries(&l, 1, 1, i - 1);

    (void)log_snapshot(&l, 1, i - 1);
    (void)log_flush(&l);
    assert_int_equal(count_slots(&l), WAL_SEGMENTS_MIN);
    assert_int_equal(wal_stats(l.w).total_bytes, WAL_SEGMENTS_MIN * SEGMENT);
    for (uint64_t last = i + 200; i < last; i++) {
        expect_err(wal_reserve(l.w, 1000), ERR_OK);
        (void)log_put_bytes(&l, 1, i, 1000);
        (void)log_snapshot(&l, 1, i);
        (void)log_flush(&l);
    }
    assert_int_equal(count_slots(&l), WAL_SEGMENTS_MIN);
    log_crash(&l);
    log_expect_entries(&l, 1, i, i - 1);
    log_done(&l);
}

static void truncated_entries_do_not_pin_their_segment(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    for (uint64_t i = 1; i <= 60; i++) {
        (void)log_put_bytes(&l, 1, i, 1000);
        (void)log_flush(&l);
    }
    assert_true(wal_stats(l.w).segments > 1);
    (void)wal_truncate(l.w, 1, 11);
    (void)log_snapshot(&l, 1, 10);
    (void)log_flush(&l);
    assert_int_equal(wal_stats(l.w).segments, 1);
    log_done(&l);
}

static void a_record_larger_than_a_flush_goes_alone(void **state)
{
    (void)state;
    struct log l;
    log_init(&l);
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    (void)log_put_bytes(&l, 1, 1, 10);
    size_t largest = wal_data_bytes_max(l.w);
    (void)log_put_bytes(&l, 1, 2, largest);
    (void)log_put_bytes(&l, 1, 3, 10);
    (void)log_flush(&l);
    assert_int_equal(wal_stats(l.w).flushes, 3);
    log_reopen(&l);
    log_expect_entries(&l, 1, 1, 3);
    assert_int_equal(log_group(&l, 1)->entries[1].data.len, largest);
    log_done(&l);
}

/* The flusher thread */

struct bell {
    pthread_mutex_t mtx;
    pthread_cond_t cond;
    bool rings;
};

static void ring(void *ctx)
{
    struct bell *b = ctx;
    pthread_mutex_lock(&b->mtx);
    b->rings = true;
    pthread_cond_signal(&b->cond);
    pthread_mutex_unlock(&b->mtx);
}

static void wait_for(struct bell *b)
{
    pthread_mutex_lock(&b->mtx);
    while (!b->rings) {
        pthread_cond_wait(&b->cond, &b->mtx);
    }
    b->rings = false;
    pthread_mutex_unlock(&b->mtx);
}

static void a_thread_writes_in_order_and_makes_segments_ahead(void **state)
{
    (void)state;
    struct bell bell = {.mtx = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct log l;
    log_init(&l);
    l.options.unthreaded = false;
    l.options.notify = ring;
    l.options.ctx = &bell;
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    uint64_t durable = 0;
    for (uint64_t i = 1; i <= 500; i++) {
        while (wal_reserve(l.w, 900) != ERR_OK) {
            wait_for(&bell);
            (void)wal_poll(l.w);
            wal_kick(l.w);
        }
        uint64_t number = log_put_bytes(&l, 1, i, 900);
        wal_kick(l.w);
        while (i % 3 == 0 && durable < number) {
            wait_for(&bell);
            uint64_t now = wal_poll(l.w);
            assert_true(now >= durable);
            durable = now;
            wal_kick(l.w);
        }
        if (i % 30 == 0) {
            (void)log_snapshot(&l, 1, i);
        }
    }
    log_reopen(&l);
    log_expect_entries(&l, 1, 481, 500);
    log_close(&l);
    log_done(&l);
}

static void a_thread_gives_files_back_between_writes(void **state)
{
    (void)state;
    struct bell bell = {.mtx = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    struct log l;
    uint64_t i = 1;
    log_init(&l);
    l.options.budget_bytes = 12 * SEGMENT;
    log_open(&l);
    (void)wal_create_replica(l.w, 1, 1);
    for (; wal_reserve(l.w, 1000) == ERR_OK; i++) {
        (void)log_put_bytes(&l, 1, i, 1000);
        (void)log_flush(&l);
    }
    log_close(&l);
    l.options.budget_bytes = WAL_SEGMENTS_MIN * SEGMENT;
    l.options.unthreaded = false;
    l.options.notify = ring;
    l.options.ctx = &bell;
    log_open(&l);
    uint64_t covered = i - 1;
    (void)log_snapshot(&l, 1, covered);
    for (; count_slots(&l) > WAL_SEGMENTS_MIN; i++) {
        (void)log_put_bytes(&l, 1, i, 100);
        wal_kick(l.w);
        wait_for(&bell);
        (void)wal_poll(l.w);
    }
    log_reopen(&l);
    assert_int_equal(count_slots(&l), WAL_SEGMENTS_MIN);
    log_expect_entries(&l, 1, covered + 1, i - 1);
    log_close(&l);
    log_done(&l);
}

TEST_MAIN(cmocka_unit_test(a_new_log_is_empty), cmocka_unit_test(what_was_written_is_read_back),
          cmocka_unit_test(nothing_is_durable_before_the_flusher_has_written),
          cmocka_unit_test(what_comes_during_a_flush_goes_out_with_the_next),
          cmocka_unit_test(an_entry_after_a_truncation_is_the_one_that_counts),
          cmocka_unit_test(a_snapshot_hides_what_it_covers_and_an_install_everything),
          cmocka_unit_test(a_removed_replica_leaves_nothing_to_its_successor),
          cmocka_unit_test(a_log_goes_on_after_many_starts),
          cmocka_unit_test(segments_are_used_again_once_snapshots_cover_them),
          cmocka_unit_test(a_stalled_group_pins_segments_until_its_snapshot_comes),
          cmocka_unit_test(a_copied_tail_lets_its_old_segment_go),
          cmocka_unit_test(a_log_larger_than_its_budget_shrinks_as_its_segments_become_free),
          cmocka_unit_test(truncated_entries_do_not_pin_their_segment),
          cmocka_unit_test(a_record_larger_than_a_flush_goes_alone),
          cmocka_unit_test(a_thread_writes_in_order_and_makes_segments_ahead),
          cmocka_unit_test(a_thread_gives_files_back_between_writes))
