#include "tests/lib/code_world.h"

/* Bodies of answers that leave in pieces, on the line that came with the request. */

static struct request *fetch_request(const char *id, uint64_t line)
{
    struct request *r = json_request(REQUEST_CLASS_FETCH, id, "[\"GET\",\"http://h/\",[],null]");
    r->socket = (struct socket_ref){.id = line, .node = 1};
    r->is_for_body = true;
    return r;
}

static struct actor_socket *line_of(struct world *w, const char *id, uint64_t number)
{
    struct request *r = request_of(REQUEST_CALL, id);
    struct socket_set *set = socket_sets_find(&w->sockets, &r->identity);
    request_free(r);
    return set != NULL ? socket_set_find(set, number) : NULL;
}

/* The body 7 of the event 1, on the line 5. */
static struct isolate *open_body(struct world *w)
{
    struct asked a;
    struct isolate *i = start(w, &a, fetch_request("a", 5));
    expect_sent(i, "[2,1,2,\"GET\",\"http://h/\",[],null,null]");
    say_and_settle(w, i, "[68,1,true,[200,[[\"x\",\"y\"]],null,7,false],null]");
    expect_json(&a, "[200,[[\"x\",\"y\"]],null,true,false]");
    asked_done(&a);
    expect_heard(w, "changed 5\n");
    return i;
}

static void the_answer_leaves_before_its_body_is_whole(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_body(w);
    say_and_settle(w, i, "[71,7,{\"$bytes\":\"b25l\"},false]");
    expect_heard(w, "send 5 bytes one\n");
    say_and_settle(w, i, "[71,7,{\"$bytes\":\"dHdv\"},true]");
    expect_heard(w, "send 5 bytes two\nclose 5 1000 \n");
}

static void a_piece_leaves_once_what_was_written_before_is_durable(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_body(w);
    say(i, "[73,0,[[\"put\",\"k\",{\"$bytes\":\"o29uZQ==\"}]]]");
    say(i, "[71,7,{\"$bytes\":\"b25l\"},false]");
    expect_heard(w, "");
    engine_fixture_settle(&w->f);
    expect_heard(w, "send 5 bytes one\n");
    expect_text(&w->f, "a", "k", "one");
}

static void a_body_that_breaks_off_is_not_taken_for_whole(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_body(w);
    say_and_settle(w, i, "[71,7,{\"$bytes\":\"\"},\"broken\"]");
    expect_heard(w, "close 5 1011 \n");
}

static void the_isolate_may_send_more_once_the_client_has_what_it_sent(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_body(w);
    say_and_settle(w, i, "[71,7,{\"$bytes\":\"b25l\"},false]");
    expect_nothing_sent(i);
    w->sockets.drained(w->sockets.host_ctx, line_of(w, "a", 5), 3);
    expect_sent(i, "[6,7,3]");
    buf_clear(&w->heard);
}

static void a_client_that_goes_away_cancels_the_body(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_body(w);
    socket_lose(line_of(w, "a", 5), "gone");
    expect_sent(i, "[5,1]");
    expect_heard(w, "taken 5\ngone 5\n");
    say_and_settle(w, i, "[71,7,{\"$bytes\":\"b25l\"},false]"); /* on its way already */
    expect_heard(w, "");
    assert_false(i->is_killed);
}

static void an_actor_whose_body_is_read_stays_awake(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_body(w);
    code_host_tick(&w->host, w->host.now_ms + CODE_BUSY_IDLE_MS);
    assert_false(i->is_killed);
    say_and_settle(w, i, "[71,7,{\"$bytes\":\"\"},true]");
    code_host_tick(&w->host, w->host.now_ms + CODE_IDLE_MS);
    assert_true(i->is_killed);
    buf_clear(&w->heard);
}

static void the_end_of_the_isolate_breaks_it_off(void **state)
{
    struct world *w = *state;
    struct isolate *i = open_body(w);
    code_host_on_end(i->session, &(struct code_end){.out_of_memory = false});
    expect_heard(w, "close 5 1012 The actor was restarted.\n");
}

static void the_loss_of_the_shard_lets_go_of_it(void **state)
{
    struct world *w = *state;
    (void)open_body(w);
    uint32_t shard = line_of(w, "a", 5)->set->shard;
    code_host_depose(&w->host, engine_shard(w->f.engine, shard));
    socket_sets_depose(&w->sockets, shard);
    expect_heard(w, "close 5 1012 The actor was restarted.\ngone 5, let go\n");
}

static void an_answer_that_is_kept_under_a_key_is_whole(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct request *r = fetch_request("a", 5);
    r->idempotency_key = bytes_new(SLICE("key"));
    struct isolate *i = start(w, &a, r);
    engine_fixture_settle(&w->f); /* there is no record of it */
    say(i, "[68,1,true,[200,[],null,7,false],null]");
    say_and_settle(w, i, "[71,7,{\"$bytes\":\"AQI=\"},true]");
    expect_json(&a, "[200,[],{\"$bytes\":\"AQI=\"}]");
    asked_done(&a);
    expect_heard(w, "");
}

static void a_module_streams_as_an_actor_does(void **state)
{
    struct world *w = *state;
    struct asked a;
    struct request *r = fetch_request("a", 5);
    r->kind = REQUEST_MODULE_FETCH;
    r->identity = code_host_module(SLICE("test"));
    ask_module(w, &a, r);
    struct isolate *i = &w->isolates[0];
    skip_start(i);
    say(i, "[66,0,null]");
    say(i, "[68,1,true,[200,[],null,7,false],null]");
    expect_json(&a, "[200,[],null,true,false]");
    asked_done(&a);
    say(i, "[71,7,{\"$bytes\":\"b25l\"},true]");
    expect_heard(w, "changed 5\nsend 5 bytes one\nclose 5 1000 \n");
}

#define T(name) cmocka_unit_test_setup_teardown(name, code_world_setup, code_world_teardown)

TEST_MAIN(T(the_answer_leaves_before_its_body_is_whole),
          T(a_piece_leaves_once_what_was_written_before_is_durable),
          T(a_body_that_breaks_off_is_not_taken_for_whole),
          T(the_isolate_may_send_more_once_the_client_has_what_it_sent),
          T(a_client_that_goes_away_cancels_the_body), T(an_actor_whose_body_is_read_stays_awake),
          T(the_end_of_the_isolate_breaks_it_off), T(the_loss_of_the_shard_lets_go_of_it),
          T(an_answer_that_is_kept_under_a_key_is_whole), T(a_module_streams_as_an_actor_does))
