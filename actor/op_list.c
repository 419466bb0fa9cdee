#include "actor/actor.h"
#include "actor/ops.h"
#include "base/invariant.h"
#include "rpc/value.h"

enum { ROW_SLACK = 2 * TXN_OPERATIONS_MAX }; /* staged rows may hide as many of storage's */

/* The least key above all keys with this prefix; empty where there is none. */
static void end_of_prefix(struct slice prefix, struct buf *ret_end)
{
    size_t len = prefix.len;
    while (len > 0 && prefix.data[len - 1] == 0xff) {
        len--;
    }
    buf_append(ret_end, prefix.data, len);
    if (len > 0) {
        ret_end->data[len - 1]++;
    }
}

static void raise_low(struct buf *low, struct slice bound, bool exclusive)
{
    struct buf raised = {0};
    buf_append_slice(&raised, bound);
    if (exclusive) {
        buf_append_byte(&raised, 0); /* the least key after it */
    }
    if (slice_compare(buf_slice(&raised), buf_slice(low)) > 0) {
        buf_clear(low);
        buf_append_slice(low, buf_slice(&raised));
    }
    buf_done(&raised);
}

static void lower_high(struct buf *high, struct slice bound)
{
    if (high->len == 0 || slice_compare(bound, buf_slice(high)) < 0) {
        buf_clear(high);
        buf_append_slice(high, bound);
    }
}

/* All bounds of a listing as one range [low, high); false where it can hold nothing. */
bool list_bounds(const struct list_params *p, struct buf *low, struct buf *high)
{
    if (p->prefix != NULL && p->prefix->len > 0) {
        raise_low(low, bytes_slice(p->prefix), false);
        end_of_prefix(bytes_slice(p->prefix), high);
    }
    if (p->start != NULL) {
        raise_low(low, bytes_slice(p->start), false);
    }
    if (p->start_after != NULL) {
        raise_low(low, bytes_slice(p->start_after), true);
    }
    if (p->end != NULL) {
        if (p->end->len == 0) {
            return false; /* before every key */
        }
        lower_high(high, bytes_slice(p->end));
    }
    if (p->cursor != NULL && p->reverse) {
        lower_high(high, bytes_slice(p->cursor));
    } else if (p->cursor != NULL) {
        raise_low(low, bytes_slice(p->cursor), true);
    }
    return high->len == 0 || slice_compare(buf_slice(low), buf_slice(high)) < 0;
}

static void put_entry(struct buf *out, const struct scan_item *item, bool values)
{
    value_put_map(out, values ? 3 : 2);
    value_put_text(out, "key");
    value_put_str(out, item->key);
    if (values) {
        value_put_text(out, "value");
        value_put_raw(out, bytes_slice(item->value));
    }
    value_put_text(out, "version");
    value_put_uint(out, item->version);
}

/* The count goes before the entries once it is known. */
bool list_fill(struct scan_cursor *c, const struct list_params *p, struct buf *ret_entries,
               struct buf *ret_next)
{
    struct buf entries = {0};
    struct buf last = {0};
    struct scan_item item;
    uint32_t count = 0;
    bool more = false;
    while (scan_next(c, &item)) {
        size_t bytes = item.key.len + (p->values ? item.value->len : 0) + 64;
        if (count == p->limit || (count > 0 && entries.len + bytes > PAGE_BYTES_MAX)) {
            more = true;
            break;
        }
        put_entry(&entries, &item, p->values);
        buf_clear(&last);
        buf_append_slice(&last, item.key);
        count++;
    }
    bool is_whole = !c->ended_early || count == p->limit || (count > 0 && !p->has_no_next);
    if (more || c->ended_early) {
        buf_append_slice(ret_next, buf_slice(&last));
    }
    value_put_array(ret_entries, count);
    buf_append_slice(ret_entries, buf_slice(&entries));
    buf_done(&entries);
    buf_done(&last);
    return is_whole;
}

struct scan_range list_range(const struct list_params *p, const struct buf *low,
                             const struct buf *high)
{
    return (struct scan_range){
        .kind = ROW_KV,
        .low = buf_slice(low),
        .high = buf_slice(high),
        .reverse = p->reverse,
        .keys_only = p->has_no_next && !p->values,
        .rows_max = p->limit + 1 + ROW_SLACK,
        .bytes_max = PAGE_BYTES_MAX + VALUE_BYTES_MAX,
    };
}

enum err list_page(struct turn *t, const struct list_params *p, struct buf *ret_entries,
                   struct buf *ret_next)
{
    PRE(p->limit >= 1 && p->limit <= LIST_LIMIT_MAX);

    struct buf low = {0};
    struct buf high = {0};
    enum err err = ERR_OK;
    if (!list_bounds(p, &low, &high)) {
        value_put_array(ret_entries, 0);
        goto free_bounds;
    }
    const struct scan_range range = list_range(p, &low, &high);
    struct scan_cursor cursor;
    err = turn_scan(t, &range, &cursor);
    if (err == ERR_OK && !list_fill(&cursor, p, ret_entries, ret_next)) {
        err = turn_scan_further(t);
    }
free_bounds:
    buf_done(&low);
    buf_done(&high);
    return err;
}

void list_answer(struct request *r, const struct buf *entries, const struct buf *next)
{
    struct buf body = {0};
    value_put_map(&body, 2);
    value_put_text(&body, "entries");
    value_put_raw(&body, buf_slice(entries));
    value_put_text(&body, "next");
    if (next->len > 0) {
        value_put_bin(&body, buf_slice(next)); /* node/ makes an opaque cursor of it */
    } else {
        value_put_nil(&body);
    }
    reply_body(&r->reply, 200, &body);
}

enum err op_kv_list(struct turn *t, struct request *r)
{
    struct buf entries = {0};
    struct buf next = {0};
    enum err err = list_page(t, &r->list, &entries, &next);
    if (err == ERR_OK) {
        list_answer(r, &entries, &next);
        r->reply.state_version = t->actor->last_version;
    }
    buf_done(&next);
    buf_done(&entries);
    return err;
}
