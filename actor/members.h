/* The members of a request's body, by name: an operation lists those it knows, any other is an
 * error that says so. */
#ifndef ACTOR_MEMBERS_H
#define ACTOR_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

#include "actor/reply.h"
#include "base/err.h"
#include "base/slice.h"

struct member {
    const char *name;
    struct slice doc; /* borrowed from the body; data is NULL where it is absent */
};

static inline bool member_is_given(const struct member *m)
{
    return m->doc.data != NULL;
}

/* Fills in the `doc` of each member that the checked document `map` has. ERR_BAD_REQUEST, in the
 * reply too, where it is no map or has a member that is not listed. */
enum err members_read(struct slice map, struct member *members, size_t count,
                      struct reply *reply) MUST_CHECK;

/* A whole number of milliseconds within bounds; `*ret` is untouched where the member is absent. */
enum err member_ms(const struct member *m, uint64_t min, uint64_t max, uint64_t *ret,
                   struct reply *reply) MUST_CHECK;

/* A string; the empty slice where the member is absent. */
enum err member_str(const struct member *m, struct slice *ret, struct reply *reply) MUST_CHECK;

#endif
