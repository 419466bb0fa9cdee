#include "actor/socket_set.h"

#include "base/mem.h"
#include "rpc/value.h"
#include "rpc/websocket.h"
#include "tests/lib/test.h"

/* The world of a test: the sets of an owner, whose node writes down what it hears of them. */
static struct socket_sets sets;
static struct buf heard;
static size_t ready_count;
static struct identity identity;
static const struct address address = {.ns = {(const uint8_t *)"app", 3},
                                       .class = {(const uint8_t *)"Room", 4},
                                       .id = {(const uint8_t *)"lobby", 5}};

enum { SHARD = 3, OTHER_SHARD = 4, NODE = 2 };

static void on_changed(void *ctx, struct actor_socket *s)
{
    (void)ctx;
    buf_printf(&heard, "changed %d\n", (int)s->ref.id);
}

static void on_send(void *ctx, struct actor_socket *s, bool is_text, struct bytes *data)
{
    (void)ctx;
    struct slice text = bytes_slice(data);
    buf_printf(&heard, "send %d %s %.*s\n", (int)s->ref.id, is_text ? "text" : "bytes",
               (int)text.len, (const char *)text.data);
}

static void on_close(void *ctx, struct actor_socket *s, uint16_t code, struct slice reason)
{
    (void)ctx;
    buf_printf(&heard, "close %d %d %.*s\n", (int)s->ref.id, code, (int)reason.len,
               (const char *)reason.data);
}

static void on_taken(void *ctx, struct actor_socket *s)
{
    (void)ctx;
    buf_printf(&heard, "taken %d\n", (int)s->ref.id);
}

static void on_gone(void *ctx, struct actor_socket *s, bool is_over)
{
    (void)ctx;
    buf_printf(&heard, "gone %d %s%s\n", (int)s->ref.id, is_over ? "over" : "let go",
               s->is_in_doubt ? " in doubt" : "");
}

static void on_ready(void *ctx, struct socket_set *set)
{
    (void)ctx;
    assert_true(set->waiting_count > 0);
    ready_count++;
}

static const struct socket_hooks hooks = {
    .changed = on_changed, .send = on_send, .close = on_close, .taken = on_taken, .gone = on_gone};

static int open_world(void **state)
{
    (void)state;
    memset(&identity, 7, sizeof identity);
    socket_sets_init(&sets, &hooks, &sets);
    sets.ready = on_ready;
    ready_count = 0;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    socket_sets_done(&sets);
    assert_int_equal(sets.socket_count, 0);
    buf_done(&heard);
    return 0;
}

static struct slice take_heard(void)
{
    static struct buf last;
    buf_done(&last);
    last = buf_take(&heard);
    return buf_slice(&last);
}

static struct socket_set *the_set(void)
{
    return socket_sets_find(&sets, &identity);
}

static struct actor_socket *offer(uint64_t id)
{
    struct socket_ref ref = {.id = id, .node = NODE};
    expect_err(socket_offer(&sets, &identity, &address, SHARD, ref), ERR_OK);
    return socket_set_find(the_set(), id);
}

static struct actor_socket *accept_with(uint64_t id, const char *tag, bool is_hibernatable)
{
    struct actor_socket *s = offer(id);
    struct slice tags[] = {slice_of_str(tag)};
    expect_err(socket_accept(s, tags, 1, is_hibernatable), ERR_OK);
    (void)take_heard();
    return s;
}

static struct actor_socket *accept_one(uint64_t id)
{
    return accept_with(id, "t", true);
}

static void say(struct actor_socket *s, const char *text)
{
    struct bytes *data = bytes_new(slice_of_str(text));
    socket_arrive(s, true, data, 1000);
    bytes_unref(data);
}

static struct socket_event *take(enum socket_event_kind kind, const char *data)
{
    struct socket_event *e = socket_set_next(the_set());
    assert_non_null(e);
    assert_int_equal(e->kind, kind);
    expect_str(bytes_slice(e->data), data);
    return e;
}

/* Coming and going */

