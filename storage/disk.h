/* The thin seam through which every change of the file system goes.
 *
 * A call names its site (disk.def). A test gives `struct disk` a hook, which is asked before each
 * system call: it may fail it with an errno, shorten a write, or note it down (the power-loss
 * harness keeps what was synced and drops the rest). A zeroed struct disk, or NULL, is the plain
 * file system. Reads do not pass here. `disk_set_default` gives NULL a meaning for code that takes no
 * struct disk; it is for tests, before there are threads.
 *
 * Errors: ERR_STORAGE_FULL for ENOSPC and EDQUOT, ERR_NOT_FOUND for ENOENT, else ERR_IO; `errno`
 * still holds the reason. Nothing is retried but EINTR and the rest of a short write: after a failed
 * sync the page cache may have dropped what was dirty. */
#ifndef STORAGE_DISK_H
#define STORAGE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum disk_site {
#define X(name, text) DISK_##name,
#include "storage/disk.def"
#undef X
    DISK_SITE_COUNT
};

enum disk_op {
    DISK_OP_MKDIR,
    DISK_OP_OPEN,
    DISK_OP_ALLOCATE,
    DISK_OP_RESIZE,
    DISK_OP_WRITE,
    DISK_OP_SYNC,
    DISK_OP_RENAME,
    DISK_OP_UNLINK,
    DISK_OP_RMDIR,
    DISK_OP_SYNC_DIR,
    DISK_OP_COUNT
};

/* What is about to be done. The hook may lower `len` of a write. */
struct disk_call {
    enum disk_site site;
    enum disk_op op;
    const char *path;
    const char *to;      /* RENAME: the new name */
    const uint8_t *data; /* WRITE */
    size_t len;          /* WRITE, ALLOCATE, RESIZE */
    uint64_t offset;     /* WRITE */
    bool durable;        /* WRITE: returns only when the data is on stable storage */
    bool creates;        /* OPEN */
};

struct disk {
    int (*hook)(void *ctx, struct disk_call *call); /* 0, or the errno to fail with */
    void *ctx;
};

enum disk_flags {
    DISK_CREATE = 1,  /* makes the file, or empties the one that is there */
    DISK_DIRECT = 2,  /* O_DIRECT where the file system has it: see `direct` */
    DISK_DURABLE = 4, /* O_DSYNC: every write is durable when it returns */
    DISK_KEEP = 8,    /* makes the file, or takes the one that is there as it is */
};

struct disk_file {
    int fd;
    bool direct; /* false also where O_DIRECT was asked for and refused */
    bool durable;
    char *path;
};

void disk_set_default(const struct disk *d); /* NULL: the plain file system again */

const char *disk_site_name(enum disk_site site); /* "WAL_FRAME" */
const char *disk_op_name(enum disk_op op);

enum err disk_open(const struct disk *d, enum disk_site site, const char *path, int flags,
                   struct disk_file **ret_file) MUST_CHECK;
void disk_close(struct disk_file *f); /* NULL is fine */

/* Writes all of it. With DISK_DIRECT data, len and offset are multiples of 4 KiB. */
enum err disk_write(const struct disk *d, enum disk_site site, struct disk_file *f,
                    const void *data, size_t len, uint64_t offset) MUST_CHECK;
enum err disk_sync(const struct disk *d, enum disk_site site, struct disk_file *f) MUST_CHECK;

/* Reserves blocks for the first `len` bytes; a file system that cannot is no error. */
enum err disk_allocate(const struct disk *d, enum disk_site site, struct disk_file *f,
                       size_t len) MUST_CHECK;

/* The file ends there from now on; what it gains reads as zeros and takes no blocks. */
enum err disk_resize(const struct disk *d, enum disk_site site, const char *path,
                     size_t len) MUST_CHECK;

enum err disk_mkdir(const struct disk *d, enum disk_site site, const char *path) MUST_CHECK;
enum err disk_rename(const struct disk *d, enum disk_site site, const char *from,
                     const char *to) MUST_CHECK;
enum err disk_unlink(const struct disk *d, enum disk_site site, const char *path);
enum err disk_rmdir(const struct disk *d, enum disk_site site, const char *path);
enum err disk_sync_dir(const struct disk *d, enum disk_site site, const char *path) MUST_CHECK;

/* Replaces dir/name as a whole: a reader after any crash sees the old contents or the new. */
enum err disk_replace_file(const struct disk *d, enum disk_site site, const char *dir,
                           const char *name, struct slice contents) MUST_CHECK;

#endif
