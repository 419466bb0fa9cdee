/* The operations of an actor's code on its own storage: what an isolate asks for (DESIGN section 5).
 * Each is a turn like any other, so code and the routes of section 3 share one order and one key space.
 * What comes from an isolate is as hostile as what comes from a client, and is checked here. */
#include "actor/actor.h"
#include "actor/idempotency.h"
#include "actor/ops.h"
#include "actor/timer_row.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "rpc/value.h"

enum {
    GET_KEYS_MAX = 1000, /* in one go; the prelude asks for more in parts */
    GET_BYTES_MAX = 16 << 20,
    CLEAR_ROWS_FIRST = 4096,
    CLEAR_BYTES_FIRST = 1 << 20,
};

enum err op_code_elsewhere(struct turn *t, struct request *r)
{
    (void)t;
    return reply_fail(&r->reply, ERR_NOT_IMPLEMENTED, "This node runs no code.");
}

/* An event with an Idempotency-Key: what came of it the first time, or nothing yet. */
enum err op_code_begin(struct turn *t, struct request *r)
{
    bool answered = false;
    PRE(r->idempotency_key != NULL);
    enum err err = idempotency_begin(t, &answered);
    if (err == ERR_OK && !answered) {
        r->reply.status = 204;
    }
    return err == ERR_OK ? r->reply.err : err;
}

static enum err bad(struct request *r, const char *what)
{
    return reply_fail(&r->reply, ERR_INVALID_VALUE, "%s", what);
}

static enum err read_key(struct request *r, struct slice doc, struct slice *ret_key)
{
    if (!value_get_str(doc, ret_key) || ret_key->len == 0) {
        return bad(r, "A key is no string, or empty.");
    }
    return ret_key->len > KV_KEY_BYTES_MAX
               ? reply_too_large(&r->reply, "key_bytes", KV_KEY_BYTES_MAX)
               : ERR_OK;
}

/* Reads */

static enum err want_keys(struct turn *t, struct request *r)
{
    struct slice item;
    struct slice key;
    if (value_count(bytes_slice(r->body)) > GET_KEYS_MAX) {
        return reply_too_large(&r->reply, "keys", GET_KEYS_MAX);
    }
    for (struct value_iter it = value_items(bytes_slice(r->body)); value_next(&it, &item);) {
        enum err err = read_key(r, item, &key);
        if (err != ERR_OK) {
            return err;
        }
        turn_want(t, ROW_KV, key);
    }
    return t->want_count > 0 ? ERR_COLD : ERR_OK;
}

/* {"keys"} -> their values, each as bytes that hold the document; nil where there is none. */
enum err op_code_get(struct turn *t, struct request *r)
{
    struct slice item;
    struct buf body = {0};
    enum err err = want_keys(t, r);
    if (err != ERR_OK) {
        return err;
    }
    value_put_array(&body, value_count(bytes_slice(r->body)));
    for (struct value_iter it = value_items(bytes_slice(r->body)); value_next(&it, &item);) {
        struct slice key = {0};
        const struct row *row;
        bool is_key = value_get_str(item, &key);
        INVARIANT(is_key); /* want_keys has seen it */
        err = turn_get(t, ROW_KV, key, &row);
        if (err != ERR_OK) {
            goto fail;
        }
        if (row == NULL) {
            value_put_nil(&body);
        } else {
            value_put_bin(&body, bytes_slice(row->value));
        }
        if (body.len > GET_BYTES_MAX) {
            err = reply_too_large(&r->reply, "get_bytes", GET_BYTES_MAX);
            goto fail;
        }
    }
    reply_body(&r->reply, 200, &body);
    return ERR_OK;
fail:
    buf_done(&body);
    return err;
}

