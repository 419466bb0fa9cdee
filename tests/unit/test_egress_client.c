#include "actor/egress_client.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

enum { REQUESTS = 8 };

/* One who asks, and a process that says what the test has it say. */
struct asker {
    struct egress_request request;
    struct world *world;
    uint32_t heads;
    uint32_t ends;
    uint32_t fails;
    size_t bytes;
    char code[32];
    bool retryable;
    bool maybe_applied;
    bool asks_again; /* when it has failed */
    enum err again;
    bool cancels_others; /* when it has failed, those that have not */
};

struct world {
    struct egress_client client;
    bool can_start;
    uint32_t starts;
    uint32_t records;
    struct channel_inbox sent;
    struct buf kinds; /* of the frames that were sent */
    uint64_t last_id;
    uint32_t handovers;
    bool can_send_sockets;
    struct buf array;
    struct asker askers[REQUESTS];
};

static bool start(void *ctx)
{
    struct world *w = ctx;
    w->starts += w->can_start ? 1 : 0;
    return w->can_start;
}

static enum err see(void *ctx, struct slice bytes)
{
    struct world *w = ctx;
    struct egress_frame f;
    expect_err(egress_frame_decode(bytes, &f), ERR_OK);
    buf_append_byte(&w->kinds, (uint8_t)f.kind);
    w->last_id = f.id;
    return ERR_OK;
}

static void send(void *ctx, struct slice bytes)
{
    struct world *w = ctx;
    expect_err(channel_inbox_feed(&w->sent, bytes, see, w), ERR_OK);
}

static void record(void *ctx, const struct egress_record *r)
{
    struct world *w = ctx;
    (void)r;
    w->records++;
}

static bool send_sockets(void *ctx, struct slice bytes, const int *fds)
{
    struct world *w = ctx;
    assert_int_equal(fds[EGRESS_BOX_DNS], 13);
    w->handovers++;
    send(ctx, bytes);
    return w->can_send_sockets;
}

static const struct egress_client_hooks client_hooks = {start, send, send_sockets, record};

static enum err ask(struct world *w, size_t i, uint64_t now_ms);

static void on_head(struct egress_request *r, const struct egress_head *h)
{
    struct asker *a = CONTAINER_OF(r, struct asker, request);
    assert_int_equal(h->status, 200);
    a->heads++;
}

static void on_chunk(struct egress_request *r, struct slice bytes, bool is_end)
{
    struct asker *a = CONTAINER_OF(r, struct asker, request);
    a->bytes += bytes.len;
    a->ends += is_end ? 1 : 0;
}

static void on_fail(struct egress_request *r, const struct egress_fail *f)
{
    struct asker *a = CONTAINER_OF(r, struct asker, request);
    a->fails++;
    (void)snprintf(a->code, sizeof a->code, "%.*s", (int)f->code.len, (const char *)f->code.data);
    a->retryable = f->retryable;
    a->maybe_applied = f->maybe_applied;
    if (a->asks_again) {
        a->again = ask(a->world, 0, 1000000);
    }
    for (size_t i = 0; a->cancels_others && i < REQUESTS; i++) {
        struct asker *other = &a->world->askers[i];
        if (other != a && other->request.id != 0 && other->fails == 0) {
            egress_client_credit(&a->world->client, &other->request, 10);
            egress_client_cancel(&a->world->client, &other->request);
        }
    }
}

static const struct egress_request_hooks request_hooks = {on_head, on_chunk, on_fail};

static struct egress_fetch fetch_of(struct world *w)
{
    return (struct egress_fetch){.method = SLICE("GET"),
                                 .url = SLICE("https://example.com/"),
                                 .fields = buf_slice(&w->array),
                                 .allow = buf_slice(&w->array),
                                 .bytes_max = UINT64_MAX,
                                 .ms_max = UINT64_MAX};
}

static enum err ask(struct world *w, size_t i, uint64_t now_ms)
{
    struct egress_fetch f = fetch_of(w);
    return egress_client_fetch(&w->client, &w->askers[i].request, &request_hooks, &f, now_ms);
}

