#include "actor/turn.h"

#include <string.h>

#include "actor/actor.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/rows.h"

enum {
    WANT_HEAD_BYTES = 3,    /* kind and length of the key */
    BATCH_BYTES_FIRST = 512 /* a small turn's batch grows no further */
};

static void free_scans(struct turn *t)
{
    for (uint32_t i = 0; i < t->scan_count; i++) {
        buf_done(&t->scans[i].keys);
        row_set_done(&t->scans[i].rows);
    }
    mem_free(t->scans);
    t->scans = NULL;
    t->scan_count = 0;
}

void turn_discard(struct turn *t)
{
    row_set_done(&t->staged);
    buf_clear(&t->ops);
    t->version = 0;
    t->touches = false;
    t->has_due = false;
    t->drops = false;
    t->number = t->actor->number;
    t->meta = t->actor->meta;
}

void turn_reset(struct turn *t)
{
    turn_discard(t);
    buf_clear(&t->wants);
    t->want_count = 0;
    t->scan_next = 0;
    t->log_time_ms = shard_log_time_ms(t->actor->shard);
    reply_clear(&t->request->reply);
}

void turn_init(struct turn *t, struct actor *a, struct request *r)
{
    *t = (struct turn){.magic = TURN_MAGIC, .actor = a, .request = r};
    row_set_init(&t->staged);
}

void turn_done(struct turn *t)
{
    row_set_done(&t->staged);
    buf_done(&t->ops);
    buf_done(&t->wants);
    free_scans(t);
}

/* The row's key in storage; false where the actor has no rows there at all. */
bool turn_storage_key(const struct actor *a, uint8_t kind, struct slice key, struct row_key *ret)
{
    if (kind == ROW_IDEMPOTENCY) {
        row_key_idempotency(ret, &a->identity, key);
        return true;
    }
    if (a->number == 0) {
        return false;
    }
    row_key_kind(ret, a->number, (enum row_kind)kind);
    row_key_append(ret, key);
    return true;
}

/* A row that is not yet in the actor's memory, from the part of storage that is in memory. */
static enum err fetch(struct actor *a, enum row_kind kind, struct slice key,
                      const struct row **ret_row)
{
    struct row_key stored;
    bool may_exist = turn_storage_key(a, (uint8_t)kind, key, &stored);
    if (!may_exist || (a->is_whole && kind != ROW_IDEMPOTENCY)) {
        *ret_row = NULL;
        return ERR_OK;
    }
    struct slice payload;
    uint64_t version;
    switch (shard_peek(a->shard, row_key_slice(&stored), &payload, &version)) {
    case SHARD_ROW_FOUND: {
        struct bytes *value = bytes_new(payload);
        *ret_row = row_set_set(&a->rows, (uint8_t)kind, key, value, version);
        bytes_unref(value);
        return ERR_OK;
    }
    case SHARD_ROW_ABSENT:
        (void)row_set_set(&a->rows, (uint8_t)kind, key, NULL, 0);
        *ret_row = NULL;
        return ERR_OK;
    case SHARD_ROW_COLD:
        return ERR_COLD;
    }
    UNREACHABLE();
}

static void want(struct turn *t, enum row_kind kind, struct slice key)
{
    PRE(key.len <= KV_KEY_BYTES_MAX);

    if (t->want_count < TURN_WANTS_MAX) {
        buf_append_byte(&t->wants, (uint8_t)kind);
        buf_append_u16(&t->wants, (uint16_t)key.len);
        buf_append_slice(&t->wants, key);
        t->want_count++;
    }
}

static const struct row *present(const struct row *row)
{
    return row != NULL && row->value != NULL ? row : NULL;
}

enum err turn_get(struct turn *t, enum row_kind kind, struct slice key, const struct row **ret_row)
{
    const struct row *row = row_set_find(&t->staged, (uint8_t)kind, key);
    if (row == NULL && t->drops && kind != ROW_IDEMPOTENCY) {
        *ret_row = NULL;
        return ERR_OK;
    }
    if (row == NULL) {
        row = row_set_find(&t->actor->rows, (uint8_t)kind, key);
    }
    if (row != NULL) {
        *ret_row = present(row);
        return ERR_OK;
    }
    enum err err = fetch(t->actor, kind, key, ret_row);
    if (err == ERR_COLD) {
        want(t, kind, key);
    }
    return err;
}

void turn_want(struct turn *t, enum row_kind kind, struct slice key)
{
    const struct row *row;
    if (row_set_find(&t->actor->rows, (uint8_t)kind, key) == NULL &&
        fetch(t->actor, kind, key, &row) == ERR_COLD) {
        want(t, kind, key);
    }
}

bool turn_next_want(struct slice *rest, struct want *ret_want)
{
    if (rest->len == 0) {
        return false;
    }
    *ret_want =
        (struct want){.kind = (enum row_kind)rest->data[0],
                      .key = slice_of(rest->data + WANT_HEAD_BYTES, get_be16(rest->data + 1))};
    *rest = slice_skip(*rest, WANT_HEAD_BYTES + ret_want->key.len);
    return true;
}

uint64_t turn_version(struct turn *t)
{
    if (t->version == 0) {
        t->version = shard_take_version(t->actor->shard);
        buf_reserve(&t->ops, BATCH_BYTES_FIRST);
        batch_begin(&t->builder, &t->ops);
    }
    return t->version;
}

