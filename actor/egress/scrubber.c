#include "actor/egress/scrubber.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"

void scrub_set_init(struct scrub_set *s, struct slice secrets)
{
    struct slice name;
    struct slice value;
    struct slice bytes;
    *s = (struct scrub_set){0};
    uint32_t count = secrets.len > 0 ? value_count(secrets) : 0;
    if (count == 0) {
        return;
    }
    s->secrets = mem_alloc(count * sizeof *s->secrets);
    for (struct value_iter it = value_entries(secrets); value_next_entry(&it, &name, &value);) {
        if (value_get_bin(value, &bytes) && bytes.len >= SCRUB_BYTES_MIN) {
            s->secrets[s->count++] = bytes;
            s->begins[bytes.data[0]] = true;
            s->longest = bytes.len > s->longest ? bytes.len : s->longest;
        }
    }
}

void scrub_set_done(struct scrub_set *s)
{
    mem_free(s->secrets);
    *s = (struct scrub_set){0};
}

void scrubber_done(struct scrubber *s)
{
    if (s->held.data != NULL) {
        explicit_bzero(s->held.data, s->held.cap);
    }
    buf_done(&s->held);
    s->masked = 0;
}

size_t scrubber_begin(struct scrubber *s, uint8_t *out)
{
    size_t n = s->held.len;
    if (n > 0) {
        memcpy(out, s->held.data, n);
        buf_clear(&s->held);
    }
    return n;
}

/* The longest secret that begins there; `*ret_may_begin`: one may, of which the end is not there. */
static size_t match(const struct scrub_set *set, struct slice at, bool *ret_may_begin)
{
    size_t longest = 0;
    *ret_may_begin = false;
    if (!set->begins[at.data[0]]) {
        return 0;
    }
    for (size_t i = 0; i < set->count; i++) {
        struct slice secret = set->secrets[i];
        size_t n = secret.len < at.len ? secret.len : at.len;
        if (memcmp(secret.data, at.data, n) != 0) {
            continue;
        }
        if (n < secret.len) {
            *ret_may_begin = true;
        } else if (n > longest) {
            longest = n;
        }
    }
    return longest;
}

/* A byte is overwritten only once nothing that begins at it or later needs it. */
size_t scrubber_end(struct scrubber *s, uint8_t *out, size_t len, bool is_last)
{
    size_t masked_to = s->masked;
    size_t i = 0;
    PRE(s->held.len == 0);
    for (; i < len; i++) {
        bool may_begin;
        size_t n = match(s->set, slice_of(out + i, len - i), &may_begin);
        if (may_begin && !is_last) {
            break;
        }
        masked_to = n > 0 && i + n > masked_to ? i + n : masked_to;
        if (i < masked_to) {
            out[i] = '*';
        }
    }
    if (i < len) {
        buf_append(&s->held, out + i, len - i);
    }
    s->masked = masked_to > i ? masked_to - i : 0;
    POST(s->held.len < s->set->longest || s->held.len == 0);
    return i;
}

void scrub(const struct scrub_set *set, uint8_t *text, size_t len)
{
    struct scrubber s = {.set = set};
    size_t n = scrubber_end(&s, text, len, true);
    POST(n == len);
    scrubber_done(&s);
}