static void a_socket_is_offered_and_accepted(void **state)
{
    (void)state;
    struct actor_socket *s = offer(7);
    assert_int_equal(s->ref.node, NODE);
    expect_str(the_set()->address.class, "Room");
    struct slice tags[] = {SLICE("red"), SLICE("blue")};
    expect_err(socket_accept(s, tags, 2, true), ERR_OK);
    assert_int_equal(s->state, SOCKET_OPEN);
    assert_true(s->is_hibernatable);
    expect_str(take_heard(), "changed 7\n");
}

static void an_answer_without_it_withdraws_it(void **state)
{
    (void)state;
    socket_withdraw(offer(7));
    assert_null(the_set());
    expect_str(take_heard(), "gone 7 over\n");
    struct actor_socket *s = accept_one(8);
    socket_withdraw(s); /* accepted, and then it was answered with something else */
    assert_null(the_set());
    expect_str(take_heard(), "gone 8 over\n");
}

static void an_answer_with_it_adds_to_what_was_said_before(void **state)
{
    (void)state;
    struct actor_socket *s = accept_with(7, "red", true);
    expect_err(socket_accept(s, NULL, 0, false), ERR_OK);
    assert_true(s->is_hibernatable);
    expect_str(bytes_slice(s->tags[0]), "red");
    struct actor_socket *late = offer(8);
    expect_err(socket_accept(late, NULL, 0, false), ERR_OK);
    assert_false(late->is_hibernatable);
    struct slice tags[] = {SLICE("late")};
    expect_err(socket_accept(late, tags, 1, true), ERR_OK);
    assert_true(late->is_hibernatable);
    assert_int_equal(late->tag_count, 1);
}

static void an_actor_has_so_many_sockets_and_no_more(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= SOCKETS_PER_ACTOR_MAX; id++) {
        (void)offer(id);
    }
    struct socket_ref ref = {.id = SOCKETS_PER_ACTOR_MAX + 1};
    expect_err(socket_offer(&sets, &identity, &address, SHARD, ref), ERR_OVERLOADED);
    socket_withdraw(socket_set_find(the_set(), 1));
    ref.id = 2;
    expect_err(socket_offer(&sets, &identity, &address, SHARD, ref), ERR_OVERLOADED); /* is there */
    ref.id = 1;
    expect_err(socket_offer(&sets, &identity, &address, SHARD, ref), ERR_OK);
}

static void tags_are_as_many_and_as_long_as_is_allowed(void **state)
{
    (void)state;
    struct actor_socket *s = offer(7);
    struct slice tags[SOCKET_TAGS_MAX + 1];
    for (size_t i = 0; i <= SOCKET_TAGS_MAX; i++) {
        tags[i] = SLICE("tag");
    }
    expect_err(socket_accept(s, tags, SOCKET_TAGS_MAX + 1, true), ERR_TOO_LARGE);
    assert_int_equal(s->state, SOCKET_OFFERED);
    char text[SOCKET_TAG_UNITS_MAX + 1];
    memset(text, 'x', sizeof text);
    tags[0] = slice_of(text, sizeof text);
    expect_err(socket_accept(s, tags, 1, true), ERR_TOO_LARGE);
    tags[0] = SLICE("\xff");
    expect_err(socket_accept(s, tags, 1, true), ERR_INVALID_VALUE);
    tags[0] = slice_of(text, SOCKET_TAG_UNITS_MAX);
    expect_err(socket_accept(s, tags, SOCKET_TAGS_MAX, true), ERR_OK);
}

static void lengths_of_text_are_those_that_code_sees(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < SOCKET_TAG_UNITS_MAX / 2; i++) {
        buf_append_str(&text, "\xf0\x9f\x98\x80"); /* two units in four bytes */
    }
    struct slice tags[] = {buf_slice(&text)};
    struct actor_socket *s = offer(7);
    expect_err(socket_accept(s, tags, 1, true), ERR_OK);
    buf_append_str(&text, "x");
    tags[0] = buf_slice(&text);
    expect_err(socket_accept(s, tags, 1, true), ERR_TOO_LARGE);
    buf_clear(&text);
    for (int i = 0; i < SOCKET_TAG_UNITS_MAX; i++) {
        buf_append_str(&text, "\xe2\x82\xac"); /* one unit in three */
    }
    tags[0] = buf_slice(&text);
    expect_err(socket_accept(s, tags, 1, true), ERR_OK);
    buf_done(&text);
}

