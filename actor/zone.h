/* A time zone of the IANA database: local time from an instant, and the instant of a local time.
 *
 * Names are IANA identifiers with their exact letters ("Europe/Berlin", "UTC"); offsets such as
 * "+05:30", POSIX rules and paths are refused. Everything but "UTC" needs the zone files of the
 * system (package tzdata); rules are known up to ZONE_YEAR_MAX. A zone is immutable, so any thread
 * may use it; making one reads a file the first time, so keep it where it is used often.
 *
 * Local seconds count as if the local clock were UTC: 0 is 1970-01-01 00:00:00 on the wall.
 * `zone_instant` is the one place that knows what a clock change does:
 *
 *     local clock     01:59  ...gap...  03:00        01:59 02:00..02:59 02:00..02:59 03:00
 *     asked 02:30                       ^ first after            ^ the first of the two
 *
 * that is, always the first instant at which the local clock shows the asked time or a later one.
 * Hence it never falls as the local time grows, and zone_instant(zone_local(t)) <= t. */
#ifndef ACTOR_ZONE_H
#define ACTOR_ZONE_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum {
    ZONE_NAME_BYTES_MAX = 64, /* the longest of the database has 32 */
    ZONE_YEAR_MAX = 2900,     /* the library expands rules no further than 2999 */
};

struct zone;

/* ERR_BAD_REQUEST: there is no such zone. */
enum err zone_new(struct slice name, struct zone **ret_zone) MUST_CHECK;
void zone_free(struct zone *z); /* NULL is fine */

int64_t zone_local(const struct zone *z, int64_t instant_s);
int64_t zone_instant(const struct zone *z, int64_t local_s);

#endif
