/* What an actor's code asks of the outside, and bodies that come from there in pieces. */
#include "actor/isolate_frame.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/code_world.h"

#define ASK3  "[69,3,\"fetch\",[\"GET\",\"http://x/\"],null]"
#define ASKED "[\"GET\",\"http://x/\"]\n"

static void to_document(const char *json, struct buf *ret)
{
    struct json_detail detail;
    expect_err(json_to_value(slice_of_str(json), VALUE_DEPTH_MAX, ret, &detail), ERR_OK);
}

/* An isolate that has asked, and whose request is outside. */
static struct isolate *ask_out(struct world *w, struct asked *a)
{
    struct isolate *i = start(w, a, call_request("a", "add"));
    i->seen_count = i->sent_count;
    say_and_settle(w, i, ASK3);
    expect_fetched(w, ASKED);
    return i;
}

static void send_head(struct world *w)
{
    struct buf doc = {0};
    assert_int_equal(code_incoming_stream(w->incoming), 1);
    to_document("[200,1]", &doc);
    code_incoming_head(w->incoming, buf_slice(&doc));
    buf_done(&doc);
}

/* ... and its head has come. */
static struct isolate *open_body(struct world *w, struct asked *a)
{
    struct isolate *i = ask_out(w, a);
    send_head(w);
    expect_sent(i, "[3,3,true,[200,1]]");
    return i;
}

static void break_off(struct world *w)
{
    struct buf doc = {0};
    to_document("{\"code\":\"timeout\",\"message\":\"m\"}", &doc);
    code_incoming_fail(w->incoming, buf_slice(&doc));
    buf_done(&doc);
}

