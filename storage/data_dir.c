#include "storage/data_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "storage/disk.h"

enum { FILE_BYTES_MAX = 4096 };

static const char file_name[] = "DORMOUSE";

static char *path_in(const char *dir, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", dir, name);
    buf_append_byte(&path, 0);
    return (char *)path.data;
}

char *data_dir_path(const struct data_dir *d, const char *name)
{
    return path_in(d->path, name);
}

bool data_dir_is_there(const char *path)
{
    char *file = path_in(path, file_name);
    bool is_there = access(file, F_OK) == 0;
    mem_free(file);
    return is_there;
}

static enum err explain(char ret_detail[DATA_DETAIL_BYTES], enum err err, const char *path,
                        const char *what)
{
    (void)snprintf(ret_detail, DATA_DETAIL_BYTES, "%s: %s", path, what);
    return err;
}

/* The file, read and written by hand: a few lines that a person can read.
 *
 *     format = 2
 *     cluster = 16 hex digits
 *     address_key = 64 hex digits
 *     shards = 64
 *     wals = 1
 *     wal_generation = 0, not in format 1
 *     crc32c = 8 hex digits, over all bytes before this line */
static void describe(const struct data_dir *d, int format, struct buf *out)
{
    buf_printf(out, "format = %d\ncluster = %016llx\naddress_key = ", format,
               (unsigned long long)d->cluster_id);
    for (size_t i = 0; i < ADDRESS_KEY_BYTES; i++) {
        buf_printf(out, "%02x", d->address_key[i]);
    }
    buf_printf(out, "\nshards = %u\nwals = %u\n", d->shard_count, d->wal_count);
    if (format > DATA_FORMAT_OLDEST) {
        buf_printf(out, "wal_generation = %u\n", d->wal_generation);
    }
    buf_printf(out, "crc32c = %08x\n", crc32c(0, out->data, out->len));
}

static bool parse_key_hex(const char *hex, uint8_t ret_key[ADDRESS_KEY_BYTES])
{
    for (size_t i = 0; i < ADDRESS_KEY_BYTES; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) {
            return false;
        }
        ret_key[i] = (uint8_t)byte;
    }
    return true;
}

/* Reads what describe wrote, and proves it by writing it again: nothing else is accepted. */
static enum err parse(struct data_dir *d, char *text)
{
    int format = 0;
    if (sscanf(text, "format = %d", &format) == 1 &&
        (format < DATA_FORMAT_OLDEST || format > DATA_FORMAT)) {
        return ERR_FORMAT;
    }
    unsigned long long cluster;
    char hex[2 * ADDRESS_KEY_BYTES + 1];
    if (sscanf(text,
               "format = %d\ncluster = %16llx\naddress_key = %64[0-9a-f]\nshards = %u\nwals = %u\n",
               &format, &cluster, hex, &d->shard_count, &d->wal_count) != 5 ||
        strlen(hex) != 2 * ADDRESS_KEY_BYTES || !parse_key_hex(hex, d->address_key)) {
        return ERR_CORRUPT;
    }
    const char *generation = strstr(text, "wal_generation");
    if (generation != NULL && sscanf(generation, "wal_generation = %u", &d->wal_generation) != 1) {
        return ERR_CORRUPT;
    }
    d->cluster_id = cluster;
    struct buf again = {0};
    describe(d, format, &again);
    bool same = slice_equal_str(buf_slice(&again), text);
    buf_done(&again);
    bool sane = d->shard_count >= 1 && d->shard_count <= DATA_SHARDS_MAX && d->wal_count >= 1 &&
                d->wal_count <= DATA_WORKERS_MAX;
    return same && sane ? ERR_OK : ERR_CORRUPT;
}

static enum err read_file(struct data_dir *d, char ret_detail[DATA_DETAIL_BYTES])
{
    char text[FILE_BYTES_MAX];
    char *path = data_dir_path(d, file_name);
    enum err err = ERR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err = errno == ENOENT ? ERR_NOT_FOUND : explain(ret_detail, ERR_IO, path, strerror(errno));
        goto free_path;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0) {
        err = explain(ret_detail, ERR_IO, path, strerror(errno));
        goto close_file;
    }
    text[n] = '\0';
    err = parse(d, text);
    if (err == ERR_FORMAT) {
        (void)explain(ret_detail, err, path, "data of another format version");
    } else if (err != ERR_OK) {
        (void)explain(ret_detail, err, path, "not a Dormouse data file, or damaged");
    }
close_file:
    (void)close(fd);
free_path:
    mem_free(path);
    return err;
}

