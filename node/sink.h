/* A sink: where a stream of events goes, at the pace of its client. The stream lives on the worker of
 * its actor, the client on the worker of its connection; a sink leads from one to the other.
 *
 *     OPEN --write--> BEGUN --end--> gone           the client goes away: on_cancel, then gone
 *       +--refuse, answer----------> gone
 *
 * Whoever writes gives the sink its callbacks. After end, refuse, answer and on_cancel the sink is not
 * his any more. */
#ifndef NODE_SINK_H
#define NODE_SINK_H

#include "actor/request.h"
#include "base/err.h"
#include "rpc/http.h"

struct sink;

struct sink_kind {
    bool (*has_room)(struct sink *s, size_t bytes);
    enum err (*write)(struct sink *s, struct slice text);
    void (*end)(struct sink *s);
    void (*refuse)(struct sink *s, enum err err, const struct problem_limit *limit);
    void (*answer)(struct sink *s, struct request *r);
};

struct sink {
    const struct sink_kind *kind;
    bool has_begun;

    /* of whoever writes; never called from inside one of the functions below */
    void (*on_writable)(void *ctx);
    void (*on_cancel)(void *ctx);
    void *ctx;
};

/* Whether text of that length, or of any with SIZE_MAX, would be taken now. False: on_writable will say
 * when to ask again. Only after the first write. */
static inline bool sink_has_room(struct sink *s, size_t bytes)
{
    return s->kind->has_room(s, bytes);
}

/* The text of whole events. ERR_OVERLOADED: nothing was taken, on_writable will say when to go on. One
 * write may pass the bound by its own length, and a small one (HTTP_STREAM_SMALL_BYTES) is always taken
 * where nothing waits: so is the first, which begins the answer. */
static inline enum err sink_write(struct sink *s, struct slice text)
{
    enum err err = s->kind->write(s, text);
    s->has_begun = s->has_begun || err == ERR_OK;
    return err;
}

/* The client sees the stream's end; where none has begun, that there is none now. */
static inline void sink_end(struct sink *s)
{
    if (s->has_begun) {
        s->kind->end(s);
    } else {
        s->kind->refuse(s, ERR_UNAVAILABLE, NULL);
    }
}

/* In place of a stream: an error. The name of the limit is static text. */
static inline void sink_refuse(struct sink *s, enum err err, const struct problem_limit *limit)
{
    s->kind->refuse(s, err, limit);
}

/* In place of a stream: the reply of a request, which is the sink's from now on. */
static inline void sink_answer(struct sink *s, struct request *r)
{
    s->kind->answer(s, r);
}

#endif
