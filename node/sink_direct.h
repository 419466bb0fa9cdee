/* A sink whose exchange is on the same worker, and how a stream of events begins on an exchange. */
#ifndef NODE_SINK_DIRECT_H
#define NODE_SINK_DIRECT_H

#include "node/sink.h"

struct sink *sink_direct_new(struct http_exchange *x);

void sink_begin_events(struct http_exchange *x); /* the head of an answer of server-sent events */

#endif
