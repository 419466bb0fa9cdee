/* A client's socket from its bytes to its actor and back: an HTTP/1.1 connection, its line, and the owner of the
 * actor, all of one node. */
#include "node/client_socket.h"

#include "base/mem.h"
#include "base/random.h"
#include "node/socket_owner.h"
#include "tests/lib/test.h"

#define HANDSHAKE                                                                  \
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

enum { NODE = 1, SHARD = 5 };

struct posted {
    struct list link;
    bool is_up;
    struct bytes *data;
    struct buf wire;
};

static struct http_limits limits;
static struct http_conn *conn;
static struct http_exchange *asking; /* its request has no answer yet */
static struct socket_owner owner;
static struct socket_lines lines;
static struct client_sockets sockets;
static struct client_socket *c; /* until it is agreed on, or dropped */
static struct list mails;
static bool holds_mails;
static struct websocket *client; /* the other side's */
static struct buf answer;        /* the answer of HTTP */
static bool is_open;             /* ... was the consent */
static struct websocket_event event;
static uint64_t now_ms;
static struct identity identity;
static const struct address address = {.ns = {(const uint8_t *)"app", 3},
                                       .class = {(const uint8_t *)"Room", 4},
                                       .id = {(const uint8_t *)"lobby", 5}};

/* The net within one node */

static bool net_send(void *ctx, uint32_t to, bool is_up, const struct socket_mail *m)
{
    (void)ctx;
    assert_int_equal(to, NODE);
    struct posted *p = MEM_NEW(struct posted);
    p->is_up = is_up;
    p->data = m->kind == SOCKET_MAIL_PIECE ? bytes_ref(m->piece.data) : NULL;
    socket_mail_encode(m, p->data == NULL, &p->wire);
    list_init(&p->link);
    list_append(&mails, &p->link);
    return true;
}

static uint32_t net_leader_of(void *ctx, uint32_t shard)
{
    (void)ctx;
    (void)shard;
    return NODE;
}

static size_t net_piece_bytes(void *ctx, uint32_t node)
{
    (void)ctx;
    (void)node;
    return SIZE_MAX;
}

static const struct socket_net net = {net_send, net_leader_of, net_piece_bytes};

static void free_posted(struct posted *p)
{
    list_remove(&p->link);
    bytes_unref(p->data);
    buf_done(&p->wire);
    mem_free(p);
}

static bool deliver(void)
{
    struct posted *p = LIST_FIRST(&mails, struct posted, link);
    struct socket_mail m;
    if (p == NULL || holds_mails) {
        return false;
    }
    expect_err(socket_mail_decode(buf_slice(&p->wire), p->data, &m), ERR_OK);
    m.shard = SHARD;
    enum err err =
        p->is_up ? socket_owner_take(&owner, NODE, &m) : socket_lines_take(&lines, NODE, &m);
    expect_err(err, ERR_OK);
    free_posted(p);
    return true;
}

/* The connection */

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    asking = x;
}

static void on_cancel(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    struct callee *callee = http_exchange_user(x);
    if (callee != NULL) {
        callee->cancel(callee);
    } else {
        asking = NULL;
    }
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    struct callee *callee = http_exchange_user(x);
    callee->writable(callee);
}

static void on_output(void *ctx)
{
    (void)ctx;
}

static void on_data(void *ctx, struct http_exchange *x, struct slice in, bool is_end)
{
    (void)ctx;
    struct callee *callee = http_exchange_user(x);
    callee->data(callee, in, is_end);
}

static const struct http_hooks http_hooks = {on_request, on_cancel, on_writable, on_output,
                                             on_data};

/* Bytes of the answer: its head, then frames. */
static void take_output(struct slice out)
{
    static const char end[] = "\r\n\r\n";
    if (!is_open) {
        buf_append_slice(&answer, out);
        uint8_t *at = memmem(answer.data, answer.len, end, 4);
        is_open = at != NULL && slice_has_prefix(buf_slice(&answer), SLICE("HTTP/1.1 101 "));
        if (is_open) {
            size_t len = (size_t)(at - answer.data) + 4;
            websocket_recv(client, slice_skip(buf_slice(&answer), len));
            answer.len = len;
        }
        return;
    }
    websocket_recv(client, out);
}

