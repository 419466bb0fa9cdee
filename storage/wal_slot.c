#include "storage/wal_slot.h"

#include <errno.h>
#include <stdio.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/wal_image.h"

enum { FILL_BYTES = 256 * 1024 };

char *wal_slot_path(const char *dir, uint32_t slot, bool is_temporary)
{
    char name[WAL_SLOT_NAME_BYTES];
    wal_slot_name(slot, name);
    size_t bytes = strlen(dir) + sizeof name + sizeof "/.tmp";
    char *path = mem_alloc(bytes);
    (void)snprintf(path, bytes, "%s/%s%s", dir, name, is_temporary ? ".tmp" : "");
    return path;
}

void slot_maker_start(struct slot_maker *m, uint32_t slot)
{
    PRE(!m->is_open);
    PRE(m->bytes > 0 && m->bytes % WAL_BLOCK_BYTES == 0);
    m->is_open = true;
    m->slot = slot;
    m->filled = 0;
    m->file = NULL;
}

void slot_maker_done(struct slot_maker *m)
{
    if (!m->is_open) {
        return;
    }
    int reason = errno;
    if (m->file != NULL) {
        char *path = wal_slot_path(m->dir, m->slot, true);
        (void)disk_unlink(m->disk, DISK_WAL_CLEAN, path); /* else the next start removes it */
        mem_free(path);
    }
    disk_close(m->file);
    m->file = NULL;
    m->is_open = false;
    errno = reason;
}

static enum err open_temporary(struct slot_maker *m)
{
    char *path = wal_slot_path(m->dir, m->slot, true);
    enum err err = disk_open(m->disk, DISK_WAL_SLOT, path,
                             DISK_CREATE | (m->direct ? DISK_DIRECT : 0), &m->file);
    mem_free(path);
    /* Tells of a full disk at once, and keeps the file in one piece. */
    return err == ERR_OK ? disk_allocate(m->disk, DISK_WAL_SLOT, m->file, m->bytes) : err;
}

static enum err fill(struct slot_maker *m)
{
    static const uint8_t zeros[FILL_BYTES] __attribute__((aligned(WAL_BLOCK_BYTES)));
    uint64_t left = m->bytes - m->filled;
    size_t n = left < sizeof zeros ? (size_t)left : sizeof zeros;
    enum err err = disk_write(m->disk, DISK_WAL_SLOT, m->file, zeros, n, m->filled);
    m->filled += n;
    return err;
}

static enum err finish(struct slot_maker *m)
{
    char *from = wal_slot_path(m->dir, m->slot, true);
    char *to = wal_slot_path(m->dir, m->slot, false);
    enum err err = disk_sync(m->disk, DISK_WAL_SLOT, m->file);
    if (err == ERR_OK) {
        err = disk_rename(m->disk, DISK_WAL_SLOT, from, to);
    }
    if (err == ERR_OK) {
        err = disk_sync_dir(m->disk, DISK_WAL_SLOT, m->dir);
        m->was_direct = m->file->direct;
        disk_close(m->file);
        m->file = NULL;
    }
    mem_free(from);
    mem_free(to);
    return err;
}

enum err slot_maker_step(struct slot_maker *m, bool *ret_made)
{
    PRE(m->is_open);

    enum err err;
    bool made = false;
    if (m->file == NULL) {
        err = open_temporary(m);
    } else if (m->filled < m->bytes) {
        err = fill(m);
    } else {
        err = finish(m);
        made = err == ERR_OK;
    }
    if (err != ERR_OK || made) {
        slot_maker_done(m);
    }
    if (err == ERR_OK) {
        *ret_made = made;
    }
    return err;
}
