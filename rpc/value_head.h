/* The first bytes of a msgpack document: its type, and how long what follows is. Shared by the check
 * and the readers of rpc/value.h; nobody else includes it. */
#ifndef RPC_VALUE_HEAD_H
#define RPC_VALUE_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "rpc/value.h"

struct value_head {
    enum value_type type;
    uint8_t head_bytes;     /* up to the payload, the first item or the end */
    bool is_negative;       /* VALUE_INT: then `number` is a signed one */
    uint64_t number;        /* VALUE_BOOL, VALUE_INT */
    double real;            /* VALUE_FLOAT */
    uint32_t count;         /* VALUE_ARRAY items, VALUE_MAP entries */
    uint32_t payload_bytes; /* VALUE_STR, VALUE_BIN and all that are ext types */
    int8_t ext;             /* of these: the number on the wire */
};

/* False where `s` does not start with a head of a known type, or what it declares cannot fit `s`:
 * a payload longer than the rest, more items than bytes left. */
bool value_head_read(struct slice s, struct value_head *ret);

/* The bytes of a document that fits `s`: its head, payload, and all inside. `s` is checked. */
size_t value_span(struct slice s);

static inline struct slice value_head_payload(struct slice s, const struct value_head *h)
{
    return slice_of(s.data + h->head_bytes, h->payload_bytes);
}

#endif
