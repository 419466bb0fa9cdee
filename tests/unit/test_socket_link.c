#include "node/socket_link.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/lib/test.h"

/* The world of a test: two ends, and what the one has heard of the other's letters. */
static struct socket_link a;
static struct socket_link b;
static struct buf heard; /* by b */
static uint64_t now_ms;

static int open_world(void **state)
{
    (void)state;
    now_ms = 1000;
    socket_link_init(&a, 0, 0);
    socket_link_init(&b, 0, 0);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    socket_link_done(&a);
    socket_link_done(&b);
    buf_done(&heard);
    return 0;
}

static void put(struct socket_link *l, const char *text)
{
    struct bytes *data = bytes_new(slice_of_str(text));
    struct socket_letter_head head = {.kind = SOCKET_LETTER_TEXT};
    socket_link_put(l, &head, data);
    bytes_unref(data);
}

static void put_large(struct socket_link *l, size_t len)
{
    struct bytes *data = bytes_new_uninit(len);
    for (size_t i = 0; i < len; i++) {
        data->data[i] = (uint8_t)(i * 31 / 7);
    }
    struct socket_letter_head head = {.kind = SOCKET_LETTER_BYTES};
    socket_link_put(l, &head, data);
    bytes_unref(data);
}

/* As the wire has it: the bytes are copied. */
static enum err deliver(struct socket_link *to, struct socket_piece piece, bool takes)
{
    struct socket_letter *letter;
    piece.data = NULL;
    enum err err = socket_link_receive(to, &piece, &letter);
    if (letter != NULL) {
        buf_append_slice(&heard, bytes_slice(letter->data));
        buf_append_str(&heard, "|");
        socket_letter_free(letter);
    }
    if (letter != NULL && takes) {
        socket_link_take(to);
    }
    return err;
}

static bool send_piece(struct socket_link *from, struct socket_link *to, bool arrives)
{
    struct socket_piece piece;
    if (!socket_link_next(from, SOCKET_PIECE_BYTES, &piece)) {
        return false;
    }
    if (arrives) {
        (void)deliver(to, piece, true);
    }
    socket_link_sent(from, &piece, now_ms);
    return true;
}

static bool send_sync(struct socket_link *from, struct socket_link *to, bool arrives)
{
    struct socket_sync sync;
    if (!socket_link_sync(from, &sync)) {
        return false;
    }
    socket_link_synced(from, &sync, now_ms);
    if (arrives) {
        expect_err(socket_link_hear(to, &sync, now_ms), ERR_OK);
    }
    return true;
}

static void pump(void)
{
    while (send_piece(&a, &b, true) || send_sync(&a, &b, true) || send_sync(&b, &a, true)) {
    }
}

static struct slice take_heard(void)
{
    static struct buf last;
    buf_done(&last);
    last = buf_take(&heard);
    return buf_slice(&last);
}

static void letters_arrive_once_in_their_order_and_are_kept_until_they_are_taken(void **state)
{
    (void)state;
    put(&a, "one");
    put(&a, "");
    put(&a, "three");
    assert_int_equal(a.kept_bytes, 8 + 3 * SOCKET_LETTER_OVERHEAD);
    while (send_piece(&a, &b, true)) {
    }
    expect_str(take_heard(), "one||three|");
    assert_false(socket_link_is_empty(&a));
    assert_true(socket_link_is_sent(&a));
    pump();
    assert_true(socket_link_is_empty(&a));
    assert_int_equal(a.kept_bytes, 0);
}

static void what_a_letter_says_beside_its_bytes_arrives_too(void **state)
{
    (void)state;
    struct socket_letter_head head = {
        .kind = SOCKET_LETTER_CLOSE, .code = 4000, .was_clean = true, .is_owed = true};
    socket_link_put(&a, &head, NULL);
    struct socket_piece piece;
    struct socket_letter *letter;
    assert_true(socket_link_next(&a, SOCKET_PIECE_BYTES, &piece));
    expect_err(socket_link_receive(&b, &piece, &letter), ERR_OK);
    assert_int_equal(letter->number, 1);
    assert_int_equal(letter->head.kind, SOCKET_LETTER_CLOSE);
    assert_int_equal(letter->head.code, 4000);
    assert_true(letter->head.was_clean && letter->head.is_owed);
    assert_null(letter->data);
    socket_letter_free(letter);
}

static void a_letter_that_need_not_be_cut_is_not_copied(void **state)
{
    (void)state;
    put_large(&a, 300 * 1000);
    struct socket_piece piece;
    struct socket_letter *letter;
    assert_true(socket_link_next(&a, SIZE_MAX, &piece));
    assert_int_equal(piece.bytes.len, 300 * 1000);
    expect_err(socket_link_receive(&b, &piece, &letter), ERR_OK);
    assert_ptr_equal(letter->data, piece.data);
    socket_letter_free(letter);
}

