#include "storage/store_check.h"

#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/checkpoint.h"
#include "storage/shard_state.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

struct fixture {
    char *dir;
    char *path;
    struct store *store;
    struct store_check_result result;
    char problem[128]; /* the last one */
    struct row_key key;
    uint64_t page;
};

static const struct address ADDRESS = {
    {(const uint8_t *)"ns", 2}, {(const uint8_t *)"Store", 5}, {(const uint8_t *)"id", 2}};
static const uint64_t LOG_TIME_MS = UINT64_C(1000) * IDEMPOTENCY_HOUR_MS;

static void put(struct batch_builder *b, const struct row_key *key, struct slice payload)
{
    batch_put(b, row_key_slice(key), BATCH_OWN_VERSION, payload);
}

/* An actor with a timer and an idempotency row: every index has its row. */
static void build_actor(struct batch_builder *b, uint64_t number)
{
    struct identity identity = test_identity(number);
    struct row_key key;
    struct buf payload = {0};
    row_key_directory(&key, &identity);
    directory_row_encode(&payload, number, &ADDRESS);
    put(b, &key, buf_slice(&payload));
    buf_clear(&payload);
    row_key_listing(&key, &ADDRESS, &identity);
    number_row_encode(&payload, number);
    put(b, &key, buf_slice(&payload));
    row_key_meta(&key, number);
    put(b, &key, SLICE("meta"));
    key = test_kv(number, "k");
    put(b, &key, SLICE("v"));
    row_key_timer(&key, number, SLICE("alarm"));
    put(b, &key, SLICE("timer"));
    row_key_due(&key, 5000, number, ROW_TIMER, SLICE("alarm"));
    put(b, &key, slice_of(identity.bytes, IDENTITY_BYTES));
    buf_clear(&payload);
    number_row_encode(&payload, LOG_TIME_MS);
    row_key_idempotency(&key, &identity, SLICE("retry"));
    put(b, &key, buf_slice(&payload));
    row_key_idempotency_hour(&key, LOG_TIME_MS, &identity, SLICE("retry"));
    put(b, &key, (struct slice){0});
    buf_done(&payload);
}

static void write_batch(struct fixture *f, struct batch_builder *b, uint64_t born)
{
    struct checkpoint_report report;
    struct applied applied;
    expect_err(store_applied(f->store, &applied), ERR_OK);
    struct overlay *o = overlay_new(&applied);
    struct batch_header header = {
        .version = applied.version + 1, .log_time_ms = LOG_TIME_MS, .born = born};
    expect_err(batch_end(b, &header), ERR_OK);
    expect_err(overlay_apply_batch(o, buf_slice(b->out), 1), ERR_OK);
    expect_err(checkpoint_write(f->store, o, &report), ERR_OK);
    overlay_free(o);
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    struct buf path = {0};
    struct buf batch = {0};
    struct batch_builder b;
    f->dir = test_make_dir();
    store_path(&path, f->dir, 0, 1);
    f->path = mem_strndup((char *)path.data, path.len);
    buf_done(&path);
    expect_err(store_open(f->path, STORE_MAP_BYTES_TESTS, &f->store), ERR_OK);
    batch_begin(&b, &batch);
    for (uint64_t number = 1; number <= 50; number++) {
        build_actor(&b, number);
    }
    write_batch(f, &b, 50);
    buf_done(&batch);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    mem_free(f->path);
    test_remove_dir(f->dir);
    mem_free(f);
    return 0;
}

static void note(void *ctx, const char *problem, struct slice key, uint64_t page)
{
    struct fixture *f = ctx;
    f->page = page;
    (void)snprintf(f->problem, sizeof f->problem, "%s", problem);
    row_key_set(&f->key, key);
}

static void check(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    expect_err(store_check(f->path, note, NULL, f, &f->result), ERR_OK);
}

static void expect_problem(struct fixture *f, const char *want)
{
    check(f);
    assert_int_equal(f->result.problems, 1);
    assert_string_equal(f->problem, want);
}

/* Past all checks of the layers above. */
static void write_raw(struct fixture *f, const struct row_key *key, const char *payload)
{
    struct store_write w;
    bool existed;
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    if (payload == NULL) {
        expect_err(store_delete(&w, row_key_slice(key), &existed), ERR_OK);
        assert_true(existed);
    } else {
        expect_err(store_put(&w, row_key_slice(key), 1, slice_of_str(payload)), ERR_OK);
    }
    expect_err(store_write_commit(&w), ERR_OK);
}

static void a_sound_store_has_no_problems(void **state)
{
    struct fixture *f = *state;
    check(f);
    assert_string_equal(f->problem, "");
    assert_int_equal(f->result.problems, 0);
    assert_int_equal(f->result.rows, 50 * 8 + 1);
    assert_int_equal(f->result.actors, 50);
    assert_int_equal(f->result.stale_due, 0);
    assert_true(f->result.pages > 4);
}

