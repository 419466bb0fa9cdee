#include "actor/due_window.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/lib/test.h"

static const struct identity somebody = {.bytes = {7}};

static struct row_key due(uint64_t due_ms)
{
    struct row_key key;
    row_key_due(&key, due_ms, 1, ROW_TIMER, SLICE("t"));
    return key;
}

static void put(struct due_window *w, uint64_t due_ms)
{
    struct row_key key = due(due_ms);
    due_window_put(w, row_key_slice(&key), &somebody);
}

static void drop(struct due_window *w, uint64_t due_ms)
{
    struct row_key key = due(due_ms);
    due_window_delete(w, row_key_slice(&key));
}

static struct due_entry *find(struct due_window *w, uint64_t due_ms)
{
    struct row_key key = due(due_ms);
    return due_window_find(w, row_key_slice(&key));
}

/* A page that ended before this time; 0: at the end of all. */
static bool take_page(struct due_window *w, uint64_t before_ms)
{
    struct row_key edge = {.len = 0};
    if (before_ms != 0) {
        row_key_due(&edge, before_ms, 1, ROW_TIMER, SLICE(""));
    }
    return due_window_take_page(w, &edge);
}

static uint64_t first_ms(struct due_window *w)
{
    const struct due_entry *e = due_window_first(w);
    return e == NULL ? 0 : due_entry_ms(e);
}

/* Knows of all rows, of which there are none. */
static void init_whole(struct due_window *w, struct heap *held)
{
    due_window_init(w, held, NULL);
    due_window_begin_page(w);
    assert_true(take_page(w, 0));
    due_window_end_page(w);
}

static void a_new_window_knows_nothing_and_wants_a_page(void **state)
{
    (void)state;
    struct heap held = {0};
    struct due_window w;
    due_window_init(&w, &held, NULL);
    assert_true(due_window_wants_page(&w));
    put(&w, 5);
    assert_null(due_window_first(&w)); /* the page will show it */
    due_window_done(&w);
}

static void the_nearest_row_comes_first(void **state)
{
    (void)state;
    struct heap held = {0};
    struct due_window w;
    init_whole(&w, &held);
    put(&w, 30);
    put(&w, 10);
    put(&w, 20);
    put(&w, 10);
    assert_int_equal(w.waiting_count, 3);
    assert_int_equal(first_ms(&w), 10);
    drop(&w, 10);
    assert_int_equal(first_ms(&w), 20);
    drop(&w, 10);
    assert_int_equal(w.waiting_count, 2);
    assert_false(due_window_wants_page(&w));
    due_window_done(&w);
}

static void what_a_batch_did_while_a_page_was_read_is_done_again_on_top_of_it(void **state)
{
    (void)state;
    struct heap held = {0};
    struct due_window w;
    due_window_init(&w, &held, NULL);
    due_window_begin_page(&w);
    put(&w, 10);  /* after the page had passed it */
    drop(&w, 20); /* likewise */
    put(&w, 30);
    drop(&w, 30);
    put(&w, 500); /* beyond the page */
    assert_true(take_page(&w, 100));
    put(&w, 20);
    put(&w, 40);
    due_window_end_page(&w);
    assert_non_null(find(&w, 10));
    assert_null(find(&w, 20));
    assert_null(find(&w, 30));
    assert_non_null(find(&w, 40));
    assert_null(find(&w, 500));
    due_window_done(&w);
}

static void a_full_window_gives_up_its_last_row_and_what_lies_beyond(void **state)
{
    (void)state;
    struct heap held = {0};
    struct due_window w;
    init_whole(&w, &held);
    for (uint64_t i = 1; i <= DUE_WINDOW_NEAR_MAX; i++) {
        put(&w, i * 10);
    }
    put(&w, 15);
    assert_int_equal(w.waiting_count, DUE_WINDOW_NEAR_MAX);
    assert_null(find(&w, DUE_WINDOW_NEAR_MAX * 10));
    put(&w, DUE_WINDOW_NEAR_MAX * 10 + 5); /* beyond the edge */
    assert_int_equal(w.waiting_count, DUE_WINDOW_NEAR_MAX);
    assert_false(due_window_wants_page(&w));
    for (uint64_t i = 1; i <= DUE_WINDOW_NEAR_MAX; i++) {
        drop(&w, i * 10);
    }
    assert_true(due_window_wants_page(&w));
    due_window_done(&w);
}

