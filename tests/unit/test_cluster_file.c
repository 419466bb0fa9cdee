#include "node/cluster_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "storage/disk.h"
#include "tests/lib/test.h"

enum { PATH_BYTES = 4096, TEXT_BYTES = 4096 };

struct fixture {
    char *dir;
    char path[PATH_BYTES];
    char detail[DATA_DETAIL_BYTES];
};

static const struct cluster_file joined = {.node = 4294967295U,
                                           .birth = UINT64_MAX - 1,
                                           .peer_listen = "[::1]:7431",
                                           .certs = "/etc/dormouse/node 2 = \"x\" # y",
                                           .seed = "node-1.example.com:7421"};
static const struct cluster_file began = {.node = 1, .birth = 1, .peer_listen = "127.0.0.1:7421"};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    f->dir = test_make_dir();
    (void)snprintf(f->path, sizeof f->path, "%s/" CLUSTER_FILE, f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    test_remove_dir(f->dir);
    mem_free(f);
    return 0;
}

static size_t read_text(const struct fixture *f, char text[TEXT_BYTES])
{
    FILE *file = fopen(f->path, "re");
    assert_non_null(file);
    size_t len = fread(text, 1, TEXT_BYTES - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    return len;
}

static void write_text(const struct fixture *f, const char *text, size_t len)
{
    FILE *file = fopen(f->path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    (void)fclose(file);
}

static void expect_same(const struct cluster_file *got, const struct cluster_file *want)
{
    assert_int_equal(got->node, want->node);
    assert_int_equal(got->birth, want->birth);
    assert_string_equal(got->peer_listen, want->peer_listen);
    assert_string_equal(got->certs, want->certs);
    assert_string_equal(got->seed, want->seed);
}

static void what_was_written_is_read_back(void **state)
{
    struct fixture *f = *state;
    const struct cluster_file *const files[] = {&joined, &began, &joined};
    for (size_t i = 0; i < 3; i++) {
        struct cluster_file back;
        expect_err(cluster_file_write(f->dir, files[i], f->detail), ERR_OK);
        expect_err(cluster_file_read(f->dir, &back, f->detail), ERR_OK);
        expect_same(&back, files[i]);
    }
}

static void a_person_can_read_it(void **state)
{
    struct fixture *f = *state;
    char text[TEXT_BYTES];
    expect_err(cluster_file_write(f->dir, &began, f->detail), ERR_OK);
    (void)read_text(f, text);
    static const char lines[] = "format = 1\nnode = 1\nbirth = 0000000000000001\npeer_listen = "
                                "127.0.0.1:7421\ncerts = \nseed = \ncrc32c = ";
    assert_memory_equal(text, lines, sizeof lines - 1);
}

static void a_directory_without_the_file_is_none_of_a_cluster(void **state)
{
    struct fixture *f = *state;
    struct cluster_file back;
    expect_err(cluster_file_read(f->dir, &back, f->detail), ERR_NOT_FOUND);
    assert_string_equal(f->detail, "");
    expect_err(cluster_file_read("/nowhere/at/all", &back, f->detail), ERR_NOT_FOUND);
}

static void expect_refused(struct fixture *f, enum err want, const char *part)
{
    struct cluster_file back = {.node = 7};
    f->detail[0] = '\0';
    expect_err(cluster_file_read(f->dir, &back, f->detail), want);
    assert_int_equal(back.node, 7); /* written on success alone */
    if (strstr(f->detail, f->path) == NULL || strstr(f->detail, part) == NULL) {
        fail_msg("\"%s\"", f->detail);
    }
}

static void every_other_byte_and_every_other_length_is_refused(void **state)
{
    struct fixture *f = *state;
    char text[TEXT_BYTES];
    expect_err(cluster_file_write(f->dir, &joined, f->detail), ERR_OK);
    size_t len = read_text(f, text);
    for (size_t i = 0; i < len; i++) {
        write_text(f, text, i);
        expect_refused(f, ERR_CORRUPT, "damaged");
        if (i >= sizeof "format = 1\n" - 1) { /* before that it may be another format */
            text[i] ^= 1;
            write_text(f, text, len);
            expect_refused(f, ERR_CORRUPT, "damaged");
            text[i] ^= 1;
        }
    }
    text[len] = '\n';
    write_text(f, text, len + 1);
    expect_refused(f, ERR_CORRUPT, "damaged");
}

static void another_format_is_told_from_damage(void **state)
{
    struct fixture *f = *state;
    static const char newer[] = "format = 2\nnode = 1\nmood = good\n";
    write_text(f, newer, sizeof newer - 1);
    expect_refused(f, ERR_FORMAT, "another format version");
    static const char other[] = "format = x\n";
    write_text(f, other, sizeof other - 1);
    expect_refused(f, ERR_CORRUPT, "damaged");
}

/* Well formed, with the right checksum, and no node could be it. */
static void what_makes_no_sense_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {
        "format = 1\nnode = 0\npeer_listen = h:1\ncerts = \nseed = \n",
        "format = 1\nnode = 4294967296\npeer_listen = h:1\ncerts = \nseed = \n",
        "format = 1\nnode = 2\npeer_listen = \ncerts = \nseed = \n",
        "format = 1\nnode = 2\npeer_listen = h:0\ncerts = \nseed = \n",
        "format = 1\nnode = 2\npeer_listen = h:1\ncerts = certs\nseed = \n",
        "format = 1\nnode = 2\npeer_listen = h:1\ncerts = \nseed = h\n",
        "format = 1\nnode = 02\npeer_listen = h:1\ncerts = \nseed = \n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf text = {0};
        buf_append_str(&text, texts[i]);
        buf_printf(&text, "crc32c = %08x\n", crc32c(0, text.data, text.len));
        write_text(f, (const char *)text.data, text.len);
        expect_refused(f, ERR_CORRUPT, "damaged");
        buf_done(&text);
    }
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    expect_refused(f, ERR_IO, "directory");
    assert_int_equal(rmdir(f->path), 0);
}

static void certificates_are_in_the_data_where_nobody_says(void **state)
{
    (void)state;
    char *path = cluster_certs_path("/srv/d", &began);
    assert_string_equal(path, "/srv/d/certs");
    mem_free(path);
    path = cluster_certs_path("/srv/d", &joined);
    assert_string_equal(path, joined.certs);
    mem_free(path);
    assert_true(cluster_certs_is_valid("/"));
    assert_false(cluster_certs_is_valid(""));
    assert_false(cluster_certs_is_valid("certs"));
    assert_false(cluster_certs_is_valid("/a\nb"));
    char *longest = mem_zalloc(CLUSTER_CERTS_BYTES + 1);
    memset(longest, '/', CLUSTER_CERTS_BYTES - 1);
    assert_true(cluster_certs_is_valid(longest));
    longest[CLUSTER_CERTS_BYTES - 1] = '/';
    assert_false(cluster_certs_is_valid(longest));
    mem_free(longest);
}

/* Faults */

struct faults {
    uint64_t calls;
    uint64_t fails_at; /* 0: none */
    int reason;
};

static int inject(void *ctx, struct disk_call *call)
{
    struct faults *f = ctx;
    assert_int_equal(call->site, DISK_CLUSTER_FILE);
    return ++f->calls == f->fails_at ? f->reason : 0;
}

static void a_write_that_fails_anywhere_is_told_and_leaves_the_old_file_or_the_new(void **state)
{
    struct fixture *f = *state;
    static const int reasons[] = {EIO, ENOSPC};
    uint64_t tried = 0;
    for (uint64_t n = 1; n <= tried + 1; n++) {
        for (size_t i = 0; i < 2; i++) {
            struct faults faults = {.fails_at = n, .reason = reasons[i]};
            const struct disk disk = {.hook = inject, .ctx = &faults};
            struct cluster_file back;
            expect_err(cluster_file_write(f->dir, &began, f->detail), ERR_OK);
            f->detail[0] = '\0';
            disk_set_default(&disk);
            enum err err = cluster_file_write(f->dir, &joined, f->detail);
            disk_set_default(NULL);
            if (faults.calls < n) {
                expect_err(err, ERR_OK);
                continue;
            }
            tried = n;
            expect_err(err, reasons[i] == EIO ? ERR_IO : ERR_STORAGE_FULL);
            assert_non_null(strstr(f->detail, f->path));
            assert_non_null(strstr(f->detail, "offset 0"));
            expect_err(cluster_file_read(f->dir, &back, f->detail), ERR_OK);
            expect_same(&back, back.node == began.node ? &began : &joined);
        }
    }
    assert_int_equal(tried, 5); /* make, write, sync, rename, sync the directory */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(what_was_written_is_read_back), TEST(a_person_can_read_it),
          TEST(a_directory_without_the_file_is_none_of_a_cluster),
          TEST(every_other_byte_and_every_other_length_is_refused),
          TEST(another_format_is_told_from_damage), TEST(what_makes_no_sense_is_refused),
          TEST(a_file_that_cannot_be_read_is_an_error),
          TEST(certificates_are_in_the_data_where_nobody_says),
          TEST(a_write_that_fails_anywhere_is_told_and_leaves_the_old_file_or_the_new))
