/* Events as text of a stream of server-sent events (API section 3). Each function appends. */
#ifndef NODE_WATCH_TEXT_H
#define NODE_WATCH_TEXT_H

#include "actor/watch.h"
#include "base/buf.h"
#include "base/slice.h"

/* A whole event, its empty line included. */
void watch_text_event(struct buf *text, const struct watch_event *e, bool with_id);

/* Lines of one. */
void watch_text_id(struct buf *text, uint64_t version, uint32_t n);
void watch_text_data(struct buf *text, struct slice document);
void watch_text_key(struct buf *text, struct slice key, struct slice value, uint64_t version);

#endif
