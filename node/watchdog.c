#include "node/watchdog.h"

#include "base/invariant.h"

/* A state change has one door. */
static void watchdog_move(struct watchdog *w, enum watchdog_state to)
{
    static const bool allowed[WATCHDOG_STATE_COUNT][WATCHDOG_STATE_COUNT] = {
        [WATCHDOG_STARTING] = {[WATCHDOG_SERVING] = true, [WATCHDOG_STOPPING] = true},
        [WATCHDOG_SERVING] = {[WATCHDOG_STOPPING] = true},
    };
    INVARIANT(allowed[w->state][to]);
    w->state = to;
}

static uint64_t look_every_ms(const struct watchdog *w)
{
    return w->timeout_ms >= WATCHDOG_LOOKS ? w->timeout_ms / WATCHDOG_LOOKS : 1;
}

void watchdog_init(struct watchdog *w, bool is_heard, uint64_t timeout_ms, uint64_t now_ms)
{
    *w = (struct watchdog){
        .state = WATCHDOG_STARTING,
        .timeout_ms = is_heard ? timeout_ms : 0,
        .started_ms = now_ms,
        .next_ms = is_heard ? now_ms : UINT64_MAX,
    };
}

void watchdog_serve(struct watchdog *w, uint64_t now_ms)
{
    watchdog_move(w, WATCHDOG_SERVING);
    w->told_ms = now_ms;
    w->next_ms = w->timeout_ms > 0 ? now_ms + look_every_ms(w) : UINT64_MAX;
}

void watchdog_stop(struct watchdog *w)
{
    watchdog_move(w, WATCHDOG_STOPPING);
    w->next_ms = UINT64_MAX;
}

static enum watchdog_word look_at_start(struct watchdog *w, uint64_t now_ms)
{
    if (now_ms - w->started_ms >= WATCHDOG_START_MS_MAX) {
        w->next_ms = UINT64_MAX;
        return WORD_NONE;
    }
    w->next_ms = now_ms + WATCHDOG_START_LOOK_MS;
    return WORD_MORE_TIME;
}

static enum watchdog_word look_at_workers(struct watchdog *w, uint64_t now_ms, uint64_t reported_ms)
{
    w->next_ms = now_ms + look_every_ms(w);
    if (reported_ms > w->told_ms) {
        w->told_ms = now_ms;
        w->is_stalled = false;
        return WORD_ALIVE;
    }
    if (w->is_stalled || now_ms - reported_ms < w->timeout_ms / 2) {
        return WORD_NONE;
    }
    w->is_stalled = true;
    return WORD_STALLED;
}

enum watchdog_word watchdog_look(struct watchdog *w, uint64_t now_ms, uint64_t reported_ms)
{
    if (now_ms < w->next_ms) {
        return WORD_NONE;
    }
    switch (w->state) {
    case WATCHDOG_STARTING:
        return look_at_start(w, now_ms);
    case WATCHDOG_SERVING:
        return look_at_workers(w, now_ms, reported_ms);
    case WATCHDOG_STOPPING:
    case WATCHDOG_STATE_COUNT:
        break;
    }
    return WORD_NONE;
}
