/* Checks one LMDB file whole, for `dormoused --check`: no program may have it open meanwhile.
 *
 *   rows     checksum and key form; versions and actor numbers not beyond those of the APPLIED row
 *   indexes  DIRECTORY <-> LISTING, DIRECTORY -> META, actor rows -> DIRECTORY or DROPPED,
 *            IDEMPOTENCY <-> IDEMPOTENCY_HOUR, DUE -> the row that is due
 *   pages    each is a meta page, in a tree or free, and only one of them (storage/store_pages.h);
 *            where that does not hold rows are not looked at, for LMDB might crash over them
 *
 * What is wrong is reported one by one and counted; only what keeps the check from being made is an
 * error. */
#ifndef STORAGE_STORE_CHECK_H
#define STORAGE_STORE_CHECK_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "storage/rows.h"

struct store_check_result {
    struct applied applied;
    uint64_t rows;
    uint64_t actors;    /* in the directory */
    uint64_t stale_due; /* of actors that are gone: allowed */
    uint64_t pages;     /* of the file */
    uint64_t free_pages;
    uint64_t problems;
};

/* `key` is the row in question, borrowed for the call; empty: it is a page. */
typedef void store_check_report(void *ctx, const char *problem, struct slice key, uint64_t page);

/* Bytes of the file that are in use (storage/store_pages.h). */
typedef void store_check_use(void *ctx, uint64_t offset, uint64_t len);

/* ERR_NOT_FOUND where there is no such file. `use` may be NULL. */
enum err store_check(const char *path, store_check_report *report, store_check_use *use, void *ctx,
                     struct store_check_result *ret_result) MUST_CHECK;

#endif
