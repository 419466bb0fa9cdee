/* What the watchers of an actor hear: its recent events, in the order of its batches.
 *
 *     committed batch --watch_append--> | e | e | e | e |  --watch_at(seq)--> each watcher, at its pace
 *                                         ^ floor: older ones are gone
 *
 * Events are kept while the actor is awake or watched: the last 1 000 or the last 1 MiB, whichever is
 * less (API section 3). A watcher is a position in them, nothing is queued for it; one that is too
 * slow finds a gap and begins again with the whole state. Positions are sequence numbers of this
 * memory; clients know versions, and after the memory is gone positions are found by version again.
 *
 * Invariant: every event after the floor (floor_version, floor_n) is here. */
#ifndef ACTOR_WATCH_H
#define ACTOR_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/list.h"

enum watch_type { WATCH_PUT, WATCH_DELETE, WATCH_CLEAR, WATCH_TIMER };

enum {
    WATCH_EVENTS_MAX = 1000,
    WATCH_BYTES_MAX = 1 << 20,
    WATCHERS_MAX = 1024, /* of one actor; more are ERR_OVERLOADED */
};

struct watch_event {
    uint64_t version;
    uint32_t n; /* within its batch, from 0 */
    enum watch_type type;
    struct bytes *key;   /* put, delete */
    struct bytes *value; /* put: the value; timer: the event's data; msgpack */
};

/* Sends news on; its owner embeds it. */
struct watcher {
    struct list link; /* watch.watchers; alone: not watching */
    void (*on_news)(struct watcher *w);
    void (*on_end)(struct watcher *w); /* the actor is not here any more; it is unlinked already */
};

struct watch {
    struct watch_event *events; /* a ring */
    size_t cap;                 /* a power of two, or 0 */
    uint64_t first_seq;
    uint64_t next_seq;
    size_t bytes;
    uint64_t floor_version; /* the last event that is gone */
    uint32_t floor_n;
    struct list watchers;
    uint32_t watcher_count;
};

/* `version` is the actor's as it was loaded: of what came before nothing is here. */
void watch_init(struct watch *w, uint64_t version);
void watch_done(struct watch *w); /* tells the watchers left */

/* Takes the event's references. Tells nobody: watch_tell does, once a batch. */
void watch_append(struct watch *w, const struct watch_event *event);
void watch_tell(struct watch *w);

/* The event with this number; NULL where it has not come yet. `*ret_gap`: it is gone. */
const struct watch_event *watch_at(const struct watch *w, uint64_t seq, bool *ret_gap);

/* The number of the first event after (version, n); false where some of these are gone. */
bool watch_seek(const struct watch *w, uint64_t version, uint32_t n, uint64_t *ret_seq);

bool watch_add(struct watch *w, struct watcher *watcher); /* false: WATCHERS_MAX */
void watch_remove(struct watch *w, struct watcher *watcher);

void watch_event_done(struct watch_event *event);
size_t watch_event_bytes(const struct watch_event *event);

#endif
