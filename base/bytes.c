#include "base/bytes.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"

struct bytes *bytes_try_new_uninit(size_t len)
{
    struct bytes *b = mem_try_alloc(sizeof *b + len);
    if (b != NULL) {
        atomic_init(&b->refs, 1);
        b->len = len;
    }
    return b;
}

struct bytes *bytes_new_uninit(size_t len)
{
    struct bytes *b = mem_alloc(sizeof *b + len);
    atomic_init(&b->refs, 1);
    b->len = len;
    return b;
}

struct bytes *bytes_new(struct slice contents)
{
    struct bytes *b = bytes_new_uninit(contents.len);
    if (contents.len > 0) {
        memcpy(b->data, contents.data, contents.len);
    }
    return b;
}

/* A reference can only be made from one: nothing needs to be ordered by it. */
struct bytes *bytes_ref(struct bytes *b)
{
    if (b != NULL) {
        uint32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
        PRE(before > 0 && before < UINT32_MAX);
    }
    return b;
}

/* Whoever frees it has seen what all others did with it before they let go. The last reference needs
 * no exchange: nobody else is left to take or give one. */
void bytes_unref(struct bytes *b)
{
    if (b == NULL) {
        return;
    }
    uint32_t refs = atomic_load_explicit(&b->refs, memory_order_acquire);
    PRE(refs > 0);
    if (refs == 1 || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) {
        mem_free(b);
    }
}