static bool carry(void)
{
    struct slice out = http_conn_output(conn, now_ms);
    if (out.len > 0) {
        take_output(out);
        http_conn_sent(conn, out.len, now_ms);
        return true;
    }
    out = is_open ? websocket_output(client) : (struct slice){0};
    if (out.len > 0 && http_conn_wants_read(conn)) {
        size_t n = out.len < 1000 ? out.len : 1000;
        http_conn_recv(conn, slice_of(out.data, n), now_ms);
        websocket_sent(client, n);
        return true;
    }
    return false;
}

static void pump(void)
{
    bool is_quiet = false;
    while (!is_quiet) {
        socket_owner_tick(&owner, now_ms, now_ms);
        socket_lines_tick(&lines, now_ms);
        client_sockets_tick(&sockets, now_ms);
        socket_owner_flush(&owner);
        socket_lines_flush(&lines);
        is_quiet = !carry() && !deliver();
    }
}

static int open_world(void **state)
{
    (void)state;
    random_init();
    limits = http_limits_default;
    now_ms = 1000;
    memset(&identity, 9, sizeof identity);
    list_init(&mails);
    holds_mails = false;
    is_open = false;
    socket_owner_init(&owner, &net, NULL, NODE);
    socket_lines_init(&lines, &net, NULL, NODE, 0);
    client_sockets_init(&sockets, &lines, &websocket_limits_default);
    conn = http_conn_new(&limits, &http_hooks, NULL, now_ms);
    client = websocket_new(WEBSOCKET_CLIENT, &websocket_limits_default, now_ms);
    http_conn_recv(conn, SLICE(HANDSHAKE), now_ms);
    assert_non_null(asking);
    c = client_socket_new(&sockets, asking);
    pump();
    return 0;
}

static void forget_event(void)
{
    bytes_unref(event.data);
    event = (struct websocket_event){0};
}

static int close_world(void **state)
{
    (void)state;
    http_conn_free(conn);
    forget_event();
    websocket_free(client);
    buf_done(&answer);
    client_sockets_done(&sockets);
    while (!list_is_empty(&mails)) {
        free_posted(LIST_FIRST(&mails, struct posted, link));
    }
    socket_owner_done(&owner);
    socket_lines_done(&lines);
    return 0;
}

/* The actor */

static void offer(void)
{
    struct socket_ref ref = {.id = client_socket_id(c), .node = NODE};
    expect_err(socket_offer(&owner.sets, &identity, &address, SHARD, ref), ERR_OK);
}

static struct socket_set *the_set(void)
{
    return socket_sets_find(&owner.sets, &identity);
}

static struct actor_socket *the_socket(void)
{
    return LIST_FIRST(&the_set()->sockets, struct actor_socket, link);
}

static void accept_it(void)
{
    expect_err(socket_accept(the_socket(), NULL, 0, true), ERR_OK);
}

static void agree(void)
{
    asking = NULL;
    client_socket_agree(c, NULL, 0);
    c = NULL;
}

static struct actor_socket *open_socket(void)
{
    offer();
    accept_it();
    agree();
    pump();
    assert_true(is_open);
    return the_socket();
}

static void expect_event(enum socket_event_kind kind, const char *data, uint16_t code)
{
    struct socket_event *e = socket_set_next(the_set());
    assert_non_null(e);
    assert_int_equal(e->kind, kind);
    assert_int_equal(e->code, code);
    expect_str(bytes_slice(e->data), data);
    socket_event_done(e);
    pump();
}

static void actor_says(const char *text)
{
    struct bytes *data = bytes_new(slice_of_str(text));
    socket_send(the_socket(), true, data);
    bytes_unref(data);
    pump();
}

/* The client */

static void client_says(const char *text)
{
    expect_err(websocket_send(client, true, slice_of_str(text)), ERR_OK);
    pump();
}

static bool client_hears(enum websocket_event_kind kind)
{
    forget_event();
    return websocket_next(client, &event, now_ms) && event.kind == kind;
}

static void expect_heard(const char *text)
{
    assert_true(client_hears(WEBSOCKET_MESSAGE));
    expect_str(bytes_slice(event.data), text);
}

