#include "rpc/http1_reply.h"

#include "base/buf.h"
#include "tests/lib/test.h"

struct seen {
    struct buf text; /* "200 name=value;|body|end" */
    bool has_ended;
};

static void on_head(void *ctx, int status, const struct http_header *fields, size_t count)
{
    struct seen *s = ctx;
    buf_printf(&s->text, "%d ", status);
    for (size_t i = 0; i < count; i++) {
        buf_append_slice(&s->text, fields[i].name);
        buf_append_byte(&s->text, '=');
        buf_append_slice(&s->text, fields[i].value);
        buf_append_byte(&s->text, ';');
    }
    buf_append_byte(&s->text, '|');
}

static void on_body(void *ctx, struct slice bytes)
{
    struct seen *s = ctx;
    buf_append_slice(&s->text, bytes);
}

static void on_end(void *ctx)
{
    struct seen *s = ctx;
    s->has_ended = true;
    buf_append_str(&s->text, "|end");
}

static const struct http1_reply_hooks hooks = {.head = on_head, .body = on_body, .end = on_end};

/* In pieces of so many bytes, and then the connection's end; `*ret_left`: what was not HTTP any more. */
static enum err run(struct seen *s, bool is_of_head, struct slice in, size_t piece,
                    struct slice *ret_left)
{
    struct http1_reply *r = http1_reply_new(is_of_head, &hooks, s);
    enum err err = ERR_OK;
    *ret_left = SLICE("");
    while (err == ERR_OK && in.len > 0 && ret_left->len == 0) {
        size_t used = 0;
        size_t n = in.len < piece ? in.len : piece;
        err = http1_reply_recv(r, slice_of(in.data, n), &used);
        if (err == ERR_OK && used < n) {
            *ret_left = slice_skip(in, used);
        }
        in = slice_skip(in, n);
    }
    if (err == ERR_OK && !s->has_ended && ret_left->len == 0) {
        err = http1_reply_recv_end(r);
    }
    http1_reply_free(r);
    return err;
}

static void expect_seen(const char *in, bool is_of_head, enum err want, const char *text)
{
    for (size_t piece = 1; piece <= 64; piece += piece < 8 ? 1 : 56) {
        struct seen s = {0};
        struct slice left;
        expect_err(run(&s, is_of_head, slice_of_str(in), piece, &left), want);
        if (text != NULL) {
            expect_str(buf_slice(&s.text), text);
        }
        buf_done(&s.text);
    }
}

static void an_answer_is_seen_whole_however_it_is_cut(void **state)
{
    (void)state;
    expect_seen("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A:\r\nX-B:  b \r\n\r\nbody", false,
                ERR_OK, "200 content-length=4;x-a=;x-b=b ;|body|end");
    expect_seen(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        false, ERR_OK, "200 transfer-encoding=chunked;|abc|end");
    expect_seen("HTTP/1.1 204 No Content\r\n\r\n", false, ERR_OK,
                "204 |"
                "|end");
    expect_seen("HTTP/1.0 200 OK\r\n\r\nuntil it closes", false, ERR_OK,
                "200 |until it closes|end");
    expect_seen("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", true, ERR_OK,
                "200 content-length=4;||end");
}

static void interim_answers_are_passed_over(void **state)
{
    (void)state;
    expect_seen("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
                "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
                false, ERR_OK, "201 content-length=0;||end");
}

static void what_has_no_body_has_none_whatever_its_length_says(void **state)
{
    (void)state;
    expect_seen("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", false, ERR_OK,
                "304 content-length=4;||end");
    expect_seen("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", false, ERR_OK,
                "204 content-length=4;||end");
    expect_seen("HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\n"
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                false, ERR_OK, "200 content-length=0;||end");
}

static void what_is_cut_off_or_no_answer_is_corrupt(void **state)
{
    (void)state;
    static const char *const inputs[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbod",
        "HTTP/1.1 200 OK\r\nContent-",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 20\n\r\nbody", /* no interim answer, which has none */
        "",
    };
    for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
        expect_seen(inputs[i], false, ERR_CORRUPT, NULL);
    }
}

static void after_101_what_follows_is_not_read(void **state)
{
    (void)state;
    static const char in[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "
                             "websocket\r\nConnection: Upgrade\r\n\r\nframes";
    struct seen s = {0};
    struct slice left;
    expect_err(run(&s, false, slice_of_str(in), sizeof in, &left), ERR_OK);
    expect_str(left, "frames");
    buf_done(&s.text);
}

static void heads_are_bounded(void **state)
{
    (void)state;
    for (int many = 0; many < 2; many++) {
        struct buf in = {0};
        struct seen s = {0};
        struct slice left;
        buf_append_str(&in, "HTTP/1.1 200 OK\r\n");
        for (size_t i = 0; i < (many ? HTTP1_REPLY_FIELDS_MAX + 1U : 1U); i++) {
            buf_append_str(&in, "X: ");
            for (size_t n = 0; n < (many ? 1U : HTTP1_REPLY_HEAD_BYTES_MAX + 1U); n++) {
                buf_append_byte(&in, 'x');
            }
            buf_append_str(&in, "\r\n");
        }
        buf_append_str(&in, "\r\n");
        expect_err(run(&s, false, buf_slice(&in), 1000, &left), ERR_CORRUPT);
        assert_int_equal(s.text.len, 0);
        buf_done(&s.text);
        buf_done(&in);
    }
}

static void a_second_answer_is_nobodys(void **state)
{
    (void)state;
    static const char one[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    struct buf in = {0};
    buf_append_str(&in, one);
    buf_append_str(&in, one);
    buf_append_byte(&in, '\0');
    expect_seen((const char *)in.data, false, ERR_OK, "200 content-length=1;|a|end");
    buf_done(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_seen_whole_however_it_is_cut),
        cmocka_unit_test(interim_answers_are_passed_over),
        cmocka_unit_test(what_has_no_body_has_none_whatever_its_length_says),
        cmocka_unit_test(what_is_cut_off_or_no_answer_is_corrupt),
        cmocka_unit_test(after_101_what_follows_is_not_read),
        cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(a_second_answer_is_nobodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
