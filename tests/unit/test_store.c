#include "storage/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

struct fixture {
    char *dir;
    struct buf path;
    struct store *store;
};

static void reopen(struct fixture *f, uint64_t map_bytes)
{
    store_close(f->store);
    f->store = NULL;
    expect_err(store_open((char *)f->path.data, map_bytes, &f->store), ERR_OK);
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    f->dir = test_make_dir();
    store_path(&f->path, f->dir, 3, 1);
    buf_append_byte(&f->path, 0);
    reopen(f, STORE_MAP_BYTES_TESTS);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    buf_done(&f->path);
    test_remove_dir(f->dir);
    mem_free(f);
    return 0;
}

static void put_rows(struct fixture *f, uint64_t number, int from, int to)
{
    struct store_write w;
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    for (int i = from; i < to; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "k%03d", i);
        struct row_key key = test_kv(number, name);
        expect_err(store_put(&w, row_key_slice(&key), (uint64_t)i + 1, slice_of_str(name)), ERR_OK);
    }
    expect_err(store_write_commit(&w), ERR_OK);
}

static struct store_read *reader(struct fixture *f)
{
    struct store_read *r;
    store_read_reset(&f->store->reader);
    expect_err(store_reader(f->store, &r), ERR_OK);
    return r;
}

static void rows_survive_reopening(void **state)
{
    struct fixture *f = *state;
    put_rows(f, 1, 0, 10);
    reopen(f, STORE_MAP_BYTES_TESTS);
    struct row_key key = test_kv(1, "k007");
    struct row_key missing = test_kv(1, "k");
    struct rowset rows = {0};
    expect_err(store_get(reader(f), row_key_slice(&key), &rows), ERR_OK);
    expect_err(store_get(reader(f), row_key_slice(&missing), &rows), ERR_OK);
    assert_true(rows.rows[0].present);
    expect_str(rowset_payload(&rows, 0), "k007");
    assert_int_equal(rows.rows[0].version, 8);
    assert_false(rows.rows[1].present);
    rowset_done(&rows);
}

static void reopening_in_place_keeps_rows_and_a_reader_sees_them(void **state)
{
    struct fixture *f = *state;
    put_rows(f, 1, 0, 10);
    struct row_key key = test_kv(1, "k007");
    struct rowset rows = {0};
    expect_err(store_get(reader(f), row_key_slice(&key), &rows), ERR_OK);
    expect_err(store_reopen(f->store), ERR_OK);
    expect_err(store_get(reader(f), row_key_slice(&key), &rows), ERR_OK);
    assert_true(rows.rows[1].present);
    put_rows(f, 1, 10, 20);
    rowset_done(&rows);
}

static void a_new_store_has_applied_nothing(void **state)
{
    struct fixture *f = *state;
    struct applied applied = {.index = 9};
    expect_err(store_applied(f->store, &applied), ERR_OK);
    assert_int_equal(applied.index, 0);
}

static void an_aborted_write_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_write w;
    struct row_key key = test_kv(1, "k");
    bool found;
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    expect_err(store_put(&w, row_key_slice(&key), 1, SLICE("v")), ERR_OK);
    store_write_abort(&w);
    store_write_abort(&w);
    expect_err(store_has(reader(f), row_key_slice(&key), &found), ERR_OK);
    assert_false(found);
}

static void a_read_sees_one_state_until_it_is_renewed(void **state)
{
    struct fixture *f = *state;
    struct row_key key = test_kv(1, "k000");
    bool found;
    struct store_read r = {0};
    expect_err(store_read_begin(f->store, &r), ERR_OK);
    put_rows(f, 1, 0, 1);
    expect_err(store_has(&r, row_key_slice(&key), &found), ERR_OK);
    assert_false(found);
    store_read_reset(&r);
    expect_err(store_read_renew(&r), ERR_OK);
    expect_err(store_has(&r, row_key_slice(&key), &found), ERR_OK);
    assert_true(found);
    store_read_end(&r);
}