static void end(struct world *w, struct isolate *i, struct asked *a)
{
    say_and_settle(w, i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    asked_done(a);
}

static void the_answer_comes_with_the_head_and_each_chunk_as_it_comes(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = open_body(w, &a);
    expect_nothing_sent(i);
    code_incoming_chunk(w->incoming, SLICE("\1\2"), false);
    expect_sent(i, "[4,1,{\"$bytes\":\"AQI=\"},false]");
    code_incoming_chunk(w->incoming, SLICE("\3"), true);
    expect_sent(i, "[4,1,{\"$bytes\":\"Aw==\"},true]");
    end(w, i, &a);
    expect_fetched(w, "");
}

static void an_answer_without_a_body_has_no_stream(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = ask_out(w, &a);
    static const uint8_t nil = 0xc0;
    code_incoming_head(w->incoming, slice_of(&nil, 1));
    expect_sent(i, "[3,3,true,null]");
    code_incoming_chunk(w->incoming, SLICE(""), true);
    expect_nothing_sent(i);
    end(w, i, &a);
}

static void what_is_read_is_credited(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = open_body(w, &a);
    code_incoming_chunk(w->incoming, SLICE("12345"), false);
    say(i, "[72,1,3]");
    say(i, "[72,1,2]");
    expect_fetched(w, "credit 3\ncredit 2\n");
    code_incoming_chunk(w->incoming, SLICE("6"), true);
    say(i, "[72,1,1]"); /* it has crossed with the end */
    expect_fetched(w, "");
    assert_false(i->is_killed);
    end(w, i, &a);
}

static void a_window_of_bytes_is_all_that_is_on_its_way(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = open_body(w, &a);
    static const uint8_t window[FRAME_STREAM_CREDIT];
    i->is_deaf = true;
    code_incoming_chunk(w->incoming, slice_of(window, sizeof window), false);
    assert_int_equal(w->incoming->unread_bytes, FRAME_STREAM_CREDIT);
    say(i, "[72,1,65536]");
    expect_fetched(w, "credit 65536\n");
    code_incoming_chunk(w->incoming, slice_of(window, 65536), false);
    end(w, i, &a);
}

static void credit_for_what_was_not_sent_ends_the_isolate(void **state)
{
    static const char *const frames[] = {"[72,1,6]", "[72,1,-1]", "[72,0,1]", "[72,1]"};
    struct world *w = *state;
    for (size_t n = 0; n < sizeof frames / sizeof frames[0]; n++) {
        struct asked a;
        struct isolate *i = open_body(w, &a);
        code_incoming_chunk(w->incoming, SLICE("12345"), false);
        say(i, frames[n]);
        assert_true(i->is_killed);
        expect_fetched(w, "cancel\n");
        asked_done(&a);
    }
}

static void a_failure_before_the_head_is_the_answer(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = ask_out(w, &a);
    break_off(w);
    expect_sent(i, "[3,3,false,{\"code\":\"timeout\",\"message\":\"m\"}]");
    end(w, i, &a);
}

static void a_failure_within_the_body_says_why(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = open_body(w, &a);
    code_incoming_chunk(w->incoming, SLICE("\1"), false);
    expect_sent(i, "[4,1,{\"$bytes\":\"AQ==\"},false]");
    break_off(w);
    expect_sent(i, "[4,1,{\"$bytes\":\"\"},{\"code\":\"timeout\",\"message\":\"m\"}]");
    end(w, i, &a);
}

static void cancelling_a_body_ends_its_request(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = open_body(w, &a);
    say(i, "[70,0,\"cancel\",[null,1]]");
    expect_fetched(w, "cancel\n");
    say(i, "[70,0,\"cancel\",[null,1]]");
    say(i, "[72,1,0]");
    expect_fetched(w, "");
    end(w, i, &a);
}

static void cancelling_an_ask_ends_its_request_before_its_head_and_after(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = ask_out(w, &a);
    say(i, "[70,0,\"cancel\",[3,null]]");
    expect_fetched(w, "cancel\n");
    end(w, i, &a);
    expect_nothing_sent(i);

    call(w, &a, call_request("a", "add"));
    say_and_settle(w, i, ASK3);
    assert_int_equal(code_incoming_stream(w->incoming), 1);
    static const uint8_t nil = 0xc0;
    code_incoming_head(w->incoming, slice_of(&nil, 1));
    say(i, "[70,0,\"cancel\",[3,null]]"); /* it has crossed with the answer */
    expect_fetched(w, ASKED "cancel\n");
    say_and_settle(w, i, "[68,2,true,{\"$bytes\":\"wA==\"},null]");
    asked_done(&a);
}

static void what_is_cancelled_before_it_left_never_leaves(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    i->seen_count = i->sent_count;
    say(i, "[69,3,\"fetch\",[\"GET\",\"http://x/\"],[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    say(i, "[70,0,\"cancel\",[3,null]]");
    engine_fixture_settle(&w->f);
    expect_fetched(w, "");
    expect_nothing_sent(i);
    end(w, i, &a);
    expect_text(&w->f, "a", "k", "one");
}

static void a_malformed_cancellation_ends_the_isolate(void **state)
{
    static const char *const args[] = {"null", "[]", "[1]", "[\"1\",null]", "[null,-1]"};
    struct world *w = *state;
    for (size_t n = 0; n < sizeof args / sizeof args[0]; n++) {
        char frame[64];
        struct asked a;
        struct isolate *i = start(w, &a, call_request("a", "add"));
        (void)snprintf(frame, sizeof frame, "[70,0,\"cancel\",%s]", args[n]);
        say(i, frame);
        assert_true(i->is_killed);
        asked_done(&a);
    }
}

static void nobody_asks_any_more_when_its_session_has_ended(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = open_body(w, &a);
    say_and_settle(w, i, "[69,4,\"fetch\",[\"GET\",\"http://y/\"],null]");
    expect_fetched(w, "[\"GET\",\"http://y/\"]\n");
    say(i, "[69,5,\"fetch\",[\"GET\",\"http://z/\"],[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    code_host_on_end(i->session, &(struct code_end){0});
    expect_fetched(w, "cancel\ncancel\n");
    engine_fixture_settle(&w->f);
    expect_fetched(w, "");
    asked_done(&a);
}

static void the_hosts_stop_ends_all(void **state)
{
    struct world *w = *state;
    struct asked a;
    (void)open_body(w, &a);
    code_host_stop(&w->host);
    expect_fetched(w, "cancel\n");
    asked_done(&a);
}

static void more_than_a_session_may_have_are_refused(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "add"));
    i->is_deaf = true;
    for (int n = 0; n < CODE_INCOMING_MAX; n++) {
        say_and_settle(w, i, ASK3);
    }
    buf_clear(&w->fetched);
    i->is_deaf = false;
    i->seen_count = i->sent_count;
    say_and_settle(
        w, i,
        "[69,4,\"fetch\",[\"GET\",\"http://y/\"],[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    expect_fetched(w, "");
    expect_sent(
        i, "[3,4,false,{\"code\":\"overloaded\",\"message\":\"Too many requests of this actor to "
           "the outside are under way, their bodies included.\",\"retryable\":true,"
           "\"maybe_applied\":false}]");
    say(i, "[70,0,\"cancel\",[3,null]]"); /* room for one */
    say_and_settle(w, i, "[69,5,\"fetch\",[\"GET\",\"http://z/\"],null]");
    expect_fetched(w, "cancel\n[\"GET\",\"http://z/\"]\n");
    end(w, i, &a);
    expect_text(&w->f, "a", "k", "one");
}

static void an_open_body_keeps_its_session_as_work_does(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = open_body(w, &a);
    end(w, i, &a);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    assert_false(i->is_killed);
    code_incoming_chunk(w->incoming, SLICE("1"), false);
    code_host_tick(&w->host, w->host.now_ms + CODE_BUSY_IDLE_MS - 1);
    assert_false(i->is_killed);
    code_host_tick(&w->host, w->host.now_ms + 1);
    assert_true(i->is_killed);
    expect_fetched(w, "cancel\n");
}

static void a_body_that_is_over_keeps_nothing(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = open_body(w, &a);
    end(w, i, &a);
    code_incoming_chunk(w->incoming, SLICE("1"), true);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    assert_true(i->is_killed);
    expect_fetched(w, "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, code_world_setup, code_world_teardown)

TEST_MAIN(T(the_answer_comes_with_the_head_and_each_chunk_as_it_comes),
          T(an_answer_without_a_body_has_no_stream), T(what_is_read_is_credited),
          T(a_window_of_bytes_is_all_that_is_on_its_way),
          T(credit_for_what_was_not_sent_ends_the_isolate),
          T(a_failure_before_the_head_is_the_answer), T(a_failure_within_the_body_says_why),
          T(cancelling_a_body_ends_its_request),
          T(cancelling_an_ask_ends_its_request_before_its_head_and_after),
          T(what_is_cancelled_before_it_left_never_leaves),
          T(a_malformed_cancellation_ends_the_isolate),
          T(nobody_asks_any_more_when_its_session_has_ended), T(the_hosts_stop_ends_all),
          T(more_than_a_session_may_have_are_refused),
          T(an_open_body_keeps_its_session_as_work_does), T(a_body_that_is_over_keeps_nothing))
