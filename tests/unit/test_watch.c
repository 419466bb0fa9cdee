#include "actor/watch.h"

#include "tests/lib/test.h"

static void append(struct watch *w, uint64_t version, uint32_t n, size_t value_bytes)
{
    struct watch_event event = {.version = version, .n = n, .type = WATCH_PUT};
    event.key = bytes_new(SLICE("key"));
    event.value = bytes_new_uninit(value_bytes);
    watch_append(w, &event);
}

static void events_come_in_order_from_any_position(void **state)
{
    (void)state;
    struct watch w;
    uint64_t seq;
    bool gap;
    watch_init(&w, 7);
    append(&w, 8, 0, 1);
    append(&w, 8, 1, 1);
    append(&w, 10, 0, 1);

    assert_true(watch_seek(&w, 8, 0, &seq));
    assert_int_equal(watch_at(&w, seq, &gap)->n, 1);
    assert_true(watch_seek(&w, 8, UINT32_MAX, &seq));
    assert_int_equal(watch_at(&w, seq, &gap)->version, 10);
    assert_null(watch_at(&w, seq + 1, &gap));
    assert_false(gap);
    watch_done(&w);
}

static void what_came_before_the_actor_woke_is_gone(void **state)
{
    (void)state;
    struct watch w;
    uint64_t seq;
    watch_init(&w, 7);
    assert_false(watch_seek(&w, 6, UINT32_MAX, &seq));
    assert_false(watch_seek(&w, 0, 0, &seq));
    assert_true(watch_seek(&w, 7, UINT32_MAX, &seq));
    watch_done(&w);
}

static void a_new_actor_has_everything(void **state)
{
    (void)state;
    struct watch w;
    uint64_t seq;
    watch_init(&w, 0);
    append(&w, 3, 0, 1);
    assert_true(watch_seek(&w, 0, UINT32_MAX, &seq));
    assert_int_equal(seq, 0);
    watch_done(&w);
}

static void only_the_last_thousand_events_are_kept(void **state)
{
    (void)state;
    struct watch w;
    uint64_t seq;
    bool gap;
    watch_init(&w, 0);
    for (uint64_t version = 1; version <= WATCH_EVENTS_MAX + 5; version++) {
        append(&w, version, 0, 1);
    }
    assert_null(watch_at(&w, 4, &gap));
    assert_true(gap);
    assert_int_equal(watch_at(&w, 5, &gap)->version, 6);
    assert_true(watch_seek(&w, 5, 0, &seq));
    assert_false(watch_seek(&w, 4, 0, &seq));
    watch_done(&w);
}

static void large_values_push_older_ones_out_but_never_the_last(void **state)
{
    (void)state;
    struct watch w;
    bool gap;
    watch_init(&w, 0);
    append(&w, 1, 0, 100);
    append(&w, 2, 0, WATCH_BYTES_MAX + 1);
    assert_int_equal(watch_at(&w, 1, &gap)->version, 2);
    assert_null(watch_at(&w, 0, &gap));
    assert_true(gap);
    watch_done(&w);
}

static int ended;

static void count_end(struct watcher *w)
{
    (void)w;
    ended++;
}

static void watchers_left_hear_of_the_end(void **state)
{
    (void)state;
    struct watch w;
    struct watcher watcher = {.on_end = count_end};
    watch_init(&w, 0);
    assert_true(watch_add(&w, &watcher));
    watch_done(&w);
    assert_int_equal(ended, 1);
}

TEST_MAIN(cmocka_unit_test(events_come_in_order_from_any_position),
          cmocka_unit_test(what_came_before_the_actor_woke_is_gone),
          cmocka_unit_test(a_new_actor_has_everything),
          cmocka_unit_test(only_the_last_thousand_events_are_kept),
          cmocka_unit_test(large_values_push_older_ones_out_but_never_the_last),
          cmocka_unit_test(watchers_left_hear_of_the_end))