static void a_page_is_void_where_the_edge_moved_meanwhile(void **state)
{
    (void)state;
    struct heap held = {0};
    struct due_window w;
    due_window_init(&w, &held, NULL);
    due_window_begin_page(&w);
    assert_true(take_page(&w, 100000));
    for (uint64_t i = 1; i < DUE_WINDOW_NEAR_LOW; i++) {
        put(&w, i * 10);
    }
    due_window_end_page(&w);
    assert_true(due_window_wants_page(&w));
    due_window_begin_page(&w);
    for (uint64_t i = 1; w.waiting_count < DUE_WINDOW_NEAR_MAX; i++) {
        put(&w, i * 10 + 1);
    }
    put(&w, 1);
    assert_false(take_page(&w, 0));
    assert_true(w.edge.len > 0);
    due_window_done(&w);
}

static void a_page_is_void_where_too_much_happened_meanwhile(void **state)
{
    (void)state;
    struct heap held = {0};
    struct due_window w;
    due_window_init(&w, &held, NULL);
    due_window_begin_page(&w);
    for (uint64_t i = 1; i < 10000; i++) {
        put(&w, i);
    }
    assert_false(take_page(&w, 0));
    assert_true(due_window_wants_page(&w));
    due_window_done(&w);
}

static void entries_that_are_held_keep_no_other_from_its_turn(void **state)
{
    (void)state;
    struct heap held = {0};
    struct due_window w;
    due_window_init(&w, &held, NULL);
    due_window_begin_page(&w);
    assert_true(take_page(&w, 1000000));
    for (uint64_t i = 1; i <= DUE_WINDOW_NEAR_MAX; i++) {
        put(&w, i);
    }
    due_window_end_page(&w);
    for (uint64_t i = 1; i <= DUE_WINDOW_NEAR_MAX; i++) {
        struct due_entry *e = due_window_first(&w);
        due_window_take(&w, e);
        due_window_hold(&w, e, 5000 + i);
    }
    assert_null(due_window_first(&w));
    assert_true(due_window_wants_page(&w));
    assert_int_equal(heap_first(&held)->key, 5001);
    struct due_entry *e = find(&w, 1);
    due_window_release(&w, e);
    assert_int_equal(first_ms(&w), 1);
    assert_int_equal(heap_first(&held)->key, 5002);
    drop(&w, 2); /* what goes leaves the heap as well */
    assert_int_equal(heap_first(&held)->key, 5003);
    due_window_done(&w);
    assert_null(heap_first(&held));
    heap_done(&held);
}

static void a_row_that_is_taken_goes_with_the_batch_that_deletes_it(void **state)
{
    (void)state;
    struct heap held = {0};
    struct due_window w;
    init_whole(&w, &held);
    put(&w, 10);
    due_window_take(&w, due_window_first(&w));
    put(&w, 10); /* as a page may show it again */
    assert_null(due_window_first(&w));
    drop(&w, 10);
    assert_null(find(&w, 10));
    assert_int_equal(w.others_count, 0);
    due_window_done(&w);
}

TEST_MAIN(cmocka_unit_test(a_new_window_knows_nothing_and_wants_a_page),
          cmocka_unit_test(the_nearest_row_comes_first),
          cmocka_unit_test(what_a_batch_did_while_a_page_was_read_is_done_again_on_top_of_it),
          cmocka_unit_test(a_full_window_gives_up_its_last_row_and_what_lies_beyond),
          cmocka_unit_test(a_page_is_void_where_the_edge_moved_meanwhile),
          cmocka_unit_test(a_page_is_void_where_too_much_happened_meanwhile),
          cmocka_unit_test(entries_that_are_held_keep_no_other_from_its_turn),
          cmocka_unit_test(a_row_that_is_taken_goes_with_the_batch_that_deletes_it))
