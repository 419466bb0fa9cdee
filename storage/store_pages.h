/* The pages of an LMDB file, looked at without LMDB.
 *
 * LMDB trusts what its pages say about themselves: a zeroed or foreign page makes it abort or read
 * beyond the map. So a check of a file that may be damaged walks both trees itself first, by the
 * file format of LMDB 0.9 (data version 1, 64 bits), and only a file that passes is given to LMDB.
 *
 *     meta pages 0 and 1 --newer--> tree of free lists --> numbers of free pages
 *                              \--> tree of rows --> branch, leaf and overflow pages
 *
 * Every page of the file is exactly one of: meta, in a tree, free. In a page of a tree every byte belongs
 * to the head, a pointer, a node or the gap between pointers and nodes; keys are in order, also those
 * that only lead the way; the meta pages count what is there. What is not so is reported.
 *
 * A byte is in use where another value of it would be reported here or fail the sum of its row. Not in
 * use are free pages, gaps, padding, what the older meta page says of its trees, and the bytes of a key
 * that leads the way or orders free lists: any value that keeps the order will do. */
#ifndef STORAGE_STORE_PAGES_H
#define STORAGE_STORE_PAGES_H

#include <stdint.h>

#include "base/err.h"

struct store_pages_result {
    uint64_t pages; /* that the file speaks of; it may end before those that are free */
    uint64_t tree_pages;
    uint64_t free_pages;
    uint64_t problems;
};

typedef void store_pages_report(void *ctx, const char *problem, uint64_t page);
typedef void store_pages_use(void *ctx, uint64_t offset, uint64_t len);

/* `use` is told of the bytes in use; NULL: nobody asks. ERR_FORMAT for a file of another version of LMDB, which this does not understand; ERR_CORRUPT
 * where no meta page is sound; ERR_IO, ERR_NO_MEMORY. */
enum err store_pages_check(const char *path, store_pages_report *report, store_pages_use *use,
                           void *ctx, struct store_pages_result *ret_result) MUST_CHECK;

#endif
