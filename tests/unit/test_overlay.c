#include "storage/overlay.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/lib/row_model.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

static struct overlay *fresh(void)
{
    struct applied none = {.number = 1000000}; /* so many actors have been born */
    return overlay_new(&none);
}

/* Buffers that a test of memory reuses, for a sanitizer keeps what is freed. */
struct writer {
    struct overlay *o;
    struct buf batch;
    struct buf entry;
};

/* One entry of one put or, where value is NULL, delete. */
static void write_with(struct writer *w, const struct row_key *key, const char *value,
                       uint64_t version)
{
    struct batch_builder b;
    buf_clear(&w->entry);
    batch_begin(&b, &w->batch);
    if (value != NULL) {
        batch_put(&b, row_key_slice(key), BATCH_OWN_VERSION, slice_of_str(value));
    } else {
        batch_delete(&b, row_key_slice(key));
    }
    test_end_entry(&b, version, &w->entry);
    uint64_t index = w->o->applied.index + 1;
    expect_err(overlay_apply_entry(w->o, buf_slice(&w->entry), index, 1, 5), ERR_OK);
}

static void writer_done(struct writer *w)
{
    buf_done(&w->batch);
    buf_done(&w->entry);
}

static void write_one(struct overlay *o, const struct row_key *key, const char *value,
                      uint64_t version)
{
    struct writer w = {.o = o};
    write_with(&w, key, value, version);
    writer_done(&w);
}

static void drop_one(struct overlay *o, uint64_t number, uint64_t version)
{
    struct buf batch = {0};
    struct batch_builder b;
    struct batch_header header = {.version = version};
    batch_begin(&b, &batch);
    batch_drop(&b, number);
    expect_err(batch_end(&b, &header), ERR_OK);
    expect_err(overlay_apply_batch(o, buf_slice(&batch), 5), ERR_OK);
    buf_done(&batch);
}

static enum overlay_answer get(const struct overlay *o, const struct row_key *key,
                               const struct overlay_row **row)
{
    return overlay_get(o, row_key_slice(key), row);
}

static void a_row_is_absent_then_found_then_deleted(void **state)
{
    (void)state;
    struct overlay *o = fresh();
    const struct overlay_row *row;
    struct row_key key = test_kv(1, "k");
    assert_true(overlay_is_empty(o));
    assert_int_equal(get(o, &key, &row), OVERLAY_ABSENT);
    write_one(o, &key, "v", 9);
    assert_int_equal(get(o, &key, &row), OVERLAY_FOUND);
    expect_str(overlay_row_payload(row), "v");
    assert_int_equal(row->version, 9);
    write_one(o, &key, NULL, 10);
    assert_int_equal(get(o, &key, &row), OVERLAY_DELETED);
    write_one(o, &key, "longer than before", 11);
    assert_int_equal(get(o, &key, &row), OVERLAY_FOUND);
    expect_str(overlay_row_payload(row), "longer than before");
    overlay_free(o);
}

static void applying_moves_index_version_and_log_time(void **state)
{
    (void)state;
    struct applied below = {.index = 4, .term = 1, .version = 100, .number = 3};
    struct overlay *o = overlay_new(&below);
    struct row_key key = test_kv(1, "k");
    write_one(o, &key, "v", 101);
    assert_int_equal(o->applied.index, 5);
    assert_int_equal(o->applied.version, 101);
    assert_int_equal(o->applied.number, 3);
    assert_int_equal(o->applied.log_time_ms, 1101);
    assert_int_equal(o->oldest_ms, 5);
    expect_err(overlay_apply_entry(o, (struct slice){0}, 6, 2, 9), ERR_OK); /* a barrier */
    assert_int_equal(o->applied.index, 6);
    assert_int_equal(o->applied.term, 2);
    assert_int_equal(o->oldest_ms, 5);
    expect_invariants_to_fail();
    expect_assert_failure((void)!overlay_apply_entry(o, (struct slice){0}, 6, 2, 9));
    overlay_free(o);
}

