/* A view: one shard's rows as they are now, active overlay over frozen overlay over LMDB.
 *
 * The worker looks at memory alone. What memory cannot answer is COLD: a read_job fetches it from
 * LMDB on the reader thread and view_read lays memory over it when it comes back:
 *
 *   - a row or tombstone of an upper level hides the same key below;
 *   - a number dropped in an upper level hides all of it below;
 *   - a page of LMDB that ended before the range did says nothing beyond its last row, so rows of
 *     memory beyond it wait for the next page.
 *
 * The race: a checkpoint that is done after LMDB was read and before the merge has taken its rows
 * out of memory, and the page lacks them. The job carries the epoch of the state from before it was
 * read; where that has moved on, the page is thrown away and fetched again. (A checkpoint that has
 * committed but is not yet done here is harmless: its rows are met twice, alike.)
 *
 * Actors born since the last checkpoint are in memory alone: no read of theirs is cold. */
#ifndef STORAGE_VIEW_H
#define STORAGE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "storage/read_job.h"
#include "storage/shard_state.h"

enum view_answer { VIEW_FOUND, VIEW_DELETED, VIEW_COLD };

/* Borrowed until the state next changes. */
struct view_row {
    struct slice payload;
    uint64_t version;
};

/* What memory knows of a row; DELETED: it is not there. */
enum view_answer view_peek(const struct shard_state *s, struct slice key, struct view_row *ret_row);

/* No row of this number is in LMDB, or none that can be seen. */
bool view_is_warm(const struct shard_state *s, uint64_t number);

/* Answers the job where it can: ERR_OK. ERR_COLD: run it on the reader, then call again. Any other
 * error is the reader's. Call it first right after the job was begun. */
enum err view_read(const struct shard_state *s, struct read_job *job) MUST_CHECK;

#endif
