#include "actor/egress/rate.h"

bool rate_take(struct rate *r, uint32_t a_minute, uint64_t now_ms)
{
    enum { MICRO = 1000 * 1000, MINUTE_MS = 60 * 1000 };
    uint64_t full = (uint64_t)a_minute * MICRO;
    uint64_t passed_ms = r->since_ms == 0 ? MINUTE_MS : now_ms - r->since_ms;
    uint64_t gained = passed_ms >= MINUTE_MS ? full : full / MINUTE_MS * passed_ms;
    r->since_ms = now_ms > 0 ? now_ms : 1;
    r->tokens_micro = r->tokens_micro + gained < full ? r->tokens_micro + gained : full;
    if (r->tokens_micro < MICRO) {
        return false;
    }
    r->tokens_micro -= MICRO;
    return true;
}
