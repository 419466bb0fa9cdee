#include "node/freshness.h"

#include "base/endian.h"
#include "base/invariant.h"

enum { NUMBER_BYTES = 8 };

static uint64_t since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

bool freshness_age(struct freshness *f, uint64_t replica, const struct applied *applied,
                   uint64_t mono_ms, uint64_t wall_ms, uint64_t *ret_ms)
{
    if (f->replica != replica) {
        *f = (struct freshness){.replica = replica}; /* another one, which may have less */
    }
    if (f->index != 0 && applied->index >= f->index) {
        f->since_ms = f->asked_ms;
        f->ask = 0;
        f->index = 0;
    }
    *ret_ms = f->since_ms != 0 ? since(f->since_ms, mono_ms) : since(applied->log_time_ms, wall_ms);
    return f->since_ms != 0 || applied->log_time_ms != 0;
}

bool freshness_wants_ask(const struct freshness *f, uint64_t mono_ms)
{
    bool is_under_way = f->ask != 0 && since(f->asked_ms, mono_ms) < FRESH_ASK_MS;
    return !is_under_way && (f->since_ms == 0 || since(f->since_ms, mono_ms) >= FRESH_MS);
}

void freshness_asked(struct freshness *f, uint64_t id, uint64_t mono_ms)
{
    PRE(id != 0 && mono_ms != 0);
    f->ask = id;
    f->asked_ms = mono_ms;
    f->index = 0;
}

/* An answer to an older question says nothing of the time of this one. */
void freshness_answered(struct freshness *f, uint64_t id, uint64_t index)
{
    if (f->ask != 0 && f->ask == id) {
        f->index = index;
    }
}

void freshness_put_ask(uint64_t id, struct buf *out)
{
    buf_append_u64(out, id);
}

enum err freshness_take_ask(struct slice bytes, uint64_t *ret_id)
{
    if (bytes.len != NUMBER_BYTES) {
        return ERR_CORRUPT;
    }
    *ret_id = get_be64(bytes.data);
    return ERR_OK;
}

void freshness_put_answer(uint64_t id, uint64_t index, struct buf *out)
{
    buf_append_u64(out, id);
    buf_append_u64(out, index);
}

enum err freshness_take_answer(struct slice bytes, uint64_t *ret_id, uint64_t *ret_index)
{
    if (bytes.len != 2 * NUMBER_BYTES) {
        return ERR_CORRUPT;
    }
    *ret_id = get_be64(bytes.data);
    *ret_index = get_be64(bytes.data + NUMBER_BYTES);
    return ERR_OK;
}