static struct world *new_world(void)
{
    struct world *w = MEM_NEW(struct world);
    w->can_start = true;
    channel_inbox_init(&w->sent);
    value_put_array(&w->array, 0);
    egress_client_init(&w->client, &client_hooks, w);
    for (size_t i = 0; i < REQUESTS; i++) {
        w->askers[i].world = w;
    }
    return w;
}

static void free_world(struct world *w)
{
    egress_client_lost(&w->client, 0);
    egress_client_done(&w->client);
    channel_inbox_done(&w->sent);
    buf_done(&w->kinds);
    buf_done(&w->array);
    mem_free(w);
}

static enum err say(struct world *w, struct buf *frames)
{
    enum err err = egress_client_feed(&w->client, buf_slice(frames));
    buf_done(frames);
    return err;
}

static void greet(struct world *w)
{
    struct buf out = {0};
    egress_put_hello(&out, EGRESS_SECCOMP);
    expect_err(say(w, &out), ERR_OK);
}

static void put_head(struct world *w, struct buf *out, uint64_t id)
{
    egress_put_head(out, id, &(struct egress_head){.status = 200, .fields = buf_slice(&w->array)});
}

static uint64_t id_of(struct world *w, size_t i)
{
    return w->askers[i].request.id;
}

/* Requests */

static void the_process_is_started_by_the_first_request_alone(void **state)
{
    (void)state;
    struct world *w = new_world();
    assert_int_equal(w->starts, 0);
    expect_err(ask(w, 0, 0), ERR_OK);
    expect_err(ask(w, 1, 0), ERR_OK);
    assert_int_equal(w->starts, 1);
    expect_slice(buf_slice(&w->kinds), SLICE("\x01\x01"));
    free_world(w);
}

static void a_response_goes_to_who_asked_whatever_the_order(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct buf out = {0};
    expect_err(ask(w, 0, 0), ERR_OK);
    expect_err(ask(w, 1, 0), ERR_OK);
    greet(w);
    put_head(w, &out, id_of(w, 1));
    put_head(w, &out, id_of(w, 0));
    egress_put_chunk(&out, id_of(w, 1), SLICE("abc"), false);
    egress_put_chunk(&out, id_of(w, 0), SLICE("d"), true);
    egress_put_chunk(&out, id_of(w, 1), (struct slice){0}, true);
    expect_err(say(w, &out), ERR_OK);
    assert_true(w->askers[0].heads == 1 && w->askers[0].bytes == 1 && w->askers[0].ends == 1);
    assert_true(w->askers[1].heads == 1 && w->askers[1].bytes == 3 && w->askers[1].ends == 1);
    assert_int_equal(w->client.requests.count, 0);
    assert_int_equal(w->client.request_bytes, 0);
    free_world(w);
}

static void a_failure_ends_its_request_alone(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct buf out = {0};
    struct egress_fail fail = egress_fail_of(ERR_EGRESS_DENIED, NULL);
    expect_err(ask(w, 0, 0), ERR_OK);
    expect_err(ask(w, 1, 0), ERR_OK);
    greet(w);
    egress_put_fail(&out, id_of(w, 0), &fail);
    expect_err(say(w, &out), ERR_OK);
    assert_string_equal(w->askers[0].code, "egress_denied");
    assert_true(w->askers[0].fails == 1 && w->askers[1].fails == 0);
    free_world(w);
}

static void nothing_comes_for_a_request_that_was_cancelled(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct buf out = {0};
    expect_err(ask(w, 0, 0), ERR_OK);
    greet(w);
    uint64_t id = id_of(w, 0);
    egress_client_cancel(&w->client, &w->askers[0].request);
    expect_slice(buf_slice(&w->kinds), SLICE("\x01\x06"));
    put_head(w, &out, id);
    egress_put_chunk(&out, id, SLICE("abc"), true);
    expect_err(say(w, &out), ERR_OK);
    assert_true(w->askers[0].heads == 0 && w->askers[0].bytes == 0);
    assert_int_equal(w->client.requests.count, 0);
    free_world(w);
}

