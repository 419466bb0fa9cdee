#include "base/mem.h"
#include "tests/lib/code_world.h"

/* The actor "a" accepts sockets: what a class that calls acceptWebSocket makes its isolate say. */

static struct request *fetch_request(const char *id, uint64_t socket)
{
    struct request *r = json_request(REQUEST_CLASS_FETCH, id, "[\"GET\",\"http://h/\",[],null]");
    r->socket = (struct socket_ref){.id = socket, .node = 1};
    return r;
}

static struct socket_set *set_of(struct world *w, const char *id)
{
    struct request *r = request_of(REQUEST_CALL, id);
    struct socket_set *set = socket_sets_find(&w->sockets, &r->identity);
    request_free(r);
    return set;
}

static struct actor_socket *socket_of(struct world *w, const char *id, uint64_t number)
{
    struct socket_set *set = set_of(w, id);
    return set != NULL ? socket_set_find(set, number) : NULL;
}

static void see_all(struct isolate *i)
{
    i->seen_count = i->sent_count;
}

static struct isolate *last_isolate(struct world *w)
{
    return &w->isolates[w->taken - 1];
}

/* The next isolate of the world, with the socket 5 of "a" open. */
static struct isolate *open_socket(struct world *w)
{
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    say(i, "[70,0,\"accept\",[5,[\"t\"],true]]");
    say_and_settle(w, i, "[68,1,true,[101,[[\"x\",\"y\"]],null,null,true],null]");
    expect_answer(&a, ERR_OK);
    expect_json(&a, "[101,[[\"x\",\"y\"]],null,null,true]");
    asked_done(&a);
    see_all(i);
    expect_heard(w, "changed 5\n");
    return i;
}

static void arrives(struct world *w, uint64_t number, const char *text)
{
    struct bytes *data = bytes_new(slice_of_str(text));
    socket_arrive(socket_of(w, "a", number), true, data, 1000);
    bytes_unref(data);
    code_host_deliver_sockets(&w->host);
}

/* Offers */

static void a_request_for_a_socket_is_offered_with_its_event(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    expect_sent(i, "[2,1,2,\"GET\",\"http://h/\",[],null,5]");
    assert_int_equal(socket_of(w, "a", 5)->state, SOCKET_OFFERED);
    say_and_settle(w, i, "[68,1,true,[101,[],null,null,true],null]");
    expect_json(&a, "[101,[],null,null,true]");
    asked_done(&a);
    assert_int_equal(socket_of(w, "a", 5)->state, SOCKET_OPEN);
}

static void an_answer_without_the_socket_withdraws_it(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    say_and_settle(w, i, "[68,1,true,[403,[],null,null,false],null]");
    expect_json(&a, "[403,[],null]");
    asked_done(&a);
    assert_null(set_of(w, "a"));
}

static void an_exception_and_the_end_of_the_isolate_withdraw_it(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    say_and_settle(w, i, "[68,1,false,{\"name\":\"E\",\"message\":\"m\"},null]");
    expect_answer(&a, ERR_ACTOR_EXCEPTION);
    asked_done(&a);
    assert_null(set_of(w, "a"));
    ask_code(w, &a, fetch_request("a", 6), 1000);
    assert_non_null(socket_of(w, "a", 6));
    code_host_on_end(i->session, &(struct code_end){.out_of_memory = false});
    expect_answer(&a, ERR_ACTOR_CUT_OFF);
    asked_done(&a);
    assert_null(set_of(w, "a"));
}

static void an_answer_says_it_has_a_socket_only_where_one_was_asked_for(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 0));
    expect_sent(i, "[2,1,2,\"GET\",\"http://h/\",[],null,null]");
    say_and_settle(w, i, "[68,1,true,[101,[],null,null,true],null]");
    expect_json(&a, "[101,[],null]");
    asked_done(&a);
    assert_null(set_of(w, "a"));
}

static void a_socket_goes_along_with_a_fetch_of_another_actor(void **state)
{
    struct world *w = *state;
    struct asked a;
    static const uint8_t answer[] = {0x95, 0x65, 0x90, 0xc0, 0xc0, 0xc3}; /* 101, true */
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    say_and_settle(
        w, i, "[69,1,\"fetch_actor\",[\"Room\",null,\"b\",\"GET\",\"http://h/\",[],null,5],null]");
    assert_int_equal(w->called->socket.id, 5);
    assert_int_equal(w->called->socket.node, 1);
    request_free(w->called);
    code_host_called(w->call, true, slice_of(answer, sizeof answer));
    say_and_settle(w, i, "[68,1,true,[101,[],null,null,true],null]");
    expect_json(&a, "[101,[],null,null,true]");
    asked_done(&a);
    assert_null(set_of(w, "a")); /* it is the other's */
}