static void a_row_of_a_number_that_was_not_given_is_corrupt(void **state)
{
    (void)state;
    struct applied none = {0};
    struct overlay *o = overlay_new(&none);
    struct buf batch = {0};
    struct batch_builder b;
    struct batch_header header = {.version = 1, .born = 11};
    struct row_key key = test_kv(12, "k");
    batch_begin(&b, &batch);
    batch_put(&b, row_key_slice(&key), BATCH_OWN_VERSION, SLICE("v"));
    expect_err(batch_end(&b, &header), ERR_OK);
    expect_err(overlay_apply_batch(o, buf_slice(&batch), 1), ERR_CORRUPT);
    assert_int_equal(o->applied.number, 0);
    assert_true(overlay_is_empty(o));

    header.born = 12;
    expect_err(batch_end(&b, &header), ERR_OK);
    expect_err(overlay_apply_batch(o, buf_slice(&batch), 1), ERR_OK);
    assert_int_equal(o->applied.number, 12);
    buf_clear(&batch);

    header = (struct batch_header){.version = 2, .born = 7}; /* of a turn that took longer */
    batch_begin(&b, &batch);
    expect_err(batch_end(&b, &header), ERR_OK);
    expect_err(overlay_apply_batch(o, buf_slice(&batch), 1), ERR_OK);
    assert_int_equal(o->applied.number, 12);
    buf_done(&batch);
    overlay_free(o);
}

static void an_entry_with_a_damaged_batch_changes_nothing(void **state)
{
    (void)state;
    struct overlay *o = fresh();
    struct buf batch = {0};
    struct buf entry = {0};
    struct batch_builder b;
    struct row_key key = test_kv(1, "k");
    for (uint64_t i = 1; i <= 2; i++) {
        batch_begin(&b, &batch);
        batch_put(&b, row_key_slice(&key), BATCH_OWN_VERSION, SLICE("v"));
        test_end_entry(&b, i, &entry);
    }
    entry.len--;
    const struct overlay_row *row;
    expect_err(overlay_apply_entry(o, buf_slice(&entry), 1, 1, 1), ERR_CORRUPT);
    assert_int_equal(get(o, &key, &row), OVERLAY_ABSENT);
    assert_int_equal(o->applied.index, 0);
    assert_int_equal(o->applied.version, 0);
    buf_done(&batch);
    buf_done(&entry);
    overlay_free(o);
}

static void a_drop_hides_all_rows_and_takes_no_more(void **state)
{
    (void)state;
    struct overlay *o = fresh();
    const struct overlay_row *row;
    struct row_key key = test_kv(1, "k");
    struct row_key unseen = test_kv(1, "in the store below");
    struct row_key other = test_kv(2, "k");
    write_one(o, &key, "v", 1);
    write_one(o, &other, "v", 2);
    drop_one(o, 1, 3);
    assert_true(overlay_is_dropped(o, 1));
    assert_int_equal(get(o, &key, &row), OVERLAY_DELETED);
    assert_int_equal(get(o, &unseen, &row), OVERLAY_DELETED);
    assert_int_equal(get(o, &other, &row), OVERLAY_FOUND);
    assert_null(overlay_seek(o, 1, (struct slice){0}));
    write_one(o, &key, "v", 4);
    assert_int_equal(get(o, &key, &row), OVERLAY_DELETED);
    assert_null(overlay_seek(o, 1, (struct slice){0}));
    overlay_free(o);
}

static void keys_that_differ_by_zero_bytes_are_two(void **state)
{
    (void)state;
    struct overlay *o = fresh();
    struct row_key a;
    struct row_key b;
    row_key_kv(&a, 1, SLICE("a"));
    row_key_kv(&b, 1, SLICE("a\0"));
    write_one(o, &a, "1", 1);
    write_one(o, &b, "2", 2);
    const struct overlay_row *row;
    assert_int_equal(get(o, &a, &row), OVERLAY_FOUND);
    expect_str(overlay_row_payload(row), "1");
    assert_int_equal(get(o, &b, &row), OVERLAY_FOUND);
    expect_str(overlay_row_payload(row), "2");
    row = overlay_seek(o, 1, (struct slice){0});
    expect_str(overlay_row_payload(row), "1");
    row = overlay_next(row);
    expect_str(overlay_row_payload(row), "2");
    assert_null(overlay_next(row));
    overlay_free(o);
}

static void actors_come_sorted_for_the_checkpoint(void **state)
{
    (void)state;
    struct overlay *o = fresh();
    for (uint64_t i = 0; i < 300; i++) {
        struct row_key key = test_kv(1 + (i * 7919) % 300, "k");
        write_one(o, &key, "v", i + 1);
    }
    size_t count;
    const struct overlay_actor **sorted = overlay_sorted_actors(o, &count);
    assert_int_equal(count, 300);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(sorted[i]->number, i + 1);
    }
    mem_free(sorted);
    overlay_free(o);
}

