#include "storage/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "storage/disk.h"
#include "tests/lib/test.h"

enum { PATH_BYTES = 4096, WALS = 2 };

struct fixture {
    char *base;
    char path[PATH_BYTES]; /* not there yet */
    char detail[DATA_DETAIL_BYTES];
    struct data_dir data;
    int parent_syncs;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    f->base = test_make_dir();
    (void)snprintf(f->path, sizeof f->path, "%s/data", f->base);
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

static enum err open_data(struct fixture *f, uint32_t shards)
{
    return data_dir_open(&f->data, f->path, shards, WALS, f->detail);
}

static void make_data(struct fixture *f)
{
    expect_err(open_data(f, 3), ERR_OK);
    assert_true(f->data.is_new);
    data_dir_close(&f->data);
}

static void expect_detail(const struct fixture *f, const char *part)
{
    if (strstr(f->detail, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, f->detail);
    }
}

static char *part_path(const struct fixture *f, const char *name)
{
    char *path = mem_alloc(PATH_BYTES + 32);
    (void)snprintf(path, PATH_BYTES + 32, "%s/%s", f->path, name);
    return path;
}

static void write_part(const struct fixture *f, const char *name, struct slice contents)
{
    char *path = part_path(f, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, contents.data, contents.len), contents.len);
    (void)close(fd);
    mem_free(path);
}

static bool has_part(const struct fixture *f, const char *name)
{
    char *path = part_path(f, name);
    bool has = access(path, F_OK) == 0;
    mem_free(path);
    return has;
}

static struct buf read_part(const struct fixture *f, const char *name)
{
    char *path = part_path(f, name);
    struct buf b = {0};
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, buf_extend(&b, PATH_BYTES), PATH_BYTES);
    assert_true(n >= 0);
    b.len = (size_t)n;
    (void)close(fd);
    mem_free(path);
    return b;
}

static void what_was_fixed_at_the_first_start_is_read_at_the_next(void **state)
{
    struct fixture *f = *state;
    expect_err(open_data(f, 7), ERR_OK);
    struct data_dir first = f->data;
    assert_true(first.is_new && has_part(f, "shards"));
    data_dir_close(&f->data);

    expect_err(data_dir_open(&f->data, f->path, 0, WALS + 1, f->detail), ERR_OK);
    assert_false(f->data.is_new);
    assert_int_equal(f->data.shard_count, 7);
    assert_int_equal(f->data.wal_count, WALS);
    assert_true(f->data.cluster_id == first.cluster_id);
    assert_memory_equal(f->data.address_key, first.address_key, ADDRESS_KEY_BYTES);
    data_dir_close(&f->data);
}

static void two_data_directories_are_never_alike(void **state)
{
    struct fixture *f = *state;
    struct data_dir other;
    char path[PATH_BYTES + 8];
    (void)snprintf(path, sizeof path, "%s2", f->path);
    expect_err(open_data(f, 0), ERR_OK);
    assert_int_equal(f->data.shard_count, DATA_SHARDS_DEFAULT);
    expect_err(data_dir_open(&other, path, 0, WALS, f->detail), ERR_OK);
    assert_true(f->data.cluster_id != other.cluster_id);
    assert_memory_not_equal(f->data.address_key, other.address_key, ADDRESS_KEY_BYTES);
    data_dir_close(&f->data);
    data_dir_close(&other);
}

static void a_second_user_is_refused_until_the_first_is_gone(void **state)
{
    struct fixture *f = *state;
    struct data_dir second;
    expect_err(open_data(f, 3), ERR_OK);
    expect_err(data_dir_open(&second, f->path, 3, WALS, f->detail), ERR_BUSY);
    expect_detail(f, "another process");
    expect_err(data_dir_open_existing(&second, f->path, f->detail), ERR_BUSY);
    data_dir_close(&f->data);
    expect_err(data_dir_open(&second, f->path, 3, WALS, f->detail), ERR_OK);
    data_dir_close(&second);
}

static void another_number_of_shards_is_refused(void **state)
{
    struct fixture *f = *state;
    make_data(f);
    expect_err(open_data(f, 4), ERR_BAD_REQUEST);
    expect_detail(f, "3 shards");
    expect_err(open_data(f, 3), ERR_OK);
    data_dir_close(&f->data);
}

