/* A cron expression: five fields, and the next due time after an instant.
 *
 *     minute  hour  day-of-month  month       day-of-week
 *     0-59    0-23  1-31          1-12 or     0-7 or names (sun = 0 = 7)
 *                                 jan..dec
 *
 *     field = item {"," item}      item = ("*" | value | value "-" value) ["/" step]
 *
 * `value/step` runs to the end of the field's range. Letters count in either case. A range runs
 * upward; only a range of weekdays may end at Sunday as 0 (`fri-sun`, `5-0`).
 * A field is restricted where it leaves a value out. Day of month and day of week both restricted
 * mean either; else both must hold. An expression may be never due (30 February).
 *
 * Clock changes: a local time that is skipped is due once, at the first instant after the gap,
 * together with all others of the gap; a repeated one is due the first time only.
 *
 * Pure: times come in, times go out. */
#ifndef ACTOR_CRON_H
#define ACTOR_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/zone.h"
#include "base/err.h"
#include "base/slice.h"

enum { CRON_BYTES_MAX = 256 };

/* Bit n stands for value n. */
struct cron {
    uint64_t minutes;
    uint64_t hours;
    uint64_t days;
    uint64_t months;
    uint64_t weekdays; /* 0 to 6 */
};

/* ERR_BAD_REQUEST: `ret_detail` becomes a static sentence that names the field at fault. */
enum err cron_parse(struct slice text, struct cron *ret_cron, const char **ret_detail) MUST_CHECK;

/* The first due time later than `after_ms`; false where there is none, or none before the year
 * ZONE_YEAR_MAX. Looks at most eight years of days ahead, the longest way between two leap days. */
bool cron_next(const struct cron *c, const struct zone *z, uint64_t after_ms, uint64_t *ret_due_ms);

#endif
