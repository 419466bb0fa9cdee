/* Server-sent events, read: bytes in, events out. The part of the format that our servers write:
 * lines end in LF or CR LF, fields are event, id, data and comments; others are ignored.
 *
 * A field line may be cut anywhere; what one event collects is bounded by SSE_EVENT_BYTES_MAX. */
#ifndef SDK_C_SSE_H
#define SDK_C_SSE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    SSE_EVENT_BYTES_MAX = 32 << 20, /* a value of 2 MiB, eight times that as JSON, and room */
    SSE_TYPE_BYTES_MAX = 64,
    SSE_ID_BYTES_MAX = 64, /* two numbers and a point have 41 at most */
};

struct sse_event {
    const char *type; /* "message" where the stream names none */
    const char *id;   /* of this event alone; "" where it has none */
    struct slice data;
};

/* Zero-initialise; sse_done releases. A new stream starts with sse_reset. */
struct sse {
    struct buf line; /* not yet ended */
    struct buf data;
    bool has_data;
    char type[SSE_TYPE_BYTES_MAX];
    char id[SSE_ID_BYTES_MAX];
};

void sse_reset(struct sse *s);
void sse_done(struct sse *s);

/* Calls back for each event that ends in these bytes; what it is given lasts for the call.
 * ERR_CLOSED: the callback gave false. ERR_TOO_LARGE: an event is over its limit. */
enum err sse_feed(struct sse *s, struct slice bytes,
                  bool (*on_event)(void *user, const struct sse_event *event),
                  void *user) MUST_CHECK;

#endif
