#include "storage/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"

static const char *const site_names[] = {
#define X(name, text) #name,
#include "storage/disk.def"
#undef X
};

const char *disk_site_name(enum disk_site site)
{
    PRE(site < DISK_SITE_COUNT);
    return site_names[site];
}

const char *disk_op_name(enum disk_op op)
{
    static const char *const names[] = {"mkdir", "open",   "allocate", "resize", "write",
                                        "sync",  "rename", "unlink",   "rmdir",  "sync_dir"};
    PRE(op < DISK_OP_COUNT);
    return names[op];
}

static enum err of_errno(void)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
        return ERR_STORAGE_FULL;
    case ENOENT:
        return ERR_NOT_FOUND;
    default:
        return ERR_IO;
    }
}

static const struct disk *default_disk;

void disk_set_default(const struct disk *d)
{
    default_disk = d;
}

/* Whether the hook lets the call happen; else errno is set. */
static bool is_let(const struct disk *d, struct disk_call *call)
{
    d = d != NULL ? d : default_disk;
    if (d == NULL || d->hook == NULL) {
        return true;
    }
    int reason = d->hook(d->ctx, call);
    if (reason != 0) {
        errno = reason;
    }
    return reason == 0;
}

enum err disk_open(const struct disk *d, enum disk_site site, const char *path, int flags,
                   struct disk_file **ret_file)
{
    bool makes = (flags & DISK_KEEP) != 0 && access(path, F_OK) != 0;
    struct disk_call call = {.site = site,
                             .op = DISK_OP_OPEN,
                             .path = path,
                             .creates = makes || (flags & DISK_CREATE) != 0};
    if (!is_let(d, &call)) {
        return of_errno();
    }
    bool direct = (flags & DISK_DIRECT) != 0;
    int mode = O_RDWR | O_CLOEXEC;
    mode |= (flags & DISK_CREATE) != 0 ? O_CREAT | O_TRUNC : 0;
    mode |= (flags & DISK_KEEP) != 0 ? O_CREAT : 0;
    mode |= (flags & DISK_DURABLE) != 0 ? O_DSYNC : 0;
    int fd = open(path, mode | (direct ? O_DIRECT : 0), 0600);
    if (fd < 0 && errno == EINVAL && direct) {
        direct = false;
        fd = open(path, mode, 0600);
    }
    if (fd < 0) {
        return of_errno();
    }
    struct disk_file *f = MEM_NEW(struct disk_file);
    *f = (struct disk_file){.fd = fd,
                            .direct = direct,
                            .durable = (flags & DISK_DURABLE) != 0,
                            .path = mem_strdup(path)};
    *ret_file = f;
    return ERR_OK;
}

void disk_close(struct disk_file *f)
{
    if (f == NULL) {
        return;
    }
    (void)close(f->fd); /* what had to be durable was synced */
    mem_free(f->path);
    mem_free(f);
}

/* A device whose blocks are larger than ours refuses direct writes only when they come. */
static bool leaves_direct(struct disk_file *f)
{
    if (errno != EINVAL || !f->direct) {
        return false;
    }
    int flags = fcntl(f->fd, F_GETFL);
    if (flags < 0 || fcntl(f->fd, F_SETFL, flags & ~O_DIRECT) != 0) {
        return false;
    }
    f->direct = false;
    return true;
}

