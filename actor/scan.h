/* A scan: rows of one kind of an actor in key order, merged from what is in memory and what storage
 * has. */
#ifndef ACTOR_SCAN_H
#define ACTOR_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/row_set.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/keyspace.h"
#include "storage/read_job.h"

/* Keys in [low, high); an empty `high` means no end. Slices live as long as the turn. */
struct scan_range {
    enum row_kind kind;
    struct slice low;
    struct slice high;
    bool reverse;
    bool keys_only;    /* values may be left empty */
    uint32_t rows_max; /* the caller takes no more than these ... */
    size_t bytes_max;  /* ... nor many more bytes of keys and values */
};

/* What storage gave for a range, kept by the turn across its runs. */
struct scan {
    struct scan_range range; /* its slices point into `keys` */
    struct buf keys;
    struct row_set rows;
    bool loaded;
    bool cut; /* there may be more beyond the last row */
};

struct scan_cursor {
    const struct scan_range *range;
    struct row *base;   /* next of storage or of the actor's rows; NULL: at the end */
    struct row *staged; /* next of what the turn staged */
    bool cut;           /* beyond the last base row storage may have more */
    bool ended_early;   /* scan_next stopped at such a cut */
};

struct scan_item {
    struct slice key; /* without the kind */
    struct bytes *value;
    uint64_t version;
};

/* False at the end of the range, or, with `ended_early`, of what is known of it. */
bool scan_next(struct scan_cursor *c, struct scan_item *ret_item);

/* The read that the range is of the actor with this number, a page of it; and what becomes of its rows,
 * or of any others of an actor. */
void scan_begin_job(const struct scan_range *range, uint64_t number, struct read_job *job);
enum err scan_keep_row(struct row_set *rows, const struct rowset *from, size_t i,
                       bool key_only) MUST_CHECK;

/* Positions a cursor over two sets of which `staged` is the newer. */
void scan_begin(struct scan_cursor *c, const struct scan_range *range, struct row_set *base,
                bool cut, struct row_set *staged);

#endif