static void neither_has_one_with_dropped_actors_and_freed_pages(void **state)
{
    struct fixture *f = *state;
    struct buf batch = {0};
    struct batch_builder b;
    struct buf big = {0};
    memset(buf_extend(&big, 100000), 'b', 100000);
    for (int round = 0; round < 3; round++) { /* large values come and go */
        batch_begin(&b, &batch);
        for (uint64_t number = 10; number < 20; number++) {
            struct row_key key = test_kv(number, "big");
            if (round == 1) {
                batch_delete(&b, row_key_slice(&key));
            } else {
                put(&b, &key, buf_slice(&big));
            }
        }
        write_batch(f, &b, 0);
        buf_clear(&batch);
    }
    batch_begin(&b, &batch);
    struct identity identity = test_identity(7);
    struct row_key key;
    row_key_directory(&key, &identity);
    batch_delete(&b, row_key_slice(&key));
    row_key_listing(&key, &ADDRESS, &identity);
    batch_delete(&b, row_key_slice(&key));
    batch_drop(&b, 7);
    write_batch(f, &b, 0);
    check(f);
    assert_string_equal(f->problem, "");
    assert_int_equal(f->result.problems, 0);
    assert_int_equal(f->result.actors, 49);
    assert_int_equal(f->result.stale_due, 1);
    assert_true(f->result.free_pages > 0);
    buf_done(&batch);
    buf_done(&big);
}

static void a_missing_file_is_not_created(void **state)
{
    struct fixture *f = *state;
    struct buf path = {0};
    buf_printf(&path, "%s/none.mdb", f->dir);
    buf_append_byte(&path, 0);
    struct store_check_result result;
    expect_err(store_check((char *)path.data, note, NULL, f, &result), ERR_NOT_FOUND);
    assert_int_equal(access((char *)path.data, F_OK), -1);
    buf_done(&path);
}

static void each_broken_index_is_found(void **state)
{
    struct fixture *f = *state;
    struct identity identity = test_identity(3);
    struct row_key listing;
    struct row_key directory;
    struct row_key meta;
    struct row_key timer;
    struct row_key idempotency;
    struct row_key hour;
    row_key_listing(&listing, &ADDRESS, &identity);
    row_key_directory(&directory, &identity);
    row_key_meta(&meta, 3);
    row_key_timer(&timer, 3, SLICE("alarm"));
    row_key_idempotency(&idempotency, &identity, SLICE("retry"));
    row_key_idempotency_hour(&hour, LOG_TIME_MS, &identity, SLICE("retry"));
    const struct {
        const struct row_key *key;
        const char *payload; /* NULL: delete it */
        const char *want;    /* the last problem */
        uint64_t problems;
    } cases[] = {
        {&listing, NULL, "an actor of the directory is not listed", 1},
        {&listing, "8 bytes!", "an actor is listed but not in the directory under that number", 2},
        {&directory, NULL, "rows of an actor that is neither in the directory nor dropped", 2},
        {&directory, "nonsense", "rows of an actor that is neither in the directory nor dropped",
         3},
        {&meta, NULL, "an actor of the directory has no META row", 1},
        {&timer, NULL, "what is due is not there", 1},
        {&idempotency, NULL, "an hour names an idempotency row that is not there", 1},
        {&hour, NULL, "an idempotency row has no row by hour and would never expire", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_raw(f, cases[i].key, cases[i].payload);
        check(f);
        assert_string_equal(f->problem, cases[i].want);
        assert_int_equal(f->result.problems, cases[i].problems);
        void *again = f;
        (void)teardown(&again);
        (void)setup(&again);
        f = again;
    }
    *state = f;
}

static void a_key_of_no_known_form_is_found(void **state)
{
    struct fixture *f = *state;
    struct row_key key;
    row_key_number(&key, 3);
    row_key_append(&key, SLICE("?unknown"));
    write_raw(f, &key, "v");
    expect_problem(f, "a key of no known form");
    expect_slice(row_key_slice(&f->key), row_key_slice(&key));
}

static void a_version_beyond_the_applied_one_is_found(void **state)
{
    struct fixture *f = *state;
    struct store_write w;
    struct row_key key = test_kv(3, "k");
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    expect_err(store_put(&w, row_key_slice(&key), 1000, SLICE("v")), ERR_OK);
    expect_err(store_write_commit(&w), ERR_OK);
    expect_problem(f, "a row of a version beyond the last one given");
}

/* Overwrites the first place in the file that holds these bytes, and closes the store. */
static void patch_file(struct fixture *f, struct slice find, size_t skip, struct slice with)
{
    static uint8_t image[4 << 20];
    store_close(f->store);
    f->store = NULL;
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, image, sizeof image);
    assert_true(n > 0);
    uint8_t *at = memmem(image, (size_t)n, find.data, find.len);
    assert_non_null(at);
    assert_int_equal(pwrite(fd, with.data, with.len, at - image + (off_t)skip), with.len);
    (void)close(fd);
}

