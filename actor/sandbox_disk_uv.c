#include "actor/sandbox_disk_uv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor/launch_ask_uv.h"
#include "base/digest.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"

#define WARM_PREFIX "warm-"

enum { FILE_BYTES = SANDBOX_PATH_BYTES + 64, NUMBER_BYTES = 32, NAME_RANDOM_BYTES = 8 };

struct disk_ask {
    struct disks *owner; /* NULL: forgotten, or the owner is closed */
    struct list link;
    uv_work_t work;
    struct launch_ask *mounting;
    char name[SANDBOX_NAME_BYTES];
    char folder[SANDBOX_PATH_BYTES];
    uint32_t disk_mb;
    bool is_warm; /* for the pool */
    bool is_new;  /* it was made for this */
    int file;     /* its image, once it is there */
    int error;
    disk_cb cb;
    void *ctx;
};

struct warm {
    struct disks *owner;
    struct list link;
    char name[SANDBOX_NAME_BYTES];
    int mount;
};

/* Files; on a thread of the pool */

static void path_of(const char *folder, const char *name, char ret[FILE_BYTES])
{
    (void)snprintf(ret, FILE_BYTES, "%s/%s.img", folder, name);
}

static int run_mke2fs(const char *path)
{
    static char *const environment[] = {NULL};
    static const char *const programs[] = {"/sbin/mke2fs", "/usr/sbin/mke2fs"};
    static const char *const argv[] = {
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-i",
        "8192",
        "-m",
        "0",
        "-J",
        "size=8",
        "-O",
        "^resize_inode",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
        NULL,
        NULL};
    const char *full[sizeof argv / sizeof argv[0]];
    posix_spawnattr_t attributes;
    sigset_t none;
    pid_t pid;
    int status = 0;
    memcpy(full, argv, sizeof argv);
    full[sizeof argv / sizeof argv[0] - 2] = path;
    (void)sigemptyset(&none);
    if (posix_spawnattr_init(&attributes) != 0) {
        return ENOMEM;
    }
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    const char *program = programs[access(programs[0], X_OK) == 0 ? 0 : 1];
    int rc =
        posix_spawn(&pid, program, NULL, &attributes, (char *const *)(uintptr_t)full, environment);
    (void)posix_spawnattr_destroy(&attributes);
    if (rc != 0) {
        return rc;
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return status == 0 ? 0 : EIO;
}

/* Others may make the same at the same time: the last one stays, and is as good as the first. */
static int make_template(const char *folder, uint32_t disk_mb, const char *path)
{
    char part[FILE_BYTES];
    char number[NUMBER_BYTES];
    (void)snprintf(number, sizeof number, "part-%llx", (unsigned long long)random_u64());
    path_of(folder, number, part);
    int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    int error = ftruncate(fd, (off_t)disk_mb << 20) == 0 ? run_mke2fs(part) : errno;
    error = error == 0 && fsync(fd) != 0 ? errno : error;
    (void)close(fd);
    if (error == 0 && rename(part, path) != 0) {
        error = errno;
    }
    if (error != 0) {
        (void)unlink(part);
    }
    return error;
}

static int open_template(const char *folder, uint32_t disk_mb, int *ret_file)
{
    char name[NUMBER_BYTES];
    char path[FILE_BYTES];
    (void)snprintf(name, sizeof name, "template-%u", (unsigned)disk_mb);
    path_of(folder, name, path);
    for (int tries = 0; tries < 2; tries++) {
        *ret_file = open(path, O_RDONLY | O_CLOEXEC);
        if (*ret_file >= 0) {
            return 0;
        }
        int error = errno == ENOENT ? make_template(folder, disk_mb, path) : errno;
        if (error != 0) {
            return error;
        }
    }
    return ENOENT;
}

/* What is not a hole. */
static int copy_sparse(int from, int to, off_t size)
{
    off_t at = 0;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        off_t end = lseek(from, at, SEEK_HOLE);
        off_t out = at;
        while (at < end) {
            ssize_t n = copy_file_range(from, &at, to, &out, (size_t)(end - at), 0);
            if (n <= 0) {
                return n < 0 ? errno : EIO;
            }
        }
    }
    return errno == ENXIO && ftruncate(to, size) == 0 ? 0 : errno;
}

static int make_file(const struct disk_ask *a, const char *path, int *ret_file)
{
    int template;
    struct stat st;
    int error = open_template(a->folder, a->disk_mb, &template);
    if (error != 0) {
        return error;
    }
    *ret_file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    error = *ret_file < 0 || fstat(template, &st) != 0 ? errno : 0;
    if (error == 0) {
        error = copy_sparse(template, *ret_file, st.st_size);
    }
    (void)close(template);
    if (error != 0 && *ret_file >= 0) {
        (void)close(*ret_file);
        (void)unlink(path);
        *ret_file = -1;
    }
    return error;
}

