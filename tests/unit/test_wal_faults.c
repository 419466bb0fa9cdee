#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/wal.h"

#include "tests/lib/test.h"
#include "tests/unit/wal_log.h"

/* What must follow when a call fails. Each site of storage/disk.def that the WAL has is here. */
enum outcome {
    REFUSED = 1, /* wal_open says why */
    FATAL = 2,   /* the process ends */
    GOES_ON = 4, /* nothing is lost, at most there is no space for new entries */
};

static const struct row {
    enum disk_site site;
    int on_eio; /* any of these outcomes */
    int on_enospc;
} rows[] = {
    {DISK_WAL_DIR, REFUSED, REFUSED},
    {DISK_WAL_IDENTITY, REFUSED | FATAL, REFUSED | GOES_ON}, /* of the stop: only a proof is lost */
    {DISK_WAL_SLOT, REFUSED | FATAL, REFUSED | GOES_ON},
    {DISK_WAL_OPEN, REFUSED | FATAL, REFUSED | FATAL},
    {DISK_WAL_RECOVER, REFUSED, REFUSED},
    {DISK_WAL_FRAME, FATAL, GOES_ON | FATAL}, /* FATAL: at the stop, which does not wait */
    {DISK_WAL_CLEAN, GOES_ON, GOES_ON},
};

enum { ROWS = sizeof rows / sizeof rows[0], ENTRIES = 40 };

/* A disk that fails its n-th call, or a kind of call, or writes little at a time. */
struct faults {
    struct log log;
    struct disk disk;
    uint64_t calls;
    uint64_t fails_at; /* 0: none */
    int reason;
    enum disk_site failed_site;
    bool is_full;  /* no new blocks */
    bool is_stuck; /* nor room for what is written in place */
    bool writes_little;
    bool is_dead;
    uint64_t acknowledged; /* entries */
};

static int inject(void *ctx, struct disk_call *call)
{
    struct faults *f = ctx;
    if (f->is_dead) {
        return EIO;
    }
    if (++f->calls == f->fails_at) {
        f->failed_site = call->site;
        return f->reason;
    }
    if (f->is_full &&
        (call->creates || call->op == DISK_OP_ALLOCATE || call->op == DISK_OP_MKDIR)) {
        return ENOSPC;
    }
    if (f->is_stuck && call->site == DISK_WAL_FRAME) {
        return ENOSPC;
    }
    if (f->writes_little && call->op == DISK_OP_WRITE && call->len > 512) {
        call->len = 512;
    }
    return 0;
}

static void die(void *ctx, const char *path, uint64_t offset, int reason)
{
    struct faults *f = ctx;
    (void)offset;
    assert_non_null(path);
    assert_int_not_equal(reason, 0);
    f->is_dead = true;
}

static void faults_init(struct faults *f)
{
    *f = (struct faults){0};
    log_init(&f->log);
    f->disk = (struct disk){.hook = inject, .ctx = f};
    f->log.options.segment_bytes = 16 * 1024;
    f->log.options.budget_bytes = 4 * 16 * 1024;
    f->log.options.disk = &f->disk;
    f->log.options.fatal = die;
    f->log.options.ctx = f;
}

static void faults_done(struct faults *f)
{
    log_done(&f->log);
}

/* A life with everything in it: a first start, several segments, a second start that finds a half-made
 * slot. Returns what it came to. */