/* Far more rows than may be loose, in an order of their own. */
static void rows_of_a_large_actor_come_sorted_for_the_checkpoint_and_to_the_worker(void **state)
{
    (void)state;
    enum { ROWS = 4 * OVERLAY_LOOSE_MAX };
    struct overlay *o = fresh();
    struct writer w = {.o = o};
    for (unsigned i = 0; i < ROWS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%08u", (i * 7919) % ROWS);
        struct row_key key = test_kv(1, name);
        write_with(&w, &key, i % 3 == 0 ? NULL : "v", i + 1);
    }
    writer_done(&w);
    size_t count;
    const struct overlay_actor **actors = overlay_sorted_actors(o, &count);
    assert_int_equal(count, 1);
    assert_int_equal(actors[0]->row_count, ROWS);
    assert_true(actors[0]->loose_count <= OVERLAY_LOOSE_MAX);
    for (int time = 0; time < 2; time++) { /* before and after some have been asked for in order */
        const struct overlay_row **sorted = overlay_sorted_rows(actors[0]);
        const struct overlay_row *row = overlay_seek(o, 1, (struct slice){0});
        for (size_t i = 0; i < ROWS; i++, row = overlay_next(row)) {
            char name[16];
            (void)snprintf(name, sizeof name, "%08zu", i);
            struct row_key key = test_kv(1, name);
            assert_ptr_equal(row, sorted[i]);
            expect_slice(overlay_row_whole_key(row), row_key_slice(&key));
        }
        assert_null(row);
        mem_free(sorted);
    }
    mem_free(actors);
    overlay_free(o);
}

static size_t resident_pages(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    char line[256];
    assert_non_null(fgets(line, sizeof line, f));
    (void)fclose(f);
    char *second = strchr(line, ' ');
    assert_non_null(second);
    return (size_t)strtoull(second, NULL, 10);
}

static void a_freed_overlay_gives_its_memory_back(void **state)
{
    (void)state;
    char value[1001];
    memset(value, 'v', 1000);
    value[1000] = '\0';
    size_t before = 0;
    struct writer w = {0};
    for (int round = 0; round < 3; round++) {
        w.o = fresh();
        for (uint64_t i = 1; i <= 20000; i++) {
            struct row_key key = test_kv(i, "k");
            write_with(&w, &key, value, i);
        }
        assert_true(overlay_bytes(w.o) > 20 << 20);
        assert_true(overlay_bytes(w.o) < 32 << 20);
        overlay_free(w.o);
        if (round == 0) {
            before = resident_pages();
        }
    }
    size_t after = resident_pages();
    assert_true(after < before + (4 << 20) / 4096);
    writer_done(&w);
}

static void a_value_that_grows_with_each_write_costs_a_few_times_its_size(void **state)
{
    (void)state;
    enum { WRITES = 1000, STEP = 100 };
    struct overlay *o = fresh();
    struct row_key key = test_kv(1, "log");
    char value[WRITES * STEP + 1];
    memset(value, 'v', sizeof value);
    for (size_t i = 1; i <= WRITES; i++) {
        value[i * STEP] = '\0';
        write_one(o, &key, value, i);
        value[i * STEP] = 'v';
    }
    assert_true(overlay_bytes(o) < 8 * sizeof value);
    overlay_free(o);
}

static struct row_key random_key(uint64_t *seed)
{
    /* Few letters and lengths: collisions, prefixes of each other and zero bytes are common. */
    uint8_t key[12];
    size_t len = 1 + test_below(seed, sizeof key);
    for (size_t i = 0; i < len; i++) {
        key[i] = (uint8_t)(test_below(seed, 3) * 127);
    }
    struct row_key k;
    row_key_kv(&k, 1 + test_below(seed, 5), slice_of(key, len));
    return k;
}

static void compare_at(const struct overlay_row *row, const struct model *m, size_t i,
                       uint64_t number)
{
    bool in_range = i < m->count && row_key_number_of(row_key_slice(&m->rows[i].key)) == number;
    assert_int_equal(row != NULL, in_range);
    if (!in_range) {
        return;
    }
    const struct model_row *want = &m->rows[i];
    expect_slice(overlay_row_key(row), slice_skip(row_key_slice(&want->key), 8));
    assert_int_equal(row->version, want->version);
    assert_int_equal(row->deleted, want->deleted);
    if (!want->deleted) {
        expect_slice(overlay_row_payload(row), slice_of(&want->value, sizeof want->value));
    }
}