static void make_on_thread(uv_work_t *work)
{
    struct disk_ask *a = work->data;
    char path[FILE_BYTES];
    (void)mkdir(a->folder, 0700); /* where it cannot be, the file cannot */
    path_of(a->folder, a->name, path);
    a->file = open(path, O_RDWR | O_CLOEXEC);
    if (a->file < 0) {
        a->is_new = errno == ENOENT;
        a->error = a->is_new ? make_file(a, path, &a->file) : errno;
    }
}

/* On the loop */

static void ask_free(struct disk_ask *a)
{
    list_remove(&a->link);
    launch_ask_drop(a->mounting);
    if (a->file >= 0) {
        (void)close(a->file);
    }
    mem_free(a);
}

static const char *why(int error)
{
    return error == ENOSPC ? "there is no space for its disk" : strerror(error);
}

static void fail(struct disk_ask *a, int error)
{
    if (a->owner != NULL) {
        a->cb(a->ctx, error == ENOSPC ? ERR_STORAGE_FULL : ERR_SANDBOX_FAILED, -1, why(error));
    }
    ask_free(a);
}

static void on_mounted(void *ctx, struct launch_ask *l, const struct launch_report *r,
                       const int *fds, size_t count)
{
    struct disk_ask *a = ctx;
    (void)l;
    if (r == NULL || r->error != 0 || count != 1) {
        a->mounting = r == NULL ? NULL : a->mounting; /* it goes when this returns */
        fail(a, r != NULL && r->error != 0 ? r->error : EIO);
        return;
    }
    if (a->owner == NULL) {
        (void)close(fds[0]);
    } else {
        a->cb(a->ctx, ERR_OK, fds[0], "");
    }
    ask_free(a);
}

static void on_made(uv_work_t *work, int status)
{
    struct disk_ask *a = work->data;
    const struct launch_sandbox what = {.kind = LAUNCH_DISK, .is_new = a->is_new};
    if (status != 0 || a->error != 0 || a->owner == NULL) {
        fail(a, a->error != 0 ? a->error : ECANCELED);
        return;
    }
    a->mounting =
        launch_ask_begin(a->owner->loop, a->owner->launch, &what, &a->file, 1, on_mounted, a);
    if (a->mounting == NULL) {
        fail(a, ESHUTDOWN);
    }
}

static struct disk_ask *ask_new(struct disks *d, const char *name, uint32_t disk_mb, disk_cb cb,
                                void *ctx)
{
    struct disk_ask *a = MEM_NEW(struct disk_ask);
    a->owner = d;
    a->disk_mb = disk_mb;
    a->file = -1;
    a->cb = cb;
    a->ctx = ctx;
    a->work.data = a;
    (void)snprintf(a->name, sizeof a->name, "%s", name);
    (void)snprintf(a->folder, sizeof a->folder, "%s", d->folder);
    list_init(&a->link);
    list_append(&d->asks, &a->link);
    d->has_some = true;
    int rc = uv_queue_work(d->loop, &a->work, make_on_thread, on_made);
    INVARIANT(rc == 0);
    return a;
}

/* Warm ones */

static void on_warm(void *ctx, enum err err, int mount, const char *text)
{
    struct warm *w = ctx;
    struct disks *d = w->owner;
    (void)text;
    if (err != ERR_OK) {
        d->warm_count--;
        mem_free(w);
        return;
    }
    w->mount = mount;
    list_append(&d->warm, &w->link);
}

void disk_warm_up(struct disks *d)
{
    while (d->warms && !d->is_closed && d->warm_count < DISKS_WARM) {
        struct warm *w = MEM_NEW(struct warm);
        uint8_t bytes[NAME_RANDOM_BYTES];
        char hex[2 * NAME_RANDOM_BYTES + 1];
        random_bytes(bytes, sizeof bytes);
        hex_encode(bytes, sizeof bytes, hex);
        list_init(&w->link);
        w->owner = d;
        (void)snprintf(w->name, sizeof w->name, WARM_PREFIX "%s", hex);
        d->warm_count++;
        struct disk_ask *a = ask_new(d, w->name, DISK_MB_DEFAULT, on_warm, w);
        a->is_warm = true;
    }
}

static bool rename_warm(const struct disks *d, const struct warm *w, const char *name)
{
    char from[FILE_BYTES];
    char to[FILE_BYTES];
    path_of(d->folder, w->name, from);
    path_of(d->folder, name, to);
    return rename(from, to) == 0;
}

/* Asks */

struct disk_ask *disk_take(struct disks *d, const char *name, uint32_t disk_mb, disk_cb cb,
                           void *ctx)
{
    d->warms = true;
    d->has_some = true;
    return ask_new(d, name, disk_mb, cb, ctx);
}

