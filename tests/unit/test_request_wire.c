#include "actor/request_wire.h"

#include <string.h>

#include "base/mem.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static struct request *example(enum request_kind kind)
{
    struct request *r = request_new(kind);
    const struct address a = {
        .ns = SLICE("app"), .class = SLICE("Store"), .id = SLICE("user/\xc3\xa4")};
    request_set_address(r, &a);
    memset(r->identity.bytes, 7, sizeof r->identity.bytes);
    return r;
}

static struct bytes *number_document(uint64_t n)
{
    struct buf doc = {0};
    value_put_uint(&doc, n);
    struct bytes *b = bytes_new(buf_slice(&doc));
    buf_done(&doc);
    return b;
}

static struct request *through_the_wire(const struct request *r)
{
    struct buf wire = {0};
    struct request *back = NULL;
    request_encode(r, &wire);
    expect_err(request_decode(buf_slice(&wire), &back), ERR_OK);
    buf_done(&wire);
    return back;
}

static void expect_bytes(const struct bytes *got, const struct bytes *want)
{
    assert_int_equal(got == NULL, want == NULL);
    assert_true(slice_equal(bytes_slice(got), bytes_slice(want)));
}

static struct request *put_with_all_it_may_have(void)
{
    struct request *r = example(REQUEST_KV_PUT);
    r->name = bytes_new(SLICE("key"));
    r->body = number_document(17);
    r->match = MATCH_VERSION;
    r->match_versions[0] = 42;
    r->match_versions[1] = 43;
    r->match_count = 2;
    r->idempotency_key = bytes_new(SLICE("once"));
    memset(r->hash, 3, sizeof r->hash);
    r->has_token = true;
    memset(r->token_hash, 4, sizeof r->token_hash);
    return r;
}

static void a_request_arrives_as_it_was_sent(void **state)
{
    (void)state;
    struct request *r = put_with_all_it_may_have();
    struct request *back = through_the_wire(r);
    assert_int_equal(back->kind, REQUEST_KV_PUT);
    assert_true(slice_equal(back->address.ns, r->address.ns));
    assert_true(slice_equal(back->address.class, r->address.class));
    assert_true(slice_equal(back->address.id, r->address.id));
    assert_memory_equal(back->identity.bytes, r->identity.bytes, IDENTITY_BYTES);
    expect_bytes(back->name, r->name);
    expect_bytes(back->body, r->body);
    expect_bytes(back->idempotency_key, r->idempotency_key);
    assert_memory_equal(back->hash, r->hash, sizeof r->hash);
    assert_int_equal(back->match, MATCH_VERSION);
    assert_int_equal(back->match_count, 2);
    assert_int_equal(back->match_versions[0], 42);
    assert_int_equal(back->match_versions[1], 43);
    assert_true(back->has_token);
    assert_memory_equal(back->token_hash, r->token_hash, sizeof r->token_hash);
    request_free(back);
    request_free(r);
}

static void a_listing_and_a_watch_keep_their_parameters(void **state)
{
    (void)state;
    struct request *r = example(REQUEST_KV_LIST);
    r->list.prefix = bytes_new(SLICE(""));
    r->list.start_after = bytes_new(SLICE("b"));
    r->list.end = bytes_new(SLICE("c"));
    r->list.cursor = bytes_new(SLICE("bb"));
    r->list.limit = 7;
    r->list.reverse = true;
    r->list.values = false;
    struct request *back = through_the_wire(r);
    expect_bytes(back->list.prefix, r->list.prefix);
    expect_bytes(back->list.start, NULL);
    expect_bytes(back->list.start_after, r->list.start_after);
    expect_bytes(back->list.end, r->list.end);
    expect_bytes(back->list.cursor, r->list.cursor);
    assert_int_equal(back->list.limit, 7);
    assert_true(back->list.reverse);
    assert_false(back->list.values);
    request_free(back);
    request_free(r);

    r = example(REQUEST_WATCH);
    r->has_since = true;
    r->since_version = UINT64_C(1) << 52;
    r->since_n = UINT32_MAX;
    back = through_the_wire(r);
    assert_true(back->has_since);
    assert_true(back->since_version == UINT64_C(1) << 52);
    assert_true(back->since_n == UINT32_MAX);
    request_free(back);
    request_free(r);
}

/* Each kind that clients can ask for has its byte. */
static void every_kind_of_a_client_travels(void **state)
{
    (void)state;
    for (int kind = 0; kind < REQUEST_KIND_COUNT; kind++) {
        if (kind == REQUEST_TIMER_FIRE || kind == REQUEST_TIMER_OUTCOME ||
            kind == REQUEST_WATCH_TIMERS || kind == REQUEST_WORKFLOW_FIRE ||
            kind == REQUEST_WORKFLOW_OUTCOME || kind >= REQUEST_MODULE_FETCH) {
            continue; /* a node asks these of itself */
        }
        struct request *r = example((enum request_kind)kind);
        bool is_named = kind == REQUEST_KV_GET || kind == REQUEST_KV_PUT ||
                        kind == REQUEST_KV_DELETE || kind == REQUEST_STEP_BEGIN ||
                        kind == REQUEST_STEP_END || kind == REQUEST_TIMER_PUT ||
                        kind == REQUEST_TIMER_GET || kind == REQUEST_TIMER_DELETE ||
                        kind == REQUEST_CALL || kind == REQUEST_WORKFLOW_CONTROL;
        r->name = is_named ? bytes_new(SLICE("n")) : NULL;
        r->body = number_document(1);
        struct request *back = through_the_wire(r);
        assert_int_equal(back->kind, kind);
        request_free(back);
        request_free(r);
    }
}

