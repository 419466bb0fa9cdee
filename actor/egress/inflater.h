/* An inflater: a body that was compressed for its way, a bounded piece at a time.
 *
 * Whoever asks says how many bytes it wants; a small body that becomes a huge one so costs no more than they
 * do, and stops where nobody asks. libcurl's own decoding would hold all that one read of the socket becomes. */
#ifndef ACTOR_EGRESS_INFLATER_H
#define ACTOR_EGRESS_INFLATER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct inflater;

/* What bodies may be compressed as, in an Accept-Encoding. */
#define INFLATER_ENCODINGS "gzip, deflate"

/* Of a Content-Encoding; NULL where it is another than these, or more than one. */
struct inflater *inflater_new(struct slice encoding);
void inflater_free(struct inflater *i); /* NULL is fine */

/* Takes from `*in` what it needs for at most `room` bytes of `out`. Fewer than these: it needs more to go on.
 * ERR_CORRUPT: the body is not what its encoding says. Bytes behind its end are let go. */
enum err inflater_take(struct inflater *i, struct slice *in, uint8_t *out, size_t room,
                       size_t *ret_len) MUST_CHECK;

/* The body may end here: it has ended itself, or not begun. */
bool inflater_is_whole(const struct inflater *i);

#endif