static void nobody_elses_socket_goes_along(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    say_and_settle(
        w, i, "[69,1,\"fetch_actor\",[\"Room\",null,\"b\",\"GET\",\"http://h/\",[],null,6],null]");
    assert_int_equal(w->called->socket.id, 0);
    request_free(w->called);
    code_host_called(w->call, false, SLICE("\x80"));
    code_host_on_end(i->session, &(struct code_end){.out_of_memory = false});
    asked_done(&a);
}

/* Events */

static void a_message_is_an_event_and_is_taken_once_what_it_did_is_durable(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    arrives(w, 5, "hi");
    expect_sent(i, "[2,2,5,5,\"hi\"]");
    say(i, "[68,2,true,null,[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    expect_heard(w, "");
    engine_fixture_settle(&w->f);
    expect_heard(w, "taken 5\n");
    expect_text(&w->f, "a", "k", "one");
}

static void a_close_and_a_failure_are_events(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    socket_arrive_close(socket_of(w, "a", 5), 1001, SLICE("bye"), true, true);
    code_host_deliver_sockets(&w->host);
    expect_sent(i, "[2,2,6,5,1001,\"bye\",true]");
    say_and_settle(w, i, "[68,2,true,null,null]");
    expect_heard(w, "close 5 1001 \ntaken 5\ngone 5\n");
    assert_null(set_of(w, "a"));
}

static void an_actor_that_sleeps_is_woken_with_its_sockets(void **state)
{
    struct world *w = *state;
    (void)open_socket(w);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    assert_true(w->isolates[0].is_killed);
    arrives(w, 5, "hi");
    assert_int_equal(w->taken, 2);
    struct isolate *i = &w->isolates[1];
    assert_non_null(strstr((const char *)i->sent[0].data, "\"sockets\":[[5,[\"t\"],null]]"));
    skip_start(i);
    say(i, "[66,0,null]");
    expect_sent(i, "[2,1,5,5,\"hi\"]");
    say_and_settle(w, i, "[68,1,true,null,null]");
    expect_heard(w, "taken 5\n");
}

static void events_wait_where_there_is_no_isolate_for_them(void **state)
{
    struct world *w = *state;
    (void)open_socket(w);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    w->host.session_count = CODE_SESSIONS_MAX; /* of others */
    arrives(w, 5, "hi");
    assert_int_equal(w->taken, 1);
    assert_true(code_host_next_ms(&w->host) <= w->host.now_ms + CODE_SOCKET_RETRY_MS);
    w->host.session_count = 0;
    code_host_deliver_sockets(&w->host);
    assert_int_equal(w->taken, 2);
}

static void where_no_process_can_be_had_they_wait_and_nothing_is_in_doubt(void **state)
{
    struct world *w = *state;
    (void)open_socket(w);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    w->is_full = true;
    arrives(w, 5, "hi");
    expect_heard(w, "");
    w->is_full = false;
    code_host_deliver_sockets(&w->host);
    assert_int_equal(w->taken, 1); /* not at once again */
    code_host_tick(&w->host, w->host.now_ms + CODE_SOCKET_RETRY_MS);
    code_host_deliver_sockets(&w->host);
    assert_int_equal(w->taken, 2);
}

static void a_message_for_an_old_version_wakes_the_new_one(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    w->version = 2;
    arrives(w, 5, "hi");
    assert_true(i->is_killed);
    assert_int_equal(w->taken, 2);
    expect_heard(w, "");
}

static void a_socket_of_an_isolate_alone_goes_with_its_version(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    say_and_settle(w, i, "[68,1,true,[101,[],null,null,true],null]"); /* accepted by no handler */
    asked_done(&a);
    buf_clear(&w->heard);
    w->version = 2;
    arrives(w, 5, "hi");
    expect_heard(w, "close 5 1012 The actor was restarted.\ntaken 5\n");
    assert_int_equal(w->taken, 1);
}

static void more_events_than_may_be_under_way_wait_for_their_turn(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    i->is_deaf = true;
    for (int n = 0; n < CODE_SOCKET_EVENTS_MAX + 1; n++) {
        arrives(w, 5, "hi");
    }
    assert_int_equal(set_of(w, "a")->waiting_count, 1);
    say_and_settle(w, i, "[68,2,true,null,null]");
    code_host_deliver_sockets(&w->host);
    assert_int_equal(set_of(w, "a")->waiting_count, 0);
}

static void a_socket_that_moves_here_is_told_to_an_actor_that_is_awake(void **state)
{
    struct world *w = *state;
    struct actor_socket *s;
    struct buf memo = {0};
    struct isolate *i = open_socket(w);
    struct socket_set *set = set_of(w, "a");
    struct socket_ref ref = {.id = 7, .node = 2};
    socket_put_memo(socket_of(w, "a", 5), &memo);
    expect_err(socket_restore(&w->sockets, &set->identity, &set->address, set->shard, ref,
                              buf_slice(&memo), &s),
               ERR_OK);
    expect_sent(i, "[8,0,[[7,[\"t\"],null]]]");
    buf_done(&memo);
}

/* Failure */

static void a_message_that_a_dead_isolate_had_puts_its_socket_in_doubt(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    arrives(w, 5, "hi");
    code_host_on_end(i->session, &(struct code_end){.out_of_memory = false});
    expect_heard(w, "taken 5\nclose 5 1012 The actor was restarted.\n");
}

static void a_message_that_the_isolate_had_not_goes_to_the_next_one(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    arrives(w, 5, "first"); /* wakes one, which has not started */
    arrives(w, 5, "second");
    i = last_isolate(w);
    skip_start(i);
    code_host_stop(&w->host); /* its end is nobody's fault */
    expect_heard(w, "");
    assert_int_equal(set_of(w, "a")->waiting_count, 2);
    struct socket_event *e = socket_set_next(set_of(w, "a"));
    assert_true(slice_equal_str(bytes_slice(e->data), "first"));
    socket_event_back(e);
}

static void a_class_that_cannot_be_constructed_loses_what_woke_it(void **state)
{
    struct world *w = *state;
    (void)open_socket(w);
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    arrives(w, 5, "hi");
    say(last_isolate(w), "[67,0,{\"name\":\"E\",\"message\":\"m\"}]");
    expect_heard(w, "taken 5\nclose 5 1012 The actor was restarted.\n");
    code_host_deliver_sockets(&w->host);
    assert_int_equal(w->taken, 2);
}

static void a_shard_that_is_lost_gives_back_what_is_under_way(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    struct socket_set *set = set_of(w, "a");
    arrives(w, 5, "hi");
    say(i, "[68,2,true,null,[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]"); /* not durable yet */
    code_host_depose(&w->host, engine_shard(w->f.engine, set->shard));
    socket_sets_depose(&w->sockets, set->shard);
    expect_heard(w, "taken 5\ngone 5, let go, in doubt\n");
    engine_fixture_settle(&w->f);
}

static void a_run_has_nothing_to_do_with_its_actors_sockets(void **state)
{
    struct world *w = *state;
    struct asked a;
    (void)open_socket(w);
    ask_code(w, &a, json_request(REQUEST_EXECUTE, "a", "{\"code\":\"x\"}"), 1000);
    struct isolate *run = last_isolate(w);
    say(run, "[66,0,null]");
    say(run, "[70,0,\"close\",[5,1000,\"\"]]");
    assert_true(run->is_killed);
    expect_heard(w, "");
    asked_done(&a);
}

/* What the code says */

static void what_is_sent_leaves_once_what_was_written_before_is_durable(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    say(i, "[73,0,[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    say(i, "[70,0,\"send\",[5,\"one\"]]");
    say(i, "[70,0,\"send\",[5,{\"$bytes\":\"dHdv\"}]]");
    say(i, "[70,0,\"close\",[5,4000,\"done\"]]");
    expect_heard(w, "");
    engine_fixture_settle(&w->f);
    expect_heard(w, "send 5 text one\nsend 5 bytes two\nclose 5 4000 done\n");
}

static void letters_of_one_moment_are_one_turn(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    for (int n = 0; n < 2 * CODE_TURNS_MAX; n++) {
        say(i, "[70,0,\"send\",[5,\"x\"]]");
    }
    assert_false(i->is_paused);
    engine_fixture_settle(&w->f);
}

static void an_isolate_that_sends_more_than_leaves_is_not_read(void **state)
{
    enum { LARGE = CODE_UNSENT_BYTES_MAX / 2 };
    struct world *w = *state;
    struct buf json = {0};
    struct isolate *i = open_socket(w);
    say(i, "[73,0,[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    buf_append_str(&json, "[70,0,\"send\",[5,\"");
    for (int n = 0; n < LARGE; n++) {
        buf_append_byte(&json, 'x');
    }
    buf_append(&json, "\"]]", 4);
    say(i, (const char *)json.data);
    assert_false(i->is_paused);
    say(i, (const char *)json.data);
    assert_true(i->is_paused);
    engine_fixture_settle(&w->f);
    assert_false(i->is_paused);
    buf_done(&json);
    buf_clear(&w->heard);
}

static void what_is_said_to_a_socket_that_is_gone_goes_nowhere(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_socket(w);
    say_and_settle(w, i, "[70,0,\"send\",[77,\"x\"]]");
    say_and_settle(w, i, "[70,0,\"attach\",[77,{\"$bytes\":\"wA==\"}]]");
    say_and_settle(w, i, "[70,0,\"accept\",[77,[],true]]");
    expect_heard(w, "");
    assert_false(i->is_killed);
}

static void what_is_malformed_ends_the_isolate(void **state)
{
    static const char *const frames[] = {
        "[70,0,\"send\",[5]]",
        "[70,0,\"send\",[\"5\",\"x\"]]",
        "[70,0,\"close\",[5,70000,\"\"]]",
        "[70,0,\"accept\",[5,\"t\",true]]",
        "[70,0,\"accept\",[5,[1],true]]",
        "[70,0,\"attach\",[5,\"text\"]]",
        "[70,0,\"auto\",[1,2]]",
    };
    struct world *w = *state;
    for (size_t n = 0; n < sizeof frames / sizeof frames[0]; n++) {
        struct asked a;
        struct isolate *i = start(w, &a, call_request("b", "f"));
        say(i, frames[n]);
        assert_true(i->is_killed);
        asked_done(&a);
    }
}

static void the_automatic_response_is_the_sets_and_its_time_is_told(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    say(i, "[70,0,\"auto\",[\"ping\",\"pong\"]]");
    say(i, "[70,0,\"accept\",[5,[],true]]");
    say_and_settle(w, i, "[68,1,true,[101,[],null,null,true],null]");
    asked_done(&a);
    buf_clear(&w->heard);
    see_all(i);
    arrives(w, 5, "ping");
    expect_heard(w, "send 5 text pong\ntaken 5\n");
    expect_nothing_sent(i);
    say(i, "[69,1,\"auto_time\",[5],null]");
    expect_sent(i, "[3,1,true,1000]");
    say(i, "[69,2,\"auto_time\",[6],null]");
    expect_sent(i, "[3,2,true,null]");
}

static void what_the_constructor_set_before_it_had_a_socket_holds(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct isolate *i = start(w, &a, call_request("a", "f"));
    say(i, "[70,0,\"auto\",[\"ping\",\"pong\"]]");
    say_and_settle(w, i, "[68,1,true,{\"$bytes\":\"wA==\"},null]");
    asked_done(&a);
    ask_code(w, &a, fetch_request("a", 5), 1000);
    say_and_settle(w, i, "[68,2,true,[101,[],null,null,true],null]");
    asked_done(&a);
    buf_clear(&w->heard);
    arrives(w, 5, "ping");
    expect_heard(w, "send 5 text pong\ntaken 5\n");
}

#define T(name) cmocka_unit_test_setup_teardown(name, code_world_setup, code_world_teardown)

TEST_MAIN(T(a_request_for_a_socket_is_offered_with_its_event),
          T(an_answer_without_the_socket_withdraws_it),
          T(an_exception_and_the_end_of_the_isolate_withdraw_it),
          T(an_answer_says_it_has_a_socket_only_where_one_was_asked_for),
          T(a_socket_goes_along_with_a_fetch_of_another_actor), T(nobody_elses_socket_goes_along),
          T(a_message_is_an_event_and_is_taken_once_what_it_did_is_durable),
          T(a_close_and_a_failure_are_events), T(an_actor_that_sleeps_is_woken_with_its_sockets),
          T(events_wait_where_there_is_no_isolate_for_them),
          T(where_no_process_can_be_had_they_wait_and_nothing_is_in_doubt),
          T(a_message_for_an_old_version_wakes_the_new_one),
          T(a_socket_of_an_isolate_alone_goes_with_its_version),
          T(more_events_than_may_be_under_way_wait_for_their_turn),
          T(a_socket_that_moves_here_is_told_to_an_actor_that_is_awake),
          T(a_message_that_a_dead_isolate_had_puts_its_socket_in_doubt),
          T(a_message_that_the_isolate_had_not_goes_to_the_next_one),
          T(a_class_that_cannot_be_constructed_loses_what_woke_it),
          T(a_shard_that_is_lost_gives_back_what_is_under_way),
          T(a_run_has_nothing_to_do_with_its_actors_sockets),
          T(what_is_sent_leaves_once_what_was_written_before_is_durable),
          T(letters_of_one_moment_are_one_turn),
          T(an_isolate_that_sends_more_than_leaves_is_not_read),
          T(what_is_said_to_a_socket_that_is_gone_goes_nowhere),
          T(what_is_malformed_ends_the_isolate),
          T(the_automatic_response_is_the_sets_and_its_time_is_told),
          T(what_the_constructor_set_before_it_had_a_socket_holds))
