#include "storage/redeal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/engine.h"
#include "storage/store.h"
#include "storage/wal.h"
#include "storage/wal_dirs.h"
#include "tests/lib/test.h"
#include "tests/unit/redeal_data.h"

static int setup(void **state)
{
    struct redeal_data *r = mem_alloc(sizeof *r);
    redeal_data_init(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    redeal_data_done(*state);
    mem_free(*state);
    return 0;
}

static void start(struct redeal_data *r, uint32_t wal_count)
{
    enum err err = redeal_data_start(r, wal_count);
    if (err != ERR_OK) {
        fail_msg("%s: %s", err_info(err)->name, r->detail);
    }
    assert_int_equal(r->data.wal_count, wal_count);
}

static void expect_whole(struct redeal_data *r)
{
    if (!redeal_data_is_whole(r)) {
        fail_msg("%s", r->detail);
    }
}

static void expect_refused(struct redeal_data *r, uint32_t wal_count, enum err err,
                           const char *part)
{
    expect_err(redeal_data_start(r, wal_count), err);
    if (strstr(r->detail, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, r->detail);
    }
}

/* Names of logs in the data, whatever generation they have. */
static size_t count_logs(const struct redeal_data *r)
{
    size_t count = 0;
    DIR *listing = opendir(r->path);
    assert_non_null(listing);
    for (struct dirent *e; (e = readdir(listing)) != NULL;) {
        count += strncmp(e->d_name, "wal-", 4) == 0 ? 1 : 0;
    }
    (void)closedir(listing);
    return count;
}

static void ignore_news(void *ctx)
{
    (void)ctx;
}

static char *part_path(const struct redeal_data *r, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s%c", r->path, name, 0);
    return (char *)path.data;
}

/* Makes the file, or writes over the first bytes of the one that is there. */
static void scribble(const struct redeal_data *r, const char *name, const char *text)
{
    char *path = part_path(r, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    mem_free(path);
}

static void move(const struct redeal_data *r, const char *from, const char *to)
{
    char *old = part_path(r, from);
    char *new = part_path(r, to);
    assert_int_equal(rename(old, new), 0);
    mem_free(old);
    mem_free(new);
}

static void everything_retained_is_in_the_new_logs_whatever_their_number(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 5, 6, 9, DATA_WORKERS_MAX};
    enum { COUNTS = sizeof counts / sizeof counts[0] };
    for (size_t i = 0; i < COUNTS * COUNTS; i++) {
        struct redeal_data r;
        redeal_data_init(&r);
        redeal_data_make(&r, counts[i / COUNTS], i % 2 == 0);
        start(&r, counts[i % COUNTS]);
        assert_int_equal(count_logs(&r), counts[i % COUNTS]);
        expect_whole(&r);
        expect_err(redeal_data_add(&r), ERR_OK);
        expect_whole(&r);
        redeal_data_done(&r);
    }
}

static void logs_are_dealt_again_and_again(void **state)
{
    struct redeal_data *r = *state;
    static const uint32_t counts[] = {2, 2, 1, 7, 3, 3, 4, 1, 2};
    redeal_data_make(r, 3, true);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        start(r, counts[i]);
        expect_whole(r);
        expect_err(redeal_data_add(r), ERR_OK);
        assert_int_equal(count_logs(r), counts[i]);
        redeal_data_stop(r);
    }
    start(r, 2);
    expect_whole(r);
}

static void a_report_says_what_went_over(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 1, false);
    start(r, 2);
    assert_int_equal(r->report.groups, REDEAL_GROUPS);
    assert_int_equal(r->report.entries,
                     6 + 5 + 1 + 8); /* of shards 2, 3, 4 and the cluster's own */
    assert_true(r->report.entry_bytes > 24 * 1000);
}

static void the_same_number_is_no_redeal(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 2, false);
    start(r, 2);
    assert_int_equal(r->data.wal_generation, 0);
    expect_whole(r);
}

/* Four writes of four entries fill a segment: slots are then made faster than they are used, and the
 * flusher has nothing to do but these writes. */
static void what_fills_many_writes_goes_over_one_by_one(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 1, true);
    start(r, 1);
    redeal_data_add_small(r, 400);
    expect_whole(r);
    redeal_data_stop(r);
    start(r, 2);
    expect_whole(r);
}

/* A log of many segments goes into one that starts with what is needed of it, and whatever a worker
 * may have to log at its start has room. */
static void a_new_log_has_room_for_a_start_by_its_own_rules(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 6, true);
    for (int i = 0; i < 20; i++) {
        start(r, 6);
        expect_err(redeal_data_add(r), ERR_OK);
        redeal_data_stop(r);
    }
    start(r, 1);
    expect_whole(r);
    struct wal *log;
    struct wal_recovery *recovery;
    char *dir = wal_dir_path(r->path, wal_dir_in_use(&r->data, 0));
    const struct wal_options options = {.dir = dir,
                                        .segment_bytes = REDEAL_SEGMENT,
                                        .budget_bytes = WAL_SEGMENTS_MIN * REDEAL_SEGMENT,
                                        .unthreaded = true,
                                        .notify = ignore_news};
    expect_err(wal_open(&options, &log, &recovery), ERR_OK);
    assert_true(wal_stats(log).total_bytes > options.budget_bytes);
    expect_err(wal_reserve(log, 0), ERR_OK);
    wal_abandon(log);
    wal_recovery_free(recovery);
    mem_free(dir);
}

