#include "actor/workflow.h"

#include "rpc/value.h"
#include "tests/lib/test.h"

enum { NOW_MS = 1000000 };

static struct workflow started(void)
{
    struct workflow w;
    workflow_start(&w, NOW_MS);
    return w;
}

static struct workflow waiting(uint64_t due_ms)
{
    struct workflow w = started();
    workflow_wait(&w, w.news, due_ms, NOW_MS);
    return w;
}

static void a_run_that_was_started_is_looked_after_at_once(void **state)
{
    (void)state;
    struct workflow w = started();
    assert_int_equal(w.state, WORKFLOW_RUNNING);
    assert_int_equal(w.due_ms, NOW_MS);
    assert_false(workflow_is_over(&w));
}

static void a_run_that_waits_is_shown_as_running_once_its_time_has_come(void **state)
{
    (void)state;
    struct workflow w = waiting(NOW_MS + 500);
    assert_int_equal(workflow_shown_state(&w, NOW_MS + 499), WORKFLOW_WAITING);
    assert_int_equal(workflow_shown_state(&w, NOW_MS + 500), WORKFLOW_RUNNING);
}

static void a_run_that_waits_for_events_alone_has_no_time(void **state)
{
    (void)state;
    struct workflow w = waiting(0);
    assert_int_equal(w.due_ms, 0);
    assert_int_equal(workflow_shown_state(&w, UINT64_MAX), WORKFLOW_WAITING);
}

static void what_its_code_does_not_know_of_wakes_it(void **state)
{
    (void)state;
    struct workflow w = waiting(0);
    workflow_tell(&w, NOW_MS + 7);
    assert_int_equal(w.due_ms, NOW_MS + 7);
}

static void code_that_missed_news_does_not_get_to_wait(void **state)
{
    (void)state;
    struct workflow w = started();
    uint64_t known = w.news;
    workflow_tell(&w, NOW_MS + 1);
    workflow_wait(&w, known, NOW_MS + 5000, NOW_MS + 2);
    assert_int_equal(w.due_ms, NOW_MS + 2);
}

static void a_paused_run_has_no_time_whatever_happens(void **state)
{
    (void)state;
    struct workflow w = waiting(NOW_MS + 500);
    expect_err(workflow_pause(&w), ERR_OK);
    workflow_tell(&w, NOW_MS);
    workflow_wait(&w, w.news, NOW_MS + 1, NOW_MS);
    assert_true(workflow_cut_off(&w, NOW_MS));
    assert_int_equal(w.state, WORKFLOW_PAUSED);
    assert_int_equal(w.due_ms, 0);
    expect_err(workflow_resume(&w, NOW_MS + 9), ERR_OK);
    assert_int_equal(w.state, WORKFLOW_RUNNING);
    assert_int_equal(w.due_ms, NOW_MS + 9);
}

static void resuming_what_is_not_paused_changes_nothing(void **state)
{
    (void)state;
    struct workflow w = waiting(NOW_MS + 500);
    uint64_t news = w.news;
    expect_err(workflow_resume(&w, NOW_MS), ERR_OK);
    assert_int_equal(w.state, WORKFLOW_WAITING);
    assert_int_equal(w.due_ms, NOW_MS + 500);
    assert_int_equal(w.news, news);
}

