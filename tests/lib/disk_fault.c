/* Preloaded into a node: makes calls that change its files fail, whoever makes them, LMDB included.
 *
 * The test and the node share a file (struct control; its path is in DISK_FAULT). The test writes rules
 * there, at any time: which calls are meant, by kind and by the file's name below a directory, and which
 * of them fail with which errno. The node's calls are written down in the file of DISK_FAULT_LOG, a line
 * each, so that a test can say that it knows all of them.
 *
 * Reads do not pass here, nor what is written through a map. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, NAME_BYTES = 256, RULES = 2 };

/* A call is of one kind; a rule names several. */
enum kind {
    KIND_MAKE = 1,            /* open that makes the file */
    KIND_OPEN = 1 << 1,       /* open for writing of one that is there */
    KIND_WRITE = 1 << 2,      /* not durable by itself */
    KIND_WRITE_SYNC = 1 << 3, /* durable when it returns */
    KIND_SYNC = 1 << 4,
    KIND_SYNC_DIR = 1 << 5,
    KIND_ALLOCATE = 1 << 6,
    KIND_RESIZE = 1 << 7,
    KIND_RENAME = 1 << 8, /* by the new name */
    KIND_UNLINK = 1 << 9,
    KIND_MKDIR = 1 << 10,
    KIND_RMDIR = 1 << 11,
};

/* Little-endian, as tests/integration/disk_faults.py writes it. */
struct rule {
    char name[NAME_BYTES]; /* of files, below the root; a pattern of fnmatch */
    _Atomic uint32_t kinds;
    _Atomic uint32_t reason;   /* an errno; 0: none fails */
    _Atomic uint32_t is_short; /* writes: the first half is taken, and nothing is said */
    _Atomic uint32_t unused;
    _Atomic uint64_t first; /* of the calls met, from 1 */
    _Atomic uint64_t times; /* that many fail */
    _Atomic uint64_t met;
    _Atomic uint64_t failed;
};

struct control {
    char root[NAME_BYTES]; /* other files are let alone */
    struct rule rules[RULES];
};

static struct control *control;
static int log_fd = -1;

/* The system's own function of this name, as `real`. */
#define REAL(type, name)                                  \
    static type real;                                     \
    if (real == NULL) {                                   \
        *(void **)(void *)&real = dlsym(RTLD_NEXT, name); \
    }

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("DISK_FAULT");
    const char *log_path = getenv("DISK_FAULT_LOG");
    if (path == NULL || log_path == NULL) {
        return;
    }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || log_fd < 0 || map == MAP_FAILED) {
        (void)fprintf(stderr, "disk_fault: %s: %s\n", path, strerror(errno));
        _exit(1);
    }
    (void)close(fd);
    control = map;
}

/* The name below the root, which itself is "."; NULL: it is elsewhere. */
static const char *name_of(const char *path)
{
    size_t len = strlen(control->root);
    if (strncmp(path, control->root, len) != 0) {
        return NULL;
    }
    if (path[len] == '\0') {
        return ".";
    }
    return path[len] == '/' ? path + len + 1 : NULL;
}

static const char *kind_name(enum kind kind)
{
    static const char *const names[] = {"make",   "open",     "write",    "write_sync",
                                        "sync",   "sync_dir", "allocate", "resize",
                                        "rename", "unlink",   "mkdir",    "rmdir"};
    int bit = 0;
    while (kind >> bit > 1) {
        bit++;
    }
    return names[bit];
}

static void write_down(enum kind kind, const char *name)
{
    char line[PATH_BYTES];
    int n = snprintf(line, sizeof line, "%s %s\n", kind_name(kind), name);
    (void)!syscall(SYS_write, log_fd, line, (size_t)n);
}

static bool applies(struct rule *r, enum kind kind, const char *name)
{
    if ((r->kinds & kind) == 0 || fnmatch(r->name, name, 0) != 0) {
        return false;
    }
    uint64_t n = atomic_fetch_add(&r->met, 1) + 1;
    if (r->reason == 0 || n < r->first || n - r->first >= r->times) {
        return false;
    }
    atomic_fetch_add(&r->failed, 1);
    return true;
}

/* The rule by which the call does not happen, errno says why; NULL: it does. */
static const struct rule *rule_for(enum kind kind, const char *path)
{
    const char *name = control != NULL ? name_of(path) : NULL;
    if (name == NULL) {
        return NULL;
    }
    int kept = errno;
    write_down(kind, name);
    errno = kept;
    for (int i = 0; i < RULES; i++) {
        struct rule *r = &control->rules[i];
        if (applies(r, kind, name)) {
            errno = (int)r->reason;
            return r;
        }
    }
    return NULL;
}

static bool fails(enum kind kind, const char *path)
{
    return rule_for(kind, path) != NULL;
}

