/* What goes into a queue comes out of an inbox. */
#include "rpc/peer_queue.h"

#include "base/endian.h"
#include "base/mem.h"
#include "base/random.h"
#include "rpc/peer_inbox.h"
#include "tests/lib/test.h"

enum { MIB = 1 << 20, GOT_MAX = 100 * 1000 };

/* A message's number is in its payload's first bytes. */
struct got {
    uint8_t kind;
    uint32_t group;
    uint32_t number;
    size_t bytes;
};

static struct peer_queue queue;
static struct peer_inbox inbox;
static struct got got[GOT_MAX];
static size_t got_count;
static uint8_t *payload; /* 25 MiB of noise; messages are its beginnings */

static int make_payload(void **state)
{
    (void)state;
    payload = mem_alloc(PEER_MESSAGE_BYTES_MAX);
    random_bytes(payload, PEER_MESSAGE_BYTES_MAX);
    return 0;
}

static int free_payload(void **state)
{
    (void)state;
    mem_free(payload);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    peer_queue_init(&queue, PEER_QUEUE_BYTES_MAX);
    peer_inbox_init(&inbox, PEER_QUEUE_BYTES_MAX);
    got_count = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_queue_done(&queue);
    peer_inbox_done(&inbox);
    return 0;
}

static enum err try_push(uint8_t kind, uint32_t group, uint32_t number, size_t bytes)
{
    put_be32(payload, number);
    const struct peer_message m = {.kind = kind,
                                   .group = group,
                                   .from = UINT64_C(1) << 32,
                                   .to = UINT64_C(2) << 32,
                                   .payload = slice_of(payload, bytes)};
    return peer_queue_push(&queue, &m);
}

static void push(uint8_t kind, uint32_t group, uint32_t number, size_t bytes)
{
    expect_err(try_push(kind, group, number, bytes), ERR_OK);
}

static enum err on_frame(void *ctx, const struct peer_frame *f)
{
    (void)ctx;
    const struct peer_message *m = &f->message;
    assert_int_equal(f->type, PEER_MESSAGE);
    assert_true(m->from == UINT64_C(1) << 32 && m->to == UINT64_C(2) << 32);
    assert_true(got_count < GOT_MAX && m->payload.len >= 4);
    assert_memory_equal(m->payload.data + 4, payload + 4, m->payload.len - 4);
    got[got_count++] = (struct got){m->kind, m->group, get_be32(m->payload.data), m->payload.len};
    return ERR_OK;
}

/* One fill of the queue, through the inbox. Returns the bytes. */
static size_t carry(size_t bytes)
{
    struct buf out = {0};
    peer_queue_fill(&queue, bytes, &out);
    size_t n = out.len;
    assert_true(n <= bytes + PEER_HEAD_BYTES + PEER_BODY_BYTES_MAX);
    expect_err(peer_inbox_feed(&inbox, buf_slice(&out), on_frame, NULL), ERR_OK);
    buf_done(&out);
    return n;
}

static void carry_all(size_t bytes)
{
    while (carry(bytes) > 0) {
    }
    assert_int_equal(peer_queue_bytes(&queue), 0);
    assert_int_equal(queue.message_count, 0);
    assert_int_equal(inbox.assembly_bytes, 0);
}

static void small_messages_come_in_their_order(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        push(1, i % 7, i, 100 + i);
    }
    assert_int_equal(queue.message_count, 1000);
    carry_all(5000);
    assert_int_equal(got_count, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(got[i].number, i);
        assert_int_equal(got[i].bytes, 100 + i);
    }
}

static void a_large_message_is_cut_and_put_together(void **state)
{
    (void)state;
    static const size_t sizes[] = {PEER_WHOLE_BYTES_MAX, PEER_WHOLE_BYTES_MAX + 1,
                                   PEER_WHOLE_BYTES_MAX + PEER_PIECE_BYTES, MIB,
                                   PEER_MESSAGE_BYTES_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        push(1, 1, (uint32_t)i, sizes[i]);
        carry_all(1);
        assert_int_equal(got_count, i + 1);
        assert_int_equal(got[i].bytes, sizes[i]);
    }
}

