#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/disk.h"

enum { CRC_BYTES = 4 };

enum err store_translate(int mdb_code)
{
    if (mdb_code > 0) {
        errno = mdb_code; /* for the line that names the reason */
    }
    switch (mdb_code) {
    case MDB_SUCCESS:
        return ERR_OK;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL: /* more dirty pages than LMDB can count: as good as full */
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_STORAGE_FULL;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_BAD_TXN: /* a read goes on after one of the above; writers end at their first error */
        return ERR_CORRUPT;
    case MDB_VERSION_MISMATCH:
        return ERR_FORMAT;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case MDB_PANIC: /* a commit could not write its meta page: store_reopen makes it usable again */
    case EAGAIN:
    case EBUSY:
        return ERR_BUSY;
    default: /* EIO, and whatever else should not happen: nothing to go on with */
        return ERR_IO;
    }
}

/* The same for writes. A file system that becomes full takes the first part of a write: LMDB calls that
 * EIO, and only errno tells that no call has failed. It was 0 before. */
static enum err translate_write(int mdb_code)
{
    return mdb_code == EIO && errno != EIO ? ERR_STORAGE_FULL : store_translate(mdb_code);
}

static MDB_val val_of(struct slice s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)(uintptr_t)s.data};
}

static struct slice slice_of_val(MDB_val v)
{
    return slice_of(v.mv_data, v.mv_size);
}

uint64_t store_map_bytes(uint32_t shard_count)
{
    uint64_t share = STORE_MAPS_BYTES_MAX / (shard_count != 0 ? shard_count : 1);
    uint64_t bytes = share < STORE_MAP_BYTES_MAX ? share : STORE_MAP_BYTES_MAX;
    return bytes & ~UINT64_C(0xffff); /* whole pages of any size in use */
}

/* Opening */

void store_path(struct buf *to, const char *dir, uint64_t group, uint64_t generation)
{
    buf_printf(to, "%s/g%llu.%llu.mdb", dir, (unsigned long long)group,
               (unsigned long long)generation);
}

uint64_t store_file_bytes(const struct store *s)
{
    MDB_envinfo info;
    MDB_stat stat;
    (void)mdb_env_info(s->env, &info);
    (void)mdb_env_stat(s->env, &stat);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

uint64_t store_used_bytes(const struct store *s)
{
    MDB_stat stat;
    (void)mdb_env_stat(s->env, &stat);
    return (uint64_t)(stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) *
           stat.ms_psize;
}

/* Pages beyond the end of the file raise SIGBUS when LMDB looks at them through the map. A file may
 * rightly end early (free pages at its end are never written); a hole there reads as zeros, which
 * LMDB and our sums take for damage where it is some. */
static enum err pad_file(struct store *s)
{
    struct stat st;
    int fd;
    if (mdb_env_get_fd(s->env, &fd) != 0 || fstat(fd, &st) != 0) {
        return ERR_IO;
    }
    uint64_t bytes = store_file_bytes(s);
    if ((uint64_t)st.st_size >= bytes) {
        return ERR_OK;
    }
    return disk_resize(NULL, DISK_STORE_END, s->path, bytes);
}

static enum err open_env(struct store *s)
{
    enum err err = store_make_lock(s->path);
    if (err != ERR_OK) {
        return err;
    }
    int code = mdb_env_create(&s->env);
    if (code != 0) {
        return store_translate(code);
    }
    code = mdb_env_set_mapsize(s->env, s->map_bytes);
    if (code == 0) {
        code = mdb_env_open(s->env, s->path, STORE_FLAGS, STORE_FILE_MODE);
    }
    if (code != 0) {
        return store_translate(code);
    }
    INVARIANT(mdb_env_get_maxkeysize(s->env) >= ROW_KEY_BYTES_MAX);
    int dead;
    return store_translate(mdb_reader_check(s->env, &dead));
}

static enum err open_database(struct store *s)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return store_translate(code);
    }
    code = mdb_dbi_open(txn, NULL, 0, &s->dbi);
    mdb_txn_abort(txn);
    return store_translate(code);
}

