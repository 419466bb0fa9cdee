/* Copies of a store's file, for replicas that lack what is in it. */
#include <errno.h>
#include <lmdb.h>

#include "base/mem.h"
#include "storage/disk.h"
#include "storage/store.h"

/* LMDB writes two meta pages of its newest transaction and then all pages as they are. */
static enum err copy_to(const struct store *s, const char *path)
{
    struct disk_file *f;
    enum err err = disk_open(NULL, DISK_SNAPSHOT_FILE, path, DISK_CREATE, &f);
    if (err == ERR_OK) {
        err = store_translate(mdb_env_copyfd2(s->env, f->fd, 0));
        int reason = errno;
        disk_close(f);
        errno = reason;
    }
    return err;
}

enum err store_copy(const struct store *s, const char *path, struct applied *ret_applied,
                    uint64_t *ret_bytes)
{
    struct store *copy;
    enum err err = copy_to(s, path);
    err = err == ERR_OK ? store_open_scratch(path, s->map_bytes, &copy) : err;
    if (err != ERR_OK) {
        return err;
    }
    err = store_applied(copy, ret_applied);
    *ret_bytes = store_file_bytes(copy);
    int reason = errno;
    store_close(copy);
    store_unlink_lock(path);
    errno = reason;
    return err;
}