static void sockets_are_found_by_tag_in_their_order(void **state)
{
    (void)state;
    struct actor_socket *one = accept_with(1, "red", true);
    (void)accept_with(2, "blue", true);
    struct actor_socket *three = accept_with(3, "red", true);
    (void)offer(4);
    struct actor_socket *s = socket_set_next_tagged(the_set(), SLICE("red"), NULL);
    assert_ptr_equal(s, one);
    s = socket_set_next_tagged(the_set(), SLICE("red"), s);
    assert_ptr_equal(s, three);
    assert_null(socket_set_next_tagged(the_set(), SLICE("red"), s));
    assert_null(socket_set_next_tagged(the_set(), SLICE("re"), NULL));
}

static void an_attachment_is_kept_up_to_its_limit(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    uint8_t *bytes = mem_zalloc(SOCKET_ATTACHMENT_BYTES_MAX + 1);
    expect_err(socket_attach(s, slice_of(bytes, SOCKET_ATTACHMENT_BYTES_MAX + 1)), ERR_TOO_LARGE);
    assert_null(s->attachment);
    expect_err(socket_attach(s, slice_of(bytes, SOCKET_ATTACHMENT_BYTES_MAX)), ERR_OK);
    expect_err(socket_attach(s, slice_of(bytes, SOCKET_ATTACHMENT_BYTES_MAX)), ERR_OK);
    expect_str(take_heard(), "changed 7\n"); /* once: the second is the same */
    mem_free(bytes);
}

/* Messages */

static void messages_wait_for_the_code_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    struct actor_socket *a = accept_one(1);
    struct actor_socket *b = accept_one(2);
    say(a, "one");
    say(b, "two");
    say(a, "three");
    assert_int_equal(ready_count, 3);
    struct socket_event *one = take(SOCKET_MESSAGE, "one");
    assert_ptr_equal(one->socket, a);
    assert_true(one->is_text);
    struct socket_event *two = take(SOCKET_MESSAGE, "two");
    assert_int_equal(take_heard().len, 0);
    socket_event_done(two);
    expect_str(take_heard(), "taken 2\n");
    socket_event_done(one);
    expect_str(take_heard(), "taken 1\n");
    socket_event_done(take(SOCKET_MESSAGE, "three"));
    assert_null(socket_set_next(the_set()));
}

static void what_is_done_out_of_order_is_told_in_order(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    say(s, "one");
    say(s, "two");
    struct socket_event *one = take(SOCKET_MESSAGE, "one");
    socket_event_done(take(SOCKET_MESSAGE, "two"));
    assert_int_equal(take_heard().len, 0);
    socket_event_done(one);
    expect_str(take_heard(), "taken 7\ntaken 7\n");
}

static void what_the_isolate_has_not_seen_waits_again_at_its_place(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    say(s, "one");
    say(s, "two");
    struct socket_event *one = take(SOCKET_MESSAGE, "one");
    struct socket_event *two = take(SOCKET_MESSAGE, "two");
    socket_event_back(two);
    socket_event_back(one);
    socket_event_done(take(SOCKET_MESSAGE, "one"));
    socket_event_done(take(SOCKET_MESSAGE, "two"));
}

static void what_the_code_sends_goes_to_the_client_until_it_is_closed(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    struct bytes *data = bytes_new(SLICE("hello"));
    socket_send(s, true, data);
    socket_send(s, false, data);
    expect_err(socket_close(s, 4000, SLICE("bye")), ERR_OK);
    socket_send(s, true, data);
    expect_str(take_heard(), "send 7 text hello\nsend 7 bytes hello\nclose 7 4000 bye\n");
    bytes_unref(data);
}