/* From here on the batch changes the actor, not only what is kept beside it. */
static void touch_actor(struct turn *t)
{
    (void)turn_version(t);
    t->touches = true;
    if (t->number == 0) {
        t->number = shard_take_number(t->actor->shard);
    }
}

static void stage(struct turn *t, enum row_kind kind, struct slice key, struct bytes *value)
{
    if (kind != ROW_IDEMPOTENCY) {
        touch_actor(t);
    }
    (void)row_set_set(&t->staged, (uint8_t)kind, key, value, turn_version(t));
}

void turn_put(struct turn *t, enum row_kind kind, struct slice key, struct bytes *value)
{
    PRE(value != NULL);
    stage(t, kind, key, value);
}

void turn_delete(struct turn *t, enum row_kind kind, struct slice key)
{
    stage(t, kind, key, NULL);
}

static uint64_t counted_bytes(const struct row *row)
{
    return row == NULL ? 0 : row->key_len + row->value->len;
}

/* A few small operations can make large values larger: an append to each of a hundred arrays. */
static bool is_too_much(const struct turn *t, struct slice key, const struct bytes *value)
{
    const struct row *before = row_set_find(&t->staged, ROW_KV, key);
    size_t replaced = before != NULL && before->value != NULL ? before->value->len : 0;
    return t->staged.bytes - replaced + key.len + value->len > TURN_BYTES_MAX;
}

enum err turn_put_key(struct turn *t, struct slice key, const struct row *old, struct bytes *value)
{
    if (is_too_much(t, key, value)) {
        return reply_too_large(&t->request->reply, "turn_bytes", TURN_BYTES_MAX);
    }
    uint64_t bytes = t->meta.bytes - counted_bytes(old) + key.len + value->len;
    if (bytes > ACTOR_BYTES_MAX) {
        return reply_limited(&t->request->reply, ERR_STORAGE_FULL, "actor_bytes", ACTOR_BYTES_MAX);
    }
    t->meta.bytes = bytes;
    t->meta.keys += old == NULL ? 1 : 0;
    turn_put(t, ROW_KV, key, value);
    return ERR_OK;
}

void turn_delete_key(struct turn *t, struct slice key, const struct row *old)
{
    PRE(old != NULL && t->meta.keys > 0);
    t->meta.bytes -= counted_bytes(old);
    t->meta.keys--;
    turn_delete(t, ROW_KV, key);
}

void turn_put_due(struct turn *t, uint64_t due_ms, enum row_kind kind, struct slice name)
{
    touch_actor(t);
    t->has_due = true;
    struct row_key key;
    row_key_due(&key, due_ms, t->number, kind, name);
    batch_put(&t->builder, row_key_slice(&key), BATCH_OWN_VERSION,
              slice_of(t->actor->identity.bytes, IDENTITY_BYTES));
}

void turn_delete_due(struct turn *t, uint64_t due_ms, enum row_kind kind, struct slice name)
{
    touch_actor(t);
    turn_forget_due(t, t->number, due_ms, kind, name);
}

void turn_forget_due(struct turn *t, uint64_t number, uint64_t due_ms, enum row_kind kind,
                     struct slice name)
{
    (void)turn_version(t);
    t->has_due = true;
    struct row_key key;
    row_key_due(&key, due_ms, number, kind, name);
    batch_delete(&t->builder, row_key_slice(&key));
}

void turn_drop_actor(struct turn *t)
{
    PRE(t->actor->number != 0);
    touch_actor(t);
    row_set_done(&t->staged);
    t->drops = true;
    t->meta = (struct meta){0};
}

/* The n-th scan of this run; what an earlier run read for it is still here. */
static struct scan *nth_scan(struct turn *t, const struct scan_range *range)
{
    if (t->scan_next == t->scan_count) {
        t->scans = mem_realloc(t->scans, (t->scan_count + 1) * sizeof *t->scans);
        struct scan *s = &t->scans[t->scan_count++];
        *s = (struct scan){.range = *range};
        buf_append_slice(&s->keys, range->low);
        buf_append_slice(&s->keys, range->high);
        s->range.low = slice_of(s->keys.data, range->low.len);
        s->range.high = slice_of(s->keys.data + range->low.len, range->high.len);
        row_set_init(&s->rows);
    }
    return &t->scans[t->scan_next++];
}

enum err turn_scan(struct turn *t, const struct scan_range *range, struct scan_cursor *ret_cursor)
{
    struct actor *a = t->actor;
    if (t->drops || a->number == 0) {
        struct row_set nothing;
        row_set_init(&nothing);
        scan_begin(ret_cursor, range, &nothing, false, &t->staged);
        return ERR_OK;
    }
    if (a->is_whole) {
        scan_begin(ret_cursor, range, &a->rows, false, &t->staged);
        return ERR_OK;
    }
    struct scan *s = nth_scan(t, range);
    if (!s->loaded) {
        return ERR_COLD;
    }
    scan_begin(ret_cursor, range, &s->rows, s->cut, &t->staged);
    return ERR_OK;
}

enum err turn_scan_further(struct turn *t)
{
    PRE(t->scan_next > 0 && t->scans[t->scan_next - 1].cut);
    struct scan *s = &t->scans[t->scan_next - 1];
    s->loaded = false;
    s->range.rows_max *= 2;
    s->range.bytes_max *= 2;
    return ERR_COLD;
}
