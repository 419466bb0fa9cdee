/* A guard: how much work in vain an HTTP/2 peer may still cause on its connection.
 *
 * Three budgets, refilled by time. `frames` is for what needs no answer worth having (PING, SETTINGS,
 * PRIORITY, WINDOW_UPDATE, empty DATA, unknown types, RST_STREAM); useful work earns more, for a
 * client that reads fast sends several WINDOW_UPDATEs for each of our DATA frames. `cancels` is for the
 * peer's RST_STREAM alone, which no useful work pays for: a request and its reset are cheap to send, and the
 * work begun is lost (CVE-2023-44487). `resets` is for RST_STREAM that the peer provoked from us by breaking
 * the rules, with the same effect (CVE-2025-8671).
 *
 * nghttp2 counts the peer's resets too, by its own clock; our budget is a little smaller, so that it is this
 * one that ends the connection.
 *
 * Pure: callers pass the time. */
#ifndef RPC_HTTP2_GUARD_H
#define RPC_HTTP2_GUARD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HTTP2_FRAMES_MAX = 2000,
    HTTP2_FRAMES_PER_SECOND = 200,
    HTTP2_FRAMES_PER_REQUEST = 8, /* earned by each request ... */
    HTTP2_FRAMES_PER_DATA = 4,    /* ... and each DATA frame that carries bytes, both ways */
    HTTP2_CANCELS_MAX = 900,
    HTTP2_CANCELS_PER_SECOND = 30,
    HTTP2_RESETS_MAX = 100,
    HTTP2_RESETS_PER_SECOND = 10,
};

struct http2_budget {
    uint64_t left;
    uint64_t refilled_ms;
};

struct http2_guard {
    struct http2_budget frames;
    struct http2_budget cancels;
    struct http2_budget resets;
};

void http2_guard_init(struct http2_guard *g, uint64_t now_ms);
void http2_guard_earn(struct http2_guard *g, uint64_t frames);

/* False: the budget is used up; the connection ends. */
bool http2_guard_frame(struct http2_guard *g, uint64_t now_ms);
bool http2_guard_cancel(struct http2_guard *g, uint64_t now_ms);
bool http2_guard_reset(struct http2_guard *g, uint64_t now_ms);

#endif