/* Starts that ended in the middle */

static void what_an_unfinished_redeal_left_is_in_nobodys_way(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 2, true);
    struct redeal_data other;
    redeal_data_init(&other);
    redeal_data_make(&other, 3, true); /* logs of other data, under the names of the next redeal */
    for (int i = 0; i < 3; i++) {
        char from[32];
        char name[32];
        (void)snprintf(from, sizeof from, "wal-%d", i);
        (void)snprintf(name, sizeof name, "wal-%d.1", i);
        char *old = part_path(&other, from);
        char *new = part_path(r, name);
        assert_int_equal(rename(old, new), 0);
        mem_free(old);
        mem_free(new);
    }
    scribble(r, "wal-2.1/precious", "x"); /* cannot be removed: another generation is taken */
    start(r, 3);
    assert_int_equal(r->data.wal_generation, 2);
    expect_whole(r);
    assert_int_equal(count_logs(r), 3 + 1);
    redeal_data_done(&other);
}

static void a_first_start_that_left_workers_without_logs_is_no_hindrance(void **state)
{
    struct redeal_data *r = *state;
    expect_err(data_dir_open(&r->data, r->path, REDEAL_SHARDS, 3, r->detail), ERR_OK);
    redeal_data_stop(r);
    char *made = part_path(r, "wal-1"); /* and one that came to its directory */
    assert_int_equal(mkdir(made, 0700), 0);
    mem_free(made);
    start(r, 2);
    assert_int_equal(count_logs(r), 2);
    expect_whole(r);
}

/* Refusals: the old logs stay as they are */

static void expect_untouched(struct redeal_data *r, uint32_t wal_count)
{
    start(r, wal_count);
    assert_int_equal(count_logs(r), wal_count);
    assert_int_equal(r->data.wal_generation, 0);
    expect_whole(r);
    redeal_data_stop(r);
}

static void a_missing_log_is_refused_where_there_are_stores(void **state)
{
    struct redeal_data *r = *state;
    struct buf store = {0};
    redeal_data_make(r, 3, true);
    store_path(&store, "shards", engine_group_of_shard(4), 1); /* of worker 1 */
    buf_append_byte(&store, 0);
    scribble(r, (char *)store.data, "store");
    buf_done(&store);
    move(r, "wal-1", "elsewhere");
    expect_refused(r, 2, ERR_CORRUPT, "wal-1: the log is missing");
    assert_int_equal(count_logs(r), 2); /* nothing was begun: it could not be removed again */
    move(r, "elsewhere", "wal-1");
    expect_untouched(r, 3);
}

static void a_damaged_log_is_refused_with_its_place(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 2, false);
    char *path = part_path(r, "wal-1/slot-0000");
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, 100), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    expect_refused(r, 3, ERR_CORRUPT, "wal-1/slot-0000: offset 0:");
    assert_int_equal(count_logs(r), 2);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    (void)close(fd);
    mem_free(path);
    expect_untouched(r, 2);
}

static void logs_that_changed_places_are_refused(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 2, false);
    move(r, "wal-0", "x");
    move(r, "wal-1", "wal-0");
    move(r, "x", "wal-1");
    expect_refused(r, 3, ERR_CORRUPT, "another worker's");
    move(r, "wal-0", "x");
    move(r, "wal-1", "wal-0");
    move(r, "x", "wal-1");
    expect_untouched(r, 2);
}

static void a_group_in_another_workers_log_is_refused(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 2, false);
    start(r, 2);
    r->data.wal_count = 3; /* then shard 2 would be in the log of worker 2 */
    expect_err(redeal(&r->data, 1, REDEAL_SEGMENT, &r->report, r->detail), ERR_CORRUPT);
    assert_non_null(strstr(r->detail, "not its worker's"));
}

static void an_entry_that_no_segment_takes_is_refused(void **state)
{
    struct redeal_data *r = *state;
    redeal_data_make(r, 2, false);
    start(r, 2);
    expect_err(redeal(&r->data, 3, REDEAL_SEGMENT / 2, &r->report, r->detail), ERR_TOO_LARGE);
    assert_non_null(strstr(r->detail, "larger than a segment"));
    redeal_data_stop(r);
    expect_untouched(r, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_retained_is_in_the_new_logs_whatever_their_number),
        TEST(logs_are_dealt_again_and_again),
        TEST(a_report_says_what_went_over),
        TEST(the_same_number_is_no_redeal),
        TEST(what_fills_many_writes_goes_over_one_by_one),
        TEST(a_new_log_has_room_for_a_start_by_its_own_rules),
        TEST(what_an_unfinished_redeal_left_is_in_nobodys_way),
        TEST(a_first_start_that_left_workers_without_logs_is_no_hindrance),
        TEST(a_missing_log_is_refused_where_there_are_stores),
        TEST(a_damaged_log_is_refused_with_its_place),
        TEST(logs_that_changed_places_are_refused),
        TEST(a_group_in_another_workers_log_is_refused),
        TEST(an_entry_that_no_segment_takes_is_refused),
    };
    test_begin();
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0); /* hundreds of logs: syncing them proves nothing */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
