#include "storage/wal_dirs.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "storage/disk.h"

void wal_dir_name(struct wal_dir dir, char ret_name[WAL_DIR_NAME_BYTES])
{
    if (dir.generation == 0) {
        (void)snprintf(ret_name, WAL_DIR_NAME_BYTES, "wal-%u", dir.worker);
    } else {
        (void)snprintf(ret_name, WAL_DIR_NAME_BYTES, "wal-%u.%u", dir.worker, dir.generation);
    }
}

char *wal_dir_path(const char *data_dir, struct wal_dir dir)
{
    char name[WAL_DIR_NAME_BYTES];
    struct buf path = {0};
    wal_dir_name(dir, name);
    buf_printf(&path, "%s/%s%c", data_dir, name, 0);
    return (char *)path.data;
}

/* Reads what wal_dir_name wrote, and proves it by writing it again. */
static bool parse_name(const char *name, struct wal_dir *ret_dir)
{
    char again[WAL_DIR_NAME_BYTES];
    struct wal_dir dir = {0};
    if (sscanf(name, "wal-%u.%u", &dir.worker, &dir.generation) < 1) {
        return false;
    }
    wal_dir_name(dir, again);
    *ret_dir = dir;
    return strcmp(again, name) == 0;
}

enum err wal_dirs_left_over(const struct data_dir *d, struct wal_dir **ret_dirs, size_t *ret_count)
{
    DIR *listing = opendir(d->path);
    if (listing == NULL) {
        return ERR_IO;
    }
    struct wal_dir *dirs = NULL;
    size_t count = 0;
    for (struct dirent *e; (e = readdir(listing)) != NULL;) {
        struct wal_dir dir;
        if (parse_name(e->d_name, &dir) && dir.generation != d->wal_generation) {
            dirs = mem_realloc(dirs, (count + 1) * sizeof *dirs);
            dirs[count++] = dir;
        }
    }
    (void)closedir(listing);
    *ret_dirs = dirs;
    *ret_count = count;
    return ERR_OK;
}

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Of a log's own files alone: a directory that holds anything else stays. */
static void remove_dir(const char *path)
{
    DIR *listing = opendir(path);
    for (struct dirent *e; listing != NULL && (e = readdir(listing)) != NULL;) {
        if (has_prefix(e->d_name, "slot-") || has_prefix(e->d_name, "identity")) {
            struct buf file = {0};
            buf_printf(&file, "%s/%s%c", path, e->d_name, 0);
            (void)disk_unlink(NULL, DISK_WAL_CLEAN, (char *)file.data);
            buf_done(&file);
        }
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    (void)disk_rmdir(NULL, DISK_WAL_CLEAN, path);
}

bool wal_dir_has_log(const char *data_dir, struct wal_dir dir)
{
    char *path = wal_dir_path(data_dir, dir);
    struct buf identity = {0};
    buf_printf(&identity, "%s/identity%c", path, 0);
    bool has_log = access((char *)identity.data, F_OK) == 0;
    buf_done(&identity);
    mem_free(path);
    return has_log;
}

static bool has_all_logs(const struct data_dir *d)
{
    bool has_all = true;
    for (uint32_t worker = 0; has_all && worker < d->wal_count; worker++) {
        has_all = wal_dir_has_log(d->path, wal_dir_in_use(d, worker));
    }
    return has_all;
}

void wal_dirs_clean(const struct data_dir *d)
{
    struct wal_dir *dirs;
    size_t count;
    if (!has_all_logs(d) || wal_dirs_left_over(d, &dirs, &count) != ERR_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char *path = wal_dir_path(d->path, dirs[i]);
        remove_dir(path);
        mem_free(path);
    }
    mem_free(dirs);
}

static bool is_taken(const struct wal_dir *dirs, size_t count, uint32_t generation)
{
    for (size_t i = 0; i < count; i++) {
        if (dirs[i].generation == generation) {
            return true;
        }
    }
    return false;
}

enum err wal_dirs_unused_generation(const struct data_dir *d, uint32_t *ret_generation)
{
    struct wal_dir *dirs;
    size_t count;
    enum err err = wal_dirs_left_over(d, &dirs, &count);
    if (err != ERR_OK) {
        return err;
    }
    uint32_t generation = d->wal_generation + 1;
    while (is_taken(dirs, count, generation)) {
        generation++;
    }
    mem_free(dirs);
    *ret_generation = generation;
    return ERR_OK;
}
