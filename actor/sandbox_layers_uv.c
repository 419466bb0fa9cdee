#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor/launch_ask_uv.h"
#include "actor/sandbox_disk_uv.h"
#include "actor/sandbox_layers.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"

enum {
    PATH_BYTES = SANDBOX_PATH_BYTES + LAYER_NAME_BYTES + SANDBOX_NAME_BYTES + 32,
    PACK_NOTHING = 42, /* as actor/launcher/sandbox_child.h has it */
    PACK_MEMORY_BYTES = 512 << 20,
    PACK_PIDS = 8,
    PACK_CPU_MILLI = 2000,
};

/* One after the other: files are opened, the disk is mounted, its layer is packed, the image gets its name. */
struct pack {
    struct disks *owner; /* NULL: forgotten, or closed */
    uv_loop_t *loop;
    const struct launch *launch;
    struct list link;
    uv_work_t work;
    struct launch_ask *ask;
    char disk[SANDBOX_NAME_BYTES];
    char folder[SANDBOX_PATH_BYTES]; /* of disks */
    char layers[SANDBOX_PATH_BYTES];
    char part[PATH_BYTES];
    int image; /* the disk's file */
    int out;
    int status;
    int error;
    char hash[LAYER_NAME_BYTES];
    pack_cb cb;
    void *ctx;
};

/* Files */

static bool is_hash(struct slice hash)
{
    return hash.len == LAYER_NAME_BYTES - 1 && hex_is_all(hash);
}

/* `disk` NULL: the image itself. */
static void path_of(const char *layers, struct slice hash, const char *disk, char ret[PATH_BYTES])
{
    (void)snprintf(ret, PATH_BYTES, "%s/%.*s%s%s", layers, (int)hash.len, (const char *)hash.data,
                   disk != NULL ? "." : "", disk != NULL ? disk : "");
}

int layer_open(const struct disks *d, struct slice hash)
{
    char path[PATH_BYTES];
    if (!is_hash(hash)) {
        return -1;
    }
    path_of(d->layers, hash, NULL, path);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int link_layer(const char *layers, struct slice hash, const char *disk)
{
    char from[PATH_BYTES];
    char to[PATH_BYTES];
    path_of(layers, hash, NULL, from);
    path_of(layers, hash, disk, to);
    return link(from, to) == 0 || errno == EEXIST ? 0 : errno;
}

enum err layer_use(struct disks *d, struct slice hash, const char *disk)
{
    return is_hash(hash) && link_layer(d->layers, hash, disk) == 0 ? ERR_OK : ERR_UNAVAILABLE;
}

void layer_release(struct disks *d, struct slice hash, const char *disk)
{
    char path[PATH_BYTES];
    struct stat st;
    if (!is_hash(hash)) {
        return;
    }
    path_of(d->layers, hash, disk, path);
    (void)unlink(path);
    path_of(d->layers, hash, NULL, path);
    if (stat(path, &st) == 0 && st.st_nlink == 1) {
        (void)unlink(path);
    }
}

/* On a thread */

static void open_on_thread(uv_work_t *work)
{
    struct pack *p = work->data;
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s.img", p->folder, p->disk);
    (void)mkdir(p->layers, 0700);
    p->image = open(path, O_RDWR | O_CLOEXEC);
    p->out = p->image >= 0 ? open(p->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    p->error = p->image < 0 || p->out < 0 ? errno : 0;
}

static int sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return error;
}

static void name_on_thread(uv_work_t *work)
{
    struct pack *p = work->data;
    char path[PATH_BYTES];
    uint8_t digest[DIGEST_BYTES];
    if (fsync(p->out) != 0 || digest_of_file(p->out, digest) != ERR_OK) {
        p->error = errno != 0 ? errno : EIO;
        return;
    }
    hex_encode(digest, sizeof digest, p->hash);
    path_of(p->layers, slice_of_str(p->hash), NULL, path);
    /* One that is there already is the same. */
    p->error = rename(p->part, path) == 0 ? 0 : errno;
    if (p->error == 0) {
        p->error = link_layer(p->layers, slice_of_str(p->hash), p->disk);
    }
    if (p->error == 0) {
        p->error = sync_folder(p->layers);
    }
}

/* On the loop */

static void finish(struct pack *p, int error)
{
    (void)unlink(p->part);
    if (p->owner != NULL) {
        p->cb(p->ctx,
              error == 0        ? ERR_OK
              : error == ENOSPC ? ERR_STORAGE_FULL
                                : ERR_SANDBOX_FAILED,
              p->hash, error == 0 ? "" : strerror(error));
    }
    list_remove(&p->link);
    launch_ask_drop(p->ask);
    if (p->image >= 0) {
        (void)close(p->image);
    }
    if (p->out >= 0) {
        (void)close(p->out);
    }
    mem_free(p);
}

static void on_named(uv_work_t *work, int status)
{
    struct pack *p = work->data;
    finish(p, status != 0 ? ECANCELED : p->error);
}

static void on_packed(struct pack *p, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == PACK_NOTHING) {
        finish(p, 0);
    } else if (status != 0) {
        finish(p, EIO);
    } else {
        int rc = uv_queue_work(p->loop, &p->work, name_on_thread, on_named);
        INVARIANT(rc == 0);
    }
}

