#include "actor/idempotency_count.h"

#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "storage/keyspace.h"
#include "storage/rows.h"

enum { COUNT_FORMAT = 1, COUNT_HEAD_BYTES = 8 + 1, HOUR_BYTES = 4 + 4 };

static uint32_t hour_of(uint64_t ms)
{
    return (uint32_t)(ms / IDEMPOTENCY_HOUR_MS);
}

/* Hours before this one have expired to their last record. */
static uint32_t first_hour(uint64_t now_ms)
{
    return now_ms < IDEMPOTENCY_KEEP_MS ? 0 : hour_of(now_ms - IDEMPOTENCY_KEEP_MS);
}

uint64_t idempotency_count_of(const struct idempotency_count *c, uint64_t now_ms)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < c->hour_count; i++) {
        sum += c->hours[i].hour >= first_hour(now_ms) ? c->hours[i].records : 0;
    }
    return sum;
}

static void drop_expired(struct idempotency_count *c, uint64_t now_ms)
{
    uint32_t gone = 0;
    while (gone < c->hour_count && c->hours[gone].hour < first_hour(now_ms)) {
        gone++;
    }
    c->hour_count -= gone;
    memmove(c->hours, c->hours + gone, c->hour_count * sizeof c->hours[0]);
}

bool idempotency_count_add(struct idempotency_count *c, uint64_t now_ms)
{
    now_ms = now_ms > c->counted_ms ? now_ms : c->counted_ms;
    uint32_t hour = hour_of(now_ms);
    drop_expired(c, now_ms);
    bool is_new = c->hour_count == 0 || c->hours[c->hour_count - 1].hour != hour;
    if (is_new) {
        INVARIANT(c->hour_count < IDEMPOTENCY_HOURS_MAX);
        c->hours[c->hour_count].hour = hour;
        c->hours[c->hour_count].records = 0;
        c->hour_count++;
    }
    c->hours[c->hour_count - 1].records++;
    c->counted_ms = now_ms;
    return is_new;
}

void idempotency_count_encode(const struct idempotency_count *c, struct buf *out)
{
    buf_append_u64(out, c->counted_ms);
    buf_append_byte(out, COUNT_FORMAT);
    for (uint32_t i = 0; i < c->hour_count; i++) {
        buf_append_u32(out, c->hours[i].hour);
        buf_append_u32(out, c->hours[i].records);
    }
}

enum err idempotency_count_decode(struct slice payload, struct idempotency_count *ret_count)
{
    struct idempotency_count c = {0};
    if (payload.len == 0) {
        *ret_count = c;
        return ERR_OK;
    }
    if (payload.len < COUNT_HEAD_BYTES || payload.data[8] != COUNT_FORMAT ||
        (payload.len - COUNT_HEAD_BYTES) % HOUR_BYTES != 0 ||
        payload.len > COUNT_HEAD_BYTES + IDEMPOTENCY_HOURS_MAX * HOUR_BYTES) {
        return ERR_CORRUPT;
    }
    c.counted_ms = get_be64(payload.data);
    const uint8_t *at = payload.data + COUNT_HEAD_BYTES;
    for (; at < payload.data + payload.len; at += HOUR_BYTES) {
        uint32_t hour = get_be32(at);
        if (hour > hour_of(c.counted_ms) ||
            (c.hour_count > 0 && hour <= c.hours[c.hour_count - 1].hour)) {
            return ERR_CORRUPT;
        }
        c.hours[c.hour_count].hour = hour;
        c.hours[c.hour_count].records = get_be32(at + 4);
        c.hour_count++;
    }
    *ret_count = c;
    return ERR_OK;
}