static void expect_scan(struct fixture *f, const struct store_range *range, const char *want,
                        bool want_more)
{
    struct rowset rows = {0};
    struct buf got = {0};
    bool more;
    expect_err(store_scan(reader(f), range, &rows, &more), ERR_OK);
    for (size_t i = 0; i < rows.count; i++) {
        buf_append_slice(&got, rowset_payload(&rows, i));
        buf_append_byte(&got, ' ');
    }
    expect_str(buf_slice(&got), want);
    assert_int_equal(more, want_more);
    buf_done(&got);
    rowset_done(&rows);
}

static void scans_keep_to_their_range_in_both_directions(void **state)
{
    struct fixture *f = *state;
    put_rows(f, 1, 0, 9);
    put_rows(f, 2, 0, 1);
    struct row_key from = test_kv(1, "k003");
    struct row_key to = test_kv(1, "k006");
    struct row_key between = test_kv(1, "k0055");
    struct row_key above = test_kv(9, "k");
    struct store_range range = {.start = row_key_slice(&from),
                                .end = row_key_slice(&to),
                                .rows_max = 100,
                                .bytes_max = 1 << 20};
    expect_scan(f, &range, "k003 k004 k005 ", false);
    range.reverse = true;
    expect_scan(f, &range, "k005 k004 k003 ", false);
    range.end = row_key_slice(&between);
    expect_scan(f, &range, "k005 k004 k003 ", false);
    range.start = (struct slice){0};
    range.end = row_key_slice(&from);
    expect_scan(f, &range, "k002 k001 k000 ", false);
    range.start = row_key_slice(&to);
    range.end = row_key_slice(&above); /* above all there is */
    expect_scan(f, &range, "k000 k008 k007 k006 ", false);
    range.start = row_key_slice(&above);
    range.end = (struct slice){0};
    expect_scan(f, &range, "", false);
    range.reverse = false;
    expect_scan(f, &range, "", false);
}

static void a_scan_stops_at_its_limits_and_says_so(void **state)
{
    struct fixture *f = *state;
    put_rows(f, 1, 0, 3);
    struct store_range range = {.rows_max = 2, .bytes_max = 1 << 20};
    expect_scan(f, &range, "k000 k001 ", true);
    range.rows_max = 3;
    expect_scan(f, &range, "k000 k001 k002 ", false);
    range.bytes_max = 1; /* one comes all the same */
    expect_scan(f, &range, "k000 ", true);
    range.reverse = true;
    expect_scan(f, &range, "k002 ", true);
}

static void erasing_stops_at_its_limit_and_at_the_end(void **state)
{
    struct fixture *f = *state;
    put_rows(f, 1, 0, 10);
    put_rows(f, 2, 0, 1);
    struct row_key start;
    struct row_key end;
    struct store_write w;
    size_t erased;
    bool more;
    row_key_number(&start, 1);
    row_key_number(&end, 2);
    struct store_range range = {.start = row_key_slice(&start),
                                .end = row_key_slice(&end),
                                .rows_max = 7,
                                .bytes_max = 1 << 20};
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    expect_err(store_erase(&w, &range, &erased, &more), ERR_OK);
    assert_int_equal(erased, 7);
    assert_true(more);
    expect_err(store_erase(&w, &range, &erased, &more), ERR_OK);
    assert_int_equal(erased, 3);
    assert_false(more);
    expect_err(store_write_commit(&w), ERR_OK);
    struct store_range all = {.rows_max = 100, .bytes_max = 1 << 20};
    expect_scan(f, &all, "k000 ", false); /* of actor 2 */
}

static void a_damaged_row_is_reported_with_its_key(void **state)
{
    struct fixture *f = *state;
    struct store_write w;
    struct row_key key = test_kv(1, "k");
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    expect_err(store_put(&w, row_key_slice(&key), 1, SLICE("a value to be damaged")), ERR_OK);
    expect_err(store_write_commit(&w), ERR_OK);
    store_close(f->store);
    f->store = NULL;

    static uint8_t image[1 << 20];
    int fd = open((char *)f->path.data, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, image, sizeof image);
    assert_true(n > 0);
    uint8_t *at = memmem(image, (size_t)n, "to be damaged", 13);
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "T", 1, at - image), 1);
    (void)close(fd);

    reopen(f, STORE_MAP_BYTES_TESTS);
    struct rowset rows = {0};
    struct store_read *r = reader(f);
    expect_err(store_get(r, row_key_slice(&key), &rows), ERR_CORRUPT);
    expect_slice(row_key_slice(&r->bad_key), row_key_slice(&key));
    assert_int_equal(rows.count, 0);
    rowset_done(&rows);
}

