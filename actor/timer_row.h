/* The rows of a timer: its record, its place in the shard's index of due times, and what the meta row
 * counts of it; kept in step by these functions alone. */
#ifndef ACTOR_TIMER_ROW_H
#define ACTOR_TIMER_ROW_H

#include <stdbool.h>

#include "actor/timer.h"
#include "actor/turn.h"
#include "actor/zone_cache.h"
#include "base/err.h"

/* ERR_COLD, or ERR_CORRUPT with the reply. Slices of the timer are borrowed while the turn lasts. */
enum err timer_row_get(struct turn *t, struct slice name, struct timer *ret_timer,
                       bool *ret_found) MUST_CHECK;

/* `old` is what timer_row_get gave; NULL: there was none. */
void timer_row_put(struct turn *t, struct slice name, const struct timer *old,
                   const struct timer *timer);
void timer_row_delete(struct turn *t, struct slice name, const struct timer *old);

/* How the timer repeats. ERR_BAD_REQUEST, and why, where its cron or zone is not known (any more). */
enum err timer_rhythm(struct zone_cache *zones, const struct timer *timer,
                      struct rhythm *ret_rhythm, const char **ret_detail) MUST_CHECK;

#endif
