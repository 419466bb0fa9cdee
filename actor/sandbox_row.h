/* What a sandbox's row says of its disk: layers and snapshots. Pure, but for layers_release of sandbox_own.h. */
#ifndef ACTOR_SANDBOX_ROW_H
#define ACTOR_SANDBOX_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/sandbox_spec.h"
#include "base/buf.h"
#include "rpc/value.h"

struct snapshot {
    struct slice doc;
    struct slice id;
    struct slice name;
    uint64_t created_ms;
    struct slice layers;
};

/* An array: `newest`, unless it is empty, and those of the document `rest`, which may be empty. */
void row_put_layers(struct buf *out, const char *newest, struct slice rest);

/* for (it = row_snapshots_of(s); row_next_snapshot(&it, &snapshot);) */
struct value_iter row_snapshots_of(const struct sandbox_spec *s);
bool row_next_snapshot(struct value_iter *it, struct snapshot *ret);
/* By its id or its name. */
bool row_find_snapshot(const struct sandbox_spec *s, struct slice wanted, struct snapshot *ret);

bool row_has(const struct sandbox_spec *s, struct slice hash); /* its snapshots included */

#endif
