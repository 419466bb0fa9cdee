/* The store: the LMDB environment of one shard, its checkpointed rows (DESIGN, LMDB layout).
 *
 * One file g<group>.<generation>.mdb with one unnamed database, written in fully synced
 * transactions only. A value is crc32c (4, over key and all after it) | version u64 | payload, and
 * the sum is checked at every read: LMDB itself has no page checksums.
 *
 * Threads: one writer at a time, begin to commit on one thread (the store thread); a store_read
 * belongs to one thread at a time (the reader's). Nothing that LMDB owns leaves a function here: rows
 * are copied.
 *
 * Errors: ERR_STORAGE_FULL where the map or the disk is full: the transaction is gone, the store is
 * as before and a later attempt may succeed, after store_reopen. LMDB refuses an environment whose meta
 * page it could not write: until then ERR_BUSY. ERR_IO: the disk failed, `errno` says how; the program
 * must end. ERR_CORRUPT: a page or a row fails its checks. */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "storage/keyspace.h"
#include "storage/rows.h"
#include "storage/rowset.h"

enum { STORE_VALUE_HEAD_BYTES = 12 };

#define STORE_MAP_BYTES_MAX (UINT64_C(256) << 30) /* of one environment ... */
#if defined(__SANITIZE_THREAD__)
#define STORE_MAPS_BYTES_MAX (UINT64_C(256) << 30) /* its runtime leaves little room */
#else
#define STORE_MAPS_BYTES_MAX (UINT64_C(32) << 40) /* ... and of all: a quarter of the addresses */
#endif
#define STORE_MAP_BYTES_TESTS (UINT64_C(64) << 20)

struct MDB_env; /* lmdb.h stays in store*.c */
struct MDB_txn;
struct MDB_cursor;

/* A read transaction that is reset between uses: renewing costs nanoseconds, and a transaction that
 * is neither reset nor ended pins pages and makes the file grow. */
struct store_read {
    struct MDB_txn *txn; /* NULL: ended */
    unsigned dbi;
    bool active;            /* between begin or renew and reset */
    struct row_key bad_key; /* the row of the last ERR_CORRUPT; empty where no row was met */
    /* storage/read_job.c: whether rows of dropped actors are left, as of this snapshot (0: unknown) */
    uint64_t drops_snapshot;
    bool has_drops;
};

struct store {
    struct MDB_env *env; /* set once in open, like the others */
    unsigned dbi;
    char *path;
    uint64_t map_bytes;
    struct store_read reader; /* reader thread: store_reader() */
};

/* The map size for each of `shard_count` environments in this process. */
uint64_t store_map_bytes(uint32_t shard_count);

/* Appends the file's path, without the closing NUL. */
void store_path(struct buf *to, const char *dir, uint64_t group, uint64_t generation);

/* "g5.2.mdb": group 5, generation 2. False: not the name of a store. */
bool store_parse_name(const char *name, uint32_t *ret_group, uint64_t *ret_generation);

/* Makes the file where it is missing; it is there after a power cut, whole. Never open one file twice
 * in a process. */
enum err store_open(const char *path, uint64_t map_bytes, struct store **ret_store) MUST_CHECK;
/* Opens a file that is there, and need not be after a power cut: it does not wait for the disk. */
enum err store_open_scratch(const char *path, uint64_t map_bytes,
                            struct store **ret_store) MUST_CHECK;
void store_close(struct store *s); /* no transaction may be open but that of store_reader() */

/* Closes the environment and opens it again: after a full disk, and because LMDB keeps every page that a
 * transaction ever dirtied for the next one, which for a shard that has become quiet is memory for
 * nothing. Nothing else may use the store meanwhile. An error leaves it unusable. */
enum err store_reopen(struct store *s) MUST_CHECK;

/* Makes a copy of the file at `path`, as of its newest transaction, and says which that is and how long the
 * file. It is not durable. On any thread, while the store is open; writers go on. */
enum err store_copy(const struct store *s, const char *path, struct applied *ret_applied,
                    uint64_t *ret_bytes) MUST_CHECK;