static void expect_closed(uint16_t code, const char *reason)
{
    assert_true(client_hears(WEBSOCKET_CLOSE));
    assert_int_equal(event.code, code);
    expect_str(event.reason, reason);
}

static void expect_nothing_left(void)
{
    assert_int_equal(sockets.count, 0);
    assert_int_equal(lines.count, 0);
    assert_int_equal(owner.count, 0);
    assert_null(the_set());
}

static void answer_close(void)
{
    expect_err(websocket_close(client, event.code, SLICE(""), now_ms), ERR_OK);
    pump();
}

/* Opening */

static void a_socket_opens_when_the_actor_has_answered_and_its_owner_has_spoken(void **state)
{
    (void)state;
    offer();
    accept_it();
    pump();
    assert_int_equal(answer.len, 0); /* the answer is not there */
    agree();
    pump();
    assert_true(is_open);
}

static void an_answer_that_comes_first_waits_for_the_owner(void **state)
{
    (void)state;
    offer();
    struct http_header headers[] = {{SLICE("x-mine"), SLICE("1")}};
    asking = NULL;
    client_socket_agree(c, headers, 1);
    pump();
    assert_int_equal(answer.len, 0);
    accept_it();
    pump();
    assert_true(is_open);
    assert_non_null(memmem(answer.data, answer.len, "x-mine: 1\r\n", 11));
}

static void what_the_actor_says_at_once_comes_behind_the_consent(void **state)
{
    (void)state;
    offer();
    accept_it();
    actor_says("welcome");
    agree();
    pump();
    expect_heard("welcome");
}

static void an_owner_that_does_not_speak_is_unavailable_in_the_end(void **state)
{
    (void)state;
    offer();
    holds_mails = true;
    accept_it();
    agree();
    pump();
    now_ms += CLIENT_AGREED_MS;
    pump();
    assert_true(slice_has_prefix(buf_slice(&answer), SLICE("HTTP/1.1 503 ")));
    assert_int_equal(sockets.count, 0);
    holds_mails = false;
    pump();
    expect_event(SOCKET_CLOSED, "The connection ended without a close frame.", WEBSOCKET_ABNORMAL);
    expect_nothing_left();
}

static void a_socket_that_is_not_agreed_on_is_dropped(void **state)
{
    (void)state;
    offer();
    accept_it();
    pump();
    client_socket_drop(c);
    http_respond(asking, 200, NULL, 0, NULL);
    pump();
    socket_withdraw(the_socket());
    pump();
    expect_nothing_left();
    assert_true(slice_has_prefix(buf_slice(&answer), SLICE("HTTP/1.1 200 ")));
}

static void a_client_that_goes_away_while_it_waits_is_nobody(void **state)
{
    (void)state;
    offer();
    agree();
    http_conn_cut(conn);
    pump();
    assert_int_equal(sockets.count, 0);
    assert_int_equal(lines.count, 0);
    accept_it();
    pump(); /* the owner hears that it is gone */
    expect_event(SOCKET_CLOSED, "The connection ended without a close frame.", WEBSOCKET_ABNORMAL);
    expect_nothing_left();
}

static void a_socket_is_whose_who_accepts_it_first(void **state)
{
    (void)state;
    struct socket_ref ref = {.id = client_socket_id(c), .node = NODE};
    struct identity other;
    memset(&other, 8, sizeof other);
    offer();
    expect_err(socket_offer(&owner.sets, &other, &address, SHARD, ref), ERR_OK);
    accept_it();
    struct actor_socket *second = socket_set_find(socket_sets_find(&owner.sets, &other), ref.id);
    expect_err(socket_accept(second, NULL, 0, true), ERR_OK);
    agree();
    pump();
    client_says("hello");
    expect_event(SOCKET_MESSAGE, "hello", 0);
    struct socket_event *e = socket_set_next(socket_sets_find(&owner.sets, &other));
    assert_int_equal(e->kind, SOCKET_CLOSED);
    socket_event_done(e);
    assert_null(socket_sets_find(&owner.sets, &other));
    actor_says("hi");
    expect_heard("hi");
}

/* Messages */