/* Seeks at a random key, then walks both ways. */
static void compare_walks(struct overlay *o, const struct model *m, uint64_t *seed)
{
    struct row_key from = random_key(seed);
    uint64_t number = row_key_number_of(row_key_slice(&from));
    struct slice rest = slice_skip(row_key_slice(&from), 8);
    size_t i = model_seek(m, row_key_slice(&from));
    const struct overlay_row *row = overlay_seek(o, number, rest);
    for (int steps = 0; steps < 10; steps++, i++) {
        compare_at(row, m, i, number);
        if (row == NULL) {
            break;
        }
        row = overlay_next(row);
    }
    i = model_seek(m, row_key_slice(&from));
    row = overlay_seek_below(o, number, rest);
    for (int steps = 0; steps < 10; steps++) {
        i--; /* wraps round to "none" */
        compare_at(row, m, i, number);
        if (row == NULL) {
            break;
        }
        row = overlay_prev(row);
    }
}

static void compare_finds(const struct overlay *o, const struct model *m, uint64_t *seed)
{
    struct row_key key = random_key(seed);
    const struct overlay_row *row;
    enum overlay_answer answer = overlay_get(o, row_key_slice(&key), &row);
    size_t i = model_seek(m, row_key_slice(&key));
    bool is_there = model_has(m, i, row_key_slice(&key));
    if (m->dropped[row_key_number_of(row_key_slice(&key))]) {
        assert_int_equal(answer, OVERLAY_DELETED);
    } else if (!is_there) {
        assert_int_equal(answer, OVERLAY_ABSENT);
    } else {
        assert_int_equal(answer, m->rows[i].deleted ? OVERLAY_DELETED : OVERLAY_FOUND);
    }
}

static void run_model(uint64_t seed)
{
    struct model *m = MEM_NEW(struct model);
    struct overlay *o = fresh();
    struct buf batch = {0};
    struct batch_builder b;
    for (uint64_t version = 1; version <= 600; version++) {
        struct batch_header header = {.version = version};
        batch_begin(&b, &batch);
        for (uint64_t ops = test_below(&seed, 5); ops > 0; ops--) {
            struct model_row row = {.key = random_key(&seed), .version = version};
            uint64_t number = row_key_number_of(row_key_slice(&row.key));
            row.deleted = test_below(&seed, 4) == 0;
            row.value = (uint32_t)test_next(&seed);
            if (row.deleted) {
                row.version = 0;
                batch_delete(&b, row_key_slice(&row.key));
            } else {
                batch_put(&b, row_key_slice(&row.key), BATCH_OWN_VERSION,
                          slice_of(&row.value, sizeof row.value));
            }
            if (!m->dropped[number]) {
                model_write(m, &row);
            }
        }
        if (test_below(&seed, 200) == 0) {
            uint64_t number = 1 + test_below(&seed, 5);
            batch_drop(&b, number);
            model_drop(m, number);
        }
        expect_err(batch_end(&b, &header), ERR_OK);
        expect_err(overlay_apply_batch(o, buf_slice(&batch), 1), ERR_OK);
        buf_clear(&batch);
        compare_finds(o, m, &seed);
        if (test_below(&seed, 4) == 0) { /* rows stay loose in between */
            compare_walks(o, m, &seed);
        }
    }
    buf_done(&batch);
    overlay_free(o);
    mem_free(m);
}

static void it_agrees_with_a_sorted_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run_model(seed);
    }
}

TEST_MAIN(cmocka_unit_test(a_row_is_absent_then_found_then_deleted),
          cmocka_unit_test(applying_moves_index_version_and_log_time),
          cmocka_unit_test(a_row_of_a_number_that_was_not_given_is_corrupt),
          cmocka_unit_test(an_entry_with_a_damaged_batch_changes_nothing),
          cmocka_unit_test(a_drop_hides_all_rows_and_takes_no_more),
          cmocka_unit_test(keys_that_differ_by_zero_bytes_are_two),
          cmocka_unit_test(actors_come_sorted_for_the_checkpoint),
          cmocka_unit_test(rows_of_a_large_actor_come_sorted_for_the_checkpoint_and_to_the_worker),
          cmocka_unit_test(a_freed_overlay_gives_its_memory_back),
          cmocka_unit_test(a_value_that_grows_with_each_write_costs_a_few_times_its_size),
          cmocka_unit_test(it_agrees_with_a_sorted_array))
