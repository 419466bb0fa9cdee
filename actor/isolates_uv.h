/* The isolates of a worker: their zygote, and the processes that it forks (actor/isolate/).
 *
 *     isolates_take --a warm one, or a fresh one--> isolate_send --frames--> `frame`, `ended`
 *                                                   isolate_kill: nothing more is heard of it
 *
 * A few are kept warm: forked before anybody asks. A channel takes frames from its first moment on, so
 * nobody waits for a fork. The zygote starts when code is first asked for; when it dies, what runs under it
 * dies too, and another one is started.
 *
 *     zygote --is old, or has had many children--> a successor starts --ready--> it forks; the old one is
 *                                                                                retired --the last of its
 *                                                                                isolates ends--> closed
 *
 * Frames are written when the loop is about to sleep: isolates_flush, and who was killed ends then. What one does not read is bounded:
 * beyond that it is ended as broken. */
#ifndef ACTOR_ISOLATES_UV_H
#define ACTOR_ISOLATES_UV_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "actor/channel.h"
#include "actor/isolate_control.h"
#include "actor/launch.h"
#include "actor/zygote_uv.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"

enum {
    ISOLATES_MAGIC = 0x69736f01,
    ISOLATES_WARM = 6,       /* of each size, ... */
    ISOLATES_WARM_LEAST = 3, /* ... and while some are taken */
    ISOLATES_QUIET_MS = 10,
    ISOLATE_UNSENT_BYTES_MAX = 64 << 20,
    ISOLATES_SIZES_MAX = 4,
    ISOLATES_RETRY_MS = 1000, /* after a zygote that failed */
    ISOLATES_RETIRED_MAX = 4, /* zygotes; each holds some MB */
    ISOLATES_TEXT_BYTES = 256,
};

struct isolate;

struct isolate_limits {
    uint64_t memory_bytes;
    uint32_t cpu_seconds;
};

struct isolate_usage {
    uint64_t cpu_us;
    uint64_t peak_bytes; /* resident; 0 where it was not asked for */
};

/* Whose an isolate is. Not called any more once it is killed. */
struct isolate_user {
    void (*frame)(struct isolate_user *u, struct slice frame);
    /* By itself; the isolate is gone. */
    void (*ended)(struct isolate_user *u, enum isolate_end end, const struct isolate_usage *usage);
};

struct isolates_stats {
    uint64_t started;
    uint64_t zygotes_started;
    uint64_t zygotes_retired; /* for their age, or the number of their children */
};

struct isolates {
    uint32_t magic;
    uv_loop_t *loop;
    const struct launch *launch;
    struct zygote *zygote;    /* that forks; NULL: none yet, or it has died */
    struct zygote *successor; /* started, and not ready yet */
    struct list retired;      /* zygotes of which isolates live */
    uint32_t retired_count;
    uint32_t children_max; /* of a zygote, after which another one takes over, */
    uint64_t age_ms_max;   /* and how old it becomes; tests have smaller ones */
    uint64_t succeed_ms;   /* not before */
    struct list all;
    struct list warm;   /* of these: nobody's yet */
    struct list dirty;  /* of these: something is to be written */
    struct list doomed; /* killed, and not told so yet */
    size_t count;
    uint32_t next_tag;
    uint64_t retry_ms;
    uint64_t now_ms;
    uint64_t taken_ms; /* when one was taken last */
    bool wants_more;   /* to keep warm, once it is quiet */
    bool is_closed;
    uint64_t memory_bytes; /* of all, as they were looked at last */
    struct isolates_stats stats;
    uint32_t layers;
    uint64_t sizes[ISOLATES_SIZES_MAX];
    size_t size_count;
    char text[ISOLATES_TEXT_BYTES]; /* why there is no code; "": there is */
};

/* `sizes` are the bounds of memory of which some are kept warm. */
void isolates_open(struct isolates *p, uv_loop_t *loop, const struct launch *launch,
                   const uint64_t *sizes, size_t size_count);
void isolates_close(struct isolates *p); /* all are killed; handles go as the loop runs on */

/* NULL, and why in p->text, where there can be none now. */
struct isolate *isolates_take(struct isolates *p, const struct isolate_limits *limits,
                              struct isolate_user *user);
void isolates_flush(struct isolates *p, uint64_t now_ms);
uint64_t isolates_next_ms(const struct isolates *p); /* when to flush at the latest */
size_t isolates_warm_count(const struct isolates *p);
/* At that of some, which each costs a file of /proc; in turn, so that none is left out. */
void isolates_look_at_memory(struct isolates *p);

void isolate_send(struct isolate *i, struct slice frame); /* without its head */
void isolate_pause(struct isolate *i, bool paused);
void isolate_kill(struct isolate *i);
struct isolate_user *isolate_user(const struct isolate *i);
/* The process runs, and has what it needs before it is asked. */
bool isolate_is_up(const struct isolate *i);
uint64_t isolate_memory_bytes(struct isolate *i); /* that it has now */
void isolate_usage(const struct isolate *i, bool wants_peak, struct isolate_usage *ret);

#endif
