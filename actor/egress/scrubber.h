/* A scrubber: takes secrets out of what comes back, where a server echoes them. Each byte of one becomes a '*',
 * so lengths stay.
 *
 *     scrubber_begin (what was kept back) --> the caller appends --> scrubber_end: so many are good to tell
 *
 * What may be the beginning of a secret is kept back until more has come, or the end; however a body is cut
 * into pieces, the same comes out. Secrets shorter than SCRUB_BYTES_MIN are not looked for: they would be found
 * everywhere. Pure. */
#ifndef ACTOR_EGRESS_SCRUBBER_H
#define ACTOR_EGRESS_SCRUBBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum { SCRUB_BYTES_MIN = 4, SCRUB_SECRETS_MAX = 256 };

/* What is looked for: the values of a document {name: bin}, borrowed. */
struct scrub_set {
    struct slice *secrets;
    size_t count;
    size_t longest;
    bool begins[256]; /* by the first byte */
};

void scrub_set_init(struct scrub_set *s, struct slice secrets);
void scrub_set_done(struct scrub_set *s);
static inline bool scrub_set_is_empty(const struct scrub_set *s)
{
    return s->count == 0;
}

/* Of one body. Zero-initialised but for the set, which is borrowed. */
struct scrubber {
    const struct scrub_set *set;
    struct buf held;
    size_t masked; /* so many bytes of `held` belong to a secret that began before */
};

void scrubber_done(struct scrubber *s);

/* Puts what was kept back at `out`, which has room for set->longest bytes; returns how many. */
size_t scrubber_begin(struct scrubber *s, uint8_t *out);

/* `out` begins with what scrubber_begin put there. Returns how many of `len` bytes may be told: all, at the
 * end. The others are kept. */
size_t scrubber_end(struct scrubber *s, uint8_t *out, size_t len, bool is_last);

/* A whole text in place. */
void scrub(const struct scrub_set *set, uint8_t *text, size_t len);

#endif