static void an_automatic_response_does_not_trouble_the_code(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    expect_err(socket_set_auto(the_set(), SLICE("ping"), SLICE("pong")), ERR_OK);
    (void)take_heard();
    say(s, "ping");
    expect_str(take_heard(), "send 7 text pong\ntaken 7\n");
    assert_int_equal(s->auto_ms, 1000);
    assert_int_equal(ready_count, 0);
    struct bytes *data = bytes_new(SLICE("ping"));
    socket_arrive(s, false, data, 2000);
    bytes_unref(data);
    say(s, "pings");
    assert_int_equal(ready_count, 2);
    say(s, "ping");
    expect_str(take_heard(), "send 7 text pong\n"); /* taken behind those before it */
    socket_event_done(socket_set_next(the_set()));
    socket_event_done(socket_set_next(the_set()));
    expect_str(take_heard(), "taken 7\ntaken 7\ntaken 7\n");
    expect_err(socket_set_auto(the_set(), SLICE(""), SLICE("")), ERR_OK);
    say(s, "ping");
    assert_int_equal(ready_count, 3);
}

static void the_pair_of_an_automatic_response_is_bounded(void **state)
{
    (void)state;
    (void)accept_one(7);
    static char text[SOCKET_AUTO_UNITS_MAX + 1];
    memset(text, 'x', sizeof text);
    struct slice longest = slice_of(text, SOCKET_AUTO_UNITS_MAX);
    struct slice longer = slice_of(text, SOCKET_AUTO_UNITS_MAX + 1);
    expect_err(socket_set_auto(the_set(), longer, SLICE("x")), ERR_TOO_LARGE);
    expect_err(socket_set_auto(the_set(), SLICE("x"), longer), ERR_TOO_LARGE);
    expect_err(socket_set_auto(the_set(), SLICE("x"), SLICE("\xff")), ERR_INVALID_VALUE);
    expect_err(socket_set_auto(the_set(), longest, longest), ERR_OK);
    expect_str(take_heard(), "changed 7\n");
    expect_err(socket_set_auto(the_set(), longest, longest), ERR_OK);
    assert_int_equal(take_heard().len, 0); /* the same again is no change */
}

/* Closing */

static void a_close_of_the_client_is_answered_by_the_code(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    socket_arrive_close(s, 4000, SLICE("bye"), true, true);
    struct socket_event *e = take(SOCKET_CLOSED, "bye");
    assert_int_equal(e->code, 4000);
    assert_true(e->was_clean);
    expect_err(socket_close(s, 4001, SLICE("so long")), ERR_OK);
    expect_str(take_heard(), "close 7 4001 so long\n");
    socket_event_done(e);
    expect_str(take_heard(), "taken 7\ngone 7 over\n");
    assert_null(the_set());
}

static void a_close_that_the_code_does_not_answer_is_answered_with_its_code(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    socket_arrive_close(s, 4000, SLICE("bye"), true, true);
    socket_event_done(take(SOCKET_CLOSED, "bye"));
    expect_str(take_heard(), "close 7 4000 \ntaken 7\ngone 7 over\n");
    s = accept_one(8);
    socket_arrive_close(s, WEBSOCKET_NO_CODE, SLICE(""), true, true);
    socket_event_done(take(SOCKET_CLOSED, ""));
    expect_str(take_heard(), "close 8 0 \ntaken 8\ngone 8 over\n");
}

static void a_close_of_the_code_is_over_with_that_of_the_client(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    expect_err(socket_close(s, 0, SLICE("")), ERR_OK);
    expect_err(socket_close(s, 1000, SLICE("again")), ERR_OK);
    expect_str(take_heard(), "close 7 0 \n");
    say(s, "it crossed the close");
    expect_str(take_heard(), "taken 7\n");
    assert_int_equal(ready_count, 0);
    socket_arrive_close(s, 1000, SLICE(""), true, false);
    assert_int_equal(s->state, SOCKET_GONE);
    socket_event_done(take(SOCKET_CLOSED, ""));
    expect_str(take_heard(), "taken 7\ngone 7 over\n");
}

