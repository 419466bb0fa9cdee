/* The answer of a program in a sandbox from the wire (rpc/http1_reply.h): however the bytes are cut, the same head and
 * body are seen, within their limits.
 *
 * The first byte of an input says how long the pieces are, and by its highest bit whether HEAD was asked. */
#include "rpc/http1_reply.h"

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"

struct world {
    struct buf head;
    struct buf body;
    int heads;
    int ends;
};

static void on_head(void *ctx, int status, const struct http_header *fields, size_t count)
{
    struct world *w = ctx;
    size_t bytes = 0;
    HOLDS(status == 101 || status >= 200);
    HOLDS(count <= HTTP1_REPLY_FIELDS_MAX && w->ends == 0);
    w->heads++;
    buf_printf(&w->head, "%d %zu", status, count);
    for (size_t i = 0; i < count; i++) {
        bytes += fields[i].name.len + fields[i].value.len;
        buf_append_slice(&w->head, fields[i].name);
        buf_append_byte(&w->head, '=');
        buf_append_slice(&w->head, fields[i].value);
        buf_append_byte(&w->head, '\n');
    }
    HOLDS(bytes <= HTTP1_REPLY_HEAD_BYTES_MAX);
}

static void on_body(void *ctx, struct slice bytes)
{
    struct world *w = ctx;
    HOLDS(w->heads == 1 && w->ends == 0);
    buf_append_slice(&w->body, bytes);
}

static void on_end(void *ctx)
{
    struct world *w = ctx;
    HOLDS(w->heads == 1);
    w->ends++;
}

static const struct http1_reply_hooks hooks = {.head = on_head, .body = on_body, .end = on_end};

static void run(struct world *w, bool is_of_head, struct slice in, size_t piece)
{
    struct http1_reply *r = http1_reply_new(is_of_head, &hooks, w);
    enum err err = ERR_OK;
    size_t used = 0;
    size_t n = 0;
    while (err == ERR_OK && in.len > 0 && used == n) {
        n = in.len < piece ? in.len : piece;
        err = http1_reply_recv(r, slice_of(in.data, n), &used);
        HOLDS(err != ERR_OK || used <= n);
        in = slice_skip(in, n);
    }
    if (err == ERR_OK && used == n) {
        err = http1_reply_recv_end(r);
        HOLDS(err == ERR_OK ? w->ends == 1 : w->ends == 0);
    }
    HOLDS(w->heads <= 1 && w->ends <= 1);
    http1_reply_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2) {
        return 0;
    }
    struct world whole = {0};
    struct world pieces = {0};
    struct slice in = slice_of(data + 1, len - 1);
    run(&whole, data[0] >= 128, in, SIZE_MAX);
    run(&pieces, data[0] >= 128, in, 1 + data[0] % 64U);
    HOLDS(whole.heads == pieces.heads && whole.ends == pieces.ends);
    HOLDS(slice_equal(buf_slice(&whole.head), buf_slice(&pieces.head)));
    HOLDS(slice_equal(buf_slice(&whole.body), buf_slice(&pieces.body)));
    buf_done(&whole.head);
    buf_done(&whole.body);
    buf_done(&pieces.head);
    buf_done(&pieces.body);
    return 0;
}
