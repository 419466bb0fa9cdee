/* The inside of a watch stream: for watch_stream.c and watch_state.c alone. */
#ifndef NODE_WATCH_STREAM_OWN_H
#define NODE_WATCH_STREAM_OWN_H

#include "actor/watch.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "node/sink.h"
#include "node/watch_stream.h"
#include "node/worker.h"

enum { STREAM_MAGIC = 0x77617401 };

enum stream_state { STREAM_JOINING, STREAM_LIVE, STREAM_STATE, STREAM_TIMERS, STREAM_STATE_COUNT };

struct watch_stream {
    uint32_t magic;
    enum stream_state state;
    struct watcher watcher; /* linked while it watches */
    struct list link;       /* worker.streams */
    struct list ready_link; /* worker.ready_streams, or worker.state_waiters */
    bool reads_state;       /* one of worker.state_readers */
    struct worker *worker;
    struct shard *shard;
    struct sink *sink;       /* NULL: the client is gone, or has its end */
    struct request *request; /* the turn under way for it; NULL: none */

    struct identity identity;
    struct address address;
    struct bytes *address_text;
    struct bytes *prefix;
    bool has_since;
    uint64_t since_version;
    uint32_t since_n;
    uint32_t timeout_ms;
    bool has_token; /* it ends when that is revoked */
    uint8_t token_hash[DIGEST_BYTES];

    uint64_t next_seq;      /* LIVE, STATE: the next event to look at */
    struct bytes *shown_to; /* STATE: the last key that was shown, or is held; NULL: none */
    struct bytes *before_held;
    struct buf held;       /* STATE: an event without its closing line, until it is known
                        whether it is the last */
    uint64_t live_version; /* TIMERS: what came later is shown live */
    uint64_t sent_ms;
};

/* Of watch_stream.c. */
struct watch_stream *watch_stream_of(struct request *r);
void watch_stream_move(struct watch_stream *s, enum stream_state to);
void watch_stream_make_ready(struct watch_stream *s);
bool watch_stream_write(struct watch_stream *s, struct buf *text); /* false: there is no room */
bool watch_stream_concerns(const struct watch_stream *s, const struct watch_event *e);
void watch_stream_submit(struct watch_stream *s, struct request *r,
                         void (*answer)(struct request *r));
/* True where the turn's reply can be used; else the stream is being ended, and the request is gone. */
bool watch_stream_take_reply(struct watch_stream *s, struct request *r);

/* Of watch_state.c: from the state of the actor to LIVE. */
void watch_state_begin(struct watch_stream *s);
void watch_state_step(struct watch_stream *s); /* in STATE or TIMERS */
void watch_state_let_go(struct watch_stream *s);

#endif
