#include "actor/actor.h"
#include "actor/turn.h"
#include "base/invariant.h"
#include "storage/rows.h"

static void put_address_rows(struct turn *t)
{
    const struct actor *a = t->actor;
    PRE(a->address_text != NULL);
    struct row_key key;
    struct buf payload = {0};
    row_key_directory(&key, &a->identity);
    directory_row_encode(&payload, t->number, &a->address);
    batch_put(&t->builder, row_key_slice(&key), BATCH_OWN_VERSION, buf_slice(&payload));

    buf_clear(&payload);
    row_key_listing(&key, &a->address, &a->identity);
    number_row_encode(&payload, t->number);
    batch_put(&t->builder, row_key_slice(&key), BATCH_OWN_VERSION, buf_slice(&payload));
    buf_done(&payload);
}

static void delete_actor_rows(struct turn *t)
{
    const struct actor *a = t->actor;
    struct row_key key;
    row_key_directory(&key, &a->identity);
    batch_delete(&t->builder, row_key_slice(&key));
    row_key_listing(&key, &a->address, &a->identity);
    batch_delete(&t->builder, row_key_slice(&key));
    batch_drop(&t->builder, t->number);
}

static void put_meta_row(struct turn *t)
{
    struct row_key key;
    uint8_t payload[META_BYTES];
    row_key_meta(&key, t->number);
    meta_encode(&t->meta, payload);
    batch_put(&t->builder, row_key_slice(&key), BATCH_OWN_VERSION,
              slice_of(payload, sizeof payload));
}

static void put_staged_row(struct turn *t, const struct row *row)
{
    struct row_key key;
    if (row->kind == ROW_IDEMPOTENCY) {
        row_key_idempotency(&key, &t->actor->identity, row_name(row));
    } else {
        row_key_kind(&key, t->number, (enum row_kind)row->kind);
        row_key_append(&key, row_name(row));
    }
    if (row->value != NULL) {
        batch_put(&t->builder, row_key_slice(&key), BATCH_OWN_VERSION, bytes_slice(row->value));
    } else {
        batch_delete(&t->builder, row_key_slice(&key));
    }
}

/* Idempotency rows hang on the identity and survive the actor. */
static void forget_rows_of_actor(struct actor *a)
{
    struct row_set kept;
    row_set_init(&kept);
    ROW_SET_FOREACH (row, &a->rows) {
        if (row->kind == ROW_IDEMPOTENCY) {
            (void)row_set_set(&kept, row->kind, row_name(row), row->value, row->version);
        }
    }
    row_set_done(&a->rows);
    a->rows = kept; /* moves: nodes point at each other, not at the head */
}

/* From here on later turns see what this one did. */
static void hand_to_actor(struct turn *t, bool born)
{
    struct actor *a = t->actor;
    if (t->drops) {
        forget_rows_of_actor(a);
    }
    if (t->drops || born) {
        a->is_whole = true;
    }
    if (t->touches) {
        a->number = t->drops ? 0 : t->number;
        a->meta = t->meta;
        a->meta.version = t->drops ? 0 : t->version;
        a->last_version = t->version;
    }
    ROW_SET_FOREACH (row, &t->staged) {
        (void)row_set_set(&a->rows, row->kind, row_name(row), row->value, row->version);
    }
}

bool turn_only_deletes(const struct turn *t)
{
    ROW_SET_FOREACH (row, &t->staged) {
        if (row->kind != ROW_IDEMPOTENCY && row->value != NULL) {
            return false;
        }
    }
    return t->touches && t->actor->number != 0;
}

size_t turn_bytes(const struct turn *t)
{
    enum { ROW_EXTRA_BYTES = 64, OWN_ROWS_BYTES = 2048 }; /* directory, listing and meta rows */
    return t->staged.bytes + t->staged.count * ROW_EXTRA_BYTES + t->ops.len + OWN_ROWS_BYTES;
}

enum err turn_seal(struct turn *t, struct buf *ret_batch)
{
    PRE(turn_writes(t));
    PRE(!t->drops || t->actor->number != 0);

    bool born = t->touches && t->actor->number == 0;
    if (born) {
        put_address_rows(t);
    }
    if (t->drops) {
        delete_actor_rows(t);
    } else if (t->touches) {
        put_meta_row(t);
    }
    ROW_SET_FOREACH (row, &t->staged) {
        put_staged_row(t, row);
    }
    const struct batch_header header = {
        .version = t->version, .log_time_ms = t->log_time_ms, .born = born ? t->number : 0};
    enum err err = batch_end(&t->builder, &header);
    if (err != ERR_OK) {
        turn_discard(t);
        return err;
    }
    hand_to_actor(t, born);
    *ret_batch = buf_take(&t->ops);
    return ERR_OK;
}