static int live(struct faults *f)
{
    struct log *l = &f->log;
    uint64_t number = 0;
    for (int starts = 0; starts < 2; starts++) {
        wal_recovery_free(l->r);
        if (wal_open(&l->options, &l->w, &l->r) != ERR_OK) {
            assert_true(l->r->damage.text[0] != '\0');
            l->w = NULL;
            return REFUSED;
        }
        if (!wal_has_replica(l->w, 1)) {
            (void)wal_create_replica(l->w, 1, 1);
        }
        for (uint64_t i = 1; i <= ENTRIES / 2 && !f->is_dead; i++) {
            uint64_t index = (uint64_t)starts * (ENTRIES / 2) + i;
            if (wal_reserve(l->w, 1500) != ERR_OK) {
                return GOES_ON;
            }
            number = log_put_bytes(l, 1, index, 1500);
            (void)(index % 8 == 0 ? log_snapshot(l, 1, index - 2) : 0);
            bool is_durable = log_flush(l) >= number;
            f->acknowledged = is_durable ? index : f->acknowledged;
        }
        if (f->is_dead) {
            return FATAL;
        }
        wal_close(l->w);
        l->w = NULL;
        if (f->is_dead) {
            return FATAL;
        }
        char *half_made = wal_slot_path(l->dir, 9, true);
        int fd = open(half_made, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
        mem_free(half_made);
    }
    return GOES_ON;
}

/* With a sound disk again, every acknowledged entry is there. */
static void expect_acknowledged(struct faults *f)
{
    struct log *l = &f->log;
    wal_abandon(l->w);
    l->w = NULL;
    wal_recovery_free(l->r);
    f->is_dead = false;
    f->fails_at = 0;
    log_open(l);
    const struct wal_recovered_group *g = log_group(l, 1);
    uint64_t last = g != NULL ? g->snapshot.index + g->entry_count : 0;
    assert_true(last >= f->acknowledged);
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

static void every_call_that_fails_has_its_outcome_and_loses_nothing(void **state)
{
    (void)state;
    struct faults sound;
    faults_init(&sound);
    assert_int_equal(live(&sound), GOES_ON);
    assert_int_equal(sound.acknowledged, ENTRIES);
    faults_done(&sound);

    int seen[DISK_SITE_COUNT] = {0};
    for (uint64_t n = 1; n <= sound.calls; n++) {
        for (int k = 0; k < 2; k++) {
            struct faults f;
            faults_init(&f);
            f.fails_at = n;
            f.reason = k == 0 ? EIO : ENOSPC;
            int outcome = live(&f);
            const struct row *row = row_of(f.failed_site);
            if ((outcome & (k == 0 ? row->on_eio : row->on_enospc)) == 0) {
                fail_msg("call %llu at %s, errno %d: outcome %d", (unsigned long long)n,
                         disk_site_name(f.failed_site), f.reason, outcome);
            }
            seen[f.failed_site]++;
            expect_acknowledged(&f);
            faults_done(&f);
        }
    }
    for (size_t i = 0; i < ROWS; i++) {
        if (seen[rows[i].site] == 0) {
            fail_msg("%s was never reached", disk_site_name(rows[i].site));
        }
    }
}

static void short_writes_are_finished(void **state)
{
    (void)state;
    struct faults f;
    faults_init(&f);
    f.writes_little = true;
    assert_int_equal(live(&f), GOES_ON);
    assert_int_equal(f.acknowledged, ENTRIES);
    expect_acknowledged(&f);
    faults_done(&f);
}

/* Puts entries until wal_reserve refuses; returns the index after the last one. */
static uint64_t fill(struct faults *f, uint64_t index, enum err *ret_err)
{
    while ((*ret_err = wal_reserve(f->log.w, 1000)) == ERR_OK) {
        (void)log_put_bytes(&f->log, 1, index++, 1000);
        (void)log_flush(&f->log);
    }
    return index;
}

static void a_full_disk_refuses_entries_until_space_is_back(void **state)
{
    (void)state;
    struct faults f;
    enum err err;
    faults_init(&f);
    log_open(&f.log);
    (void)wal_create_replica(f.log.w, 1, 1);
    (void)log_flush(&f.log);
    f.is_full = true;
    uint64_t index = fill(&f, 1, &err);
    expect_err(err, ERR_STORAGE_FULL);
    assert_true(wal_stats(f.log.w).is_full);
    (void)wal_term_vote(f.log.w, 1, 2, 1); /* still possible */
    assert_int_equal(log_flush(&f.log), index + 1);

    f.is_full = false;
    (void)log_flush(&f.log);
    expect_err(wal_reserve(f.log.w, 1000), ERR_OK);
    assert_false(wal_stats(f.log.w).is_full);
    f.acknowledged = index - 1;
    expect_acknowledged(&f);
    faults_done(&f);
}

/* A file system that writes elsewhere than in place may have no room for what was reserved. */
static void a_frame_without_room_waits_for_it_and_nothing_more_is_taken(void **state)
{
    (void)state;
    struct faults f;
    faults_init(&f);
    log_open(&f.log);
    (void)wal_create_replica(f.log.w, 1, 1);
    (void)log_put_bytes(&f.log, 1, 1, 1000);
    uint64_t before = log_flush(&f.log);
    f.is_stuck = true;
    uint64_t number = log_put_bytes(&f.log, 1, 2, 1000);
    for (int tries = 0; tries < 3; tries++) {
        (void)log_flush(&f.log);
        assert_int_equal(wal_poll(f.log.w), before);
    }
    expect_err(wal_reserve(f.log.w, 1000), ERR_STORAGE_FULL);
    assert_true(wal_stats(f.log.w).is_full);
    assert_false(f.is_dead);

    f.is_stuck = false;
    assert_int_equal(log_flush(&f.log), number);
    expect_err(wal_reserve(f.log.w, 1000), ERR_OK);
    assert_false(wal_stats(f.log.w).is_full);
    log_crash(&f.log);
    log_expect_entries(&f.log, 1, 1, 2);
    faults_done(&f);
}

static void a_stop_does_not_wait_for_room(void **state)
{
    (void)state;
    struct faults f;
    faults_init(&f);
    log_open(&f.log);
    (void)wal_create_replica(f.log.w, 1, 1);
    (void)log_put_bytes(&f.log, 1, 1, 1000);
    (void)log_flush(&f.log);
    f.acknowledged = 1;
    f.is_stuck = true;
    (void)log_put_bytes(&f.log, 1, 2, 1000);
    (void)log_flush(&f.log);
    wal_close(f.log.w);
    f.log.w = NULL;
    assert_true(f.is_dead);
    f.is_stuck = false;
    expect_acknowledged(&f);
    faults_done(&f);
}

static void a_snapshot_makes_room_on_a_full_disk_also_after_a_start(void **state)
{
    (void)state;
    struct faults f;
    enum err err;
    faults_init(&f);
    log_open(&f.log);
    (void)wal_create_replica(f.log.w, 1, 1);
    uint64_t index = fill(&f, 1, &err);
    expect_err(err, ERR_STORAGE_FULL);
    f.is_full = true;
    for (int starts = 0; starts < 3; starts++) {
        log_crash(&f.log);
        expect_err(wal_reserve(f.log.w, 1000), ERR_STORAGE_FULL);
    }
    (void)log_snapshot(&f.log, 1, index - 1);
    (void)log_flush(&f.log);
    expect_err(wal_reserve(f.log.w, 1000), ERR_OK);
    faults_done(&f);
}

static void a_log_with_no_free_slot_waits_rather_than_write_over_what_is_needed(void **state)
{
    (void)state;
    struct faults f;
    faults_init(&f);
    log_open(&f.log);
    (void)wal_create_replica(f.log.w, 1, 1);
    uint64_t durable = 0;
    uint64_t number = 0;
    uint64_t index = 1;
    for (; durable == number; index++) { /* asks nobody */
        number = log_put_bytes(&f.log, 1, index, 1000);
        durable = log_flush(&f.log);
        f.acknowledged = durable == number ? index : f.acknowledged;
    }
    (void)log_snapshot(&f.log, 1, f.acknowledged - 1);
    assert_int_equal(log_flush(&f.log), durable);
    log_crash(&f.log);
    log_expect_entries(&f.log, 1, 1, f.acknowledged);
    faults_done(&f);
}

static void a_failed_write_ends_the_process_with_one_line(void **state)
{
    (void)state;
    struct faults f;
    int ends[2];
    int status;
    char line[512] = {0};
    faults_init(&f);
    f.log.options.fatal = NULL;
    log_open(&f.log);
    (void)wal_create_replica(f.log.w, 1, 1);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        f.fails_at = f.calls + 2; /* the segment is opened, the frame fails */
        f.reason = EIO;
        (void)log_flush(&f.log);
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EX_IOERR);
    assert_true(read(ends[0], line, sizeof line - 1) > 0);
    assert_non_null(strstr(line, "slot-0000 at 0"));
    assert_non_null(strstr(line, "Input/output error"));
    (void)close(ends[0]);
    faults_done(&f);
}

/* --check */

static void collect(void *ctx, const char *line)
{
    buf_printf(ctx, "%s\n", line);
}

static void a_check_says_what_is_there_and_changes_nothing(void **state)
{
    (void)state;
    struct faults f;
    struct buf lines = {0};
    faults_init(&f);
    expect_err(wal_check(f.log.dir, collect, &lines), ERR_NOT_FOUND);
    log_open(&f.log);
    (void)wal_create_replica(f.log.w, 3, 31);
    (void)wal_term_vote(f.log.w, 3, 7, 31);
    (void)log_put(&f.log, 3, 1, 7, "x");
    wal_close(f.log.w);
    f.log.w = NULL;
    buf_clear(&lines);
    uint64_t calls = f.calls;
    expect_err(wal_check(f.log.dir, collect, &lines), ERR_OK);
    expect_err(wal_check(f.log.dir, collect, &lines), ERR_OK);
    assert_int_equal(f.calls, calls);
    buf_append_byte(&lines, 0);
    assert_non_null(strstr((char *)lines.data, "worker 0, epoch 1, segments 1 to 1, 2 frames"));
    assert_non_null(strstr((char *)lines.data, "group 3 replica 31: term 7, vote 31, snapshot 0"));
    buf_done(&lines);
    faults_done(&f);
}

static void a_check_names_the_place_of_damage(void **state)
{
    (void)state;
    struct faults f;
    struct buf lines = {0};
    faults_init(&f);
    log_open(&f.log);
    (void)wal_create_replica(f.log.w, 3, 31);
    wal_close(f.log.w);
    f.log.w = NULL;
    char *path = wal_slot_path(f.log.dir, 0, false);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "?", 1, 70), 1);
    (void)close(fd);
    expect_err(wal_check(f.log.dir, collect, &lines), ERR_CORRUPT);
    buf_append_byte(&lines, 0);
    assert_non_null(strstr((char *)lines.data, "CORRUPT: "));
    assert_non_null(strstr((char *)lines.data, "slot-0000"));
    mem_free(path);
    buf_done(&lines);
    faults_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_that_fails_has_its_outcome_and_loses_nothing),
        cmocka_unit_test(short_writes_are_finished),
        cmocka_unit_test(a_full_disk_refuses_entries_until_space_is_back),
        cmocka_unit_test(a_frame_without_room_waits_for_it_and_nothing_more_is_taken),
        cmocka_unit_test(a_stop_does_not_wait_for_room),
        cmocka_unit_test(a_snapshot_makes_room_on_a_full_disk_also_after_a_start),
        cmocka_unit_test(a_log_with_no_free_slot_waits_rather_than_write_over_what_is_needed),
        cmocka_unit_test(a_failed_write_ends_the_process_with_one_line),
        cmocka_unit_test(a_check_says_what_is_there_and_changes_nothing),
        cmocka_unit_test(a_check_names_the_place_of_damage)};
    test_begin();
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0); /* hundreds of logs: syncing them proves nothing */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