static bool path_of(int fd, char ret_path[PATH_BYTES])
{
    char link[64];
    if (control == NULL) {
        return false;
    }
    int kept = errno;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, ret_path, PATH_BYTES - 1);
    errno = kept;
    if (n <= 0) {
        return false;
    }
    ret_path[n] = '\0';
    return true;
}

static bool fd_fails(enum kind kind, int fd)
{
    char path[PATH_BYTES];
    return path_of(fd, path) && fails(kind, path);
}

/* Files */

typedef int open_fn(const char *path, int flags, ...);

static bool open_fails(const char *path, int flags)
{
    if (control == NULL || (flags & O_ACCMODE) == O_RDONLY) {
        return false;
    }
    bool makes = (flags & O_CREAT) != 0 && access(path, F_OK) != 0;
    return fails(makes ? KIND_MAKE : KIND_OPEN, path);
}

int open(const char *path, int flags, ...)
{
    REAL(open_fn *, "open");
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_fails(path, flags) ? -1 : real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    REAL(open_fn *, "open64");
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_fails(path, flags) ? -1 : real(path, flags, mode);
}

/* How much of a write happens; 0: it fails. */
static size_t let_of(int fd, size_t len)
{
    char path[PATH_BYTES];
    int kept = errno;
    int flags = fcntl(fd, F_GETFL);
    enum kind kind = (flags & O_DSYNC) != 0 ? KIND_WRITE_SYNC : KIND_WRITE;
    errno = kept;
    if (!path_of(fd, path)) {
        return len;
    }
    const struct rule *r = rule_for(kind, path);
    if (r == NULL || (r->is_short != 0 && len > 1)) {
        errno = kept;
        return r == NULL ? len : len / 2;
    }
    return 0;
}

typedef ssize_t pwrite_fn(int fd, const void *data, size_t len, off_t offset);

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    REAL(pwrite_fn *, "pwrite");
    size_t let = let_of(fd, len);
    return let == 0 && len > 0 ? -1 : real(fd, data, let, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    return pwrite(fd, data, len, offset);
}

typedef ssize_t write_fn(int fd, const void *data, size_t len);

ssize_t write(int fd, const void *data, size_t len)
{
    REAL(write_fn *, "write");
    size_t let = let_of(fd, len);
    return let == 0 && len > 0 ? -1 : real(fd, data, let);
}

typedef ssize_t writev_fn(int fd, const struct iovec *parts, int count);

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev_fn *, "writev");
    int let = (int)let_of(fd, (size_t)count);
    return let == 0 && count > 0 ? -1 : real(fd, parts, let);
}

typedef int fd_fn(int fd);

static bool sync_fails(int fd)
{
    struct stat st;
    bool is_dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return fd_fails(is_dir ? KIND_SYNC_DIR : KIND_SYNC, fd);
}

int fdatasync(int fd)
{
    REAL(fd_fn *, "fdatasync");
    return sync_fails(fd) ? -1 : real(fd);
}

int fsync(int fd)
{
    REAL(fd_fn *, "fsync");
    return sync_fails(fd) ? -1 : real(fd);
}

typedef int msync_fn(void *at, size_t len, int flags);

/* Nobody of ours writes files through a map; a library that begins to is noticed. */
int msync(void *at, size_t len, int flags)
{
    REAL(msync_fn *, "msync");
    if (control != NULL) {
        write_down(KIND_SYNC, "a map");
    }
    return real(at, len, flags);
}

typedef int fallocate_fn(int fd, int mode, off_t offset, off_t len);

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    REAL(fallocate_fn *, "fallocate");
    return fd_fails(KIND_ALLOCATE, fd) ? -1 : real(fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
    return fallocate(fd, mode, offset, len);
}

typedef int ftruncate_fn(int fd, off_t len);

int ftruncate(int fd, off_t len)
{
    REAL(ftruncate_fn *, "ftruncate");
    return fd_fails(KIND_RESIZE, fd) ? -1 : real(fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    return ftruncate(fd, len);
}

typedef int truncate_fn(const char *path, off_t len);

int truncate(const char *path, off_t len)
{
    REAL(truncate_fn *, "truncate");
    return fails(KIND_RESIZE, path) ? -1 : real(path, len);
}

int truncate64(const char *path, off64_t len)
{
    return truncate(path, len);
}

/* Names */

typedef int rename_fn(const char *from, const char *to);

int rename(const char *from, const char *to)
{
    REAL(rename_fn *, "rename");
    return fails(KIND_RENAME, to) ? -1 : real(from, to);
}

typedef int path_fn(const char *path);

int unlink(const char *path)
{
    REAL(path_fn *, "unlink");
    return fails(KIND_UNLINK, path) ? -1 : real(path);
}

int rmdir(const char *path)
{
    REAL(path_fn *, "rmdir");
    return fails(KIND_RMDIR, path) ? -1 : real(path);
}

typedef int mkdir_fn(const char *path, mode_t mode);

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir_fn *, "mkdir");
    return fails(KIND_MKDIR, path) ? -1 : real(path, mode);
}