bool store_parse_name(const char *name, uint32_t *ret_group, uint64_t *ret_generation)
{
    struct buf again = {0};
    if (sscanf(name, "g%" SCNu32 ".%" SCNu64 ".mdb", ret_group, ret_generation) != 2) {
        return false;
    }
    store_path(&again, "", *ret_group, *ret_generation);
    bool is_one = slice_equal_str(slice_skip(buf_slice(&again), 1), name);
    buf_done(&again);
    return is_one;
}

static enum err open_store(const char *path, uint64_t map_bytes, bool is_scratch,
                           struct store **ret_store)
{
    struct store *s = MEM_NEW(struct store);
    s->path = mem_strdup(path);
    s->map_bytes = map_bytes;
    enum err err = is_scratch ? ERR_OK : store_make(path, map_bytes);
    if (err == ERR_OK) {
        err = open_env(s);
    }
    /* A killed process may have left a commit in the page cache alone. It must not vanish after we
     * have told the log to let go of what it holds. */
    if (err == ERR_OK && !is_scratch) {
        err = store_translate(mdb_env_sync(s->env, 1));
    }
    if (err == ERR_OK) {
        err = pad_file(s);
    }
    if (err == ERR_OK) {
        err = open_database(s);
    }
    if (err != ERR_OK) {
        int reason = errno;
        store_close(s);
        errno = reason;
        return err;
    }
    *ret_store = s;
    return ERR_OK;
}

enum err store_open(const char *path, uint64_t map_bytes, struct store **ret_store)
{
    return open_store(path, map_bytes, false, ret_store);
}

enum err store_open_scratch(const char *path, uint64_t map_bytes, struct store **ret_store)
{
    return open_store(path, map_bytes, true, ret_store);
}

enum err store_reopen(struct store *s)
{
    store_read_end(&s->reader);
    mdb_env_close(s->env);
    s->env = NULL;
    enum err err = open_env(s);
    return err == ERR_OK ? open_database(s) : err;
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    store_read_end(&s->reader);
    if (s->env != NULL) {
        mdb_env_close(s->env);
    }
    mem_free(s->path);
    mem_free(s);
}

/* Reading */

enum err store_read_begin(struct store *s, struct store_read *r)
{
    PRE(r->txn == NULL);
    int code = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &r->txn);
    if (code != 0) {
        r->txn = NULL;
        return store_translate(code);
    }
    r->dbi = s->dbi;
    r->active = true;
    r->bad_key.len = 0;
    r->drops_snapshot = 0;
    return ERR_OK;
}

enum err store_read_renew(struct store_read *r)
{
    PRE(r->txn != NULL && !r->active);
    int code = mdb_txn_renew(r->txn);
    r->active = code == 0;
    r->bad_key.len = 0;
    return store_translate(code);
}

void store_read_reset(struct store_read *r)
{
    if (r->active) {
        mdb_txn_reset(r->txn);
        r->active = false;
    }
}

void store_read_end(struct store_read *r)
{
    if (r->txn != NULL) {
        mdb_txn_abort(r->txn);
        r->txn = NULL;
        r->active = false;
    }
}

enum err store_reader(struct store *s, struct store_read **ret_read)
{
    enum err err = ERR_OK;
    if (s->reader.txn == NULL) {
        err = store_read_begin(s, &s->reader);
    } else if (!s->reader.active) {
        err = store_read_renew(&s->reader);
    }
    if (err == ERR_OK) {
        *ret_read = &s->reader;
    }
    return err;
}

uint64_t store_read_snapshot(const struct store_read *r)
{
    PRE(r->active);
    return mdb_txn_id(r->txn);
}

static uint32_t row_crc(struct slice key, struct slice after_crc)
{
    return crc32c(crc32c(0, key.data, key.len), after_crc.data, after_crc.len);
}

enum err store_value_open(struct slice key, struct slice value, uint64_t *ret_version,
                          struct slice *ret_payload)
{
    if (value.len < STORE_VALUE_HEAD_BYTES ||
        get_be32(value.data) != row_crc(key, slice_skip(value, CRC_BYTES))) {
        return ERR_CORRUPT;
    }
    *ret_version = get_be64(value.data + CRC_BYTES);
    *ret_payload = slice_skip(value, STORE_VALUE_HEAD_BYTES);
    return ERR_OK;
}

