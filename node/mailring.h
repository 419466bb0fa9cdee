/* A mail ring: tasks from one worker to one other, in the order in which they were posted.
 *
 *     source   try_post, post --> | t | t | t |  --take-->  destination
 *                         |           ^
 *                         +-> overflow -- retry, once an iteration
 *
 * The ring is bounded. Where it is full, what begins something new is refused (try_post), and what
 * ends something, an answer or a cancel, waits at the source (post): of these there are never more
 * than of what was let in. While anything waits there nothing new is let in, so the order holds.
 *
 * A post says whether the destination must be woken: only when it had taken everything before. For
 * that one side looks after it has posted, the other after it has taken, each behind a full fence:
 * one of the two sees the other. So the destination may rest only after `take` gave NULL.
 *
 * A task is part of a larger struct, which belongs to the side that has the task. What the source
 * wrote before it posted, the destination sees when it has taken. */
#ifndef NODE_MAILRING_H
#define NODE_MAILRING_H

#include <stdbool.h>

#include "base/err.h"
#include "base/list.h"

struct worker;

struct task {
    void (*run)(struct worker *w, struct task *t); /* on the destination's thread */
    struct list link;                              /* while it waits in the overflow */
};

struct mailring;

enum { MAILRING_SLOTS = 4096 /* one stays free */, MAILRING_TASKS_MAX = MAILRING_SLOTS - 1 };

struct mailring *mailring_new(void);
void mailring_free(struct mailring *r); /* it must be empty; NULL is fine */

/* Source. ERR_OVERLOADED: it is full, the task is still the caller's. `*ret_wake`: wake the
 * destination. */
enum err mailring_try_post(struct mailring *r, struct task *t, bool *ret_wake) MUST_CHECK;
bool mailring_post(struct mailring *r, struct task *t); /* never refused; true: wake it */
bool mailring_retry(struct mailring *r);                /* what overflowed; true: wake it */
bool mailring_has_overflow(const struct mailring *r);

/* Destination: the oldest task, or NULL. */
struct task *mailring_take(struct mailring *r);

#endif