static void a_large_letter_goes_in_pieces_of_which_so_many_are_on_their_way(void **state)
{
    (void)state;
    put_large(&a, 1000 * 1000);
    size_t pieces = 0;
    while (send_piece(&a, &b, true)) {
        pieces++;
    }
    assert_int_equal(pieces, SOCKET_FLIGHT_BYTES / SOCKET_PIECE_BYTES);
    assert_int_equal(heard.len, 0);
    assert_true(send_sync(&b, &a, true)); /* it tells of itself */
    assert_true(send_piece(&a, &b, true));
    pump();
    struct slice all = take_heard();
    assert_int_equal(all.len, 1000 * 1000 + 1);
    for (size_t i = 0; i < 1000 * 1000; i++) {
        assert_int_equal(all.data[i], (uint8_t)(i * 31 / 7));
    }
    assert_true(socket_link_is_empty(&a));
}

static void who_misses_something_says_so_once_and_gets_it(void **state)
{
    (void)state;
    put(&a, "one");
    put(&a, "two");
    put(&a, "three");
    assert_true(send_piece(&a, &b, false));
    assert_true(send_piece(&a, &b, true));
    assert_true(send_piece(&a, &b, true));
    assert_int_equal(heard.len, 0);
    struct socket_sync sync;
    assert_true(socket_link_sync(&b, &sync));
    assert_true(sync.is_answer && !sync.is_question);
    pump();
    expect_str(take_heard(), "one|two|three|");
}

static void the_loss_of_the_last_letter_is_found_in_time(void **state)
{
    (void)state;
    put(&a, "one");
    assert_true(send_piece(&a, &b, false));
    pump();
    socket_link_tick(&a, now_ms + SOCKET_PROBE_MS - 1);
    pump();
    assert_int_equal(heard.len, 0);
    socket_link_tick(&a, now_ms + SOCKET_PROBE_MS);
    pump();
    expect_str(take_heard(), "one|");
    assert_int_equal(a.probe_ms, 0); /* there is nothing to hear of any more */
}

static void questions_that_are_not_answered_become_rare(void **state)
{
    (void)state;
    put(&a, "one");
    assert_true(send_piece(&a, &b, false));
    uint64_t pause_ms = SOCKET_PROBE_MS;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(a.probe_ms, now_ms + pause_ms);
        now_ms = a.probe_ms;
        socket_link_tick(&a, now_ms);
        assert_true(send_sync(&a, &b, false));
        pause_ms = i == 0 ? pause_ms : pause_ms * 2;
        pause_ms = pause_ms < SOCKET_PROBE_MS_MAX ? pause_ms : SOCKET_PROBE_MS_MAX;
    }
}

static void what_an_owner_is_slow_to_do_is_not_sent_again(void **state)
{
    (void)state;
    struct socket_piece piece;
    put(&a, "slow");
    assert_true(socket_link_next(&a, SOCKET_PIECE_BYTES, &piece));
    expect_err(deliver(&b, piece, false), ERR_OK);
    socket_link_sent(&a, &piece, now_ms);
    now_ms += SOCKET_PROBE_MS;
    socket_link_tick(&a, now_ms);
    pump(); /* question and answer: it has come */
    expect_str(take_heard(), "slow|");
    assert_false(socket_link_is_empty(&a));
    socket_link_take(&b);
    pump();
    assert_true(socket_link_is_empty(&a));
}

static void after_a_break_nothing_is_sent_until_it_is_known_what_has_arrived(void **state)
{
    (void)state;
    put(&a, "one");
    put(&a, "two");
    assert_true(send_piece(&a, &b, true));
    assert_true(send_piece(&a, &b, false));
    socket_link_break(&a);
    put(&a, "three");
    assert_false(send_piece(&a, &b, true));
    pump();
    expect_str(take_heard(), "one|two|three|");
    assert_true(socket_link_is_empty(&a));
}

static void a_break_within_a_letter_goes_on_where_it_was(void **state)
{
    (void)state;
    put_large(&a, 200 * 1000);
    assert_true(send_piece(&a, &b, true));
    assert_true(send_piece(&a, &b, true));
    assert_true(send_piece(&a, &b, false));
    socket_link_break(&a);
    assert_true(send_sync(&a, &b, true));
    assert_true(send_sync(&b, &a, true));
    struct socket_piece piece;
    assert_true(socket_link_next(&a, SOCKET_PIECE_BYTES, &piece));
    assert_int_equal(piece.at, 2 * SOCKET_PIECE_BYTES);
    pump();
    assert_int_equal(heard.len, 200 * 1000 + 1);
}