static enum err write_file(const struct data_dir *d)
{
    struct buf text = {0};
    describe(d, DATA_FORMAT, &text);
    enum err err = disk_replace_file(NULL, DISK_DATA_FILE, d->path, file_name, buf_slice(&text));
    int reason = errno;
    buf_done(&text);
    errno = reason;
    return err;
}

/* Who uses the data has the file, so where nothing may be made a missing one says as much. */
static enum err lock(struct data_dir *d, bool may_make, char ret_detail[DATA_DETAIL_BYTES])
{
    char *path = data_dir_path(d, "LOCK");
    enum err err = disk_open(NULL, DISK_DATA_LOCK, path, may_make ? DISK_KEEP : 0, &d->lock);
    if (err == ERR_NOT_FOUND && !may_make) {
        err = ERR_OK;
    } else if (err != ERR_OK) {
        (void)explain(ret_detail, err, path, strerror(errno));
    } else if (flock(d->lock->fd, LOCK_EX | LOCK_NB) != 0) {
        err = explain(ret_detail, ERR_BUSY, d->path, "another process is using this data");
        disk_close(d->lock);
        d->lock = NULL;
    }
    mem_free(path);
    return err;
}

/* But for what comes before the data: the lock, and of a node of a cluster CLUSTER and its certificates. */
static bool is_empty_but_start(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return true; /* the lock will say what is wrong */
    }
    bool empty = true;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        bool known = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                     strcmp(e->d_name, "LOCK") == 0 || strcmp(e->d_name, "shards") == 0 ||
                     strcmp(e->d_name, "certs") == 0 || strncmp(e->d_name, "CLUSTER", 7) == 0 ||
                     strncmp(e->d_name, file_name, strlen(file_name)) == 0;
        empty = empty && known;
    }
    (void)closedir(dir);
    return empty;
}

static enum err make_dir(const char *path)
{
    enum err err = disk_mkdir(NULL, DISK_DATA_DIR, path);
    return err != ERR_OK && errno == EEXIST ? ERR_OK
                                            : err; /* a file there shows at the next step */
}

/* Asked before the lock is made: a directory of something else is left as it is. */
static bool is_ours_or_empty(const struct data_dir *d)
{
    return data_dir_is_there(d->path) || is_empty_but_start(d->path);
}

/* The directory's own name must outlast a power cut like what is in it. */
static enum err sync_parent(const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    char *parent = len > 0 ? mem_strndup(path, len) : mem_strdup(".");
    enum err err = disk_sync_dir(NULL, DISK_DATA_DIR, parent);
    int reason = errno;
    mem_free(parent);
    errno = reason;
    return err;
}

static void draw_origin(uint32_t shard_count, struct data_origin *ret_origin)
{
    ret_origin->shard_count = shard_count != 0 ? shard_count : DATA_SHARDS_DEFAULT;
    do {
        ret_origin->cluster_id = random_u64();
    } while (ret_origin->cluster_id == 0); /* which stands for none */
    random_bytes(ret_origin->address_key, sizeof ret_origin->address_key);
}

/* A first start: everything is made before the file that says so. */
static enum err create(struct data_dir *d, const struct data_origin *origin, uint32_t wal_count,
                       char ret_detail[DATA_DETAIL_BYTES])
{
    d->is_new = true;
    d->shard_count = origin->shard_count;
    d->wal_count = wal_count;
    d->cluster_id = origin->cluster_id;
    memcpy(d->address_key, origin->address_key, sizeof d->address_key);

    char *path = data_dir_path(d, "shards");
    enum err err = make_dir(path);
    if (err == ERR_OK) {
        err = sync_parent(d->path);
    }
    if (err == ERR_OK) {
        mem_free(path);
        path = data_dir_path(d, file_name);
        err = write_file(d);
    }
    if (err != ERR_OK) {
        (void)snprintf(ret_detail, DATA_DETAIL_BYTES, "%s: offset 0: cannot be made: %s", path,
                       strerror(errno));
    }
    mem_free(path);
    return err;
}

/* Its writer may have been killed between the file's new name and the sync: what is done on its word,
 * such as removing logs that it does not name, must not outlast it. */
static enum err sync_found(const struct data_dir *d, char ret_detail[DATA_DETAIL_BYTES])
{
    enum err err = disk_sync_dir(NULL, DISK_DATA_FOUND, d->path);
    if (err != ERR_OK) {
        (void)snprintf(ret_detail, DATA_DETAIL_BYTES, "%s: offset 0: cannot be synced: %s", d->path,
                       strerror(errno));
    }
    return err;
}

