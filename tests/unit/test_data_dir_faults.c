#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "storage/data_dir.h"
#include "storage/disk.h"

#include "tests/lib/test.h"

/* Sites that this program fails, each at every call. */
static const struct row {
    enum disk_site site;
} rows[] = {
    {DISK_DATA_DIR},
    {DISK_DATA_FILE},
};

struct faults {
    uint64_t calls;
    uint64_t fails_at; /* 0: none */
    int reason;
    int seen[DISK_SITE_COUNT];
};

static int inject(void *ctx, struct disk_call *call)
{
    struct faults *f = ctx;
    f->seen[call->site]++;
    return ++f->calls == f->fails_at ? f->reason : 0;
}

static enum err open_once(const char *path, char detail[DATA_DETAIL_BYTES])
{
    struct data_dir d;
    enum err err = data_dir_open(&d, path, 4, 1, detail);
    if (err == ERR_OK) {
        data_dir_close(&d);
    }
    return err;
}

/* A first start that fails at call n, then one that must not be hindered by what the first left. */
static enum err try_twice(struct faults *f, uint64_t n)
{
    char detail[DATA_DETAIL_BYTES] = "";
    char *base = test_make_dir();
    struct buf path = {0};
    const struct disk disk = {.hook = inject, .ctx = f};
    buf_printf(&path, "%s/data%c", base, 0);
    f->calls = 0;
    f->fails_at = n;
    disk_set_default(&disk);
    enum err err = open_once((char *)path.data, detail);
    disk_set_default(NULL);
    assert_true(err == ERR_OK || detail[0] != '\0');
    expect_err(open_once((char *)path.data, detail), ERR_OK);
    buf_done(&path);
    test_remove_dir(base);
    return err;
}

static void a_first_start_that_fails_anywhere_is_told_and_can_be_repeated(void **state)
{
    (void)state;
    struct faults f = {0};
    expect_err(try_twice(&f, 0), ERR_OK);
    uint64_t calls = f.calls;
    for (uint64_t n = 1; n <= calls; n++) {
        f.reason = EIO;
        expect_err(try_twice(&f, n), ERR_IO);
        f.reason = ENOSPC;
        expect_err(try_twice(&f, n), ERR_STORAGE_FULL);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(f.seen[rows[i].site] > 0);
    }
}

/* Data that is there, opened and given other logs while call n fails: what the next start finds is one
 * or the other. */
static enum err change_logs(struct faults *f, uint64_t n)
{
    char detail[DATA_DETAIL_BYTES] = "";
    char *base = test_make_dir();
    struct buf path = {0};
    const struct disk disk = {.hook = inject, .ctx = f};
    struct data_dir d;
    buf_printf(&path, "%s/data%c", base, 0);
    expect_err(open_once((char *)path.data, detail), ERR_OK);
    f->calls = 0;
    f->fails_at = n;
    disk_set_default(&disk);
    enum err err = data_dir_open(&d, (char *)path.data, 0, 1, detail);
    if (err == ERR_OK) {
        err = data_dir_set_logs(&d, 3, 1, detail);
        data_dir_close(&d);
    }
    disk_set_default(NULL);
    assert_true(err == ERR_OK || detail[0] != '\0');

    expect_err(data_dir_open(&d, (char *)path.data, 0, 1, detail), ERR_OK);
    assert_true((d.wal_count == 1 && d.wal_generation == 0 && err != ERR_OK) ||
                (d.wal_count == 3 && d.wal_generation == 1));
    data_dir_close(&d);
    buf_done(&path);
    test_remove_dir(base);
    return err;
}

static void a_change_of_the_logs_that_fails_anywhere_is_told_and_whole(void **state)
{
    (void)state;
    struct faults f = {.reason = EIO};
    expect_err(change_logs(&f, 0), ERR_OK);
    uint64_t calls = f.calls;
    for (uint64_t n = 2; n <= calls; n++) { /* the first makes the directory, which is there */
        expect_err(change_logs(&f, n), ERR_IO);
    }
    assert_true(f.seen[DISK_DATA_FOUND] > 0 && f.seen[DISK_DATA_FILE] > 0);
}

TEST_MAIN(cmocka_unit_test(a_change_of_the_logs_that_fails_anywhere_is_told_and_whole),
          cmocka_unit_test(a_first_start_that_fails_anywhere_is_told_and_can_be_repeated))