static void any_changed_byte_is_found(void **state)
{
    struct fixture *f = *state;
    make_data(f);
    struct buf whole = read_part(f, "DORMOUSE");
    for (size_t i = 0; i < whole.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            whole.data[i] ^= (uint8_t)(1 << bit);
            write_part(f, "DORMOUSE", buf_slice(&whole));
            enum err err = open_data(f, 0);
            assert_true(err == ERR_CORRUPT || err == ERR_FORMAT);
            whole.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    buf_done(&whole);
}

static void a_file_that_is_cut_or_longer_is_found(void **state)
{
    struct fixture *f = *state;
    make_data(f);
    struct buf whole = read_part(f, "DORMOUSE");
    for (size_t len = 0; len < whole.len; len++) {
        write_part(f, "DORMOUSE", slice_of(whole.data, len));
        expect_err(open_data(f, 0), ERR_CORRUPT);
    }
    buf_append_byte(&whole, '\n');
    write_part(f, "DORMOUSE", buf_slice(&whole));
    expect_err(open_data(f, 0), ERR_CORRUPT);
    buf_done(&whole);
}

static void another_format_is_told_from_damage(void **state)
{
    struct fixture *f = *state;
    make_data(f);
    write_part(f, "DORMOUSE", SLICE("format = 3\nwhatever\n"));
    expect_err(open_data(f, 0), ERR_FORMAT);
    expect_detail(f, "format");
    write_part(f, "DORMOUSE", SLICE("format = 0\nwhatever\n"));
    expect_err(open_data(f, 0), ERR_FORMAT);
}

/* As the version before generations wrote it. */
#define FORMAT_1                                                                      \
    "format = 1\ncluster = 0123456789abcdef\naddress_key = "                          \
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\nshards = 64\n" \
    "wals = 3\n"

static void write_format_1(const struct fixture *f)
{
    struct buf text = {0};
    buf_append_str(&text, FORMAT_1);
    buf_printf(&text, "crc32c = %08x\n", crc32c(0, text.data, text.len));
    write_part(f, "DORMOUSE", buf_slice(&text));
    buf_done(&text);
}

static void data_of_the_first_format_is_opened_and_left_as_it_is(void **state)
{
    struct fixture *f = *state;
    make_data(f);
    write_format_1(f);
    struct buf before = read_part(f, "DORMOUSE");
    expect_err(open_data(f, 0), ERR_OK);
    assert_int_equal(f->data.shard_count, 64);
    assert_int_equal(f->data.wal_count, 3);
    assert_int_equal(f->data.wal_generation, 0);
    assert_true(f->data.cluster_id == UINT64_C(0x0123456789abcdef));
    data_dir_close(&f->data);
    struct buf after = read_part(f, "DORMOUSE");
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_done(&before);
    buf_done(&after);
}

static void other_logs_are_in_use_from_the_next_start_on(void **state)
{
    struct fixture *f = *state;
    make_data(f);
    write_format_1(f);
    expect_err(open_data(f, 0), ERR_OK);
    expect_err(data_dir_set_logs(&f->data, 5, 7, f->detail), ERR_OK);
    assert_int_equal(f->data.wal_count, 5);
    data_dir_close(&f->data);

    expect_err(open_data(f, 0), ERR_OK);
    assert_int_equal(f->data.wal_count, 5);
    assert_int_equal(f->data.wal_generation, 7);
    assert_int_equal(f->data.shard_count, 64);
    assert_true(f->data.cluster_id == UINT64_C(0x0123456789abcdef));
    assert_int_equal(f->data.address_key[1], 0x11);
    data_dir_close(&f->data);
}

static void a_directory_of_something_else_is_left_as_it_is(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    write_part(f, "thesis.txt", SLICE("important"));
    expect_err(open_data(f, 0), ERR_FORMAT);
    expect_detail(f, "not empty");
    assert_false(has_part(f, "LOCK"));
    assert_false(has_part(f, "DORMOUSE"));
}

static void a_file_in_its_place_is_refused(void **state)
{
    struct fixture *f = *state;
    int fd = open(f->path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    expect_err(open_data(f, 0), ERR_IO);
    expect_detail(f, strerror(ENOTDIR));
}

static void a_first_start_that_was_cut_short_is_begun_again(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    write_part(f, "LOCK", SLICE(""));
    write_part(f, "DORMOUSE.tmp", SLICE("form"));
    char *shards = part_path(f, "shards");
    assert_int_equal(mkdir(shards, 0700), 0);
    mem_free(shards);
    make_data(f);
    expect_err(open_data(f, 0), ERR_OK);
    assert_int_equal(f->data.shard_count, 3);
    data_dir_close(&f->data);
}

static int note_sync_of(void *ctx, struct disk_call *call)
{
    struct fixture *f = ctx;
    size_t len = strlen(f->base);
    bool is_base = strncmp(call->path, f->base, len) == 0 &&
                   strspn(call->path + len, "/") == strlen(call->path + len);
    f->parent_syncs += call->op == DISK_OP_SYNC_DIR && is_base ? 1 : 0;
    return 0;
}

static void the_name_of_the_directory_outlasts_a_power_cut(void **state)
{
    struct fixture *f = *state;
    const struct disk disk = {.hook = note_sync_of, .ctx = f};
    (void)snprintf(f->path, sizeof f->path, "%s/data///", f->base);
    disk_set_default(&disk);
    make_data(f);
    disk_set_default(NULL);
    assert_int_equal(f->parent_syncs, 1);
}

static void a_check_of_what_is_not_there_makes_nothing(void **state)
{
    struct fixture *f = *state;
    expect_err(data_dir_open_existing(&f->data, f->path, f->detail), ERR_NOT_FOUND);
    assert_int_not_equal(access(f->path, F_OK), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    expect_err(data_dir_open_existing(&f->data, f->path, f->detail), ERR_NOT_FOUND);
    expect_detail(f, "no DORMOUSE file");
    assert_false(has_part(f, "LOCK"));
}

static void a_check_makes_no_lock(void **state)
{
    struct fixture *f = *state;
    make_data(f);
    char *lock = part_path(f, "LOCK");
    assert_int_equal(unlink(lock), 0); /* as in a copy of the data */
    expect_err(data_dir_open_existing(&f->data, f->path, f->detail), ERR_OK);
    data_dir_close(&f->data);
    assert_false(has_part(f, "LOCK"));
    mem_free(lock);
}

/* A node of a cluster knows that it is one before it has data. */
static void a_directory_with_a_cluster_file_alone_is_that_of_a_first_start(void **state)
{
    struct fixture *f = *state;
    char *certs = part_path(f, "certs");
    assert_false(data_dir_is_there(f->path));
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(mkdir(certs, 0700), 0);
    write_part(f, "CLUSTER", SLICE("x"));
    write_part(f, "CLUSTER.tmp", SLICE("x"));
    assert_false(data_dir_is_there(f->path));
    expect_err(open_data(f, 4), ERR_OK);
    assert_true(f->data.is_new);
    assert_true(data_dir_is_there(f->path));
    data_dir_close(&f->data);
    mem_free(certs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(what_was_fixed_at_the_first_start_is_read_at_the_next),
          TEST(two_data_directories_are_never_alike),
          TEST(a_second_user_is_refused_until_the_first_is_gone),
          TEST(another_number_of_shards_is_refused), TEST(any_changed_byte_is_found),
          TEST(a_file_that_is_cut_or_longer_is_found), TEST(another_format_is_told_from_damage),
          TEST(data_of_the_first_format_is_opened_and_left_as_it_is),
          TEST(other_logs_are_in_use_from_the_next_start_on),
          TEST(a_directory_of_something_else_is_left_as_it_is),
          TEST(a_file_in_its_place_is_refused),
          TEST(the_name_of_the_directory_outlasts_a_power_cut),
          TEST(a_first_start_that_was_cut_short_is_begun_again),
          TEST(a_directory_with_a_cluster_file_alone_is_that_of_a_first_start),
          TEST(a_check_of_what_is_not_there_makes_nothing), TEST(a_check_makes_no_lock))
