/* A watch stream: the events of one actor as server-sent events, at the pace of its client.
 *
 *     JOINING --the watch turn is durable--> LIVE <---------------------------------------+
 *                    |                        | a gap: events that it needs are gone      |
 *                    |  since is gone         v                                           |
 *                    +-------------------> STATE: reset, then pages of the actor's keys --+
 *                                                 then TIMERS: kept timer events
 *
 * In LIVE it copies events from the actor's memory (actor/watch.h) until the client's buffer is full,
 * and goes on when there is room: nothing is queued here (node/sink.h). In STATE it reads the keys page by page
 * through turns of the actor, as a listing does; a page that finds no room is dropped and asked for again.
 *
 * One event may have a thousand watchers. So news only makes a stream ready, and the worker lets ready
 * streams take their steps one after the other, for as long as it has time. And a thousand may ask for
 * the state of an actor whose values are large: only WATCH_STATE_READERS_MAX at a time have a part of it
 * in memory; one whose client takes nothing lets another one go first.
 * Between two pages it forwards only events of keys that
 * it has shown already, so that at the end the client holds the state of the last page's version. */
#ifndef NODE_WATCH_STREAM_H
#define NODE_WATCH_STREAM_H

#include "actor/request.h"
#include "base/list.h"

struct worker;
struct sink;

enum {
    WATCH_COMMENT_MS = 15 * 1000,
    WATCH_STREAMS_MAX = 16 * 1024,
    WATCH_STATE_READERS_MAX = 16, /* of a worker */
};

/* On the worker of the actor: begins a stream into `sink`, or says why not. `r` is a WATCH request, and
 * the stream's from now on. */
void watch_stream_open(struct worker *w, struct sink *sink, struct request *r, uint32_t timeout_ms);

/* One step of the stream that has been ready for longest. True: another one is ready. */
bool watch_stream_step(struct worker *w);

/* Comments that keep idle ones alive, and the end of those whose token is revoked or has expired; of a
 * worker that serves, a few times a second. */
void watch_stream_tick(struct worker *w, uint64_t now_ms, uint64_t wall_ms);

/* The node stops: all streams end, so that their clients go elsewhere. */
void watch_stream_end_all(struct worker *w);

#endif