enum err disk_write(const struct disk *d, enum disk_site site, struct disk_file *f,
                    const void *data, size_t len, uint64_t offset)
{
    const uint8_t *at = data;
    while (len > 0) {
        struct disk_call call = {.site = site,
                                 .op = DISK_OP_WRITE,
                                 .path = f->path,
                                 .data = at,
                                 .len = len,
                                 .offset = offset,
                                 .durable = f->durable};
        if (!is_let(d, &call)) {
            return of_errno();
        }
        INVARIANT(call.len > 0 && call.len <= len);
        ssize_t n = pwrite(f->fd, at, call.len, (off_t)offset);
        if (n < 0 && (errno == EINTR || leaves_direct(f))) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return of_errno();
        }
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

enum err disk_sync(const struct disk *d, enum disk_site site, struct disk_file *f)
{
    struct disk_call call = {.site = site, .op = DISK_OP_SYNC, .path = f->path};
    if (!is_let(d, &call) || fdatasync(f->fd) != 0) {
        return of_errno();
    }
    return ERR_OK;
}

enum err disk_allocate(const struct disk *d, enum disk_site site, struct disk_file *f, size_t len)
{
    struct disk_call call = {.site = site, .op = DISK_OP_ALLOCATE, .path = f->path, .len = len};
    if (!is_let(d, &call)) {
        return of_errno();
    }
    if (fallocate(f->fd, 0, 0, (off_t)len) != 0 && errno != EOPNOTSUPP && errno != ENOSYS &&
        errno != EINTR) {
        return of_errno();
    }
    return ERR_OK;
}

enum err disk_resize(const struct disk *d, enum disk_site site, const char *path, size_t len)
{
    struct disk_call call = {.site = site, .op = DISK_OP_RESIZE, .path = path, .len = len};
    if (!is_let(d, &call) || truncate(path, (off_t)len) != 0) {
        return of_errno();
    }
    return ERR_OK;
}

enum err disk_mkdir(const struct disk *d, enum disk_site site, const char *path)
{
    struct disk_call call = {.site = site, .op = DISK_OP_MKDIR, .path = path};
    if (!is_let(d, &call) || mkdir(path, 0700) != 0) {
        return of_errno();
    }
    return ERR_OK;
}

enum err disk_rename(const struct disk *d, enum disk_site site, const char *from, const char *to)
{
    struct disk_call call = {.site = site, .op = DISK_OP_RENAME, .path = from, .to = to};
    if (!is_let(d, &call) || rename(from, to) != 0) {
        return of_errno();
    }
    return ERR_OK;
}

enum err disk_unlink(const struct disk *d, enum disk_site site, const char *path)
{
    struct disk_call call = {.site = site, .op = DISK_OP_UNLINK, .path = path};
    if (!is_let(d, &call) || unlink(path) != 0) {
        return of_errno();
    }
    return ERR_OK;
}

enum err disk_rmdir(const struct disk *d, enum disk_site site, const char *path)
{
    struct disk_call call = {.site = site, .op = DISK_OP_RMDIR, .path = path};
    if (!is_let(d, &call) || rmdir(path) != 0) {
        return of_errno();
    }
    return ERR_OK;
}

enum err disk_sync_dir(const struct disk *d, enum disk_site site, const char *path)
{
    struct disk_call call = {.site = site, .op = DISK_OP_SYNC_DIR, .path = path};
    if (!is_let(d, &call)) {
        return of_errno();
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return of_errno();
    }
    enum err err = fsync(fd) == 0 ? ERR_OK : of_errno();
    int reason = errno;
    (void)close(fd);
    errno = reason;
    return err;
}

static enum err write_whole(const struct disk *d, enum disk_site site, const char *path,
                            struct slice contents)
{
    struct disk_file *f;
    enum err err = disk_open(d, site, path, DISK_CREATE, &f);
    if (err != ERR_OK) {
        return err;
    }
    err = disk_write(d, site, f, contents.data, contents.len, 0);
    if (err == ERR_OK) {
        err = disk_sync(d, site, f);
    }
    int reason = errno;
    disk_close(f);
    errno = reason;
    return err;
}

enum err disk_replace_file(const struct disk *d, enum disk_site site, const char *dir,
                           const char *name, struct slice contents)
{
    struct buf path = {0};
    struct buf temporary = {0};
    buf_printf(&path, "%s/%s%c", dir, name, 0);
    buf_printf(&temporary, "%s/%s.tmp%c", dir, name, 0);
    enum err err = write_whole(d, site, (char *)temporary.data, contents);
    if (err == ERR_OK) {
        err = disk_rename(d, site, (char *)temporary.data, (char *)path.data);
    }
    if (err == ERR_OK) {
        err = disk_sync_dir(d, site, dir);
    }
    int reason = errno;
    buf_done(&path);
    buf_done(&temporary);
    errno = reason;
    return err;
}
