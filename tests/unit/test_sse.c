#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sdk-c/sse.h"

#include "tests/lib/test.h"

struct log {
    struct buf text;
    int stop_after; /* events; 0: never */
    int count;
};

static bool note(void *user, const struct sse_event *event)
{
    struct log *log = user;
    buf_printf(&log->text, "[%s|%s|%.*s]", event->type, event->id, (int)event->data.len,
               (const char *)event->data.data);
    log->count++;
    return log->count != log->stop_after;
}

static void expect_events(const char *stream, size_t piece_bytes, const char *want)
{
    struct sse s = {0};
    struct log log = {0};
    struct slice rest = slice_of_str(stream);
    while (rest.len > 0) {
        size_t n = rest.len < piece_bytes ? rest.len : piece_bytes;
        /* in memory of its own: a read beyond the piece shows under valgrind */
        char *piece = mem_strndup((const char *)rest.data, n);
        expect_err(sse_feed(&s, slice_of(piece, n), note, &log), ERR_OK);
        mem_free(piece);
        rest = slice_skip(rest, n);
    }
    expect_str(buf_slice(&log.text), want);
    buf_done(&log.text);
    sse_done(&s);
}

static void streams_are_read_however_they_are_cut(void **state)
{
    (void)state;
    const struct {
        const char *stream;
        const char *want;
    } rows[] = {
        {"event: put\nid: 3.0\ndata: {}\n\n", "[put|3.0|{}]"},
        {"event:put\r\nid:3.0\r\ndata:{}\r\n\r\n", "[put|3.0|{}]"},
        {"data: a\ndata: b\ndata\n\n", "[message||a\nb\n]"},
        {"data:  two blanks\n\n", "[message|| two blanks]"},
        {": comment\n\n:\n\ndata: x\n\n", "[message||x]"},
        {"event: put\nid: 1.0\n\ndata: x\n\n", "[message||x]"},
        {"retry: 5\nother: y\ndata: x\n\n", "[message||x]"},
        {"event: put\nid: 1.0\ndata: 1\n\nevent: delete\ndata: 2\n\n", "[put|1.0|1][delete||2]"},
        {"data: never ended\n", ""},
        {"data: a:b: c\n\n", "[message||a:b: c]"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t piece = 1; piece < 8; piece++) {
            expect_events(rows[i].stream, piece, rows[i].want);
        }
        expect_events(rows[i].stream, 1000, rows[i].want);
    }
}

static void a_callback_that_says_stop_hears_no_more(void **state)
{
    (void)state;
    struct sse s = {0};
    struct log log = {.stop_after = 1};
    expect_err(sse_feed(&s, SLICE("data: 1\n\ndata: 2\n\n"), note, &log), ERR_CLOSED);
    expect_str(buf_slice(&log.text), "[message||1]");
    buf_done(&log.text);
    sse_done(&s);
}

static void a_new_stream_forgets_the_torn_end_of_the_old_one(void **state)
{
    (void)state;
    struct sse s = {0};
    struct log log = {0};
    expect_err(sse_feed(&s, SLICE("event: put\ndata: torn\nda"), note, &log), ERR_OK);
    sse_reset(&s);
    expect_err(sse_feed(&s, SLICE("data: whole\n\n"), note, &log), ERR_OK);
    expect_str(buf_slice(&log.text), "[message||whole]");
    buf_done(&log.text);
    sse_done(&s);
}

static void an_id_that_is_too_long_is_as_if_not_there(void **state)
{
    (void)state;
    char stream[256];
    snprintf(stream, sizeof(stream), "id: %0*d\ndata: x\n\n", SSE_ID_BYTES_MAX, 7);
    expect_events(stream, 1000, "[message||x]");
    snprintf(stream, sizeof(stream), "id: %0*d\ndata: x\n\n", 3, 7);
    expect_events(stream, 1000, "[message|007|x]");
}

static void an_event_without_end_is_refused_at_the_limit(void **state)
{
    (void)state;
    struct sse s = {0};
    struct log log = {0};
    struct buf piece = {0};
    memset(buf_extend(&piece, 1 << 20), 'x', 1 << 20);
    enum err err = sse_feed(&s, SLICE("data: "), note, &log);
    int pieces = 0;
    for (; err == ERR_OK && pieces < 64; pieces++) {
        err = sse_feed(&s, buf_slice(&piece), note, &log);
    }
    expect_err(err, ERR_TOO_LARGE);
    assert_int_equal(pieces, SSE_EVENT_BYTES_MAX >> 20);
    assert_int_equal(log.count, 0);
    buf_done(&piece);
    sse_done(&s);
}

TEST_MAIN(cmocka_unit_test(streams_are_read_however_they_are_cut),
          cmocka_unit_test(a_callback_that_says_stop_hears_no_more),
          cmocka_unit_test(a_new_stream_forgets_the_torn_end_of_the_old_one),
          cmocka_unit_test(an_id_that_is_too_long_is_as_if_not_there),
          cmocka_unit_test(an_event_without_end_is_refused_at_the_limit))