static void a_run_that_is_over_stays_so_until_a_restart(void **state)
{
    (void)state;
    static const enum workflow_state ends[] = {WORKFLOW_COMPLETE, WORKFLOW_ERRORED,
                                               WORKFLOW_TERMINATED};
    for (size_t i = 0; i < 3; i++) {
        struct workflow w = started();
        workflow_end(&w, ends[i], NOW_MS + 1);
        expect_err(workflow_pause(&w), ERR_CONFLICT);
        expect_err(workflow_resume(&w, NOW_MS), ERR_CONFLICT);
        expect_err(workflow_terminate(&w, NOW_MS + 2),
                   ends[i] == WORKFLOW_TERMINATED ? ERR_OK : ERR_CONFLICT);
        workflow_tell(&w, NOW_MS);
        assert_int_equal(w.state, ends[i]);
        assert_int_equal(w.due_ms, 0);
        assert_int_equal(w.ended_ms, NOW_MS + 1);
        uint32_t epoch = w.epoch;
        workflow_restart(&w, NOW_MS + 3);
        assert_int_equal(w.state, WORKFLOW_RUNNING);
        assert_int_equal(w.epoch, epoch + 1);
        assert_int_equal(w.due_ms, NOW_MS + 3);
        assert_int_equal(w.ended_ms, 0);
    }
}

static void a_run_that_is_cut_off_is_tried_again_later_and_later_and_given_up_at_last(void **state)
{
    (void)state;
    struct workflow w = started();
    uint64_t pause_ms = WORKFLOW_AGAIN_MS;
    for (int i = 1; i < WORKFLOW_CUT_OFFS_MAX; i++) {
        assert_true(workflow_cut_off(&w, NOW_MS));
        assert_int_equal(w.due_ms, NOW_MS + pause_ms);
        pause_ms = 2 * pause_ms < WORKFLOW_AGAIN_MS_MAX ? 2 * pause_ms : WORKFLOW_AGAIN_MS_MAX;
    }
    assert_false(workflow_cut_off(&w, NOW_MS));
    assert_int_equal(w.state, WORKFLOW_ERRORED);
    assert_int_equal(w.due_ms, 0);
}

static void a_sleep_that_is_over_is_shown_as_complete_whether_or_not_its_code_knows(void **state)
{
    (void)state;
    const struct workflow_step s = {
        .type = WORKFLOW_SLEEP, .state = WORKFLOW_STEP_WAITING, .due_ms = NOW_MS};
    assert_string_equal(workflow_step_shown_state(&s, NOW_MS - 1), "waiting");
    assert_int_equal(workflow_step_shown_end(&s, NOW_MS - 1), 0);
    assert_string_equal(workflow_step_shown_state(&s, NOW_MS), "complete");
    assert_int_equal(workflow_step_shown_end(&s, NOW_MS + 5), NOW_MS);
}

static void a_run_comes_back_as_it_was_stored(void **state)
{
    (void)state;
    const struct workflow w = {.state = WORKFLOW_WAITING,
                               .is_begun = true,
                               .epoch = 2,
                               .cut_offs = 3,
                               .event_count = 4,
                               .last_event = 5,
                               .created_ms = 6,
                               .ended_ms = 7,
                               .due_ms = 8,
                               .news = 9,
                               .bytes = 10};
    struct workflow back;
    struct buf out = {0};
    workflow_encode(&w, &out);
    expect_err(workflow_decode(buf_slice(&out), &back), ERR_OK);
    assert_int_equal(back.state, w.state);
    assert_true(back.is_begun);
    assert_int_equal(back.epoch, 2);
    assert_int_equal(back.cut_offs, 3);
    assert_int_equal(back.event_count, 4);
    assert_int_equal(back.last_event, 5);
    assert_int_equal(back.created_ms, 6);
    assert_int_equal(back.ended_ms, 7);
    assert_int_equal(back.due_ms, 8);
    assert_int_equal(back.news, 9);
    assert_int_equal(back.bytes, 10);
    for (size_t len = 0; len < out.len; len++) {
        expect_err(workflow_decode(slice_of(out.data, len), &back), ERR_CORRUPT);
    }
    out.data[1] = WORKFLOW_COMPLETE + 1;
    expect_err(workflow_decode(buf_slice(&out), &back), ERR_CORRUPT);
    buf_done(&out);
}