static void a_full_map_leaves_the_store_as_it_was(void **state)
{
    struct fixture *f = *state;
    reopen(f, 1 << 20);
    put_rows(f, 1, 0, 10);
    struct buf big = {0};
    memset(buf_extend(&big, 2 << 20), 'b', 2 << 20);
    struct row_key key = test_kv(1, "big");
    struct store_write w;
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    expect_err(store_put(&w, row_key_slice(&key), 1, buf_slice(&big)), ERR_STORAGE_FULL);
    store_write_abort(&w);

    put_rows(f, 1, 10, 20); /* smaller ones still go */
    reopen(f, STORE_MAP_BYTES_TESTS);
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    expect_err(store_put(&w, row_key_slice(&key), 1, buf_slice(&big)), ERR_OK);
    expect_err(store_write_commit(&w), ERR_OK);
    struct rowset rows = {0};
    expect_err(store_get(reader(f), row_key_slice(&key), &rows), ERR_OK);
    expect_slice(rowset_payload(&rows, 0), buf_slice(&big));
    rowset_done(&rows);
    buf_done(&big);
}

static void a_truncated_file_is_corrupt_and_not_a_crash(void **state)
{
    struct fixture *f = *state;
    put_rows(f, 1, 0, 900);
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(truncate((char *)f->path.data, 3 * 4096), 0);
    reopen(f, STORE_MAP_BYTES_TESTS);
    struct row_key key = test_kv(1, "k100");
    struct rowset rows = {0};
    expect_err(store_get(reader(f), row_key_slice(&key), &rows), ERR_CORRUPT);
    rowset_done(&rows);
}

static void a_file_of_something_else_is_refused(void **state)
{
    struct fixture *f = *state;
    struct buf path = {0};
    buf_printf(&path, "%s/other", f->dir);
    buf_append_byte(&path, 0);
    int fd = open((char *)path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    static const char text[8192] = "not a database";
    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    (void)close(fd);
    struct store *other;
    expect_err(store_open((char *)path.data, STORE_MAP_BYTES_TESTS, &other), ERR_CORRUPT);
    buf_done(&path);
}

static void all_maps_together_stay_within_32_tib(void **state)
{
    (void)state;
    assert_int_equal(store_map_bytes(1), STORE_MAP_BYTES_MAX);
    assert_int_equal(store_map_bytes(64), STORE_MAP_BYTES_MAX);
    assert_true(store_map_bytes(1024) * 1024 <= STORE_MAPS_BYTES_MAX);
    assert_true(store_map_bytes(1024) > STORE_MAP_BYTES_MAX / 16);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

TEST_MAIN(WITH_STORE(rows_survive_reopening),
          WITH_STORE(reopening_in_place_keeps_rows_and_a_reader_sees_them),
          WITH_STORE(a_new_store_has_applied_nothing), WITH_STORE(an_aborted_write_leaves_nothing),
          WITH_STORE(a_read_sees_one_state_until_it_is_renewed),
          WITH_STORE(scans_keep_to_their_range_in_both_directions),
          WITH_STORE(a_scan_stops_at_its_limits_and_says_so),
          WITH_STORE(erasing_stops_at_its_limit_and_at_the_end),
          WITH_STORE(a_damaged_row_is_reported_with_its_key),
          WITH_STORE(a_full_map_leaves_the_store_as_it_was),
          WITH_STORE(a_truncated_file_is_corrupt_and_not_a_crash),
          WITH_STORE(a_file_of_something_else_is_refused),
          cmocka_unit_test(all_maps_together_stay_within_32_tib))