static void begin(struct data_dir *d, const char *path)
{
    *d = (struct data_dir){.path = mem_strdup(path)};
}

static enum err prepare(const struct data_dir *d, char ret_detail[DATA_DETAIL_BYTES])
{
    enum err err = make_dir(d->path);
    if (err != ERR_OK) {
        return explain(ret_detail, err, d->path, strerror(errno));
    }
    return is_ours_or_empty(d)
               ? ERR_OK
               : explain(ret_detail, ERR_FORMAT, d->path,
                         "not empty, and not a Dormouse data directory (no DORMOUSE file)");
}

enum err data_dir_prepare(const char *path, char ret_detail[DATA_DETAIL_BYTES])
{
    struct data_dir d;
    begin(&d, path);
    enum err err = prepare(&d, ret_detail);
    data_dir_close(&d);
    return err;
}

enum err data_dir_make(struct data_dir *d, const char *path, const struct data_origin *origin,
                       uint32_t wal_count, char ret_detail[DATA_DETAIL_BYTES])
{
    PRE(wal_count >= 1 && wal_count <= DATA_WORKERS_MAX && origin->cluster_id != 0);
    PRE(origin->shard_count >= 1 && origin->shard_count <= DATA_SHARDS_MAX);

    begin(d, path);
    enum err err = prepare(d, ret_detail);
    err = err == ERR_OK ? lock(d, true, ret_detail) : err;
    err = err == ERR_OK ? read_file(d, ret_detail) : err;
    if (err == ERR_OK) {
        err = explain(ret_detail, ERR_CONFLICT, path, "there is data already");
    } else if (err == ERR_NOT_FOUND) {
        err = create(d, origin, wal_count, ret_detail);
    }
    if (err != ERR_OK) {
        data_dir_close(d);
    }
    return err;
}

enum err data_dir_open(struct data_dir *d, const char *path, uint32_t shard_count,
                       uint32_t wal_count, char ret_detail[DATA_DETAIL_BYTES])
{
    PRE(wal_count >= 1 && wal_count <= DATA_WORKERS_MAX && shard_count <= DATA_SHARDS_MAX);

    begin(d, path);
    enum err err = prepare(d, ret_detail);
    if (err != ERR_OK) {
        goto close;
    }
    err = lock(d, true, ret_detail);
    if (err != ERR_OK) {
        goto close;
    }
    err = read_file(d, ret_detail);
    if (err == ERR_NOT_FOUND) {
        struct data_origin origin;
        draw_origin(shard_count, &origin);
        err = create(d, &origin, wal_count, ret_detail);
    } else if (err == ERR_OK && shard_count != 0 && shard_count != d->shard_count) {
        (void)snprintf(ret_detail, DATA_DETAIL_BYTES,
                       "%s: was made with %u shards; --shards is for a first start only", path,
                       d->shard_count);
        err = ERR_BAD_REQUEST;
    } else if (err == ERR_OK) {
        err = sync_found(d, ret_detail);
    }
close:
    if (err != ERR_OK) {
        data_dir_close(d);
    }
    return err;
}

enum err data_dir_open_existing(struct data_dir *d, const char *path,
                                char ret_detail[DATA_DETAIL_BYTES])
{
    begin(d, path);
    enum err err = read_file(d, ret_detail);
    if (err == ERR_NOT_FOUND) {
        (void)explain(ret_detail, err, path, "not a Dormouse data directory (no DORMOUSE file)");
    }
    if (err == ERR_OK) {
        err = lock(d, false, ret_detail);
    }
    if (err != ERR_OK) {
        data_dir_close(d);
    }
    return err;
}

enum err data_dir_set_logs(struct data_dir *d, uint32_t wal_count, uint32_t wal_generation,
                           char ret_detail[DATA_DETAIL_BYTES])
{
    PRE(d->lock != NULL);
    PRE(wal_count >= 1 && wal_count <= DATA_WORKERS_MAX && wal_generation > d->wal_generation);

    struct data_dir changed = *d;
    changed.wal_count = wal_count;
    changed.wal_generation = wal_generation;
    enum err err = write_file(&changed);
    if (err != ERR_OK) {
        (void)snprintf(ret_detail, DATA_DETAIL_BYTES, "%s/%s: offset 0: cannot be written: %s",
                       d->path, file_name, strerror(errno));
        return err;
    }
    *d = changed;
    return ERR_OK;
}

void data_dir_close(struct data_dir *d)
{
    disk_close(d->lock); /* lets go of the lock */
    mem_free(d->path);
    *d = (struct data_dir){0};
}
