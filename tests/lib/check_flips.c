/* Flips bytes of a stopped node's data, one at a time, and asks `--check` each time.
 *
 *     check_flips DIR [EVERY [BITS]]
 *
 * Each EVERY-th byte of each file (1: all), and of it BITS bits (1: one drawn from the place; 8: all). A
 * flip must be a finding, or the byte is one that the check calls not in use: then all that can be read
 * must be as before. Prints what became of the flips of each file; exit code 1 where one was missed. */
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "node/check.h"
#include "storage/engine.h"
#include "storage/store.h"
#include "storage/wal_recover.h"

enum { FILES_MAX = 64, PATH_BYTES = 4096, ROWS_MAX = 1000, MISSES_SHOWN = 20 };

struct file {
    char path[PATH_BYTES];
    size_t size;
    uint8_t *used; /* a byte each: 1 where it counts */
};

struct flips {
    const char *dir;
    struct file files[FILES_MAX];
    size_t file_count;
    uint64_t findings; /* of one check */
    uint32_t digest;   /* of all that can be read, undamaged */
    uint64_t missed;
};

static struct flips flips; /* nftw has no context */

/* What can be read */

static uint32_t add_row(uint32_t digest, struct store_read *read, const struct rowset *rows,
                        size_t i)
{
    struct rowset found = {0};
    struct slice key = rowset_key(rows, i);
    struct slice payload = rowset_payload(rows, i);
    bool same = store_get(read, key, &found) == ERR_OK && found.rows[0].present &&
                slice_equal(rowset_payload(&found, 0), payload);
    rowset_done(&found);
    digest = crc32c(digest, key.data, key.len);
    digest = crc32c(digest, payload.data, payload.len);
    return crc32c(digest, &same, sizeof same);
}

/* All rows, in order and each by its key. */
static uint32_t digest_of_store(uint32_t digest, const char *path)
{
    struct store *store;
    struct store_read read = {0};
    struct row_key start = {0};
    bool more = true;
    if (store_open(path, STORE_MAP_BYTES_TESTS, &store) != ERR_OK) {
        return ~digest;
    }
    enum err err = store_read_begin(store, &read);
    while (err == ERR_OK && more) {
        struct rowset rows = {0};
        const struct store_range range = {
            .start = row_key_slice(&start), .rows_max = ROWS_MAX, .bytes_max = SIZE_MAX};
        err = store_scan(&read, &range, &rows, &more);
        for (size_t i = 0; err == ERR_OK && i < rows.count; i++) {
            digest = add_row(digest, &read, &rows, i);
            row_key_set(&start, rowset_key(&rows, i));
            row_key_after(&start);
        }
        rowset_done(&rows);
    }
    store_read_end(&read);
    store_close(store);
    return err == ERR_OK ? digest : ~digest;
}

static uint32_t digest_of_log(uint32_t digest, const char *dir)
{
    struct wal_recovery *r = NULL;
    enum err err = wal_recover(dir, &r);
    for (size_t i = 0; err == ERR_OK && i < r->group_count; i++) {
        const struct wal_recovered_group *g = &r->groups[i];
        const uint64_t numbers[] = {g->group,          g->replica,       g->term,       g->vote,
                                    g->snapshot.index, g->snapshot.term, g->entry_count};
        digest = crc32c(digest, numbers, sizeof numbers);
        for (size_t k = 0; k < g->entry_count; k++) {
            digest = crc32c(digest, g->entries[k].data.data, g->entries[k].data.len);
        }
    }
    wal_recovery_free(r);
    return err == ERR_OK ? digest : ~digest;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t len = strlen(path);
    size_t suffix_len = strlen(suffix);
    return len > suffix_len && strcmp(path + len - suffix_len, suffix) == 0;
}

static uint32_t digest_of_all(void)
{
    uint32_t digest = 0;
    char log[PATH_BYTES];
    (void)snprintf(log, sizeof log, "%s/wal-0", flips.dir);
    for (size_t i = 0; i < flips.file_count; i++) {
        if (has_suffix(flips.files[i].path, ".mdb")) {
            digest = digest_of_store(digest, flips.files[i].path);
        }
    }
    return digest_of_log(digest, log);
}

/* The check */

static void on_finding(void *ctx, const char *line)
{
    struct flips *f = ctx;
    (void)line;
    f->findings++;
}

