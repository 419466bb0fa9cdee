#include "rpc/http2_guard.h"

static void add(struct http2_budget *b, uint64_t n, uint64_t max)
{
    b->left = b->left + n < max ? b->left + n : max;
}

static bool spend(struct http2_budget *b, uint64_t max, uint64_t per_second, uint64_t now_ms)
{
    uint64_t earned = (now_ms - b->refilled_ms) * per_second / 1000;
    if (earned > 0) {
        add(b, earned, max);
        b->refilled_ms = now_ms; /* what the division dropped is the peer's loss */
    }
    if (b->left == 0) {
        return false;
    }
    b->left--;
    return true;
}

void http2_guard_init(struct http2_guard *g, uint64_t now_ms)
{
    *g = (struct http2_guard){.frames = {HTTP2_FRAMES_MAX, now_ms},
                              .cancels = {HTTP2_CANCELS_MAX, now_ms},
                              .resets = {HTTP2_RESETS_MAX, now_ms}};
}

void http2_guard_earn(struct http2_guard *g, uint64_t frames)
{
    add(&g->frames, frames, HTTP2_FRAMES_MAX);
}

bool http2_guard_frame(struct http2_guard *g, uint64_t now_ms)
{
    return spend(&g->frames, HTTP2_FRAMES_MAX, HTTP2_FRAMES_PER_SECOND, now_ms);
}

bool http2_guard_cancel(struct http2_guard *g, uint64_t now_ms)
{
    return spend(&g->cancels, HTTP2_CANCELS_MAX, HTTP2_CANCELS_PER_SECOND, now_ms);
}

bool http2_guard_reset(struct http2_guard *g, uint64_t now_ms)
{
    return spend(&g->resets, HTTP2_RESETS_MAX, HTTP2_RESETS_PER_SECOND, now_ms);
}