/* Bounds */

static void a_513th_request_is_refused(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct egress_request *many = mem_zalloc((EGRESS_REQUESTS_MAX + 1) * sizeof *many);
    struct egress_fetch f = fetch_of(w);
    for (size_t i = 0; i < EGRESS_REQUESTS_MAX; i++) {
        expect_err(egress_client_fetch(&w->client, &many[i], &request_hooks, &f, 0), ERR_OK);
    }
    struct egress_request *last = &many[EGRESS_REQUESTS_MAX];
    expect_err(egress_client_fetch(&w->client, last, &request_hooks, &f, 0), ERR_OVERLOADED);
    assert_int_equal(w->client.counters.refused, 1);
    egress_client_cancel(&w->client, &many[7]);
    expect_err(egress_client_fetch(&w->client, last, &request_hooks, &f, 0), ERR_OK);
    for (size_t i = 0; i <= EGRESS_REQUESTS_MAX; i++) {
        if (i != 7) {
            egress_client_cancel(&w->client, &many[i]);
        }
    }
    mem_free(many);
    free_world(w);
}

static void bodies_under_way_are_bounded_together(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct egress_fetch f = fetch_of(w);
    struct buf body = {0};
    memset(buf_extend(&body, EGRESS_REQUEST_BODY_BYTES_MAX), 'x', EGRESS_REQUEST_BODY_BYTES_MAX);
    f.has_body = true;
    f.body = buf_slice(&body);
    for (size_t i = 0; i < 4; i++) {
        expect_err(egress_client_fetch(&w->client, &w->askers[i].request, &request_hooks, &f, 0),
                   i < 3 ? ERR_OK : ERR_OVERLOADED);
    }
    expect_err(ask(w, 4, 0), ERR_OK); /* a small one has room */
    buf_done(&body);
    free_world(w);
}

static void what_the_process_would_not_read_is_not_sent(void **state)
{
    (void)state;
    struct world *w = new_world();
    static const uint8_t nil = 0xc0;
    struct buf large = {0};
    memset(buf_extend(&large, EGRESS_REQUEST_BODY_BYTES_MAX + 1), 'x', large.len);
    for (int i = 0; i < 5; i++) {
        struct egress_fetch f = fetch_of(w);
        f.fields = i == 0 ? slice_of(&nil, 1) : f.fields;
        f.allow = i == 1 ? slice_of(&nil, 1) : f.allow;
        f.url = i == 2 ? slice_of(large.data, EGRESS_URL_BYTES_MAX + 1) : f.url;
        f.method = i == 3 ? slice_of(large.data, EGRESS_URL_BYTES_MAX + 1) : f.method;
        f.has_body = i == 4;
        f.body = i == 4 ? buf_slice(&large) : f.body;
        expect_err(egress_client_fetch(&w->client, &w->askers[0].request, &request_hooks, &f, 0),
                   i < 2 ? ERR_BAD_REQUEST : ERR_TOO_LARGE);
    }
    assert_true(w->kinds.len == 0 && w->starts == 0 && w->client.request_bytes == 0);
    buf_done(&large);
    free_world(w);
}

static void the_process_may_say_no_more_than_there_is_credit_for(void **state)
{
    (void)state;
    static const uint8_t bytes[EGRESS_CHUNK_BYTES_MAX];
    for (int credit = 0; credit < 2; credit++) {
        struct world *w = new_world();
        struct buf out = {0};
        expect_err(ask(w, 0, 0), ERR_OK);
        greet(w);
        put_head(w, &out, id_of(w, 0));
        for (size_t n = 0; n < EGRESS_CREDIT_BYTES; n += sizeof bytes) {
            egress_put_chunk(&out, id_of(w, 0), slice_of(bytes, sizeof bytes), false);
        }
        expect_err(say(w, &out), ERR_OK);
        if (credit > 0) {
            egress_client_credit(&w->client, &w->askers[0].request, 10);
        }
        egress_put_chunk(&out, id_of(w, 0), slice_of(bytes, 10), false);
        expect_err(say(w, &out), credit > 0 ? ERR_OK : ERR_CORRUPT);
        free_world(w);
    }
}