/* A page of keys and values: [[[key, bytes], ...], more]. */
enum err op_code_list(struct turn *t, struct request *r)
{
    struct buf entries = {0};
    struct buf next = {0};
    struct slice item;
    struct slice part;
    struct buf body = {0};
    enum err err = list_page(t, &r->list, &entries, &next);
    if (err != ERR_OK) {
        goto done;
    }
    value_put_array(&body, 2);
    value_put_array(&body, value_count(buf_slice(&entries)));
    for (struct value_iter it = value_items(buf_slice(&entries)); value_next(&it, &item);) {
        value_put_array(&body, 2);
        bool has_key = value_member(item, "key", &part);
        INVARIANT(has_key);
        value_put_raw(&body, part);
        if (value_member(item, "value", &part)) {
            value_put_bin(&body, part);
        } else {
            value_put_nil(&body);
        }
    }
    value_put_bool(&body, next.len > 0);
    reply_body(&r->reply, 200, &body);
done:
    buf_done(&entries);
    buf_done(&next);
    return err;
}

/* When the timer named "alarm" is due; nil where there is none, and while it is being delivered. */
enum err op_code_alarm(struct turn *t, struct request *r)
{
    struct buf body = {0};
    struct timer timer;
    bool found = false;
    enum err err = timer_row_get(t, SLICE("alarm"), &timer, &found);
    if (err != ERR_OK) {
        return err;
    }
    if (found && timer.state == TIMER_SCHEDULED && timer.firing == 0) {
        value_put_uint(&body, timer.at_ms);
    } else {
        value_put_nil(&body);
    }
    reply_body(&r->reply, 200, &body);
    return ERR_OK;
}

/* Writes */

struct write {
    struct slice what; /* "put", "delete", "clear", "alarm" */
    struct slice key;
    struct slice value;
};

static bool read_write(struct slice doc, struct write *ret)
{
    struct value_iter it = value_items(doc);
    struct slice item;
    *ret = (struct write){0};
    if (!value_next(&it, &item) || !value_get_str(item, &ret->what)) {
        return false;
    }
    if (slice_equal_str(ret->what, "alarm")) {
        return value_next(&it, &ret->value) && it.left == 0;
    }
    if (slice_equal_str(ret->what, "clear")) {
        return it.left == 0;
    }
    bool puts = slice_equal_str(ret->what, "put");
    if ((!puts && !slice_equal_str(ret->what, "delete")) || !value_next(&it, &item) ||
        !value_get_str(item, &ret->key)) {
        return false;
    }
    return puts ? value_next(&it, &item) && value_get_bin(item, &ret->value) && it.left == 0
                : it.left == 0;
}

/* No body: nothing. */
static struct value_iter writes_of(const struct request *r)
{
    return r->body != NULL ? value_items(bytes_slice(r->body)) : (struct value_iter){.left = 0};
}

static enum err want_rows(struct turn *t, struct request *r)
{
    struct slice item;
    struct write w;
    for (struct value_iter it = writes_of(r); value_next(&it, &item);) {
        if (!read_write(item, &w)) {
            return bad(r, "A write of the isolate is malformed.");
        }
        if (w.key.data != NULL) {
            if (w.key.len == 0 || w.key.len > KV_KEY_BYTES_MAX) {
                return reply_too_large(&r->reply, "key_bytes", KV_KEY_BYTES_MAX);
            }
            turn_want(t, ROW_KV, w.key);
        } else if (slice_equal_str(w.what, "alarm")) {
            turn_want(t, ROW_TIMER, SLICE("alarm"));
        }
    }
    return t->want_count > 0 ? ERR_COLD : ERR_OK;
}

static enum err put(struct turn *t, struct request *r, const struct write *w)
{
    const struct row *old;
    const char *reason = NULL;
    if (w->value.len > VALUE_BYTES_MAX) {
        return reply_too_large(&r->reply, "value_bytes", VALUE_BYTES_MAX);
    }
    if (value_check(w->value, VALUE_DEPTH_MAX, &reason) != ERR_OK) {
        return bad(r, reason);
    }
    enum err err = turn_get(t, ROW_KV, w->key, &old);
    if (err != ERR_OK) {
        return err;
    }
    struct bytes *value = bytes_new(w->value);
    err = turn_put_key(t, w->key, old, value);
    bytes_unref(value);
    return err;
}

