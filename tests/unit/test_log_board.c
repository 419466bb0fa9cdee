#include "node/log_board.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "node/log_wire.h"
#include "tests/lib/test.h"

enum { WORKERS = 2 };

struct world {
    struct log_board board;
    uint32_t woken[WORKERS];
};

static void wake(void *ctx, uint32_t worker)
{
    struct world *w = ctx;
    w->woken[worker]++;
}

static int setup(void **state)
{
    struct world *w = MEM_NEW(struct world);
    log_board_init(&w->board, wake, w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    log_board_done(&w->board);
    mem_free(w);
    return 0;
}

static struct log_filter filter(const char *ns, const char *class)
{
    struct log_filter f = {.has_identity = false};
    (void)snprintf(f.ns, sizeof f.ns, "%s", ns);
    (void)snprintf(f.class, sizeof f.class, "%s", class);
    return f;
}

static struct log_who who(const char *ns, const char *class, uint8_t actor)
{
    return (struct log_who){
        .ns = slice_of_str(ns), .class = slice_of_str(class), .identity.bytes = {actor}};
}

static void add(struct world *w, struct log_queue *q, enum log_reader reader, struct log_filter f)
{
    *q = (struct log_queue){.filter = f, .reader = reader, .worker = 1};
    expect_err(log_board_add(&w->board, q), ERR_OK);
}

static void put(struct world *w, const char *ns, const char *class, const char *text)
{
    struct log_who by = who(ns, class, 1);
    log_board_put(&w->board, &by, slice_of_str(text));
}

static void expect_taken(struct world *w, struct log_queue *q, const char *text, uint64_t lines)
{
    struct buf taken = {0};
    uint64_t count = 0;
    assert_true(log_board_take(&w->board, q, &taken, &count));
    expect_str(buf_slice(&taken), text);
    assert_int_equal(count, lines);
    buf_done(&taken);
}

static void expect_nothing(struct world *w, struct log_queue *q)
{
    struct buf taken = {0};
    uint64_t count;
    assert_false(log_board_take(&w->board, q, &taken, &count));
}

/* Who gets a line */

static void a_line_that_nobody_reads_is_not_wanted(void **state)
{
    struct world *w = *state;
    struct log_queue q;
    struct log_who by = who("app", "Room", 1);
    assert_false(log_board_wants(&w->board, &by));
    add(w, &q, LOG_READER_STREAM, filter("other", ""));
    assert_false(log_board_wants(&w->board, &by));
    log_board_remove(&w->board, &q);
}

static void a_line_goes_to_all_whose_filter_it_fits(void **state)
{
    struct world *w = *state;
    struct log_queue all;
    struct log_queue rooms;
    struct log_queue actor;
    struct log_filter one = filter("app", "Room");
    one.has_identity = true;
    one.identity.bytes[0] = 2;
    add(w, &all, LOG_READER_STREAM, filter("app", ""));
    add(w, &rooms, LOG_READER_NODE, filter("app", "Room"));
    add(w, &actor, LOG_READER_STREAM, one);
    put(w, "app", "Room", "[room 1]");
    put(w, "app", "", "[module]");
    struct log_who second = who("app", "Room", 2);
    log_board_put(&w->board, &second, SLICE("[room 2]"));
    put(w, "other", "Room", "[other]");
    expect_taken(w, &all, "[room 1][module][room 2]", 3);
    expect_taken(w, &rooms, "[room 1][room 2]", 2);
    expect_taken(w, &actor, "[room 2]", 1);
    expect_nothing(w, &all);
    log_board_remove(&w->board, &all);
    log_board_remove(&w->board, &rooms);
    log_board_remove(&w->board, &actor);
}

static void what_another_node_has_put_goes_to_streams_with_that_very_filter(void **state)
{
    struct world *w = *state;
    struct log_queue all;
    struct log_queue rooms;
    struct log_queue node;
    const struct log_filter f = filter("app", "");
    add(w, &all, LOG_READER_STREAM, f);
    add(w, &rooms, LOG_READER_STREAM, filter("app", "Room"));
    add(w, &node, LOG_READER_NODE, f);
    log_board_pass(&w->board, &f, SLICE("[a][b]"), 2);
    expect_taken(w, &all, "[a][b]", 2);
    expect_nothing(w, &rooms);
    expect_nothing(w, &node);
    log_board_remove(&w->board, &all);
    log_board_remove(&w->board, &rooms);
    log_board_remove(&w->board, &node);
}

static void a_worker_is_woken_when_its_queue_was_empty(void **state)
{
    struct world *w = *state;
    struct log_queue q;
    add(w, &q, LOG_READER_STREAM, filter("app", ""));
    put(w, "app", "", "a");
    put(w, "app", "", "b");
    assert_int_equal(w->woken[1], 1);
    expect_taken(w, &q, "ab", 2);
    put(w, "app", "", "c");
    assert_int_equal(w->woken[1], 2);
    assert_int_equal(w->woken[0], 0);
    log_board_remove(&w->board, &q);
}

/* Bounds */

static void lines_that_find_no_room_are_counted_where_they_would_have_stood(void **state)
{
    struct world *w = *state;
    struct log_queue q;
    struct buf large = {0};
    memset(buf_extend(&large, LOG_QUEUE_BYTES_MAX), 'x', LOG_QUEUE_BYTES_MAX);
    buf_append_byte(&large, '\0');
    add(w, &q, LOG_READER_STREAM, filter("app", ""));
    put(w, "app", "", (const char *)large.data);
    put(w, "app", "", "a");
    log_board_pass(&w->board, &q.filter, SLICE("bc"), 2);
    large.data[LOG_QUEUE_BYTES_MAX] = '\0';
    struct buf taken = {0};
    uint64_t lines;
    assert_true(log_board_take(&w->board, &q, &taken, &lines));
    assert_int_equal(lines, 4);
    expect_str(slice_skip(buf_slice(&taken), LOG_QUEUE_BYTES_MAX),
               "event: lost\ndata: {\"count\":3}\n\n");
    put(w, "app", "", "d");
    expect_taken(w, &q, "d", 1);
    assert_int_equal(atomic_load(&w->board.lost), 3);
    buf_done(&taken);
    buf_done(&large);
    log_board_remove(&w->board, &q);
}

static void lines_that_were_taken_and_not_delivered_are_lost(void **state)
{
    struct world *w = *state;
    struct log_queue q;
    add(w, &q, LOG_READER_NODE, filter("app", ""));
    log_board_lose(&w->board, &q, 7);
    put(w, "app", "", "a");
    expect_taken(w, &q, "event: lost\ndata: {\"count\":7}\n\na", 8);
    log_board_lose(&w->board, &q, 1);
    expect_taken(w, &q, "event: lost\ndata: {\"count\":1}\n\n", 1);
    expect_nothing(w, &q);
    log_board_remove(&w->board, &q);
}

static void all_queues_together_are_bounded(void **state)
{
    struct world *w = *state;
    enum { QUEUES = 2 * LOG_ALL_BYTES_MAX / LOG_QUEUE_BYTES_MAX };
    struct log_queue *queues = mem_zalloc(QUEUES * sizeof *queues);
    struct buf text = {0};
    memset(buf_extend(&text, LOG_QUEUE_BYTES_MAX), 'x', LOG_QUEUE_BYTES_MAX);
    buf_append_byte(&text, '\0');
    for (int i = 0; i < QUEUES; i++) {
        add(w, &queues[i], LOG_READER_NODE, filter("app", ""));
    }
    put(w, "app", "", (const char *)text.data);
    assert_int_equal(w->board.bytes, LOG_ALL_BYTES_MAX);
    assert_int_equal(atomic_load(&w->board.lost), QUEUES / 2);
    for (int i = 0; i < QUEUES; i++) {
        log_board_remove(&w->board, &queues[i]);
    }
    buf_done(&text);
    mem_free(queues);
}

static void one_stream_more_than_there_may_be_is_overloaded(void **state)
{
    struct world *w = *state;
    struct log_queue queues[LOG_STREAMS_MAX + 1];
    struct log_queue node;
    for (int i = 0; i < LOG_STREAMS_MAX; i++) {
        add(w, &queues[i], LOG_READER_STREAM, filter("app", ""));
    }
    queues[LOG_STREAMS_MAX] = (struct log_queue){.filter = filter("app", "")};
    expect_err(log_board_add(&w->board, &queues[LOG_STREAMS_MAX]), ERR_OVERLOADED);
    add(w, &node, LOG_READER_NODE, filter("app", ""));
    log_board_remove(&w->board, &queues[0]);
    add(w, &queues[0], LOG_READER_STREAM, filter("app", ""));
    for (int i = 0; i < LOG_STREAMS_MAX; i++) {
        log_board_remove(&w->board, &queues[i]);
    }
    log_board_remove(&w->board, &node);
}

/* Between nodes */

static void what_a_node_wants_is_each_filter_of_its_streams_once(void **state)
{
    struct world *w = *state;
    struct log_queue q[4];
    struct log_filter filters[LOG_STREAMS_MAX];
    uint64_t number = atomic_load(&w->board.streams_number);
    add(w, &q[0], LOG_READER_STREAM, filter("app", ""));
    add(w, &q[1], LOG_READER_STREAM, filter("app", "Room"));
    add(w, &q[2], LOG_READER_STREAM, filter("app", ""));
    add(w, &q[3], LOG_READER_NODE, filter("other", ""));
    assert_true(atomic_load(&w->board.streams_number) > number);
    assert_int_equal(log_board_filters(&w->board, filters), 2);
    assert_true(log_filter_equal(&filters[0], &q[0].filter));
    assert_true(log_filter_equal(&filters[1], &q[1].filter));
    for (int i = 0; i < 4; i++) {
        log_board_remove(&w->board, &q[i]);
    }
}

static void a_want_comes_as_it_was_sent(void **state)
{
    (void)state;
    struct log_filter sent[2] = {filter("app", ""), filter("app", "Room")};
    struct log_filter heard[LOG_STREAMS_MAX];
    struct buf bytes = {0};
    size_t count;
    sent[1].has_identity = true;
    sent[1].identity.bytes[31] = 7;
    log_want_encode(sent, 2, &bytes);
    expect_err(log_want_decode(buf_slice(&bytes), heard, &count), ERR_OK);
    assert_int_equal(count, 2);
    assert_true(log_filter_equal(&sent[0], &heard[0]) && log_filter_equal(&sent[1], &heard[1]));
    for (size_t len = 0; len < bytes.len; len++) {
        expect_err(log_want_decode(slice_of(bytes.data, len), heard, &count), ERR_CORRUPT);
    }
    buf_done(&bytes);
}

static void a_want_of_too_much_or_of_what_is_none_is_refused(void **state)
{
    (void)state;
    struct log_filter many[LOG_STREAMS_MAX + 1];
    struct log_filter heard[LOG_STREAMS_MAX];
    struct buf bytes = {0};
    size_t count;
    for (int i = 0; i <= LOG_STREAMS_MAX; i++) {
        many[i] = filter("app", "");
    }
    log_want_encode(many, LOG_STREAMS_MAX + 1, &bytes);
    expect_err(log_want_decode(buf_slice(&bytes), heard, &count), ERR_CORRUPT);
    buf_clear(&bytes);
    many[0] = filter("No Namespace", "");
    log_want_encode(many, 1, &bytes);
    expect_err(log_want_decode(buf_slice(&bytes), heard, &count), ERR_CORRUPT);
    buf_done(&bytes);
}

static void lines_come_as_they_were_sent(void **state)
{
    (void)state;
    const struct log_lines sent = {
        .filter = filter("app", "Room"), .lines = 300, .text = SLICE("event: log\n")};
    struct log_lines heard;
    struct buf bytes = {0};
    log_lines_encode(&sent, &bytes);
    expect_err(log_lines_decode(buf_slice(&bytes), &heard), ERR_OK);
    assert_true(log_filter_equal(&sent.filter, &heard.filter));
    assert_int_equal(heard.lines, 300);
    expect_str(heard.text, "event: log\n");
    for (size_t len = 0; len < bytes.len; len++) {
        expect_err(log_lines_decode(slice_of(bytes.data, len), &heard), ERR_CORRUPT);
    }
    buf_done(&bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_line_that_nobody_reads_is_not_wanted),
          TEST(a_line_goes_to_all_whose_filter_it_fits),
          TEST(what_another_node_has_put_goes_to_streams_with_that_very_filter),
          TEST(a_worker_is_woken_when_its_queue_was_empty),
          TEST(lines_that_find_no_room_are_counted_where_they_would_have_stood),
          TEST(lines_that_were_taken_and_not_delivered_are_lost),
          TEST(all_queues_together_are_bounded),
          TEST(one_stream_more_than_there_may_be_is_overloaded),
          TEST(what_a_node_wants_is_each_filter_of_its_streams_once),
          cmocka_unit_test(a_want_comes_as_it_was_sent),
          cmocka_unit_test(a_want_of_too_much_or_of_what_is_none_is_refused),
          cmocka_unit_test(lines_come_as_they_were_sent))
