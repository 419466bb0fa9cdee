/* Reading the members of a record: a msgpack map that has passed value_check. */
#ifndef NODE_RECORD_H
#define NODE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Each is false where the member is absent or of another form. */
bool record_text(struct slice map, const char *name, char *ret_text, size_t bytes_max);
bool record_uint(struct slice map, const char *name, uint64_t *ret);
bool record_is_map(struct slice payload); /* and a checked document */

#endif