static enum err delete (struct turn *t, const struct write *w) {
    const struct row *old; enum err err = turn_get(t, ROW_KV, w->key, &old);
    if (err == ERR_OK && old != NULL){turn_delete_key(t, w->key, old);}
return err;
}

static enum err set_alarm(struct turn *t, struct request *r, struct slice at)
{
    struct timer old;
    bool found = false;
    enum err err = timer_row_get(t, SLICE("alarm"), &old, &found);
    if (err != ERR_OK) {
        return err;
    }
    if (value_type(at) == VALUE_NIL) {
        if (found) {
            timer_row_delete(t, SLICE("alarm"), &old);
        }
        return ERR_OK;
    }
    struct timer timer = {.state = TIMER_SCHEDULED, .catch_up = CATCH_UP_ONE};
    if (!value_get_uint(at, &timer.at_ms) || timer.at_ms > TIMER_MS_MAX) {
        return bad(r, "The alarm is no time.");
    }
    if (!found && t->meta.timers >= TIMERS_MAX) {
        return reply_too_large(&r->reply, "timers", TIMERS_MAX);
    }
    timer.due_ms = timer.at_ms;
    timer_row_put(t, SLICE("alarm"), found ? &old : NULL, &timer);
    return ERR_OK;
}

/* All keys, and the alarm; other timers and steps stay. */
static enum err clear(struct turn *t, struct request *r)
{
    const struct scan_range range = {.kind = ROW_KV,
                                     .keys_only = true,
                                     .rows_max = CLEAR_ROWS_FIRST,
                                     .bytes_max = CLEAR_BYTES_FIRST};
    static const uint8_t nil = 0xc0;
    struct scan_cursor cursor;
    struct scan_item item;
    struct buf keys = {0};
    enum err err = turn_scan(t, &range, &cursor);
    if (err != ERR_OK) {
        return err;
    }
    while (scan_next(&cursor, &item)) {
        buf_append_u16(&keys, (uint16_t)item.key.len);
        buf_append_slice(&keys, item.key);
    }
    if (cursor.ended_early || keys.len > TURN_BYTES_MAX) {
        err = keys.len > TURN_BYTES_MAX ? reply_too_large(&r->reply, "turn_bytes", TURN_BYTES_MAX)
                                        : turn_scan_further(t);
        buf_done(&keys);
        return err;
    }
    for (struct slice rest = buf_slice(&keys); rest.len > 0;) {
        struct slice key = slice_of(rest.data + 2, get_be16(rest.data));
        turn_delete(t, ROW_KV, key);
        rest = slice_skip(rest, 2 + key.len);
    }
    buf_done(&keys);
    t->meta.keys = 0;
    t->meta.bytes = 0;
    return set_alarm(t, r, slice_of(&nil, 1));
}

static enum err run_write(struct turn *t, struct request *r, const struct write *w)
{
    if (slice_equal_str(w->what, "put")) {
        return put(t, r, w);
    }
    if (slice_equal_str(w->what, "delete")) {
        return delete (t, w);
    }
    return slice_equal_str(w->what, "clear") ? clear(t, r) : set_alarm(t, r, w->value);
}

/* Writes of one moment: all or none. The reply is what the event answers, so that its record under an
 * Idempotency-Key is in the same batch as its effect. */
enum err op_code_commit(struct turn *t, struct request *r)
{
    struct slice item;
    struct write w;
    enum err err = want_rows(t, r);
    for (struct value_iter it = writes_of(r); err == ERR_OK && value_next(&it, &item);) {
        bool is_read = read_write(item, &w);
        INVARIANT(is_read); /* want_rows has seen it */
        err = run_write(t, r, &w);
    }
    if (err == ERR_OK) {
        r->reply.status = r->outcome != NULL ? 200 : 204;
        r->reply.body = bytes_ref(r->outcome);
    }
    return err;
}