int disk_take_warm(struct disks *d, const char *name, uint32_t disk_mb)
{
    struct warm *w = LIST_FIRST(&d->warm, struct warm, link);
    d->warms = true;
    d->has_some = true;
    if (disk_mb != DISK_MB_DEFAULT || w == NULL || disk_exists(d, name) ||
        !rename_warm(d, w, name)) {
        return -1;
    }
    int mount = w->mount;
    list_remove(&w->link);
    mem_free(w);
    d->warm_count--;
    return mount;
}

void disk_forget(struct disk_ask *a)
{
    if (a != NULL) {
        a->owner = NULL;
    }
}

enum { NAME_PART_BYTES = 8 };

void disk_name(const struct identity *actor, const uint8_t *id, char ret_name[SANDBOX_NAME_BYTES])
{
    hex_encode(actor->bytes, NAME_PART_BYTES, ret_name);
    hex_encode(id, NAME_PART_BYTES, ret_name + 2 * (size_t)NAME_PART_BYTES);
}

/* Whatever has that text in its name, at `at`; then of layers those that nobody else has. */
static void remove_named(const char *folder, const char *text, size_t at)
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    struct stat st;
    while (list != NULL && (entry = readdir(list)) != NULL) {
        char name[2 * DIGEST_BYTES + 1] = {0};
        if (strlen(entry->d_name) <= at || strncmp(entry->d_name + at, text, strlen(text)) != 0) {
            continue;
        }
        (void)unlinkat(dirfd(list), entry->d_name, 0);
        if (at == 0) {
            continue;
        }
        memcpy(name, entry->d_name, 2 * (size_t)DIGEST_BYTES);
        if (fstatat(dirfd(list), name, &st, 0) == 0 && st.st_nlink == 1) {
            (void)unlinkat(dirfd(list), name, 0);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

void disks_remove_of(struct disks *d, const struct identity *actor)
{
    char text[2 * NAME_PART_BYTES + 2] = ".";
    if (!d->has_some) {
        return; /* a node without sandboxes pays nothing for them */
    }
    hex_encode(actor->bytes, NAME_PART_BYTES, text + 1);
    remove_named(d->folder, text + 1, 0);
    remove_named(d->layers, text, 2 * (size_t)DIGEST_BYTES);
}

void disk_remove(struct disks *d, const char *name)
{
    char path[FILE_BYTES];
    path_of(d->folder, name, path);
    (void)unlink(path);
}

uint64_t disk_bytes(const struct disks *d, const char *name)
{
    char path[FILE_BYTES];
    struct stat st;
    path_of(d->folder, name, path);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

bool disk_exists(const struct disks *d, const char *name)
{
    char path[FILE_BYTES];
    path_of(d->folder, name, path);
    return access(path, F_OK) == 0;
}

static bool is_empty_folder(const char *path)
{
    DIR *list = opendir(path);
    const struct dirent *entry;
    bool is_empty = true;
    while (list != NULL && is_empty && (entry = readdir(list)) != NULL) {
        is_empty = entry->d_name[0] == '.';
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return is_empty;
}

void disks_open(struct disks *d, uv_loop_t *loop, const struct launch *launch, const char *folder,
                const char *layers)
{
    *d = (struct disks){.loop = loop, .launch = launch};
    (void)snprintf(d->folder, sizeof d->folder, "%s", folder);
    (void)snprintf(d->layers, sizeof d->layers, "%s", layers);
    d->has_some = !is_empty_folder(folder) || !is_empty_folder(layers);
    list_init(&d->packs);
    list_init(&d->asks);
    list_init(&d->warm);
}

void disks_clean(const char *folder)
{
    DIR *list = opendir(folder);
    const struct dirent *entry;
    while (list != NULL && (entry = readdir(list)) != NULL) {
        if (strncmp(entry->d_name, WARM_PREFIX, sizeof WARM_PREFIX - 1) == 0 ||
            strncmp(entry->d_name, "part-", 5) == 0) {
            (void)unlinkat(dirfd(list), entry->d_name, 0);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

void disks_close(struct disks *d)
{
    struct warm *w;
    d->is_closed = true;
    layers_close(d);
    LIST_FOREACH_SAFE (link, &d->asks) {
        struct disk_ask *a = LIST_ENTRY(link, struct disk_ask, link);
        if (a->is_warm) {
            mem_free(a->ctx);
        }
        disk_forget(a);
        if (a->mounting != NULL) {
            ask_free(a);
        } else {
            list_remove(&a->link);
        }
    }
    while ((w = LIST_FIRST(&d->warm, struct warm, link)) != NULL) {
        char path[FILE_BYTES];
        path_of(d->folder, w->name, path);
        (void)unlink(path);
        (void)close(w->mount);
        list_remove(&w->link);
        mem_free(w);
    }
}
