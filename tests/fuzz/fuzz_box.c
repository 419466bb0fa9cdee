/* What a guest in a sandbox may send: requests are the same however the bytes are cut, and what is read of a head
 * is what one reader alone could read; a name server's answers are bounded, and answer the question; what comes
 * back is scrubbed the same in any pieces, and has no secret in it.
 *
 * The first byte of an input says which, the second one how long the pieces are. */
#include <string.h>

#include "actor/egress/dns.h"
#include "actor/egress/scrubber.h"
#include "base/buf.h"
#include "rpc/http1_inbound.h"
#include "rpc/value.h"
#include "tests/fuzz/fuzz.h"

/* Requests */

static void see_head(const struct http1_inbound_head *h, struct buf *seen)
{
    size_t hosts = 0;
    HOLDS(h->field_count <= HTTP1_INBOUND_FIELDS_MAX);
    for (size_t i = 0; i < h->field_count; i++) {
        HOLDS(http_name_is_valid(h->fields[i].name) && http_value_is_valid(h->fields[i].value));
        hosts += slice_equal(h->fields[i].name, SLICE("host")) ? 1 : 0;
    }
    HOLDS(hosts == 1 || (hosts == 0 && h->is_old));
    HOLDS(!(h->is_chunked && h->length > 0));
    buf_printf(seen, "%zu %zu %d %llu ", h->method.len, h->field_count, h->is_chunked,
               (unsigned long long)h->length);
    buf_append_slice(seen, h->target);
}

static void read_requests(struct slice in, size_t piece, struct buf *seen)
{
    struct http1_inbound r;
    struct buf body = {0};
    http1_inbound_init(&r);
    bool goes_on = true;
    while (goes_on && in.len > 0) {
        struct slice some = slice_of(in.data, piece < in.len ? piece : in.len);
        struct slice part;
        in = slice_skip(in, some.len);
        enum http1_inbound_event event;
        while ((event = http1_inbound_next(&r, &some, &part)) != HTTP1_WANTS_MORE && goes_on) {
            goes_on = event != HTTP1_IS_BAD;
            if (event == HTTP1_HAS_HEAD) {
                see_head(&r.head, seen);
            } else if (event == HTTP1_HAS_BODY) {
                HOLDS(part.len > 0);
                buf_append_slice(&body, part);
            } else if (event == HTTP1_HAS_END) {
                buf_append_slice(seen, buf_slice(&body));
                buf_append_str(seen, "|");
                buf_clear(&body);
            }
        }
        HOLDS(!goes_on || some.len == 0);
    }
    buf_done(&body);
    http1_inbound_done(&r);
}

static void requests(struct slice in, size_t piece)
{
    struct buf whole = {0};
    struct buf cut = {0};
    read_requests(in, SIZE_MAX, &whole);
    read_requests(in, piece, &cut);
    HOLDS(slice_equal(buf_slice(&whole), buf_slice(&cut)));
    buf_done(&whole);
    buf_done(&cut);
}

/* Names */

static void names(struct slice in)
{
    uint8_t answer[DNS_ANSWER_BYTES_MAX];
    size_t n = dns_answer(in, answer);
    HOLDS(n <= sizeof answer);
    HOLDS(n == 0 || (n >= 12 && answer[0] == in.data[0] && answer[1] == in.data[1] &&
                     (answer[2] & 0x80) != 0));
    size_t question = n > 12 ? n - 12 - (answer[7] != 0 ? 16 : 0) : 0;
    HOLDS(question == 0 || memcmp(answer + 12, in.data + 12, question) == 0);
}

/* Secrets: the first part of the input, up to a zero, is one. */

static void scrub_pieces(const struct scrub_set *set, struct slice in, size_t piece,
                         struct buf *out)
{
    struct scrubber s = {.set = set};
    bool is_last = false;
    while (!is_last) {
        size_t n = piece < in.len ? piece : in.len;
        size_t before = out->len;
        uint8_t *room = buf_extend(out, set->longest + n + 1);
        size_t held = scrubber_begin(&s, room);
        if (n > 0) {
            memcpy(room + held, in.data, n);
        }
        in = slice_skip(in, n);
        is_last = in.len == 0;
        out->len = before + scrubber_end(&s, room, held + n, is_last);
    }
    scrubber_done(&s);
}

static void secrets(struct slice in, size_t piece)
{
    const uint8_t *zero = in.len > 0 ? memchr(in.data, 0, in.len) : NULL;
    if (zero == NULL) {
        return;
    }
    struct slice secret = slice_of(in.data, (size_t)(zero - in.data));
    struct slice text = slice_skip(in, secret.len + 1);
    struct buf doc = {0};
    struct buf whole = {0};
    struct buf cut = {0};
    struct scrub_set set;
    value_put_map(&doc, 1);
    value_put_text(&doc, "S");
    value_put_bin(&doc, secret);
    scrub_set_init(&set, buf_slice(&doc));
    scrub_pieces(&set, text, SIZE_MAX, &whole);
    scrub_pieces(&set, text, piece, &cut);
    HOLDS(whole.len == text.len && slice_equal(buf_slice(&whole), buf_slice(&cut)));
    bool is_stars = secret.len > 0 && strspn((const char *)secret.data, "*") == secret.len;
    HOLDS(set.count == 0 || is_stars || whole.len == 0 || secret.data[0] == '*' ||
          secret.data[secret.len - 1] == '*' ||
          memmem(whole.data, whole.len, secret.data, secret.len) == NULL);
    scrub_set_done(&set);
    buf_done(&doc);
    buf_done(&whole);
    buf_done(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2) {
        return 0;
    }
    struct slice in = slice_of(data + 2, len - 2);
    size_t piece = (size_t)data[1] + 1;
    if (data[0] == 'r') {
        requests(in, piece);
    } else if (data[0] == 'n') {
        names(in);
    } else if (data[0] == 's') {
        secrets(in, piece);
    }
    return 0;
}
