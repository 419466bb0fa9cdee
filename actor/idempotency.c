#include "actor/idempotency.h"

#include <string.h>

#include "actor/actor.h"
#include "actor/idempotency_count.h"
#include "actor/registry.h"
#include "base/invariant.h"
#include "storage/rows.h"

enum {
    RECORD_HEAD_BYTES = 8 + REQUEST_HASH_BYTES, /* log time, hash of the request; the reply */
    RECORD_REPLY_BYTES_MAX = 1 << 20,
};

static const struct slice count_key = {.data = (const uint8_t *)"", .len = 0};

/* Asks for the record and the count in one read. */
static enum err want_rows(struct turn *t)
{
    turn_want(t, ROW_IDEMPOTENCY, bytes_slice(t->request->idempotency_key));
    turn_want(t, ROW_IDEMPOTENCY, count_key);
    return t->want_count > 0 ? ERR_COLD : ERR_OK;
}

/* The rows are there by now. NULL: absent. */
static const struct row *get_row(struct turn *t, struct slice key)
{
    const struct row *row;
    enum err err = turn_get(t, ROW_IDEMPOTENCY, key, &row);
    INVARIANT(err == ERR_OK);
    return row;
}

static bool is_expired(const struct turn *t, struct slice record)
{
    uint64_t log_time_ms;
    return idempotency_row_time(record, &log_time_ms) == ERR_OK &&
           idempotency_is_expired(log_time_ms, t->log_time_ms);
}

static void fail_damaged(struct request *r)
{
    (void)reply_fail(&r->reply, ERR_CORRUPT, "An idempotency record is damaged.");
}

/* The key was used before: the reply says what came of it. */
static void answer_from(struct request *r, struct slice record)
{
    struct reply kept;
    if (record.len < RECORD_HEAD_BYTES) {
        fail_damaged(r);
    } else if (memcmp(record.data + 8, r->hash, REQUEST_HASH_BYTES) != 0) {
        (void)reply_fail(&r->reply, ERR_IDEMPOTENCY_MISMATCH, NULL);
    } else if (reply_decode(slice_skip(record, RECORD_HEAD_BYTES), &kept) != ERR_OK) {
        fail_damaged(r);
    } else {
        reply_clear(&r->reply);
        r->reply = kept;
        r->reply.replayed = true;
    }
}

static enum err get_count(struct turn *t, struct idempotency_count *ret_count)
{
    const struct row *row = get_row(t, count_key);
    return idempotency_count_decode(bytes_slice(row != NULL ? row->value : NULL), ret_count);
}

/* False: the reply says why there is no room for another record. */
static bool has_room(struct turn *t)
{
    struct request *r = t->request;
    uint32_t max = t->actor->registry->idempotency_max;
    struct idempotency_count count;
    if (get_count(t, &count) != ERR_OK) {
        fail_damaged(r);
        return false;
    }
    if (idempotency_count_of(&count, t->log_time_ms) >= max) {
        (void)reply_limited(&r->reply, ERR_RATE_LIMITED, "idempotency_records", max);
        return false;
    }
    return true;
}

enum err idempotency_begin(struct turn *t, bool *ret_answered)
{
    enum err err = want_rows(t);
    if (err != ERR_OK) {
        return err;
    }
    const struct row *row = get_row(t, bytes_slice(t->request->idempotency_key));
    if (row != NULL && !is_expired(t, bytes_slice(row->value))) {
        answer_from(t->request, bytes_slice(row->value));
        *ret_answered = true;
    } else {
        *ret_answered = !has_room(t);
    }
    return ERR_OK;
}

/* A row and, so that it expires, its row by hour. */
static void put_row(struct turn *t, struct slice key, struct buf *payload, bool by_hour)
{
    struct bytes *value = bytes_new(buf_slice(payload));
    turn_put(t, ROW_IDEMPOTENCY, key, value);
    bytes_unref(value);
    if (by_hour) {
        struct row_key hour;
        row_key_idempotency_hour(&hour, t->log_time_ms, &t->actor->identity, key);
        batch_put(&t->builder, row_key_slice(&hour), BATCH_OWN_VERSION, SLICE(""));
    }
}

static void count_one_more(struct turn *t)
{
    struct idempotency_count count;
    struct buf payload = {0};
    enum err err = get_count(t, &count);
    INVARIANT(err == ERR_OK); /* it was read when the turn began */
    bool is_new_hour = idempotency_count_add(&count, t->log_time_ms);
    idempotency_count_encode(&count, &payload);
    put_row(t, count_key, &payload, is_new_hour);
    buf_done(&payload);
}

void idempotency_keep(struct turn *t)
{
    struct request *r = t->request;
    struct buf record = {0};
    buf_append_u64(&record, t->log_time_ms);
    buf_append(&record, r->hash, REQUEST_HASH_BYTES);
    reply_encode(&r->reply, &record);
    if (record.len > RECORD_HEAD_BYTES + RECORD_REPLY_BYTES_MAX) {
        turn_discard(t);
        (void)reply_too_large(&r->reply, "idempotent_answer_bytes", RECORD_REPLY_BYTES_MAX);
    } else {
        put_row(t, bytes_slice(r->idempotency_key), &record, true);
        count_one_more(t);
    }
    buf_done(&record);
}
