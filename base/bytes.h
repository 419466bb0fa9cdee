/* Bytes: an immutable block, shared by reference count.
 *
 * A value read from a request is one block from then on: the actor's rows, the reply of a GET and
 * the watch stream hold references to it. Blocks cross threads: a worker's reply holds the same block
 * as its actor's row, while another worker sends it. So the count is atomic, and what is in a block
 * does not change once a second reference is there. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct bytes {
    _Atomic uint32_t refs;
    size_t len;
    uint8_t data[];
};

struct bytes *bytes_new(struct slice contents); /* copies; one reference; never NULL */
struct bytes *bytes_new_uninit(size_t len);     /* to be filled before it is shared */
struct bytes *bytes_try_new_uninit(size_t len); /* NULL when memory is exhausted */
struct bytes *bytes_ref(struct bytes *b);       /* NULL stays NULL */
void bytes_unref(struct bytes *b);              /* NULL is fine */

static inline struct slice bytes_slice(const struct bytes *b)
{
    return b == NULL ? (struct slice){0} : slice_of(b->data, b->len);
}

#endif
