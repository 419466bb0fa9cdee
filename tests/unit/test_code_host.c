#include <stdio.h>

#include "actor/isolate_frame.h"
#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/code_world.h"

/* Calls */

static void a_call_goes_along_with_the_start_of_its_class(void **state)
{
    struct world *w = *state;
    struct asked a;
    call(w, &a, call_request("a", "add"));
    struct isolate *i = &w->isolates[0];
    skip_start(i);
    expect_sent(i, "[2,1,1,\"add\",{\"$bytes\":\"kgEC\"}]");
    say(i, "[66,0,null]");
    expect_nothing_sent(i);
    say(i, "[68,1,true,{\"$bytes\":\"Aw==\"},null]");
    engine_fixture_settle(&w->f);
    expect_answer(&a, ERR_OK);
    expect_json(&a, "{\"result\":3}");
    asked_done(&a);
}

static void an_answer_waits_until_what_was_written_before_it_is_durable(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say(i, "[73,0,[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    assert_false(a.is_answered);
    engine_fixture_settle(&w->f);
    expect_answer(&a, ERR_OK);
    asked_done(&a);
    expect_text(&w->f, "a", "k", "one");
}

static void code_reads_what_it_wrote_before_it_is_durable(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    i->seen_count = i->sent_count;
    say_and_settle(w, i,
                   "[69,7,\"get\",[\"k\",\"l\"],[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    expect_sent(i, "[3,7,true,[{\"$bytes\":\"o29uZQ==\"},null]]");
    say_and_settle(w, i, "[69,8,\"list\",{\"prefix\":\"k\"},null]");
    expect_sent(i, "[3,8,true,[[[\"k\",{\"$bytes\":\"o29uZQ==\"}]],false]]");
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    engine_fixture_settle(&w->f);
    asked_done(&a);
}

static void clear_takes_all_keys_and_the_alarm(void **state)
{
    struct world *w = *state;
    struct asked a;
    put_text(&w->f, "a", "old", "x");
    struct isolate *i = start(w, &a, call_request("a", "add"));
    i->seen_count = i->sent_count;
    say_and_settle(
        w, i, "[69,7,\"alarm\",null,[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}],[\"alarm\",99]]]");
    expect_sent(i, "[3,7,true,99]");
    say_and_settle(
        w, i, "[69,8,\"alarm\",null,[[\"clear\"],[\"put\",\"new\",{\"$bytes\":\"o29uZQ==\"}]]]");
    expect_sent(i, "[3,8,true,null]");
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    engine_fixture_settle(&w->f);
    asked_done(&a);
    expect_no_key(&w->f, "a", "old");
    expect_no_key(&w->f, "a", "k");
    expect_text(&w->f, "a", "new", "one");
}

static void an_exception_is_the_answer_and_what_was_written_stays(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say(i, "[68,1,false,{\"name\":\"Error\",\"message\":\"no\"},"
           "[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    engine_fixture_settle(&w->f);
    expect_answer(&a, ERR_ACTOR_EXCEPTION);
    struct buf json = {0};
    value_to_json(bytes_slice(a.reply.body), &json);
    expect_str(buf_slice(&json), "{\"name\":\"Error\",\"message\":\"no\",\"stack\":\"shown\"}");
    buf_done(&json);
    asked_done(&a);
    expect_text(&w->f, "a", "k", "one");
    expect_str(buf_slice(&w->logged), "thrown:no\n");
}

/* Logs */

static void what_code_logs_is_heard_and_a_long_line_is_cut_between_characters(void **state)
{
    enum { CUT_BYTES = 8 * 1024 };
    struct world *w = *state;
    struct asked a;
    struct buf line = {0};
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say(i, "[70,0,\"log\",[\"warn\",\"careful\"]]");
    buf_append_str(&line, "[70,0,\"log\",[\"log\",\"");
    memset(buf_extend(&line, CUT_BYTES - 1), 'x', CUT_BYTES - 1);
    buf_append_str(&line, "\xc3\xa9 and more\"]]");
    buf_append_byte(&line, '\0');
    say(i, (const char *)line.data);
    buf_done(&line);
    assert_true(slice_has_prefix(buf_slice(&w->logged), SLICE("warn:careful\nlog:xxx")));
    assert_int_equal(w->logged.len, sizeof "warn:careful\nlog:\n" - 1 + CUT_BYTES - 1);
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    engine_fixture_settle(&w->f);
    asked_done(&a);
}

static void what_is_no_method_is_no_exception_of_the_code(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say_and_settle(w, i,
                   "[68,1,false,{\"name\":\"Error\",\"message\":\"no\","
                   "\"code\":\"no_such_method\"},null]");
    expect_answer(&a, ERR_NO_SUCH_METHOD);
    asked_done(&a);
    assert_int_equal(w->logged.len, 0);
}

static void how_an_isolate_ended_is_heard_once_however_many_waited(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct asked b;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    call(w, &b, call_request("a", "add"));
    code_host_on_end(i->session, &(struct code_end){.out_of_memory = true});
    expect_str(buf_slice(&w->logged), "thrown:The actor's code used more memory than it may.\n");
    asked_done(&a);
    asked_done(&b);
}

static void a_repeat_with_its_key_is_not_run_again(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct asked b;
    struct asked c;
    struct isolate *i = start(w, &a, keyed_call("a", "key"));
    engine_fixture_settle(&w->f);
    expect_sent(i, "[2,1,1,\"add\",{\"$bytes\":\"kgEC\"}]");
    call(w, &b, keyed_call("a", "key"));
    engine_fixture_settle(&w->f);
    expect_nothing_sent(i); /* it waits for what comes of the first */
    say(i, "[68,1,true,{\"$bytes\":\"Aw==\"},[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    engine_fixture_settle(&w->f);
    expect_json(&a, "{\"result\":3}");
    assert_false(a.reply.replayed);
    expect_json(&b, "{\"result\":3}");
    assert_true(b.reply.replayed);
    struct request *other = keyed_call("a", "key");
    other->hash[0] = 1;
    call(w, &c, other);
    engine_fixture_settle(&w->f);
    expect_answer(&c, ERR_IDEMPOTENCY_MISMATCH);
    expect_nothing_sent(i);
    asked_done(&a);
    asked_done(&b);
    asked_done(&c);
}

/* Ends */

static void a_class_that_cannot_be_constructed_fails_all_that_wait(void **state)
{
    struct world *w = *state;
    struct asked a;
    call(w, &a, call_request("a", "add"));
    say(&w->isolates[0], "[67,0,{\"name\":\"TypeError\",\"message\":\"no\"}]");
    expect_answer(&a, ERR_ACTOR_EXCEPTION);
    assert_true(w->isolates[0].is_killed);
    asked_done(&a);
}

static void who_is_under_way_when_an_isolate_dies_is_in_doubt(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    code_host_on_end(i->session, &(struct code_end){.out_of_memory = true});
    expect_answer(&a, ERR_ACTOR_CUT_OFF);
    asked_done(&a);
    call(w, &a, call_request("a", "add"));
    assert_int_equal(w->taken, 2);
    code_host_stop(&w->host);
    expect_answer(&a, ERR_UNAVAILABLE); /* it had not begun */
    asked_done(&a);
}

static void who_is_under_way_when_code_aborts_hears_why(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct slice doc = {0};
    struct slice message = {0};
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say(i, "[70,0,\"abort\",{\"name\":\"RangeError\",\"message\":\"no way back\"}]");
    expect_answer(&a, ERR_ACTOR_CUT_OFF);
    assert_true(i->is_killed);
    assert_true(value_member(bytes_slice(a.reply.body), "message", &doc) &&
                value_get_str(doc, &message));
    expect_str(message, "no way back");
    asked_done(&a);
}

static void code_that_aborts_in_its_start_fails_all_that_wait(void **state)
{
    struct world *w = *state;
    struct asked a;
    call(w, &a, call_request("a", "add"));
    say(&w->isolates[0], "[70,0,\"abort\",{\"name\":\"Error\",\"message\":\"no\"}]");
    expect_answer(&a, ERR_ACTOR_EXCEPTION);
    asked_done(&a);
}

static void an_isolate_that_dies_in_its_start_may_be_tried_again(void **state)
{
    struct world *w = *state;
    struct asked a;
    call(w, &a, call_request("a", "add"));
    code_host_on_end(w->isolates[0].session, &(struct code_end){.out_of_memory = false});
    expect_answer(&a, ERR_ACTOR_CUT_OFF);
    asked_done(&a);
    call(w, &a, call_request("a", "add"));
    code_host_on_end(w->isolates[1].session, &(struct code_end){.out_of_memory = true});
    expect_answer(&a, ERR_ACTOR_EXCEPTION);
    asked_done(&a);
}

static void an_isolate_that_breaks_the_protocol_is_killed(void **state)
{
    static const char *const frames[] = {
        "[]",
        "[68]",
        "{}",
        "[68,9,true,{\"$bytes\":\"wA==\"},null]",
        "[66,0,null]",
        "[200,0]",
        "[68,1,true,1,null]",
        "[68,1,true,{\"$bytes\":\"wQ==\"},null]",
        "[69,1]",
        "[70,0,1]",
        "[70,0,\"log\",[\"loud\",\"x\"]]",
        "[69,1,\"identity\",[1],null]",
        "[67,0,{}]",
        "[70,0,\"abort\",5]",
    };
    struct world *w = *state;
    for (size_t n = 0; n < sizeof frames / sizeof frames[0]; n++) {
        struct asked a;
        w->taken = 0;
        w->isolates[0] = (struct isolate){0};
        struct isolate *i = start(w, &a, call_request("a", "add"));
        say(i, frames[n]);
        assert_true(i->is_killed);
        expect_answer(&a, ERR_ACTOR_CUT_OFF);
        asked_done(&a);
        for (size_t k = 0; k < i->sent_count; k++) {
            buf_done(&i->sent[k]);
        }
        i->sent_count = 0;
    }
}

static void writes_that_cannot_be_reset_the_actor(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say_and_settle(w, i,
                   "[68,1,true,{\"$bytes\":\"wA==\"},[[\"put\",\"\",{\"$bytes\":\"wA==\"}]]]");
    expect_answer(&a, ERR_TOO_LARGE);
    assert_true(i->is_killed);
    asked_done(&a);
}

static void a_shard_that_is_lost_takes_its_isolates_along(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct request *r = call_request("a", "add");
    struct shard *shard = engine_fixture_shard_of(&w->f, r);
    struct isolate *i = start(w, &a, r);
    code_host_depose(&w->host, shard);
    expect_answer(&a, ERR_OUTCOME_UNKNOWN);
    assert_true(i->is_killed);
    asked_done(&a);
}

/* Statistics */

static void what_code_took_and_how_it_ended_is_counted_by_its_class(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    i->cpu_us = 2600;
    say_and_settle(w, i, "[68,1,false,{\"name\":\"Error\",\"message\":\"no\"},null]");
    asked_done(&a);
    const struct code_stats *s = &w->host.stats;
    assert_int_equal(s->class_count, 1);
    assert_int_equal(s->classes[0].events, 1);
    assert_int_equal(s->classes[0].exceptions, 1);
    assert_int_equal(s->classes[0].cpu_us, 2600);
    code_host_on_end(i->session,
                     &(struct code_end){.out_of_memory = true, .usage = {.cpu_us = 3000}});
    assert_int_equal(s->classes[0].cpu_us, 3000);
    assert_int_equal(s->cpu_us, 3000);
    assert_int_equal(s->ended[CODE_END_MEMORY], 1);
}

static void classes_beyond_the_bound_are_counted_as_one(void **state)
{
    (void)state;
    struct code_stats s = {0};
    struct code_stats sum = {0};
    for (int i = 0; i < CODE_STATS_CLASSES_MAX + 5; i++) {
        char ns[16];
        (void)snprintf(ns, sizeof ns, "n%d", i);
        code_stats_class(&s, slice_of_str(ns), SLICE("A"))->events++;
        code_stats_class(&s, slice_of_str(ns), SLICE("A"))->events++;
    }
    assert_int_equal(s.class_count, CODE_STATS_CLASSES_MAX);
    assert_int_equal(s.others.events, 10);
    code_stats_add(&sum, &s);
    code_stats_add(&sum, &s);
    assert_int_equal(sum.classes[0].events, 4);
    assert_int_equal(sum.others.events, 20);
}

/* Time */

static void a_call_whose_time_is_over_is_in_doubt_and_its_code_goes_on(void **state)
{
    struct world *w = *state;
    struct asked a;
    ask_code(w, &a, call_request("a", "add"), 100);
    struct isolate *i = &w->isolates[0];
    say(i, "[66,0,null]");
    code_host_tick(&w->host, w->host.now_ms + 100);
    expect_answer(&a, ERR_TIMEOUT_IN_DOUBT);
    asked_done(&a);
    i->seen_count = i->sent_count - 1;
    expect_sent(i, "[5,1]");
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    engine_fixture_settle(&w->f);
    expect_text(&w->f, "a", "k", "one");
}

static void an_isolate_with_nothing_to_do_goes(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    engine_fixture_settle(&w->f);
    asked_done(&a);
    assert_true(code_host_next_ms(&w->host) <= w->host.now_ms + CODE_IDLE_MS);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS - 1);
    assert_false(i->is_killed);
    code_host_tick(&w->host, w->host.now_ms + 1);
    assert_true(i->is_killed);
}

static void one_that_waits_for_a_timer_stays_longer(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say(i, "[70,0,\"busy\",1]");
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    engine_fixture_settle(&w->f);
    asked_done(&a);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    assert_false(i->is_killed);
    code_host_tick(&w->host, w->host.now_ms + CODE_BUSY_IDLE_MS);
    assert_true(i->is_killed);
}

static void code_that_never_ends_is_stopped_at_its_cpu_time(void **state)
{
    struct world *w = *state;
    struct asked a;
    ask_code(w, &a, call_request("a", "add"), 600 * 1000);
    struct isolate *i = &w->isolates[0];
    say(i, "[66,0,null]");
    i->cpu_us = (uint64_t)CODE_EVENT_CPU_MS * 1000 - 1;
    code_host_tick(&w->host, w->host.now_ms + 1000);
    assert_false(i->is_killed);
    i->cpu_us++;
    code_host_tick(&w->host, w->host.now_ms + 1000);
    assert_true(i->is_killed);
    expect_answer(&a, ERR_ACTOR_CUT_OFF);
    asked_done(&a);
}

static void code_that_never_ends_is_stopped_whoever_else_calls(void **state)
{
    enum { PART_MS = CODE_EVENT_CPU_MS / 4, LONG_MS = 600 * 1000 };
    struct world *w = *state;
    struct asked a[4];
    ask_code(w, &a[0], call_request("a", "spin"), LONG_MS);
    struct isolate *i = &w->isolates[0];
    say(i, "[66,0,null]");
    for (int n = 1; n <= 4; n++) {
        assert_false(i->is_killed);
        i->cpu_us += (uint64_t)PART_MS * 1000;
        code_host_tick(&w->host, w->host.now_ms + PART_MS);
        if (n < 4) {
            ask_code(w, &a[n], call_request("a", "add"), LONG_MS);
        }
    }
    assert_true(i->is_killed);
    for (int n = 0; n < 4; n++) {
        expect_answer(&a[n], ERR_ACTOR_CUT_OFF);
        asked_done(&a[n]);
    }
}

static void a_new_version_is_taken_up_at_an_idle_moment(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct asked b;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    w->version = 2;
    call(w, &b, call_request("a", "add"));
    assert_int_equal(w->taken, 1); /* it is in use */
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    say(i, "[68,2,true,{\"$bytes\":\"wA==\"},null]");
    engine_fixture_settle(&w->f);
    asked_done(&a);
    asked_done(&b);
    call(w, &a, call_request("a", "add"));
    assert_true(i->is_killed);
    assert_int_equal(w->taken, 2);
    code_host_stop(&w->host);
    asked_done(&a);
}

/* Bounds */

static void more_events_than_an_actor_may_have_are_overloaded(void **state)
{
    struct world *w = *state;
    struct asked *all = mem_zalloc((CODE_EVENTS_MAX + 1) * sizeof *all);
    for (size_t n = 0; n <= CODE_EVENTS_MAX; n++) {
        call(w, &all[n], call_request("a", "add"));
    }
    expect_limited(&all[CODE_EVENTS_MAX], ERR_OVERLOADED, "actor_events", CODE_EVENTS_MAX);
    code_host_stop(&w->host);
    for (size_t n = 0; n <= CODE_EVENTS_MAX; n++) {
        asked_done(&all[n]);
    }
    mem_free(all);
}

static void no_process_for_it_is_overload(void **state)
{
    struct world *w = *state;
    struct asked a;
    w->is_full = true;
    call(w, &a, call_request("a", "add"));
    expect_answer(&a, ERR_OVERLOADED);
    asked_done(&a);
}

static void an_isolate_that_asks_faster_than_it_is_answered_is_not_read(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    for (int n = 0; n < CODE_TURNS_MAX; n++) {
        say(i, "[73,0,[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    }
    assert_true(i->is_paused);
    engine_fixture_settle(&w->f);
    assert_false(i->is_paused);
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    engine_fixture_settle(&w->f);
    asked_done(&a);
}

/* Others */

static void a_call_of_another_actor_leaves_after_what_was_written_is_durable(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    i->seen_count = i->sent_count;
    say(i, "[69,3,\"call\",[\"Other\",null,\"b\",\"get\",{\"$bytes\":\"kA==\"}],"
           "[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    assert_null(w->called);
    engine_fixture_settle(&w->f);
    assert_non_null(w->called);
    assert_int_equal(w->called->kind, REQUEST_CALL);
    expect_str(w->called->address.class, "Other");
    expect_str(w->called->address.id, "b");
    request_free(w->called);
    static const uint8_t result[] = {0xc4, 1, 5};
    code_host_called(w->call, true, slice_of(result, sizeof result));
    expect_sent(i, "[3,3,true,{\"$bytes\":\"BQ==\"}]");
    say(i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    engine_fixture_settle(&w->f);
    asked_done(&a);
}

static void an_answer_that_comes_after_the_end_of_its_asker_is_nobodys(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    say(i, "[69,3,\"call\",[\"Other\",null,\"b\",\"m\",{\"$bytes\":\"kA==\"}],null]");
    engine_fixture_settle(&w->f);
    request_free(w->called);
    code_host_on_end(i->session, &(struct code_end){0});
    asked_done(&a);
    static const uint8_t nil = 0xc0;
    code_host_called(w->call, true, slice_of(&nil, 1));
}

/* Bodies in pieces */

static struct request *fetch_request(const char *id)
{
    return json_request(REQUEST_CLASS_FETCH, id, "[\"GET\",\"http://h/\",[],null]");
}

static void a_body_in_pieces_is_answered_once_it_is_whole(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a"));
    i->seen_count = i->sent_count;
    say(i, "[68,1,true,[200,[],null,7,false],[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    say(i, "[71,7,{\"$bytes\":\"AQI=\"},false]");
    expect_sent(i, "[6,7,2]");
    engine_fixture_settle(&w->f);
    assert_false(a.is_answered);
    say(i, "[71,7,{\"$bytes\":\"Aw==\"},true]");
    engine_fixture_settle(&w->f);
    expect_json(&a, "[200,[],{\"$bytes\":\"AQID\"}]");
    asked_done(&a);
    expect_text(&w->f, "a", "k", "one");
}

static void a_body_that_breaks_off_is_no_answer(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a"));
    say(i, "[68,1,true,[200,[],null,7,false],null]");
    say(i, "[71,7,{\"$bytes\":\"AQI=\"},\"broken\"]");
    engine_fixture_settle(&w->f);
    expect_answer(&a, ERR_ACTOR_EXCEPTION);
    asked_done(&a);
}

/* Runs */

static struct request *run_request(const char *json)
{
    return json_request(REQUEST_EXECUTE, "a", json);
}

static void a_run_answers_its_result_its_lines_and_what_it_took(void **state)
{
    struct world *w = *state;
    struct asked a;
    call(w, &a, run_request("{\"code\":\"x\",\"input\":7}"));
    struct isolate *i = &w->isolates[0];
    skip_start(i);
    say(i, "[66,0,null]");
    expect_sent(i, "[2,1,8,{\"$bytes\":\"Bw==\"}]");
    say(i, "[70,0,\"log\",[\"info\",\"hello\"]]");
    i->cpu_us = 2600;
    i->peak_bytes = 4096;
    say(i, "[68,1,true,{\"$bytes\":\"CA==\"},[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    assert_true(i->is_killed); /* nobody else gets it */
    engine_fixture_settle(&w->f);
    expect_json(&a, "{\"result\":8,\"logs\":[{\"level\":\"info\",\"text\":\"hello\"}],"
                    "\"usage\":{\"cpu_ms\":3,\"wall_ms\":0,\"peak_memory_bytes\":4096}}");
    asked_done(&a);
    expect_text(&w->f, "a", "k", "one");
    expect_str(buf_slice(&w->logged), "info:hello\n");
}

static void expect_run_error(struct world *w, struct asked *a, const char *code)
{
    struct slice error;
    struct slice doc;
    struct slice text;
    engine_fixture_settle(&w->f);
    expect_answer(a, ERR_OK);
    assert_true(value_member(bytes_slice(a->reply.body), "error", &error));
    assert_true(value_member(error, "code", &doc) && value_get_str(doc, &text));
    expect_str(text, code);
    asked_done(a);
}

static void a_run_over_a_limit_says_which(void **state)
{
    struct world *w = *state;
    struct asked a;
    call(w, &a, run_request("{\"code\":\"x\",\"limits\":{\"cpu_ms\":10}}"));
    say(&w->isolates[0], "[66,0,null]");
    w->isolates[0].cpu_us = 10 * 1000;
    code_host_tick(&w->host, w->host.now_ms + 1000);
    expect_run_error(w, &a, "cpu_exceeded");

    call(w, &a, run_request("{\"code\":\"x\",\"limits\":{\"wall_ms\":50}}"));
    say(&w->isolates[1], "[66,0,null]");
    code_host_tick(&w->host, w->host.now_ms + 50);
    expect_run_error(w, &a, "wall_exceeded");

    call(w, &a, run_request("{\"code\":\"x\"}"));
    say(&w->isolates[2], "[66,0,null]");
    code_host_on_end(w->isolates[2].session, &(struct code_end){.out_of_memory = true});
    expect_run_error(w, &a, "memory_exceeded");

    call(w, &a, run_request("{\"code\":\"x\"}"));
    say(&w->isolates[3], "[66,0,null]");
    say(&w->isolates[3], "[68,1,false,{\"name\":\"E\",\"message\":\"m\"},null]");
    expect_run_error(w, &a, "exception");
}

#define T(name) cmocka_unit_test_setup_teardown(name, code_world_setup, code_world_teardown)

TEST_MAIN(T(a_call_goes_along_with_the_start_of_its_class),
          T(an_answer_waits_until_what_was_written_before_it_is_durable),
          T(code_reads_what_it_wrote_before_it_is_durable), T(clear_takes_all_keys_and_the_alarm),
          T(an_exception_is_the_answer_and_what_was_written_stays),
          T(what_code_logs_is_heard_and_a_long_line_is_cut_between_characters),
          T(what_is_no_method_is_no_exception_of_the_code),
          T(how_an_isolate_ended_is_heard_once_however_many_waited),
          T(what_code_took_and_how_it_ended_is_counted_by_its_class),
          cmocka_unit_test(classes_beyond_the_bound_are_counted_as_one),
          T(a_repeat_with_its_key_is_not_run_again),
          T(a_class_that_cannot_be_constructed_fails_all_that_wait),
          T(who_is_under_way_when_an_isolate_dies_is_in_doubt),
          T(who_is_under_way_when_code_aborts_hears_why),
          T(code_that_aborts_in_its_start_fails_all_that_wait),
          T(an_isolate_that_dies_in_its_start_may_be_tried_again),
          T(an_isolate_that_breaks_the_protocol_is_killed),
          T(writes_that_cannot_be_reset_the_actor),
          T(a_shard_that_is_lost_takes_its_isolates_along),
          T(a_call_whose_time_is_over_is_in_doubt_and_its_code_goes_on),
          T(an_isolate_with_nothing_to_do_goes), T(one_that_waits_for_a_timer_stays_longer),
          T(code_that_never_ends_is_stopped_at_its_cpu_time),
          T(code_that_never_ends_is_stopped_whoever_else_calls),
          T(a_new_version_is_taken_up_at_an_idle_moment),
          T(more_events_than_an_actor_may_have_are_overloaded), T(no_process_for_it_is_overload),
          T(an_isolate_that_asks_faster_than_it_is_answered_is_not_read),
          T(a_call_of_another_actor_leaves_after_what_was_written_is_durable),
          T(an_answer_that_comes_after_the_end_of_its_asker_is_nobodys),
          T(a_body_in_pieces_is_answered_once_it_is_whole), T(a_body_that_breaks_off_is_no_answer),
          T(a_run_answers_its_result_its_lines_and_what_it_took), T(a_run_over_a_limit_says_which))