static void on_pack_report(void *ctx, struct launch_ask *a, const struct launch_report *r,
                           const int *fds, size_t count)
{
    struct pack *p = ctx;
    (void)fds;
    (void)count;
    if (r != NULL && r->kind == LAUNCH_STARTED && r->error == 0) {
        return;
    }
    p->ask = NULL;
    if (r == NULL || r->kind != LAUNCH_EXITED) {
        if (r != NULL) {
            launch_ask_drop(a);
        }
        finish(p, r != NULL ? r->error : ESHUTDOWN);
        return;
    }
    launch_ask_drop(a);
    on_packed(p, r->status);
}

static void on_mounted(void *ctx, struct launch_ask *a, const struct launch_report *r,
                       const int *fds, size_t count)
{
    struct pack *p = ctx;
    const struct launch_sandbox what = {.kind = LAUNCH_PACK,
                                        .pids_max = PACK_PIDS,
                                        .cpu_milli = PACK_CPU_MILLI,
                                        .memory_bytes = PACK_MEMORY_BYTES};
    p->ask = NULL;
    if (r != NULL) {
        launch_ask_drop(a);
    }
    if (count != 1) {
        finish(p, r == NULL || r->error == 0 ? ESHUTDOWN : r->error);
        return;
    }
    const int given[] = {p->out, fds[0]};
    p->ask = launch_ask_begin(p->loop, p->launch, &what, given, 2, on_pack_report, p);
    (void)close(fds[0]);
    if (p->ask == NULL) {
        finish(p, ESHUTDOWN);
    }
}

static void on_opened(uv_work_t *work, int status)
{
    struct pack *p = work->data;
    const struct launch_sandbox what = {.kind = LAUNCH_DISK};
    if (status != 0 || p->error != 0 || p->owner == NULL) {
        finish(p, p->error != 0 ? p->error : ECANCELED);
        return;
    }
    p->ask = launch_ask_begin(p->loop, p->launch, &what, &p->image, 1, on_mounted, p);
    if (p->ask == NULL) {
        finish(p, ESHUTDOWN);
    }
}

struct pack *layer_pack(struct disks *d, const char *disk, pack_cb cb, void *ctx)
{
    struct pack *p = MEM_NEW(struct pack);
    p->owner = d;
    p->loop = d->loop;
    p->launch = d->launch;
    p->image = -1;
    p->out = -1;
    p->cb = cb;
    p->ctx = ctx;
    p->work.data = p;
    (void)snprintf(p->disk, sizeof p->disk, "%s", disk);
    (void)snprintf(p->folder, sizeof p->folder, "%s", d->folder);
    (void)snprintf(p->layers, sizeof p->layers, "%s", d->layers);
    (void)snprintf(p->part, sizeof p->part, "%s/part-%llx", d->layers,
                   (unsigned long long)random_u64());
    list_init(&p->link);
    list_append(&d->packs, &p->link);
    int rc = uv_queue_work(d->loop, &p->work, open_on_thread, on_opened);
    INVARIANT(rc == 0);
    return p;
}

void layer_pack_forget(struct pack *p)
{
    if (p != NULL) {
        p->owner = NULL;
    }
}

void layers_close(struct disks *d)
{
    LIST_FOREACH_SAFE (link, &d->packs) {
        struct pack *p = LIST_ENTRY(link, struct pack, link);
        p->owner = NULL;
        if (p->ask != NULL) {
            finish(p, ECANCELED);
        } else {
            list_remove(&p->link);
        }
    }
}
