#include "actor/meta.h"

#include "base/endian.h"

enum { META_FORMAT = 1 };

void meta_encode(const struct meta *m, uint8_t ret_payload[META_BYTES])
{
    ret_payload[0] = META_FORMAT;
    put_be64(ret_payload + 1, m->keys);
    put_be64(ret_payload + 9, m->bytes);
    put_be32(ret_payload + 17, m->timers);
    put_be32(ret_payload + 21, m->steps);
    put_be32(ret_payload + 25, m->timer_events);
    put_be64(ret_payload + 29, m->alarm_at_ms);
}

enum err meta_decode(struct slice payload, uint64_t version, struct meta *ret_meta)
{
    if (payload.len != META_BYTES || payload.data[0] != META_FORMAT || version == 0) {
        return ERR_CORRUPT;
    }
    const uint8_t *at = payload.data + 1;
    *ret_meta = (struct meta){
        .version = version,
        .keys = get_be64(at),
        .bytes = get_be64(at + 8),
        .timers = get_be32(at + 16),
        .steps = get_be32(at + 20),
        .timer_events = get_be32(at + 24),
        .alarm_at_ms = get_be64(at + 28),
    };
    return ERR_OK;
}