static void messages_go_both_ways(void **state)
{
    (void)state;
    (void)open_socket();
    client_says("hello");
    expect_event(SOCKET_MESSAGE, "hello", 0);
    actor_says("hi");
    expect_heard("hi");
    client_says("");
    expect_event(SOCKET_MESSAGE, "", 0);
}

static void large_messages_go_both_ways(void **state)
{
    (void)state;
    enum { BYTES = 3 * 1000 * 1000 };
    (void)open_socket();
    struct bytes *data = bytes_new_uninit(BYTES);
    for (size_t i = 0; i < BYTES; i++) {
        data->data[i] = (uint8_t)(i * 31 / 7);
    }
    expect_err(websocket_send(client, false, bytes_slice(data)), ERR_OK);
    pump();
    struct socket_event *e = socket_set_next(the_set());
    expect_slice(bytes_slice(e->data), bytes_slice(data));
    socket_event_done(e);
    socket_send(the_socket(), false, data);
    pump();
    assert_true(client_hears(WEBSOCKET_MESSAGE));
    expect_slice(bytes_slice(event.data), bytes_slice(data));
    bytes_unref(data);
}

static void what_the_actor_does_not_take_holds_the_client_back(void **state)
{
    (void)state;
    (void)open_socket();
    uint8_t *payload = mem_zalloc(100 * 1000);
    size_t sent = 0;
    for (int i = 0; i < 20; i++) {
        sent += websocket_send(client, false, slice_of(payload, 100 * 1000)) == ERR_OK;
        pump();
    }
    mem_free(payload);
    assert_false(http_conn_wants_read(conn));
    size_t waiting = the_set()->waiting_count;
    assert_true(waiting >= 2 && waiting <= 4);
    size_t done = 0;
    struct socket_event *e;
    while ((e = socket_set_next(the_set())) != NULL) {
        socket_event_done(e);
        done++;
        pump();
    }
    assert_int_equal(done, sent);
    assert_true(http_conn_wants_read(conn));
}

static void what_the_client_does_not_take_ends_its_socket(void **state)
{
    (void)state;
    struct actor_socket *s = open_socket();
    struct bytes *data = bytes_new_uninit(1000 * 1000);
    memset(data->data, 'x', data->len);
    for (int i = 0; i < 12 && s->state == SOCKET_OPEN; i++) {
        socket_send(s, false, data);
        socket_owner_flush(&owner);
        while (deliver()) {
        }
        socket_lines_flush(&lines);
    }
    bytes_unref(data);
    assert_int_equal(s->state, SOCKET_GONE);
    assert_true(owner.untaken_bytes <= SOCKET_UNTAKEN_BYTES_MAX + 1000 * 1000 + 2048);
    pump();
    while (client_hears(WEBSOCKET_MESSAGE)) {
    }
    assert_int_equal(event.kind, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, WEBSOCKET_TRY_AGAIN);
    answer_close();
    expect_event(SOCKET_CLOSED, "The client read too slowly.", WEBSOCKET_ABNORMAL);
    expect_nothing_left();
}

static void a_message_for_which_its_address_has_no_room_ends_its_socket(void **state)
{
    (void)state;
    (void)open_socket();
    limits.address_bytes_max = 100 * 1000;
    uint8_t *payload = mem_zalloc(1000 * 1000);
    expect_err(websocket_send(client, false, slice_of(payload, 1000 * 1000)), ERR_OK);
    pump();
    mem_free(payload);
    expect_closed(WEBSOCKET_TRY_AGAIN, "Too much waits for this address.");
    answer_close();
    expect_event(SOCKET_CLOSED, "", WEBSOCKET_TRY_AGAIN);
    expect_nothing_left();
}

/* Closing */

static void a_close_of_the_client_is_answered_by_the_actor(void **state)
{
    (void)state;
    (void)open_socket();
    expect_err(websocket_close(client, 4000, SLICE("bye"), now_ms), ERR_OK);
    pump();
    assert_false(client_hears(WEBSOCKET_CLOSE));
    expect_err(socket_close(the_socket(), 4001, SLICE("so long")), ERR_OK);
    pump();
    expect_closed(4001, "so long");
    expect_event(SOCKET_CLOSED, "bye", 4000);
    expect_nothing_left();
    assert_true(http_conn_wants_close(conn));
}

