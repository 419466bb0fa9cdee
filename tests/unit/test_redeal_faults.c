#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/disk.h"
#include "tests/lib/test.h"
#include "tests/unit/redeal_data.h"

/* Sites that a redeal passes, each failed at every call: what a start may say then. Nothing may be lost
 * by any of it. */
enum outcome {
    REFUSED = 1, /* with one sentence */
    GOES_ON = 2, /* cleaning up may fail; a slot may be tried again once there is space */
};

static const struct row {
    enum disk_site site;
    int on_eio; /* any of these outcomes */
    int on_enospc;
} rows[] = {
    {DISK_WAL_DIR, REFUSED, REFUSED},
    {DISK_WAL_IDENTITY, REFUSED, REFUSED | GOES_ON}, /* how far a log goes is a proof, no more */
    {DISK_WAL_SLOT, REFUSED, REFUSED | GOES_ON},
    {DISK_WAL_OPEN, REFUSED, REFUSED},
    {DISK_WAL_RECOVER, REFUSED, REFUSED},
    {DISK_WAL_FRAME, REFUSED, REFUSED},
    {DISK_WAL_CLEAN, GOES_ON, GOES_ON},
    {DISK_DATA_LOCK, REFUSED, REFUSED},
    {DISK_DATA_FILE, REFUSED, REFUSED},
    {DISK_DATA_FOUND, REFUSED, REFUSED},
};

enum { ROWS = sizeof rows / sizeof rows[0], OLD = 3, NEW = 2 };

struct faults {
    struct redeal_data data;
    struct disk disk;
    uint64_t calls;
    uint64_t fails_at; /* 0: none */
    enum disk_site failed_site;
    int reason;
    uint64_t room_bytes; /* for new files; then the disk is full */
    bool is_limited;
};

static int inject(void *ctx, struct disk_call *call)
{
    struct faults *f = ctx;
    if (++f->calls == f->fails_at) {
        f->failed_site = call->site;
        return f->reason;
    }
    if (f->is_limited && call->op == DISK_OP_ALLOCATE) {
        if (call->len > f->room_bytes) {
            return ENOSPC;
        }
        f->room_bytes -= call->len;
    }
    return 0;
}

static void faults_init(struct faults *f)
{
    *f = (struct faults){.disk = {.hook = inject, .ctx = f}};
    redeal_data_init(&f->data);
    redeal_data_make(&f->data, OLD, true);
}

static enum err start_with_faults(struct faults *f, uint32_t wal_count)
{
    f->calls = 0;
    disk_set_default(&f->disk);
    enum err err = redeal_data_start(&f->data, wal_count);
    disk_set_default(NULL);
    return err;
}

/* The next start on a sound disk, with one number of workers or another, has everything. */
static void expect_whole_with(struct faults *f, uint32_t wal_count)
{
    struct redeal_data *r = &f->data;
    enum err err = redeal_data_start(r, wal_count);
    if (err != ERR_OK || !redeal_data_is_whole(r)) {
        fail_msg("call %llu failed at %s, then %u workers: %s: %s", (unsigned long long)f->fails_at,
                 disk_site_name(f->failed_site), wal_count, err_info(err)->name, r->detail);
    }
    expect_err(redeal_data_add(r), ERR_OK);
    assert_true(redeal_data_is_whole(r));
    redeal_data_stop(r);
}

static const struct row *row_of(enum disk_site site)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].site == site) {
            return &rows[i];
        }
    }
    fail_msg("no row for %s", disk_site_name(site));
    return NULL;
}

/* The message names a place in the data, and why. */
static void expect_told(const struct faults *f)
{
    const char *detail = f->data.detail;
    const char *why = f->reason == EIO ? strerror(EIO) : "o space";
    if (strstr(detail, f->data.path) == NULL || strstr(detail, why) == NULL) {
        fail_msg("\"%s\" does not say where and why", detail);
    }
}

static enum disk_site fail_call(uint64_t n, int reason, uint32_t next_wal_count)
{
    struct faults f;
    faults_init(&f);
    f.fails_at = n;
    f.reason = reason;
    enum err err = start_with_faults(&f, NEW);
    redeal_data_stop(&f.data);
    const struct row *row = row_of(f.failed_site);
    int outcome = err == ERR_OK ? GOES_ON : REFUSED;
    if ((outcome & (reason == EIO ? row->on_eio : row->on_enospc)) == 0) {
        fail_msg("call %llu at %s, errno %d: %s", (unsigned long long)n,
                 disk_site_name(f.failed_site), reason, err_info(err)->name);
    }
    if (err != ERR_OK) {
        expect_told(&f);
    }
    expect_whole_with(&f, next_wal_count);
    redeal_data_done(&f.data);
    return f.failed_site;
}

static void every_call_that_fails_is_told_and_loses_nothing(void **state)
{
    (void)state;
    static const uint32_t next[] = {OLD, NEW, 5};
    struct faults sound;
    int seen[DISK_SITE_COUNT] = {0};
    faults_init(&sound);
    expect_err(start_with_faults(&sound, NEW), ERR_OK);
    redeal_data_done(&sound.data);

    /* The first makes the directory, which is there. */
    for (uint64_t n = 2; n <= sound.calls; n++) {
        seen[fail_call(n, EIO, next[n % 3])]++;
        seen[fail_call(n, ENOSPC, next[(n + 1) % 3])]++;
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (seen[rows[i].site] == 0) {
            fail_msg("%s was never reached", disk_site_name(rows[i].site));
        }
    }
}

static void a_disk_without_room_for_new_logs_is_told_and_keeps_the_old_ones(void **state)
{
    (void)state;
    enum err err = ERR_STORAGE_FULL;
    int refused = 0;
    for (uint64_t room = 0; err != ERR_OK; room += REDEAL_SEGMENT) {
        struct faults f;
        faults_init(&f);
        f.is_limited = true;
        f.room_bytes = room;
        err = start_with_faults(&f, NEW);
        redeal_data_stop(&f.data);
        if (err != ERR_OK) {
            expect_err(err, ERR_STORAGE_FULL);
            refused++;
            char old[512];
            (void)snprintf(old, sizeof old, "%s/wal-0.1", f.data.path);
            assert_int_not_equal(access(old, F_OK), 0); /* what was begun is gone */
            expect_whole_with(&f, OLD);
        }
        redeal_data_done(&f.data);
    }
    assert_true(refused > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_that_fails_is_told_and_loses_nothing),
        cmocka_unit_test(a_disk_without_room_for_new_logs_is_told_and_keeps_the_old_ones)};
    test_begin();
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0); /* hundreds of logs: syncing them proves nothing */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