/* A heartbeat behind 24 MiB of another group: it waits for a piece, not for the whole. */
static void an_urgent_message_waits_for_one_piece_of_each_large_one(void **state)
{
    (void)state;
    push(1, 1, 0, 20 * MIB);
    push(1, 2, 1, 4 * MIB);
    (void)carry(PEER_PIECE_BYTES);
    push(1, 3, 2, 100);
    size_t waited = 0;
    while (got_count == 0) {
        waited += carry(1);
    }
    assert_int_equal(got[0].number, 2);
    assert_true(waited <= 2 * (PEER_PIECE_BYTES + 64));
    carry_all(PEER_PIECE_BYTES);
    assert_int_equal(got[1].number, 1); /* the shorter of both, though it came later */
    assert_int_equal(got[2].number, 0);
}

static void messages_of_one_kind_and_group_never_overtake(void **state)
{
    (void)state;
    push(1, 1, 0, 100);
    push(1, 1, 1, 2 * MIB);
    push(1, 1, 2, 100);
    push(1, 1, 3, MIB);
    push(1, 1, 4, 100);
    push(2, 1, 5, 100); /* of another kind: it may */
    carry_all(1000);
    uint32_t next = 0;
    for (size_t i = 0; i < got_count; i++) {
        if (got[i].kind == 1) {
            assert_int_equal(got[i].number, next++);
        }
    }
    assert_int_equal(next, 5);
    assert_int_equal(got[1].number, 5);
}

/* Small messages without end do not keep a large one from getting on. */
static void a_large_message_gets_its_turn_among_small_ones(void **state)
{
    (void)state;
    push(1, 1, 0, MIB);
    bool has_come = false;
    for (int i = 0; !has_come && i < 100; i++) {
        while (peer_queue_bytes(&queue) < 4 * MIB) {
            push(1, 2, 1, 10000);
        }
        (void)carry(PEER_PIECE_BYTES);
        has_come = got_count > 0 && got[got_count - 1].number == 0;
    }
    assert_true(has_come);
}

static void a_full_queue_refuses_and_stays_as_it_is(void **state)
{
    (void)state;
    push(1, 1, 0, 20 * MIB);
    push(1, 2, 1, 11 * MIB);
    expect_err(try_push(1, 3, 2, 2 * MIB), ERR_OVERLOADED);
    expect_err(try_push(1, 1, 2, 2 * MIB), ERR_OVERLOADED);
    assert_int_equal(queue.message_count, 2);
    push(1, 3, 3, 100); /* what still fits */
    uint32_t more = 0;
    while (try_push(1, 4, 4, 1000) == ERR_OK) {
        more++;
    }
    assert_in_range(more, 900, 1100);
    assert_true(peer_queue_bytes(&queue) <= PEER_QUEUE_BYTES_MAX);
    carry_all(MIB);
    assert_int_equal(got_count, 3 + more);
    push(1, 1, 5, 20 * MIB); /* there is room again */
}

/* Pushing and taking go on for ever: the buffer must not. */
static void a_queue_that_is_never_empty_does_not_grow(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        push(1, 1, i, 5000);
        if (peer_queue_bytes(&queue) > 100 * 1000) {
            (void)carry(1);
        }
        assert_true(queue.whole.cap < MIB);
    }
    assert_int_equal(got[got_count - 1].number, got_count - 1);
}

static void what_is_left_is_dropped_and_the_queue_goes_on(void **state)
{
    (void)state;
    push(1, 1, 0, MIB);
    push(1, 2, 1, 100);
    (void)carry(PEER_PIECE_BYTES);
    peer_queue_done(&queue);
    assert_int_equal(peer_queue_bytes(&queue), 0);
    peer_inbox_done(&inbox);
    peer_inbox_init(&inbox, PEER_QUEUE_BYTES_MAX);
    got_count = 0;
    push(1, 1, 7, 100);
    carry_all(100);
    assert_int_equal(got[0].number, 7);
}

static void a_push_without_memory_changes_nothing(void **state)
{
    (void)state;
    mem_fail_after(0);
    expect_err(try_push(1, 1, 0, MIB), ERR_NO_MEMORY);
    mem_fail_after(-1);
    assert_int_equal(queue.lanes.count, 0);
    push(1, 1, 1, 100);
    carry_all(100);
    assert_int_equal(got[0].number, 1);
}

/* The inbox by itself */