static void a_step_comes_back_as_it_was_stored(void **state)
{
    (void)state;
    const struct workflow_step s = {.order = 7,
                                    .type = WORKFLOW_EVENT,
                                    .state = WORKFLOW_STEP_DONE,
                                    .attempts = 1,
                                    .failures = 2,
                                    .started_ms = 3,
                                    .ended_ms = 4,
                                    .due_ms = 5,
                                    .resolved = 6,
                                    .name = SLICE("approval"),
                                    .event_type = SLICE("approved"),
                                    .result = SLICE("\xc0")};
    struct workflow_step back;
    struct buf out = {0};
    workflow_step_encode(&s, &out);
    expect_err(workflow_step_decode(buf_slice(&out), &back), ERR_OK);
    assert_int_equal(back.order, 7);
    assert_int_equal(back.type, WORKFLOW_EVENT);
    assert_int_equal(back.state, WORKFLOW_STEP_DONE);
    assert_int_equal(back.failures, 2);
    assert_int_equal(back.ended_ms, 4);
    assert_int_equal(back.resolved, 6);
    assert_true(slice_equal(back.name, s.name) && slice_equal(back.event_type, s.event_type) &&
                slice_equal(back.result, s.result));
    buf_done(&out);
}

static void a_step_of_another_form_is_damaged(void **state)
{
    (void)state;
    struct workflow_step back;
    struct buf out = {0};
    value_put_array(&out, 13);
    for (int i = 0; i < 13; i++) {
        value_put_uint(&out, 1);
    }
    expect_err(workflow_step_decode(buf_slice(&out), &back), ERR_CORRUPT);
    buf_clear(&out);
    value_put_nil(&out);
    expect_err(workflow_step_decode(buf_slice(&out), &back), ERR_CORRUPT);
    buf_done(&out);
}

static void keys_of_steps_sort_by_order_and_those_of_events_by_type_and_number(void **state)
{
    (void)state;
    struct buf a = {0};
    struct buf b = {0};
    workflow_step_key(2, &a);
    workflow_step_key(256, &b);
    assert_true(slice_compare(buf_slice(&a), buf_slice(&b)) < 0);
    buf_clear(&a);
    buf_clear(&b);
    workflow_event_key('e', SLICE("go"), 9, &a);
    workflow_event_key('e', SLICE("go"), 10, &b);
    assert_true(slice_compare(buf_slice(&a), buf_slice(&b)) < 0);
    buf_clear(&b);
    workflow_event_prefix('e', SLICE("go"), &b);
    assert_true(slice_has_prefix(buf_slice(&a), buf_slice(&b)));
    buf_clear(&b);
    workflow_event_prefix('e', SLICE("g"), &b);
    assert_false(slice_has_prefix(buf_slice(&a), buf_slice(&b)));
    buf_done(&a);
    buf_done(&b);
}

TEST_MAIN(
    cmocka_unit_test(a_run_that_was_started_is_looked_after_at_once),
    cmocka_unit_test(a_run_that_waits_is_shown_as_running_once_its_time_has_come),
    cmocka_unit_test(a_run_that_waits_for_events_alone_has_no_time),
    cmocka_unit_test(what_its_code_does_not_know_of_wakes_it),
    cmocka_unit_test(code_that_missed_news_does_not_get_to_wait),
    cmocka_unit_test(a_paused_run_has_no_time_whatever_happens),
    cmocka_unit_test(resuming_what_is_not_paused_changes_nothing),
    cmocka_unit_test(a_run_that_is_over_stays_so_until_a_restart),
    cmocka_unit_test(a_run_that_is_cut_off_is_tried_again_later_and_later_and_given_up_at_last),
    cmocka_unit_test(a_sleep_that_is_over_is_shown_as_complete_whether_or_not_its_code_knows),
    cmocka_unit_test(a_run_comes_back_as_it_was_stored),
    cmocka_unit_test(a_step_comes_back_as_it_was_stored),
    cmocka_unit_test(a_step_of_another_form_is_damaged),
    cmocka_unit_test(keys_of_steps_sort_by_order_and_those_of_events_by_type_and_number))