/* Copies a row that was found into `out`. */
static enum err copy_row(struct store_read *r, struct slice key, MDB_val value, struct rowset *out)
{
    uint64_t version;
    struct slice payload;
    enum err err = store_value_open(key, slice_of_val(value), &version, &payload);
    if (err != ERR_OK) {
        row_key_set(&r->bad_key, key);
        return err;
    }
    rowset_add(out, key, version, payload);
    return ERR_OK;
}

enum err store_get(struct store_read *r, struct slice key, struct rowset *out)
{
    PRE(r->active);
    MDB_val k = val_of(key);
    MDB_val value;
    int code = mdb_get(r->txn, r->dbi, &k, &value);
    if (code == MDB_NOTFOUND) {
        rowset_add_absent(out, key);
        return ERR_OK;
    }
    return code == 0 ? copy_row(r, key, value, out) : store_translate(code);
}

enum err store_has(struct store_read *r, struct slice key, bool *ret_found)
{
    PRE(r->active);
    MDB_val k = val_of(key);
    MDB_val value;
    int code = mdb_get(r->txn, r->dbi, &k, &value);
    if (code != 0 && code != MDB_NOTFOUND) {
        return store_translate(code);
    }
    *ret_found = code == 0;
    return ERR_OK;
}

/* The first row of the walk. */
static int seek(MDB_cursor *c, const struct store_range *range, MDB_val *key, MDB_val *value)
{
    if (!range->reverse) {
        *key = val_of(range->start);
        return mdb_cursor_get(c, key, value, range->start.len == 0 ? MDB_FIRST : MDB_SET_RANGE);
    }
    if (range->end.len == 0) {
        return mdb_cursor_get(c, key, value, MDB_LAST);
    }
    *key = val_of(range->end);
    int code = mdb_cursor_get(c, key, value, MDB_SET_RANGE);
    return mdb_cursor_get(c, key, value, code == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
}

static bool is_past(const struct store_range *range, struct slice key)
{
    if (range->reverse) {
        return slice_compare(key, range->start) < 0;
    }
    return range->end.len > 0 && slice_compare(key, range->end) >= 0;
}

enum err store_has_any(struct store_read *r, struct slice start, struct slice end, bool *ret_found)
{
    PRE(r->active && start.len > 0 && end.len > 0);
    const struct store_range range = {.start = start, .end = end};
    MDB_cursor *c;
    MDB_val key;
    MDB_val value;
    int code = mdb_cursor_open(r->txn, r->dbi, &c);
    if (code != 0) {
        return store_translate(code);
    }
    code = seek(c, &range, &key, &value);
    mdb_cursor_close(c);
    if (code != 0 && code != MDB_NOTFOUND) {
        return store_translate(code);
    }
    *ret_found = code == 0 && !is_past(&range, slice_of_val(key));
    return ERR_OK;
}

static enum err walk(struct store_read *r, MDB_cursor *c, const struct store_range *range,
                     struct rowset *out, bool *ret_more)
{
    size_t rows = 0;
    size_t bytes_before = out->bytes.len;
    MDB_val key;
    MDB_val value;
    int code = seek(c, range, &key, &value);
    while (code == 0 && !is_past(range, slice_of_val(key))) {
        if (rows >= range->rows_max ||
            (rows > 0 && out->bytes.len - bytes_before >= range->bytes_max)) {
            *ret_more = true;
            return ERR_OK;
        }
        enum err err = copy_row(r, slice_of_val(key), value, out);
        if (err != ERR_OK) {
            return err;
        }
        rows++;
        code = mdb_cursor_get(c, &key, &value, range->reverse ? MDB_PREV : MDB_NEXT);
    }
    if (code != 0 && code != MDB_NOTFOUND) {
        return store_translate(code);
    }
    *ret_more = false;
    return ERR_OK;
}

enum err store_scan(struct store_read *r, const struct store_range *range, struct rowset *out,
                    bool *ret_more)
{
    PRE(r->active && range->rows_max >= 1);
    MDB_cursor *c;
    int code = mdb_cursor_open(r->txn, r->dbi, &c);
    if (code != 0) {
        return store_translate(code);
    }
    enum err err = walk(r, c, range, out, ret_more);
    mdb_cursor_close(c);
    return err;
}

enum err store_applied(struct store *s, struct applied *ret_applied)
{
    struct row_key key;
    row_key_applied(&key);
    struct store_read r = {0};
    struct rowset row = {0};
    enum err err = store_read_begin(s, &r);
    if (err != ERR_OK) {
        return err;
    }
    err = store_get(&r, row_key_slice(&key), &row);
    if (err == ERR_OK && row.rows[0].present) {
        err = applied_decode(rowset_payload(&row, 0), ret_applied);
    } else if (err == ERR_OK) {
        *ret_applied = (struct applied){0};
    }
    rowset_done(&row);
    store_read_end(&r);
    return err;
}

/* Writing */

enum err store_write_begin(struct store *s, struct store_write *w)
{
    *w = (struct store_write){.dbi = s->dbi};
    int code = mdb_txn_begin(s->env, NULL, 0, &w->txn);
    if (code != 0) {
        w->txn = NULL;
        return store_translate(code);
    }
    code = mdb_cursor_open(w->txn, w->dbi, &w->cursor);
    if (code != 0) {
        mdb_txn_abort(w->txn);
        w->txn = NULL;
    }
    return store_translate(code);
}

enum err store_put(struct store_write *w, struct slice key, uint64_t version, struct slice payload)
{
    PRE(w->txn != NULL && key.len >= ROW_KEY_HEAD_BYTES && key.len <= ROW_KEY_BYTES_MAX);

    MDB_val k = val_of(key);
    MDB_val value = {.mv_size = STORE_VALUE_HEAD_BYTES + payload.len};
    errno = 0;
    int code = mdb_cursor_put(w->cursor, &k, &value, MDB_RESERVE); /* may write pages */
    if (code != 0) {
        return translate_write(code);
    }
    uint8_t *at = value.mv_data; /* ours to fill until the next write */
    put_be64(at + CRC_BYTES, version);
    if (payload.len > 0) {
        memcpy(at + STORE_VALUE_HEAD_BYTES, payload.data, payload.len);
    }
    put_be32(at, row_crc(key, slice_of(at + CRC_BYTES, 8 + payload.len)));
    return ERR_OK;
}

enum err store_delete(struct store_write *w, struct slice key, bool *ret_existed)
{
    PRE(w->txn != NULL);

    MDB_val k = val_of(key);
    MDB_val value;
    errno = 0;
    int code = mdb_cursor_get(w->cursor, &k, &value, MDB_SET);
    if (code == 0) {
        code = mdb_cursor_del(w->cursor, 0);
        *ret_existed = true;
    } else if (code == MDB_NOTFOUND) {
        code = 0;
        *ret_existed = false;
    }
    return translate_write(code);
}

static int erase_rows(struct store_write *w, const struct store_range *range, size_t *erased,
                      bool *ret_more)
{
    size_t bytes = 0;
    for (*erased = 0;; (*erased)++) {
        /* From the start each time: all before is gone, and a cursor that deleted is best asked
         * for nothing but a new position. */
        MDB_val key = val_of(range->start);
        MDB_val value;
        int code = mdb_cursor_get(w->cursor, &key, &value, MDB_SET_RANGE);
        *ret_more = code == 0 && !is_past(range, slice_of_val(key));
        if (!*ret_more || *erased == range->rows_max || bytes >= range->bytes_max) {
            return code;
        }
        bytes += value.mv_size;
        code = mdb_cursor_del(w->cursor, 0);
        if (code != 0) {
            return code;
        }
    }
}

enum err store_erase(struct store_write *w, const struct store_range *range, size_t *ret_erased,
                     bool *ret_more)
{
    PRE(w->txn != NULL && !range->reverse && range->start.len > 0);
    errno = 0;
    int code = erase_rows(w, range, ret_erased, ret_more);
    return code == MDB_NOTFOUND ? ERR_OK : translate_write(code);
}

struct store_read store_write_view(const struct store_write *w)
{
    return (struct store_read){.txn = w->txn, .dbi = w->dbi, .active = true};
}

enum err store_write_commit(struct store_write *w)
{
    PRE(w->txn != NULL);
    mdb_cursor_close(w->cursor);
    errno = 0;
    int code = mdb_txn_commit(w->txn);
    *w = (struct store_write){0};
    return translate_write(code);
}

void store_write_abort(struct store_write *w)
{
    if (w->txn != NULL) {
        mdb_cursor_close(w->cursor);
        mdb_txn_abort(w->txn);
        *w = (struct store_write){0};
    }
}