static void a_close_that_must_not_be_sent_is_refused(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    expect_err(socket_close(s, 1005, SLICE("")), ERR_BAD_REQUEST);
    expect_err(socket_close(s, 0, SLICE("why")), ERR_BAD_REQUEST);
    expect_err(socket_close(s, 1000, SLICE("\xff")), ERR_BAD_REQUEST);
    static char text[WEBSOCKET_REASON_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    expect_err(socket_close(s, 1000, slice_of(text, sizeof text)), ERR_BAD_REQUEST);
    assert_int_equal(take_heard().len, 0);
    assert_int_equal(s->state, SOCKET_OPEN);
}

static void a_client_that_is_lost_is_closed_without_a_close_frame(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    say(s, "last");
    socket_lose(s, "Nothing is heard of it.");
    socket_lose(s, "Still nothing.");
    socket_event_done(take(SOCKET_MESSAGE, "last"));
    struct socket_event *e = take(SOCKET_CLOSED, "Nothing is heard of it.");
    assert_int_equal(e->code, WEBSOCKET_ABNORMAL);
    assert_false(e->was_clean);
    socket_event_done(e);
    expect_str(take_heard(), "taken 7\ntaken 7\ngone 7 over\n");
}

static void a_client_that_is_lost_before_it_was_accepted_is_nobody(void **state)
{
    (void)state;
    socket_lose(offer(7), "It is gone.");
    assert_null(the_set());
    assert_int_equal(ready_count, 0);
}

static void a_client_that_breaks_the_rules_is_an_error(void **state)
{
    (void)state;
    struct actor_socket *s = accept_one(7);
    socket_arrive_failure(s, SLICE("A frame is not masked."));
    socket_event_done(take(SOCKET_FAILED, "A frame is not masked."));
    expect_str(take_heard(), "taken 7\ngone 7 over\n");
}

/* Isolates and owners */

static void an_isolate_that_goes_takes_its_own_sockets_with_it(void **state)
{
    (void)state;
    struct actor_socket *s = accept_with(1, "t", true);
    (void)accept_with(2, "t", false);
    (void)offer(3);
    (void)take_heard();
    say(socket_set_find(the_set(), 2), "to the isolate");
    say(s, "to whichever");
    socket_set_isolate_gone(the_set());
    expect_str(take_heard(), "close 2 1012 The actor was restarted.\ntaken 2\n");
    assert_int_equal(s->state, SOCKET_OPEN);
    socket_event_done(take(SOCKET_MESSAGE, "to whichever"));
    (void)take_heard();
    socket_arrive_close(socket_set_find(the_set(), 2), 1012, SLICE(""), true, false);
    assert_null(socket_set_next(the_set())); /* nobody need hear of it */
    expect_str(take_heard(), "taken 2\ngone 2 over\n");
}

static void a_message_that_was_lost_with_its_isolate_closes_its_socket(void **state)
{
    (void)state;
    struct actor_socket *a = accept_one(1);
    struct actor_socket *b = accept_one(2);
    say(a, "crash");
    say(a, "behind it");
    say(b, "not seen");
    struct socket_event *lost = take(SOCKET_MESSAGE, "crash");
    socket_event_lost(lost);
    socket_set_isolate_gone(the_set());
    expect_str(take_heard(), "taken 1\nclose 1 1012 The actor was restarted.\ntaken 1\n");
    socket_event_done(take(SOCKET_MESSAGE, "not seen"));
    expect_str(take_heard(), "taken 2\n");
}

static void an_owner_lets_go_and_says_what_is_in_doubt(void **state)
{
    (void)state;
    struct actor_socket *a = accept_one(1);
    struct actor_socket *b = accept_one(2);
    say(a, "begun");
    say(b, "not begun");
    socket_event_lost(take(SOCKET_MESSAGE, "begun"));
    (void)take_heard();
    socket_sets_depose(&sets, OTHER_SHARD);
    assert_non_null(the_set());
    socket_sets_depose(&sets, SHARD);
    assert_null(the_set());
    expect_str(take_heard(), "gone 1 let go in doubt\ngone 2 let go\n");
}

static void the_next_owner_knows_what_the_memo_says(void **state)
{
    (void)state;
    struct actor_socket *s = offer(7);
    struct slice tags[] = {SLICE("red"), SLICE("blue")};
    struct buf memo = {0};
    expect_err(socket_accept(s, tags, 2, true), ERR_OK);
    expect_err(socket_attach(s, SLICE("attached")), ERR_OK);
    expect_err(socket_set_auto(the_set(), SLICE("ping"), SLICE("pong")), ERR_OK);
    say(s, "ping");
    socket_put_memo(s, &memo);
    socket_sets_depose(&sets, SHARD);
    (void)take_heard();

    struct socket_ref ref = {.id = 7, .node = NODE};
    struct actor_socket *again;
    expect_err(socket_restore(&sets, &identity, &address, SHARD, ref, buf_slice(&memo), &again),
               ERR_OK);
    assert_int_equal(again->state, SOCKET_OPEN);
    assert_true(again->is_hibernatable);
    assert_int_equal(again->tag_count, 2);
    expect_str(bytes_slice(again->tags[1]), "blue");
    expect_str(bytes_slice(again->attachment), "attached");
    assert_int_equal(again->auto_ms, 1000);
    say(again, "ping");
    expect_str(take_heard(), "send 7 text pong\ntaken 7\n");
    expect_err(socket_restore(&sets, &identity, &address, SHARD, ref, buf_slice(&memo), &again),
               ERR_OVERLOADED);
    buf_done(&memo);
}

static void a_memo_that_cannot_be_read_is_refused(void **state)
{
    (void)state;
    struct buf memo = {0};
    struct actor_socket *s = accept_with(7, "red", true);
    socket_put_memo(s, &memo);
    socket_withdraw(s);
    struct socket_ref ref = {.id = 7, .node = NODE};
    for (size_t len = 0; len < memo.len; len++) {
        expect_err(
            socket_restore(&sets, &identity, &address, SHARD, ref, slice_of(memo.data, len), &s),
            ERR_CORRUPT);
        assert_null(the_set());
    }
    buf_done(&memo);
}

static void an_isolate_that_starts_is_given_all_of_it(void **state)
{
    (void)state;
    struct actor_socket *s = accept_with(7, "red", true);
    expect_err(socket_attach(s, SLICE("a")), ERR_OK);
    (void)accept_with(8, "blue", true);
    (void)accept_with(9, "of this isolate", false);
    (void)offer(10);
    struct buf doc = {0};
    socket_set_put(the_set(), &doc);
    expect_slice(buf_slice(&doc), SLICE("\x92\x93\x07\x91\xa3red\xc4\x01"
                                        "a\x93\x08\x91\xa4"
                                        "blue\xc0"));
    buf_clear(&doc);
    socket_set_put_auto(the_set(), &doc);
    expect_slice(buf_slice(&doc), SLICE("\xc0"));
    expect_err(socket_set_auto(the_set(), SLICE("p"), SLICE("q")), ERR_OK);
    buf_clear(&doc);
    socket_set_put_auto(the_set(), &doc);
    expect_slice(buf_slice(&doc), SLICE("\x92\xa1p\xa1q"));
    buf_done(&doc);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(T(a_socket_is_offered_and_accepted), T(an_answer_without_it_withdraws_it),
          T(an_answer_with_it_adds_to_what_was_said_before),
          T(an_actor_has_so_many_sockets_and_no_more),
          T(tags_are_as_many_and_as_long_as_is_allowed),
          T(lengths_of_text_are_those_that_code_sees), T(sockets_are_found_by_tag_in_their_order),
          T(an_attachment_is_kept_up_to_its_limit),
          T(messages_wait_for_the_code_in_the_order_in_which_they_came),
          T(what_is_done_out_of_order_is_told_in_order),
          T(what_the_isolate_has_not_seen_waits_again_at_its_place),
          T(what_the_code_sends_goes_to_the_client_until_it_is_closed),
          T(an_automatic_response_does_not_trouble_the_code),
          T(the_pair_of_an_automatic_response_is_bounded),
          T(a_close_of_the_client_is_answered_by_the_code),
          T(a_close_that_the_code_does_not_answer_is_answered_with_its_code),
          T(a_close_of_the_code_is_over_with_that_of_the_client),
          T(a_close_that_must_not_be_sent_is_refused),
          T(a_client_that_is_lost_is_closed_without_a_close_frame),
          T(a_client_that_is_lost_before_it_was_accepted_is_nobody),
          T(a_client_that_breaks_the_rules_is_an_error),
          T(an_isolate_that_goes_takes_its_own_sockets_with_it),
          T(a_message_that_was_lost_with_its_isolate_closes_its_socket),
          T(an_owner_lets_go_and_says_what_is_in_doubt), T(the_next_owner_knows_what_the_memo_says),
          T(a_memo_that_cannot_be_read_is_refused), T(an_isolate_that_starts_is_given_all_of_it))