static void a_link_goes_on_from_the_numbers_of_the_one_before(void **state)
{
    (void)state;
    socket_link_done(&a);
    socket_link_done(&b);
    socket_link_init(&a, 41, 7);
    socket_link_init(&b, 7, 41);
    put(&a, "42nd");
    struct socket_piece piece;
    assert_true(socket_link_next(&a, SOCKET_PIECE_BYTES, &piece));
    assert_int_equal(piece.number, 42);
    pump();
    expect_str(take_heard(), "42nd|");
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct socket_letter *letter;
    struct socket_piece good = {
        .number = 1, .head.kind = SOCKET_LETTER_TEXT, .whole_bytes = 4, .bytes = SLICE("ab")};
    struct socket_piece bad[] = {good, good, good, good, good, good};
    bad[0].number = 0;
    bad[1].head.kind = SOCKET_LETTER_KIND_END;
    bad[2].whole_bytes = SOCKET_LETTER_BYTES_MAX + 1;
    bad[3].at = 5;
    bad[4].at = 3;
    bad[5].bytes.len = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_err(socket_link_receive(&b, &bad[i], &letter), ERR_CORRUPT);
    }
    expect_err(socket_link_receive(&b, &good, &letter), ERR_OK);
    good.at = 2;
    good.whole_bytes = 5; /* it has grown */
    expect_err(socket_link_receive(&b, &good, &letter), ERR_CORRUPT);
    struct socket_sync more = {.received = 1, .taken = 0};
    expect_err(socket_link_hear(&a, &more, now_ms), ERR_CORRUPT);
    put(&a, "one");
    struct socket_sync taken = {.received = 0, .taken = 1};
    expect_err(socket_link_hear(&a, &taken, now_ms), ERR_CORRUPT);
    struct socket_sync part = {.received = 0, .part = 3};
    expect_err(socket_link_hear(&a, &part, now_ms), ERR_CORRUPT);
    expect_err(socket_link_hear(&a, &more, now_ms), ERR_OK);
}

/* A connection that loses a third of what is sent and breaks now and then: every letter arrives once, in
 * order, in the end. */

static unsigned random_state;

static unsigned draw(unsigned below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

static void run_lossy(unsigned seed)
{
    struct buf want = {0};
    char text[16];
    random_state = seed;
    for (int step = 0; step < 400; step++) {
        if (draw(4) == 0) {
            (void)snprintf(text, sizeof text, "%d", step);
            put(&a, text);
            buf_printf(&want, "%s|", text);
        }
        (void)send_piece(&a, &b, draw(3) != 0);
        (void)send_sync(&a, &b, draw(3) != 0);
        (void)send_sync(&b, &a, draw(3) != 0);
        now_ms += draw(300);
        socket_link_tick(&a, now_ms);
        socket_link_tick(&b, now_ms);
        if (draw(40) == 0) {
            socket_link_break(&a);
        }
        if (draw(40) == 0) {
            socket_link_break(&b);
        }
    }
    for (int i = 0; i < 50 && !socket_link_is_empty(&a); i++) {
        pump();
        now_ms += SOCKET_PROBE_MS_MAX;
        socket_link_tick(&a, now_ms);
        socket_link_tick(&b, now_ms);
    }
    assert_true(socket_link_is_empty(&a));
    expect_slice(take_heard(), buf_slice(&want));
    buf_done(&want);
}

static void letters_arrive_once_in_order_whatever_is_lost(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++) {
        run_lossy(seed);
        (void)close_world(NULL);
        (void)open_world(NULL);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(T(letters_arrive_once_in_their_order_and_are_kept_until_they_are_taken),
          T(what_a_letter_says_beside_its_bytes_arrives_too),
          T(a_letter_that_need_not_be_cut_is_not_copied),
          T(a_large_letter_goes_in_pieces_of_which_so_many_are_on_their_way),
          T(who_misses_something_says_so_once_and_gets_it),
          T(the_loss_of_the_last_letter_is_found_in_time),
          T(questions_that_are_not_answered_become_rare),
          T(what_an_owner_is_slow_to_do_is_not_sent_again),
          T(after_a_break_nothing_is_sent_until_it_is_known_what_has_arrived),
          T(a_break_within_a_letter_goes_on_where_it_was),
          T(a_link_goes_on_from_the_numbers_of_the_one_before), T(what_cannot_be_is_refused),
          T(letters_arrive_once_in_order_whatever_is_lost))
