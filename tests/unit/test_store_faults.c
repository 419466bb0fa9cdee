#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "storage/disk.h"
#include "storage/store.h"

#include "tests/lib/test.h"

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

static enum err open_once(const char *path)
{
    struct store *s;
    enum err err = store_open(path, STORE_MAP_BYTES_TESTS, &s);
    if (err == ERR_OK) {
        store_close(s);
    }
    return err;
}

/* A first opening that fails at call n, then one that must not be hindered by what the first left. */
static enum err try_twice(struct faults *f, uint64_t n)
{
    char *dir = test_make_dir();
    struct buf path = {0};
    const struct disk disk = {.hook = inject, .ctx = f};
    store_path(&path, dir, 1, 1);
    buf_append_byte(&path, 0);
    f->calls = 0;
    f->fails_at = n;
    disk_set_default(&disk);
    enum err err = open_once((char *)path.data);
    disk_set_default(NULL);
    expect_err(open_once((char *)path.data), ERR_OK);
    buf_done(&path);
    test_remove_dir(dir);
    return err;
}

static void a_store_that_cannot_be_made_is_an_error_and_is_made_the_next_time(void **state)
{
    (void)state;
    struct faults f = {0};
    int failed = 0;
    expect_err(try_twice(&f, 0), ERR_OK);
    uint64_t calls = f.calls;
    for (uint64_t n = 1; n <= calls; n++) {
        f.reason = n % 2 == 0 ? EIO : ENOSPC;
        failed += try_twice(&f, n) != ERR_OK ? 1 : 0;
    }
    assert_true(failed >= 2); /* the rename and the sync; removing what is not there may fail */
    assert_true(f.seen[DISK_STORE_FILE] > 0);
}

/* What a power cut left of a file that LMDB writes in place: it was never given its name. */
static void a_half_made_file_is_made_anew(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    struct buf path = {0};
    store_path(&path, dir, 1, 1);
    buf_append_str(&path, ".new");
    buf_append_byte(&path, 0);
    FILE *half = fopen((char *)path.data, "we");
    assert_non_null(half);
    assert_int_equal(fputs("half of a page", half) >= 0, 1);
    (void)fclose(half);
    path.len -= sizeof ".new";
    path.data[path.len] = '\0';
    expect_err(open_once((char *)path.data), ERR_OK);
    expect_err(open_once((char *)path.data), ERR_OK);
    buf_done(&path);
    test_remove_dir(dir);
}

TEST_MAIN(cmocka_unit_test(a_store_that_cannot_be_made_is_an_error_and_is_made_the_next_time),
          cmocka_unit_test(a_half_made_file_is_made_anew))
