/* Documents of the public header over rpc/value.h: checked once, read in place. */
#ifndef SDK_C_DOC_H
#define SDK_C_DOC_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "sdk-c/dormouse.h"

struct dormouse_doc {
    struct buf msgpack; /* has passed value_check */
};

/* Takes the bytes out of `from` on success. ERR_INVALID_VALUE. */
enum err doc_from_msgpack(struct buf *from, struct dormouse_doc **ret_doc) MUST_CHECK;
/* ERR_BAD_REQUEST, ERR_INVALID_VALUE. */
enum err doc_from_json(struct slice json, struct dormouse_doc **ret_doc) MUST_CHECK;

/* A text's bytes; false where the node is none. */
bool node_text(struct dormouse_node node, struct slice *ret_text);
struct slice node_slice(struct dormouse_node node);

#endif