/* Nonsense */

enum nonsense {
    NO_HELLO,
    HELLO_TWICE,
    NOT_LOCKED_DOWN,
    CHUNK_BEFORE_HEAD,
    HEAD_TWICE,
    ID_OF_THE_FUTURE,
    ID_ZERO,
    A_FETCH,
    A_CREDIT,
    NO_FRAME,
    NONSENSE_COUNT
};

static void put_nonsense(struct world *w, struct buf *out, enum nonsense what)
{
    struct egress_fetch f = fetch_of(w);
    f.bytes_max = f.ms_max = 1;
    switch (what) {
    case NO_HELLO:
        put_head(w, out, id_of(w, 0));
        break;
    case HELLO_TWICE:
        egress_put_hello(out, EGRESS_SECCOMP);
        break;
    case NOT_LOCKED_DOWN:
        egress_put_hello(out, EGRESS_LANDLOCK | EGRESS_RLIMIT);
        break;
    case CHUNK_BEFORE_HEAD:
        egress_put_chunk(out, id_of(w, 0), SLICE("x"), true);
        break;
    case HEAD_TWICE:
        put_head(w, out, id_of(w, 0));
        put_head(w, out, id_of(w, 0));
        break;
    case ID_OF_THE_FUTURE:
        put_head(w, out, id_of(w, 0) + 1);
        break;
    case ID_ZERO:
        put_head(w, out, 0);
        break;
    case A_FETCH:
        egress_put_fetch(out, id_of(w, 0), &f);
        break;
    case A_CREDIT:
        egress_put_credit(out, id_of(w, 0), 1);
        break;
    case NO_FRAME:
    case NONSENSE_COUNT:
        buf_append(out, "\x01\0\0\0\xc0", 5);
        break;
    }
}

static void what_makes_no_sense_is_corrupt(void **state)
{
    (void)state;
    for (int what = 0; what < NONSENSE_COUNT; what++) {
        struct world *w = new_world();
        struct buf out = {0};
        expect_err(ask(w, 0, 0), ERR_OK);
        if (what != NO_HELLO && what != NOT_LOCKED_DOWN) {
            greet(w);
        }
        put_nonsense(w, &out, (enum nonsense)what);
        expect_err(say(w, &out), ERR_CORRUPT);
        egress_client_lost(&w->client, 0);
        assert_int_equal(w->askers[0].fails, 1);
        free_world(w);
    }
}

/* Death */

static void all_that_is_under_way_fails_with_the_process_and_may_be_tried_again(void **state)
{
    (void)state;
    for (int greeted = 0; greeted < 2; greeted++) {
        struct world *w = new_world();
        expect_err(ask(w, 0, 0), ERR_OK);
        expect_err(ask(w, 1, 0), ERR_OK);
        if (greeted > 0) {
            greet(w);
        }
        egress_client_lost(&w->client, 10);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(w->askers[i].fails, 1);
            assert_string_equal(w->askers[i].code, "unavailable");
            assert_true(w->askers[i].retryable);
            assert_int_equal(w->askers[i].maybe_applied, greeted);
        }
        free_world(w);
    }
}

static void who_asks_again_from_its_failure_is_refused_until_there_is_a_new_process(void **state)
{
    (void)state;
    struct world *w = new_world();
    expect_err(ask(w, 1, 0), ERR_OK);
    w->askers[1].asks_again = true;
    egress_client_lost(&w->client, 1000000);
    expect_err(w->askers[1].again, ERR_UNAVAILABLE);
    assert_int_equal(w->starts, 1);
    free_world(w);
}