static enum err feed(const struct buf *b, size_t piece)
{
    struct peer_inbox in;
    peer_inbox_init(&in, PEER_QUEUE_BYTES_MAX);
    enum err err = ERR_OK;
    for (size_t at = 0; err == ERR_OK && at < b->len; at += piece) {
        size_t n = b->len - at < piece ? b->len - at : piece;
        err = peer_inbox_feed(&in, slice_of(b->data + at, n), on_frame, NULL);
    }
    peer_inbox_done(&in);
    return err;
}

static void bytes_may_come_in_any_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 3, 7, 8, 9, 1000, PEER_PIECE_BYTES + 36, SIZE_MAX / 2};
    struct buf out = {0};
    for (uint32_t i = 0; i < 50; i++) {
        push(1, i % 3, i, i % 10 == 0 ? 300 * 1000 + i : 10 + i);
    }
    peer_queue_fill(&queue, SIZE_MAX / 2, &out);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        got_count = 0;
        expect_err(feed(&out, pieces[i]), ERR_OK);
        assert_int_equal(got_count, 50);
    }
    buf_done(&out);
}

static struct peer_message large_of(uint32_t group, size_t bytes)
{
    return (struct peer_message){.kind = 1, .group = group, .payload = slice_of(payload, bytes)};
}

static void pieces_that_no_queue_would_send_are_corrupt(void **state)
{
    (void)state;
    struct peer_message m = large_of(1, 300 * 1000);
    struct buf b = {0};

    peer_put_more(&b, &m, 1000, 1000); /* of nothing */
    expect_err(feed(&b, SIZE_MAX / 2), ERR_CORRUPT);

    buf_clear(&b); /* a second one of the same kind and group */
    peer_put_first(&b, &m, 1000);
    peer_put_first(&b, &m, 1000);
    expect_err(feed(&b, SIZE_MAX / 2), ERR_CORRUPT);

    buf_clear(&b); /* a small one that overtakes it */
    struct peer_message small = large_of(1, 100);
    peer_put_first(&b, &m, 1000);
    peer_put_message(&b, &small);
    expect_err(feed(&b, SIZE_MAX / 2), ERR_CORRUPT);

    buf_clear(&b); /* more than was announced */
    peer_put_first(&b, &m, PEER_PIECE_BYTES);
    for (int i = 0; i < 5; i++) {
        peer_put_more(&b, &m, 0, PEER_PIECE_BYTES);
    }
    expect_err(feed(&b, SIZE_MAX / 2), ERR_CORRUPT);
    buf_done(&b);
}

/* First pieces alone, of many groups: what they announce is bounded as the sender's queue is. */
static void what_is_announced_is_bounded(void **state)
{
    (void)state;
    struct buf b = {0};
    for (uint32_t group = 0; group < 4; group++) {
        struct peer_message m = large_of(group, 8 * MIB);
        peer_put_first(&b, &m, 100);
    }
    expect_err(feed(&b, SIZE_MAX / 2), ERR_OK);
    struct peer_message one_more = large_of(99, PEER_WHOLE_BYTES_MAX + 1);
    peer_put_first(&b, &one_more, 100);
    expect_err(feed(&b, SIZE_MAX / 2), ERR_CORRUPT);
    buf_done(&b);
}

static void a_message_there_is_no_memory_for_ends_the_feed(void **state)
{
    (void)state;
    struct buf b = {0};
    struct peer_message m = large_of(1, MIB);
    peer_put_first(&b, &m, 100);
    mem_fail_after(0);
    expect_err(feed(&b, SIZE_MAX / 2), ERR_NO_MEMORY);
    mem_fail_after(-1);
    buf_done(&b);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    test_begin();
    const struct CMUnitTest tests[] = {
        T(small_messages_come_in_their_order),
        T(a_large_message_is_cut_and_put_together),
        T(an_urgent_message_waits_for_one_piece_of_each_large_one),
        T(messages_of_one_kind_and_group_never_overtake),
        T(a_large_message_gets_its_turn_among_small_ones),
        T(a_full_queue_refuses_and_stays_as_it_is),
        T(a_queue_that_is_never_empty_does_not_grow),
        T(what_is_left_is_dropped_and_the_queue_goes_on),
        T(a_push_without_memory_changes_nothing),
        T(bytes_may_come_in_any_pieces),
        T(pieces_that_no_queue_would_send_are_corrupt),
        T(what_is_announced_is_bounded),
        T(a_message_there_is_no_memory_for_ends_the_feed),
    };
    return cmocka_run_group_tests(tests, make_payload, free_payload);
}
