/* Making the file of a store.
 *
 * LMDB writes the first pages of a new file in place and does not sync them: a power cut can leave a
 * file that it refuses, although the log has all that belongs there. So the file is made under another
 * name, synced, and only then has its own. */
#include <errno.h>
#include <lmdb.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/disk.h"
#include "storage/store.h"

enum { LOCK_BYTES = 4096 }; /* of its two pages LMDB writes only to the first */

static char *with_suffix(const char *path, const char *suffix)
{
    struct buf text = {0};
    buf_printf(&text, "%s%s", path, suffix);
    buf_append_byte(&text, 0);
    return (char *)text.data;
}

/* An environment without rows, durable. */
static enum err make_at(const char *path, uint64_t map_bytes)
{
    MDB_env *env;
    enum err err = store_make_lock(path);
    if (err != ERR_OK) {
        return err;
    }
    int code = mdb_env_create(&env);
    if (code != 0) {
        return store_translate(code);
    }
    code = mdb_env_set_mapsize(env, map_bytes);
    if (code == 0) {
        code = mdb_env_open(env, path, STORE_FLAGS, STORE_FILE_MODE);
    }
    if (code == 0) {
        code = mdb_env_sync(env, 1);
    }
    mdb_env_close(env);
    return store_translate(code);
}

enum err store_make_lock(const char *path)
{
    struct disk_file *f;
    char *lock = with_suffix(path, "-lock");
    enum err err = disk_open(NULL, DISK_STORE_LOCK, lock, DISK_KEEP, &f);
    mem_free(lock);
    if (err == ERR_OK) {
        err = disk_allocate(NULL, DISK_STORE_LOCK, f, LOCK_BYTES);
        int reason = errno;
        disk_close(f);
        errno = reason;
    }
    return err;
}

void store_unlink_lock(const char *path)
{
    char *lock = with_suffix(path, "-lock");
    (void)disk_unlink(NULL, DISK_STORE_FILE, lock);
    mem_free(lock);
}

static enum err sync_directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? mem_strdup(".") : mem_strndup(path, (size_t)(slash - path));
    enum err err = disk_sync_dir(NULL, DISK_STORE_FILE, dir);
    int reason = errno;
    mem_free(dir);
    errno = reason;
    return err;
}

static enum err make(const char *path, uint64_t map_bytes)
{
    char *temporary = with_suffix(path, ".new");
    (void)disk_unlink(NULL, DISK_STORE_FILE, temporary); /* of a start that was cut short */
    enum err err = make_at(temporary, map_bytes);
    int reason = errno;
    store_unlink_lock(temporary);
    if (err == ERR_OK) {
        err = disk_rename(NULL, DISK_STORE_FILE, temporary, path);
        reason = errno;
    }
    mem_free(temporary);
    errno = reason;
    return err;
}

enum err store_make(const char *path, uint64_t map_bytes)
{
    enum err err = access(path, F_OK) == 0 ? ERR_OK : make(path, map_bytes);
    /* Also of one that was there: its maker may have been killed before this. */
    return err == ERR_OK ? sync_directory_of(path) : err;
}