static void a_damaged_value_is_found_with_its_key(void **state)
{
    struct fixture *f = *state;
    struct row_key key = test_kv(3, "k");
    write_raw(f, &key, "a value to be damaged");
    patch_file(f, SLICE("to be damaged"), 0, SLICE("T"));
    expect_problem(f, "a row fails its checksum");
    expect_slice(row_key_slice(&f->key), row_key_slice(&key));
}

static void a_truncated_file_is_found(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(truncate(f->path, 4 * 4096), 0);
    check(f);
    assert_true(f->result.problems > 0);
}

static void a_file_of_something_else_is_found(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    f->store = NULL;
    static const char text[8192] = "not a database";
    int fd = open(f->path, O_RDWR | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    (void)close(fd);
    expect_problem(f, "this is not a store, or its meta pages are damaged");
}

enum { LIST_MAX = 64 };

/* The newest list of free pages: their count, then their numbers. */
static struct slice newest_free_list(struct fixture *f, size_t record[LIST_MAX])
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val id;
    MDB_val list;
    assert_int_equal(mdb_txn_begin(f->store->env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_cursor_open(txn, 0, &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &id, &list, MDB_LAST), 0);
    assert_true(list.mv_size <= LIST_MAX * sizeof *record);
    memcpy(record, list.mv_data, list.mv_size);
    struct slice bytes = slice_of(record, list.mv_size);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    assert_true(record[0] >= 2);
    return bytes;
}

static void a_page_free_twice_is_found(void **state)
{
    struct fixture *f = *state;
    struct row_key key = test_kv(3, "k");
    size_t record[LIST_MAX];
    for (int i = 0; i < 5; i++) { /* frees some pages */
        write_raw(f, &key, "v");
    }
    struct slice find = newest_free_list(f, record);
    patch_file(f, find, 2 * sizeof *record, slice_of(&record[1], sizeof *record));
    expect_problem(f, "a page has two uses");
}

static void a_page_that_nothing_accounts_for_is_found(void **state)
{
    struct fixture *f = *state;
    struct row_key key = test_kv(3, "k");
    size_t record[LIST_MAX];
    for (int i = 0; i < 5; i++) {
        write_raw(f, &key, "v");
    }
    struct slice find = newest_free_list(f, record);
    size_t fewer = record[0] - 1;
    patch_file(f, find, 0, slice_of(&fewer, sizeof fewer));
    expect_problem(f, "a page is neither in use nor free");
}

static void a_zeroed_page_is_found_wherever_it_is_and_crashes_nobody(void **state)
{
    struct fixture *f = *state;
    static uint8_t page[4096];
    static const uint8_t zeros[4096];
    struct row_key key = test_kv(3, "k");
    for (int i = 0; i < 5; i++) {
        write_raw(f, &key, "v");
    }
    check(f);
    uint64_t pages = f->result.pages;
    uint64_t free_pages = f->result.free_pages;
    uint64_t unnoticed = 0;
    assert_int_equal(f->result.problems, 0);
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    for (uint64_t i = 0; i < pages; i++) {
        off_t at = (off_t)(i * sizeof page);
        assert_int_equal(pread(fd, page, sizeof page, at), sizeof page);
        assert_int_equal(pwrite(fd, zeros, sizeof page, at), sizeof page);
        check(f);
        unnoticed += f->result.problems == 0;
        assert_int_equal(pwrite(fd, page, sizeof page, at), sizeof page);
    }
    (void)close(fd);
    assert_true(free_pages > 0);
    assert_int_equal(unnoticed, free_pages);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

TEST_MAIN(WITH_STORE(a_sound_store_has_no_problems),
          WITH_STORE(neither_has_one_with_dropped_actors_and_freed_pages),
          WITH_STORE(a_missing_file_is_not_created), WITH_STORE(each_broken_index_is_found),
          WITH_STORE(a_key_of_no_known_form_is_found),
          WITH_STORE(a_version_beyond_the_applied_one_is_found),
          WITH_STORE(a_damaged_value_is_found_with_its_key), WITH_STORE(a_truncated_file_is_found),
          WITH_STORE(a_file_of_something_else_is_found), WITH_STORE(a_page_free_twice_is_found),
          WITH_STORE(a_page_that_nothing_accounts_for_is_found),
          WITH_STORE(a_zeroed_page_is_found_wherever_it_is_and_crashes_nobody))
