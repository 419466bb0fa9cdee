/* What nodes say to each other of what code logs: msgpack, of which further items are ignored. Pure.
 *
 *     WANT     [[namespace, class or nil, identity (bin) or nil] ...]     all that the sender has readers for
 *     LINES    [filter as in WANT, lines, text (bin)]                     whole events (node/log_board.h) */
#ifndef NODE_LOG_WIRE_H
#define NODE_LOG_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "node/log_board.h"

void log_want_encode(const struct log_filter *filters, size_t count, struct buf *out);
/* ERR_CORRUPT: it is none, or has more than LOG_STREAMS_MAX. */
enum err log_want_decode(struct slice bytes, struct log_filter ret_filters[LOG_STREAMS_MAX],
                         size_t *ret_count) MUST_CHECK;

struct log_lines {
    struct log_filter filter;
    uint64_t lines;
    struct slice text; /* borrowed */
};

void log_lines_encode(const struct log_lines *l, struct buf *out);
enum err log_lines_decode(struct slice bytes, struct log_lines *ret_lines) MUST_CHECK;

#endif