static void a_close_of_the_actor_is_answered_by_the_client(void **state)
{
    (void)state;
    (void)open_socket();
    actor_says("last words");
    expect_err(socket_close(the_socket(), 1000, SLICE("done")), ERR_OK);
    pump();
    expect_heard("last words");
    expect_closed(1000, "done");
    answer_close();
    assert_true(http_conn_wants_close(conn));
    expect_event(SOCKET_CLOSED, "", 1000);
    expect_nothing_left();
}

static void a_client_that_goes_away_is_closed_for_its_actor(void **state)
{
    (void)state;
    (void)open_socket();
    client_says("last words");
    http_conn_cut(conn);
    pump();
    expect_event(SOCKET_MESSAGE, "last words", 0);
    expect_event(SOCKET_CLOSED, "The connection ended without a close frame.", WEBSOCKET_ABNORMAL);
    expect_nothing_left();
}

static void a_client_that_breaks_the_rules_is_an_error_for_its_actor(void **state)
{
    (void)state;
    (void)open_socket();
    http_conn_recv(conn, SLICE("\x81\x01x"), now_ms);
    pump();
    expect_closed(WEBSOCKET_PROTOCOL_ERROR, "A frame is not masked.");
    expect_event(SOCKET_FAILED, "A frame is not masked.", 0);
    expect_nothing_left();
}

static void a_client_that_is_silent_is_asked_and_given_up(void **state)
{
    (void)state;
    (void)open_socket();
    now_ms += websocket_limits_default.ping_ms;
    client_sockets_tick(&sockets, now_ms);
    assert_true(http_conn_output(conn, now_ms).len == 2); /* a ping, which it does not get */
    now_ms += websocket_limits_default.pong_ms;
    client_sockets_tick(&sockets, now_ms);
    pump();
    expect_event(SOCKET_CLOSED, "The other side is silent.", WEBSOCKET_ABNORMAL);
    expect_nothing_left();
}

static void a_socket_whose_owner_knows_it_no_more_is_to_connect_anew(void **state)
{
    (void)state;
    (void)open_socket();
    client_says("lost");
    socket_sets_done(&owner.sets); /* an owner that forgets */
    socket_owner_done(&owner);
    socket_owner_init(&owner, &net, NULL, NODE);
    client_says("more");
    expect_closed(WEBSOCKET_RESTART, "The actor has moved; connect anew.");
    answer_close();
    expect_nothing_left();
}

static void all_are_to_connect_anew_when_the_node_stops(void **state)
{
    (void)state;
    (void)open_socket();
    client_sockets_end_all(&sockets);
    pump();
    expect_closed(WEBSOCKET_RESTART, "The node stops; connect anew.");
    answer_close();
    expect_event(SOCKET_CLOSED, "", WEBSOCKET_RESTART);
    expect_nothing_left();
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(T(a_socket_opens_when_the_actor_has_answered_and_its_owner_has_spoken),
          T(an_answer_that_comes_first_waits_for_the_owner),
          T(what_the_actor_says_at_once_comes_behind_the_consent),
          T(an_owner_that_does_not_speak_is_unavailable_in_the_end),
          T(a_socket_that_is_not_agreed_on_is_dropped),
          T(a_client_that_goes_away_while_it_waits_is_nobody),
          T(a_socket_is_whose_who_accepts_it_first), T(messages_go_both_ways),
          T(large_messages_go_both_ways), T(what_the_actor_does_not_take_holds_the_client_back),
          T(what_the_client_does_not_take_ends_its_socket),
          T(a_message_for_which_its_address_has_no_room_ends_its_socket),
          T(a_close_of_the_client_is_answered_by_the_actor),
          T(a_close_of_the_actor_is_answered_by_the_client),
          T(a_client_that_goes_away_is_closed_for_its_actor),
          T(a_client_that_breaks_the_rules_is_an_error_for_its_actor),
          T(a_client_that_is_silent_is_asked_and_given_up),
          T(a_socket_whose_owner_knows_it_no_more_is_to_connect_anew),
          T(all_are_to_connect_anew_when_the_node_stops))