static void whoever_fails_with_the_process_may_cancel_the_others(void **state)
{
    (void)state;
    struct world *w = new_world();
    for (size_t i = 0; i < 2; i++) {
        expect_err(ask(w, i, 0), ERR_OK);
        w->askers[i].cancels_others = true;
    }
    size_t sent = w->kinds.len;
    egress_client_lost(&w->client, 10);
    assert_int_equal(w->askers[0].fails + w->askers[1].fails, 1);
    assert_int_equal(w->kinds.len, sent); /* there is nobody to be told */
    assert_true(w->client.requests.count == 0 && w->client.request_bytes == 0);
    free_world(w);
}

static void a_process_that_dies_soon_is_started_later_each_time(void **state)
{
    (void)state;
    struct world *w = new_world();
    uint64_t now_ms = 1000;
    uint64_t delay_ms = EGRESS_RESTART_MS;
    for (uint32_t deaths = 0; deaths < 12; deaths++) {
        expect_err(ask(w, 0, now_ms), ERR_OK);
        assert_int_equal(w->starts, deaths + 1);
        egress_client_lost(&w->client, now_ms);
        expect_err(ask(w, 0, now_ms + delay_ms - 1), ERR_UNAVAILABLE);
        now_ms += delay_ms;
        delay_ms = 2 * delay_ms < EGRESS_RESTART_MS_MAX ? 2 * delay_ms : EGRESS_RESTART_MS_MAX;
    }
    assert_int_equal(w->client.counters.refused, 12);
    expect_err(ask(w, 0, now_ms), ERR_OK); /* who has run for a while did not die soon */
    now_ms += EGRESS_STEADY_MS;
    egress_client_lost(&w->client, now_ms);
    expect_err(ask(w, 0, now_ms + EGRESS_RESTART_MS), ERR_OK);
    free_world(w);
}

static void one_that_cannot_be_started_is_tried_later(void **state)
{
    (void)state;
    struct world *w = new_world();
    w->can_start = false;
    expect_err(ask(w, 0, 5), ERR_UNAVAILABLE);
    w->can_start = true;
    expect_err(ask(w, 0, 5 + EGRESS_RESTART_MS - 1), ERR_UNAVAILABLE);
    expect_err(ask(w, 0, 5 + EGRESS_RESTART_MS), ERR_OK);
    free_world(w);
}

static void one_that_gives_way_while_it_has_nothing_to_do_is_replaced_at_once(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct buf out = {0};
    expect_err(ask(w, 0, 5), ERR_OK);
    greet(w);
    put_head(w, &out, id_of(w, 0));
    egress_put_chunk(&out, id_of(w, 0), (struct slice){0}, true);
    expect_err(say(w, &out), ERR_OK);
    egress_client_lost(&w->client, 6);
    expect_err(ask(w, 0, 6), ERR_OK);
    assert_int_equal(w->starts, 2);
    free_world(w);
}

static void records_are_counted_and_passed_on(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct buf out = {0};
    expect_err(ask(w, 0, 0), ERR_OK);
    greet(w);
    egress_put_record(&out, 1, &(struct egress_record){.sent_bytes = 3, .received_bytes = 5});
    egress_put_record(&out, 1, &(struct egress_record){.code = SLICE("egress_denied")});
    egress_put_record(&out, 1, &(struct egress_record){.code = SLICE("timeout"), .sent_bytes = 1});
    expect_err(say(w, &out), ERR_OK);
    const struct egress_counters *k = &w->client.counters;
    assert_true(w->records == 3 && k->requests == 3 && k->denied == 1 && k->failed == 1 &&
                k->sent_bytes == 4 && k->received_bytes == 5 && k->starts == 1);
    free_world(w);
}

/* Sandboxes */

static enum err open_box(struct world *w, struct egress_box *b, struct slice rules, uint64_t now_ms)
{
    static const int fds[EGRESS_BOX_SOCKETS] = {10, 11, 12, 13};
    const struct egress_ca ca = {.cert = SLICE("cert"), .key = SLICE("key")};
    const struct egress_box_open o = {
        .ns = SLICE("app"), .class = SLICE("Agent"), .actor = SLICE("a"), .rules.rules = rules};
    *b = (struct egress_box){.id = 0};
    return egress_client_box_open(&w->client, b, &o, &ca, fds, now_ms);
}