static void on_use(void *ctx, const char *path, uint64_t offset, uint64_t len)
{
    struct flips *f = ctx;
    for (size_t i = 0; i < f->file_count; i++) {
        struct file *file = &f->files[i];
        if (strcmp(file->path, path) == 0 && offset + len <= file->size) {
            memset(file->used + offset, 1, len);
        }
    }
}

static bool check_finds(bool asks_for_use)
{
    struct check_result result;
    char detail[DATA_DETAIL_BYTES];
    const struct check_hooks hooks = {
        .say = on_finding, .use = asks_for_use ? on_use : NULL, .ctx = &flips};
    flips.findings = 0;
    return check_data(flips.dir, &hooks, &result, detail) != ERR_OK || flips.findings > 0;
}

/* Flipping */

static int add_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if (type != FTW_F || st->st_size == 0) {
        return 0;
    }
    if (flips.file_count == FILES_MAX || strlen(path) >= PATH_BYTES) {
        return 1;
    }
    struct file *file = &flips.files[flips.file_count++];
    (void)snprintf(file->path, sizeof file->path, "%s", path);
    file->size = (size_t)st->st_size;
    file->used = mem_zalloc(file->size);
    return 0;
}

static void write_byte(int fd, size_t at, uint8_t byte)
{
    if (pwrite(fd, &byte, 1, (off_t)at) != 1) {
        perror("pwrite");
        exit(2);
    }
}

struct outcome {
    uint64_t flips;
    uint64_t found;
    uint64_t unused;
};

static void flip(const struct file *file, int fd, size_t at, uint8_t bit, struct outcome *o)
{
    uint8_t byte;
    if (pread(fd, &byte, 1, (off_t)at) != 1) {
        return; /* LMDB makes its lock file anew */
    }
    write_byte(fd, at, byte ^ bit);
    bool found = check_finds(false);
    bool is_missed = !found && (file->used[at] != 0 || digest_of_all() != flips.digest);
    write_byte(fd, at, byte);
    o->flips++;
    o->found += found ? 1 : 0;
    o->unused += !found && !is_missed ? 1 : 0;
    if (is_missed && flips.missed++ < MISSES_SHOWN) {
        printf("MISSED: %s: byte %zu, bit %02x%s\n", file->path, at, bit,
               file->used[at] != 0 ? "" : " (it is called not in use)");
    }
}

static void flip_file(const struct file *file, size_t every, unsigned bits)
{
    struct outcome o = {0};
    size_t used = 0;
    int fd = open(file->path, O_RDWR | O_CLOEXEC);
    for (size_t at = 0; at < file->size; at++) {
        used += file->used[at];
        if (at % every != 0) {
            continue;
        }
        if (bits == 8) {
            for (unsigned bit = 0; bit < 8; bit++) {
                flip(file, fd, at, (uint8_t)(1U << bit), &o);
            }
        } else {
            flip(file, fd, at, (uint8_t)(1U << (crc32c(0, &at, sizeof at) % 8)), &o);
        }
    }
    (void)close(fd);
    printf("%s: %zu bytes, %zu in use; %" PRIu64 " flips: %" PRIu64 " found, %" PRIu64
           " not in use and harmless\n",
           file->path + strlen(flips.dir) + 1, file->size, used, o.flips, o.found, o.unused);
}

int main(int argc, char **argv)
{
    size_t every = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    unsigned bits = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
    if (argc < 2 || every == 0 || (bits != 1 && bits != 8)) {
        fprintf(stderr, "usage: check_flips DIR [EVERY [BITS]]\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    flips.dir = argv[1];
    if (nftw(flips.dir, add_file, 8, FTW_PHYS) != 0) {
        return 2;
    }
    if (check_finds(true)) {
        fprintf(stderr, "%s: damaged before anything was flipped\n", flips.dir);
        return 2;
    }
    flips.digest = digest_of_all();
    for (size_t i = 0; i < flips.file_count; i++) {
        flip_file(&flips.files[i], every, bits);
    }
    bool is_as_before = !check_finds(false) && digest_of_all() == flips.digest;
    for (size_t i = 0; i < flips.file_count; i++) {
        mem_free(flips.files[i].used);
    }
    printf("%" PRIu64 " missed\n", flips.missed);
    return flips.missed == 0 && is_as_before ? 0 : 1;
}
