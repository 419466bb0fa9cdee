#include "tests/sim/store_disk.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/invariant.h"

enum { PATH_BYTES = 4096 };

static const struct disk *told;
static bool skips_syncs;
static bool is_telling; /* the hook makes calls of its own */
static struct store_disk_stats stats;

void store_disk_attach(const struct disk *disk)
{
    told = disk;
}

void store_disk_skip_syncs(bool skip)
{
    skips_syncs = skip;
}

struct store_disk_stats store_disk_stats(void)
{
    return stats;
}

/* The system's own function of this name, as `real`. */
#define REAL(type, name)                                  \
    static type real;                                     \
    if (real == NULL) {                                   \
        *(void **)(void *)&real = dlsym(RTLD_NEXT, name); \
        INVARIANT(real != NULL);                          \
    }

typedef int open_fn(const char *path, int flags, ...);
typedef ssize_t pwrite_fn(int fd, const void *data, size_t len, off_t offset);
typedef ssize_t write_fn(int fd, const void *data, size_t len);
typedef ssize_t writev_fn(int fd, const struct iovec *parts, int count);
typedef int sync_fn(int fd);

/* A store's file, also while it is made under another name; its lock file is not. */
static bool is_store(const char *path)
{
    const char *name = strrchr(path, '/');
    return name != NULL && strstr(name, ".mdb") != NULL && strstr(name, "-lock") == NULL;
}

/* Whether calls on this file are told, and its path. */
static bool is_told(int fd, char ret_path[PATH_BYTES])
{
    char link[64];
    if (told == NULL || is_telling) {
        return false;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, ret_path, PATH_BYTES - 1);
    if (n <= 0) {
        return false;
    }
    ret_path[n] = '\0';
    return is_store(ret_path);
}

/* False: the call does not happen, errno says why. */
static bool is_let(struct disk_call *call)
{
    is_telling = true;
    int reason = told->hook(told->ctx, call);
    is_telling = false;
    if (reason != 0) {
        stats.refused++;
        errno = reason;
    }
    return reason == 0;
}

static bool lets_write(int fd, const char *path, const void *data, size_t len, off_t offset)
{
    struct disk_call call = {.site = DISK_STORE_FILE,
                             .op = DISK_OP_WRITE,
                             .path = path,
                             .data = data,
                             .len = len,
                             .offset = (uint64_t)offset,
                             .durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0};
    stats.writes++;
    stats.meta_writes += call.durable ? 1 : 0;
    bool lets = is_let(&call);
    INVARIANT(!lets || call.len == len);
    return lets;
}

/* The symbols */

int open(const char *path, int flags, ...)
{
    REAL(open_fn *, "open");
    va_list args;
    va_start(args, flags);
    int mode = (flags & O_CREAT) != 0 ? va_arg(args, int) : 0;
    va_end(args);
    if (told != NULL && !is_telling && (flags & O_CREAT) != 0 && is_store(path) &&
        access(path, F_OK) != 0) {
        struct disk_call call = {
            .site = DISK_STORE_FILE, .op = DISK_OP_OPEN, .path = path, .creates = true};
        if (!is_let(&call)) {
            return -1;
        }
    }
    return real(path, flags, mode);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    REAL(pwrite_fn *, "pwrite");
    char path[PATH_BYTES];
    if (is_told(fd, path) && !lets_write(fd, path, data, len, offset)) {
        return -1;
    }
    return real(fd, data, len, offset);
}

ssize_t write(int fd, const void *data, size_t len)
{
    REAL(write_fn *, "write");
    char path[PATH_BYTES];
    if (is_told(fd, path) && !lets_write(fd, path, data, len, lseek(fd, 0, SEEK_CUR))) {
        return -1;
    }
    return real(fd, data, len);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev_fn *, "writev");
    char path[PATH_BYTES];
    if (is_told(fd, path)) {
        struct buf whole = {0};
        for (int i = 0; i < count; i++) {
            buf_append(&whole, parts[i].iov_base, parts[i].iov_len);
        }
        bool lets = lets_write(fd, path, whole.data, whole.len, lseek(fd, 0, SEEK_CUR));
        buf_done(&whole);
        if (!lets) {
            return -1;
        }
    }
    return real(fd, parts, count);
}

static bool lets_sync(int fd)
{
    char path[PATH_BYTES];
    if (!is_told(fd, path)) {
        return true;
    }
    struct disk_call call = {.site = DISK_STORE_FILE, .op = DISK_OP_SYNC, .path = path};
    stats.syncs++;
    return skips_syncs || is_let(&call);
}

int fdatasync(int fd)
{
    REAL(sync_fn *, "fdatasync");
    return lets_sync(fd) ? real(fd) : -1;
}

int fsync(int fd)
{
    REAL(sync_fn *, "fsync");
    return lets_sync(fd) ? real(fd) : -1;
}
