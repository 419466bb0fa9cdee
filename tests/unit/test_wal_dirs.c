#include "storage/wal_dirs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/lib/test.h"

struct fixture {
    char *base;
    struct data_dir data; /* three logs of generation 2 */
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    f->base = test_make_dir();
    f->data = (struct data_dir){.path = f->base, .wal_count = 3, .wal_generation = 2};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    test_remove_dir(f->base);
    mem_free(f);
    return 0;
}

static void make_dir(const struct fixture *f, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s%c", f->base, name, 0);
    assert_int_equal(mkdir((char *)path.data, 0700), 0);
    buf_done(&path);
}

static void make_file(const struct fixture *f, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s%c", f->base, name, 0);
    int fd = open((char *)path.data, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    buf_done(&path);
}

static bool is_there(const struct fixture *f, const char *name)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s%c", f->base, name, 0);
    bool there = access((char *)path.data, F_OK) == 0;
    buf_done(&path);
    return there;
}

/* A log with what belongs into one. */
static void make_log(const struct fixture *f, const char *name)
{
    static const char *const files[] = {"identity", "slot-0000", "slot-0001.tmp", "identity.tmp"};
    make_dir(f, name);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "%s/%s", name, files[i]);
        make_file(f, path);
    }
}

static void make_logs_in_use(const struct fixture *f)
{
    make_log(f, "wal-0.2");
    make_log(f, "wal-1.2");
    make_log(f, "wal-2.2");
}

static void the_first_generation_has_no_number(void **state)
{
    (void)state;
    char name[WAL_DIR_NAME_BYTES];
    wal_dir_name((struct wal_dir){.worker = 63}, name);
    assert_string_equal(name, "wal-63");
    wal_dir_name((struct wal_dir){.generation = UINT32_MAX, .worker = UINT32_MAX}, name);
    assert_string_equal(name, "wal-4294967295.4294967295");
    char *path = wal_dir_path("/d", (struct wal_dir){.generation = 1, .worker = 2});
    assert_string_equal(path, "/d/wal-2.1");
    mem_free(path);
}

static void logs_of_another_generation_are_left_over(void **state)
{
    struct fixture *f = *state;
    struct wal_dir *dirs;
    size_t count;
    make_logs_in_use(f);
    make_log(f, "wal-1");
    make_log(f, "wal-7.3");
    make_file(f, "DORMOUSE");
    static const char *const others[] = {"wal-",    "wal-x",         "wal-0.",  "wal-00",
                                         "wal-0.x", "wal-+1",        "wal-0.0", "wal-0.1x",
                                         "shards",  "wal-4294967297"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        make_dir(f, others[i]);
    }
    expect_err(wal_dirs_left_over(&f->data, &dirs, &count), ERR_OK);
    assert_int_equal(count, 2);
    bool swapped = dirs[0].generation != 0;
    assert_int_equal(dirs[swapped].worker, 1);
    assert_int_equal(dirs[swapped].generation, 0);
    assert_int_equal(dirs[!swapped].worker, 7);
    assert_int_equal(dirs[!swapped].generation, 3);
    mem_free(dirs);
}

static void a_generation_is_unused_where_no_directory_has_it(void **state)
{
    struct fixture *f = *state;
    uint32_t generation;
    make_log(f, "wal-0");
    make_log(f, "wal-0.3");
    make_log(f, "wal-9.4");
    make_log(f, "wal-0.4294967295");
    expect_err(wal_dirs_unused_generation(&f->data, &generation), ERR_OK);
    assert_int_equal(generation, 5);
}

static void logs_left_over_are_removed_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    make_logs_in_use(f);
    make_log(f, "wal-0");
    make_log(f, "wal-5.3");
    make_log(f, "wal-1.1");
    make_file(f, "wal-1.1/precious");
    make_file(f, "wal-2.1");
    wal_dirs_clean(&f->data);
    assert_true(is_there(f, "wal-0.2/identity") && is_there(f, "wal-0.2/slot-0000"));
    assert_true(is_there(f, "wal-1.2/identity") && is_there(f, "wal-2.2/identity"));
    assert_false(is_there(f, "wal-0"));
    assert_false(is_there(f, "wal-5.3"));
    assert_true(is_there(f, "wal-1.1/precious"));
    assert_true(is_there(f, "wal-2.1"));
}

static void nothing_is_removed_while_a_log_in_use_is_missing(void **state)
{
    struct fixture *f = *state;
    make_log(f, "wal-0.2");
    make_dir(f, "wal-1.2"); /* without its identity */
    make_log(f, "wal-2.2");
    make_log(f, "wal-0.3");
    wal_dirs_clean(&f->data);
    assert_true(is_there(f, "wal-0.3/slot-0000"));
    make_file(f, "wal-1.2/identity");
    wal_dirs_clean(&f->data);
    assert_false(is_there(f, "wal-0.3"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(the_first_generation_has_no_number), TEST(logs_of_another_generation_are_left_over),
          TEST(a_generation_is_unused_where_no_directory_has_it),
          TEST(logs_left_over_are_removed_and_nothing_else),
          TEST(nothing_is_removed_while_a_log_in_use_is_missing))