/* What the last checkpoint left; all zero in a new store. */
enum err store_applied(struct store *s, struct applied *ret_applied) MUST_CHECK;

/* Bytes of the file that hold pages, free ones included: it never shrinks ... */
uint64_t store_file_bytes(const struct store *s);
/* ... and of these, those that hold rows: the others are used again before the file grows. */
uint64_t store_used_bytes(const struct store *s);

/* Reading */
enum err store_read_begin(struct store *s, struct store_read *r) MUST_CHECK; /* active at once */
enum err store_read_renew(struct store_read *r) MUST_CHECK; /* from reset to the newest state */
void store_read_reset(struct store_read *r);                /* not active: no effect */
void store_read_end(struct store_read *r);

/* The reader thread's own read of this store: begun at the first call, renewed when not active. */
enum err store_reader(struct store *s, struct store_read **ret_read) MUST_CHECK;

/* What it sees, as a number that grows with each checkpoint: never 0 but for a new store. */
uint64_t store_read_snapshot(const struct store_read *r);

/* Adds the row, or its absence, to `out`. */
enum err store_get(struct store_read *r, struct slice key, struct rowset *out) MUST_CHECK;
enum err store_has(struct store_read *r, struct slice key, bool *ret_found) MUST_CHECK;
/* Any row from `start` up to `end`, neither of them empty. */
enum err store_has_any(struct store_read *r, struct slice start, struct slice end,
                       bool *ret_found) MUST_CHECK;

/* Keys from `start` (inclusive; empty: from the first) to `end` (exclusive; empty: to the last);
 * `reverse` walks down from the end. */
struct store_range {
    struct slice start;
    struct slice end;
    bool reverse;
    size_t rows_max;  /* >= 1 */
    size_t bytes_max; /* stops after the row that reaches it: at least one row comes */
};

/* Adds rows to `out` in the order of the walk; *ret_more: a limit ended it, not the range. */
enum err store_scan(struct store_read *r, const struct store_range *range, struct rowset *out,
                    bool *ret_more) MUST_CHECK;

/* Writing, on one thread from begin to commit or abort. After an error, other than commit's, only
 * store_write_abort may follow. */
struct store_write {
    struct MDB_txn *txn;
    struct MDB_cursor *cursor;
    unsigned dbi;
};

enum err store_write_begin(struct store *s, struct store_write *w) MUST_CHECK;
enum err store_put(struct store_write *w, struct slice key, uint64_t version,
                   struct slice payload) MUST_CHECK;
enum err store_delete(struct store_write *w, struct slice key, bool *ret_existed) MUST_CHECK;
/* Deletes rows from `start` up to `end`, at most `rows_max` of them and not many more than
 * `bytes_max` bytes of values; *ret_more: a limit ended it. */
enum err store_erase(struct store_write *w, const struct store_range *range, size_t *ret_erased,
                     bool *ret_more) MUST_CHECK;
/* To read what this transaction sees; not to be renewed, reset or ended. */
struct store_read store_write_view(const struct store_write *w);
enum err store_write_commit(struct store_write *w) MUST_CHECK; /* ends it, whatever comes back */
void store_write_abort(struct store_write *w);                 /* after commit: no effect */

/* Of a stored value: checks the sum against the whole of it. The payload borrows from `value`. */
enum err store_value_open(struct slice key, struct slice value, uint64_t *ret_version,
                          struct slice *ret_payload) MUST_CHECK;
/* For store*.c: LMDB's and errno codes, of which errno holds the latter; its flags; makes the file where
 * it is missing, durably; the lock file, with the block that LMDB writes through its map: a full disk
 * is an error then, no SIGBUS. */
enum err store_translate(int mdb_code);
enum { STORE_FILE_MODE = 0600 };
#define STORE_FLAGS (MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD)
enum err store_make(const char *path, uint64_t map_bytes) MUST_CHECK;
enum err store_make_lock(const char *path) MUST_CHECK;
void store_unlink_lock(const char *path); /* none: no effect */

#endif
