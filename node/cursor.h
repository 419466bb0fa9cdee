/* A cursor: where the next page of a listing begins, opaque to clients. It holds no state of the
 * node, so it is good on any node and for ever. */
#ifndef NODE_CURSOR_H
#define NODE_CURSOR_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/slice.h"

void cursor_encode(struct slice last_key, struct buf *out);

/* ERR_BAD_REQUEST where it is no cursor. The key is the caller's. */
enum err cursor_decode(struct slice text, struct bytes **ret_last_key) MUST_CHECK;

#endif