static void
a_sandbox_is_opened_with_its_sockets_and_the_first_one_brings_the_authority(void **state)
{
    static const uint8_t kinds[] = {EGRESS_CA, EGRESS_BOX_OPEN, EGRESS_BOX_OPEN, EGRESS_BOX_RULES,
                                    EGRESS_BOX_CLOSE};
    (void)state;
    struct world *w = new_world();
    struct egress_box one;
    struct egress_box other;
    const struct egress_box_rules rules = {.allow_private = true};
    w->can_send_sockets = true;
    expect_err(open_box(w, &one, (struct slice){0}, 0), ERR_OK);
    expect_err(open_box(w, &other, (struct slice){0}, 0), ERR_OK);
    assert_true(one.id == 1 && other.id == 2 && w->handovers == 2 && w->client.box_count == 2);
    expect_err(egress_client_box_rules(&w->client, &one, &rules), ERR_OK);
    egress_client_box_close(&w->client, &one);
    egress_client_box_close(&w->client, &one);
    assert_true(one.id == 0 && w->client.box_count == 1);
    expect_slice(buf_slice(&w->kinds), slice_of(kinds, sizeof kinds));
    free_world(w);
}

static void no_sandbox_is_open_once_the_process_has_ended(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct egress_box box;
    w->can_send_sockets = true;
    expect_err(open_box(w, &box, (struct slice){0}, 0), ERR_OK);
    greet(w);
    egress_client_lost(&w->client, 10);
    assert_true(box.id == 0 && w->client.box_count == 0);
    buf_clear(&w->kinds);
    expect_err(open_box(w, &box, (struct slice){0}, 20 * 1000), ERR_OK);
    assert_int_equal(w->kinds.data[0], EGRESS_CA); /* the new process has none */
    free_world(w);
}

static void a_sandbox_that_cannot_be_opened_is_not_there(void **state)
{
    (void)state;
    struct world *w = new_world();
    struct egress_box box;
    struct buf rules = {0};
    value_put_text(&rules, "none");
    w->can_send_sockets = true;
    expect_err(open_box(w, &box, buf_slice(&rules), 0), ERR_BAD_REQUEST);
    w->can_send_sockets = false;
    expect_err(open_box(w, &box, (struct slice){0}, 0), ERR_UNAVAILABLE);
    assert_true(box.id == 0 && w->client.box_count == 0);
    buf_done(&rules);
    free_world(w);
}

TEST_MAIN(
    cmocka_unit_test(a_sandbox_is_opened_with_its_sockets_and_the_first_one_brings_the_authority),
    cmocka_unit_test(no_sandbox_is_open_once_the_process_has_ended),
    cmocka_unit_test(a_sandbox_that_cannot_be_opened_is_not_there),
    cmocka_unit_test(the_process_is_started_by_the_first_request_alone),
    cmocka_unit_test(a_response_goes_to_who_asked_whatever_the_order),
    cmocka_unit_test(a_failure_ends_its_request_alone),
    cmocka_unit_test(nothing_comes_for_a_request_that_was_cancelled),
    cmocka_unit_test(a_513th_request_is_refused),
    cmocka_unit_test(bodies_under_way_are_bounded_together),
    cmocka_unit_test(what_the_process_would_not_read_is_not_sent),
    cmocka_unit_test(the_process_may_say_no_more_than_there_is_credit_for),
    cmocka_unit_test(what_makes_no_sense_is_corrupt),
    cmocka_unit_test(all_that_is_under_way_fails_with_the_process_and_may_be_tried_again),
    cmocka_unit_test(who_asks_again_from_its_failure_is_refused_until_there_is_a_new_process),
    cmocka_unit_test(whoever_fails_with_the_process_may_cancel_the_others),
    cmocka_unit_test(a_process_that_dies_soon_is_started_later_each_time),
    cmocka_unit_test(one_that_cannot_be_started_is_tried_later),
    cmocka_unit_test(one_that_gives_way_while_it_has_nothing_to_do_is_replaced_at_once),
    cmocka_unit_test(records_are_counted_and_passed_on))
