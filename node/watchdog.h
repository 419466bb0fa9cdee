/* When the process manager hears from the node, and what (node/notify.h).
 *
 *     STARTING --watchdog_serve--> SERVING --watchdog_stop--> STOPPING
 *
 *     STARTING   more time is asked for again and again, up to START_MS_MAX: a log is bounded, so a start
 *                that takes longer hangs
 *     SERVING    alive, but only if every worker has reported since the last time. A loop that stands
 *                still keeps the node silent, and the manager ends it one time-out later at most
 *     STOPPING   nothing: how long a stop may take is the manager's to say
 *
 * Pure: the caller brings the time and sends the words. */
#ifndef NODE_WATCHDOG_H
#define NODE_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

enum watchdog_state {
    WATCHDOG_STARTING,
    WATCHDOG_SERVING,
    WATCHDOG_STOPPING,
    WATCHDOG_STATE_COUNT
};

enum watchdog_word {
    WORD_NONE,
    WORD_MORE_TIME, /* WATCHDOG_MORE_TIME_MS from now */
    WORD_ALIVE,
    WORD_STALLED, /* for the log, once a stall: half the time-out has passed without a report */
};

enum {
    WATCHDOG_MORE_TIME_MS = 60 * 1000,
    WATCHDOG_START_LOOK_MS = 10 * 1000,
    WATCHDOG_START_MS_MAX = 10 * 60 * 1000, /* 512 MB of log a worker, at less than 1 MB/s */
    WATCHDOG_LOOKS = 4,                     /* in one time-out */
};

struct watchdog {
    enum watchdog_state state;
    uint64_t timeout_ms; /* the manager's patience with a node that serves; 0: without end */
    uint64_t started_ms;
    uint64_t told_ms; /* that the node is alive */
    uint64_t next_ms; /* of the next look; UINT64_MAX: never */
    bool is_stalled;
};

/* `is_heard` false: nobody listens, and there is nothing to do. */
void watchdog_init(struct watchdog *w, bool is_heard, uint64_t timeout_ms, uint64_t now_ms);
void watchdog_serve(struct watchdog *w, uint64_t now_ms);
void watchdog_stop(struct watchdog *w);

/* What there is to say; nothing before `next_ms`. `reported_ms` is the oldest of the workers' newest
 * reports; of no meaning before the node serves. */
enum watchdog_word watchdog_look(struct watchdog *w, uint64_t now_ms, uint64_t reported_ms);

#endif