static void a_request_cut_or_changed_anywhere_is_refused_or_whole(void **state)
{
    (void)state;
    struct request *r = put_with_all_it_may_have();
    struct buf wire = {0};
    struct request *back;
    request_encode(r, &wire);
    size_t refused = 0;
    for (size_t len = 0; len < wire.len; len++) {
        back = NULL;
        if (request_decode(slice_of(wire.data, len), &back) != ERR_OK) {
            refused++;
        }
        request_free(back);
    }
    assert_true(refused > wire.len / 2);
    for (size_t at = 0; at < wire.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            wire.data[at] ^= (uint8_t)(1 << bit);
            back = NULL;
            if (request_decode(buf_slice(&wire), &back) == ERR_OK) {
                assert_non_null(back->address_text);
            }
            request_free(back);
            wire.data[at] ^= (uint8_t)(1 << bit);
        }
    }
    buf_done(&wire);
    request_free(r);
}

static void a_field_of_a_newer_node_is_skipped_and_a_kind_of_it_is_not(void **state)
{
    (void)state;
    struct request *r = put_with_all_it_may_have();
    struct buf wire = {0};
    struct request *back = NULL;
    request_encode(r, &wire);
    buf_append_byte(&wire, 200);
    buf_append_u32(&wire, 3);
    buf_append_str(&wire, "new");
    expect_err(request_decode(buf_slice(&wire), &back), ERR_OK);
    request_free(back);
    wire.data[1] = 200;
    expect_err(request_decode(buf_slice(&wire), &back), ERR_FORMAT);
    wire.data[0] = 2;
    expect_err(request_decode(buf_slice(&wire), &back), ERR_FORMAT);
    buf_done(&wire);
    request_free(r);
}

static void a_body_that_is_no_document_is_refused(void **state)
{
    (void)state;
    struct request *r = put_with_all_it_may_have();
    struct buf wire = {0};
    struct request *back;
    bytes_unref(r->body);
    r->body = bytes_new(SLICE("\xdd\xff\xff\xff\xff")); /* an array of 4 billion */
    request_encode(r, &wire);
    expect_err(request_decode(buf_slice(&wire), &back), ERR_CORRUPT);
    buf_done(&wire);
    request_free(r);
}

/* Replies */

static void expect_same_reply(const struct reply *a, const struct reply *b)
{
    assert_int_equal(a->err, b->err);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->etag, b->etag);
    assert_int_equal(a->state_version, b->state_version);
    assert_int_equal(a->existed, b->existed);
    assert_int_equal(a->replayed, b->replayed);
    assert_int_equal(a->is_value, b->is_value);
    assert_int_equal(a->failed, b->failed);
    assert_int_equal(a->limit_value, b->limit_value);
    expect_bytes(a->body, b->body);
    assert_int_equal(a->limit_name == NULL, b->limit_name == NULL);
    if (a->limit_name != NULL) {
        assert_string_equal(a->limit_name, b->limit_name);
    }
    if (a->detail != NULL) {
        assert_string_equal(a->detail, b->detail);
    }
}

static void expect_the_reply_back(struct reply *r)
{
    struct buf wire = {0};
    struct reply back;
    reply_init(&back);
    reply_to_wire(r, &wire);
    expect_err(reply_from_wire(buf_slice(&wire), &back), ERR_OK);
    expect_same_reply(r, &back);
    reply_clear(&back);
    for (size_t len = 0; len < wire.len; len++) {
        reply_init(&back);
        if (reply_from_wire(slice_of(wire.data, len), &back) == ERR_OK) {
            reply_clear(&back);
        }
    }
    buf_done(&wire);
    reply_clear(r);
}

static void a_reply_arrives_as_it_was_sent(void **state)
{
    (void)state;
    struct reply r;
    reply_init(&r);
    r.status = 204;
    r.etag = 12;
    r.state_version = 13;
    r.existed = EXISTED_YES;
    r.replayed = true;
    expect_the_reply_back(&r);
    reply_init(&r);
    r.is_value = true;
    r.body = number_document(5);
    expect_the_reply_back(&r);
    reply_init(&r);
    (void)reply_fail(&r, ERR_CONFLICT, "Check %d failed.", 2);
    r.failed = 2;
    expect_the_reply_back(&r);
    reply_init(&r);
    (void)reply_too_large(&r, "value_bytes", 2097152);
    expect_the_reply_back(&r);
    reply_init(&r);
    (void)reply_fail(&r, ERR_STORAGE_FULL, NULL);
    r.limit_name = "max_disk";
    r.limit_value = 7;
    expect_the_reply_back(&r);
}

static void every_error_arrives_as_itself(void **state)
{
    (void)state;
    for (int err = ERR_OK + 1; err < ERR_COUNT; err++) {
        struct reply r;
        reply_init(&r);
        (void)reply_fail(&r, (enum err)err, NULL);
        expect_the_reply_back(&r);
    }
}

TEST_MAIN(cmocka_unit_test(a_request_arrives_as_it_was_sent),
          cmocka_unit_test(a_listing_and_a_watch_keep_their_parameters),
          cmocka_unit_test(every_kind_of_a_client_travels),
          cmocka_unit_test(a_request_cut_or_changed_anywhere_is_refused_or_whole),
          cmocka_unit_test(a_field_of_a_newer_node_is_skipped_and_a_kind_of_it_is_not),
          cmocka_unit_test(a_body_that_is_no_document_is_refused),
          cmocka_unit_test(a_reply_arrives_as_it_was_sent),
          cmocka_unit_test(every_error_arrives_as_itself))
