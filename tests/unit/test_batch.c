#include "storage/batch.h"

#include "base/endian.h"
#include "base/mem.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

static const struct batch_header HEADER = {.version = 42, .log_time_ms = 1700, .born = 7};

/* put a=1, put b=2 at version 40, delete c, drop 3 */
static struct buf sample(void)
{
    struct buf out = {0};
    struct batch_builder b;
    struct row_key a = test_kv(7, "a");
    struct row_key at40 = test_kv(7, "b");
    struct row_key gone = test_kv(7, "c");
    batch_begin(&b, &out);
    batch_put(&b, row_key_slice(&a), BATCH_OWN_VERSION, SLICE("1"));
    batch_put(&b, row_key_slice(&at40), 40, SLICE("2"));
    batch_delete(&b, row_key_slice(&gone));
    batch_drop(&b, 3);
    assert_int_equal(batch_bytes(&b), out.len);
    expect_err(batch_end(&b, &HEADER), ERR_OK);
    return out;
}

static void ops_come_back_in_order(void **state)
{
    (void)state;
    struct buf batch = sample();
    struct batch_reader r;
    struct batch_op op;
    struct row_key key = test_kv(7, "a");
    expect_err(batch_open(&r, buf_slice(&batch)), ERR_OK);
    assert_int_equal(r.header.version, 42);
    assert_int_equal(r.header.log_time_ms, 1700);
    assert_int_equal(r.header.born, 7);
    assert_int_equal(r.ops_left, 4);

    expect_err(batch_next(&r, &op), ERR_OK);
    assert_int_equal(op.type, BATCH_PUT);
    assert_int_equal(op.version, 42);
    assert_int_equal(op.number, 7);
    expect_slice(op.key, row_key_slice(&key));
    expect_str(op.payload, "1");

    expect_err(batch_next(&r, &op), ERR_OK);
    assert_int_equal(op.type, BATCH_PUT);
    assert_int_equal(op.version, 40);

    expect_err(batch_next(&r, &op), ERR_OK);
    assert_int_equal(op.type, BATCH_DELETE);

    expect_err(batch_next(&r, &op), ERR_OK);
    assert_int_equal(op.type, BATCH_DROP);
    assert_int_equal(op.number, 3);
    assert_int_equal(r.ops_left, 0);
    buf_done(&batch);
}

static void a_batch_cut_anywhere_or_with_more_behind_is_corrupt(void **state)
{
    (void)state;
    struct buf batch = sample();
    for (size_t n = 0; n < batch.len; n++) {
        /* a copy of that length, so that a sanitizer sees a read beyond it */
        uint8_t *copy = mem_alloc(n);
        memcpy(copy, batch.data, n);
        expect_err(batch_check(slice_of(copy, n)), ERR_CORRUPT);
        mem_free(copy);
    }
    expect_err(batch_check(buf_slice(&batch)), ERR_OK);
    buf_append_byte(&batch, 0);
    expect_err(batch_check(buf_slice(&batch)), ERR_CORRUPT);
    buf_done(&batch);
}

static void a_changed_byte_never_reads_out_of_bounds(void **state)
{
    (void)state;
    struct buf batch = sample();
    for (size_t at = 0; at < batch.len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t *copy = mem_alloc(batch.len);
            memcpy(copy, batch.data, batch.len);
            copy[at] = (uint8_t)value;
            enum err err = batch_check(slice_of(copy, batch.len));
            assert_true(err == ERR_OK || err == ERR_CORRUPT || (err == ERR_FORMAT && at == 0));
            mem_free(copy);
        }
    }
    buf_done(&batch);
}

static void another_format_is_told_apart_from_damage(void **state)
{
    (void)state;
    struct buf batch = sample();
    batch.data[0] = BATCH_FORMAT + 1;
    expect_err(batch_check(buf_slice(&batch)), ERR_FORMAT);
    buf_done(&batch);
}

static void a_batch_over_24_mib_is_refused_and_taken_back(void **state)
{
    (void)state;
    struct buf out = {0};
    struct batch_builder b;
    struct row_key key = test_kv(1, "big");
    struct buf payload = {0};
    size_t fits = BATCH_BYTES_MAX - BATCH_HEADER_BYTES -
                  batch_put_bytes(row_key_slice(&key), BATCH_OWN_VERSION, 0);
    memset(buf_extend(&payload, fits + 1), 'x', fits + 1);
    buf_append_str(&out, "before");

    batch_begin(&b, &out);
    batch_put(&b, row_key_slice(&key), BATCH_OWN_VERSION, buf_slice(&payload));
    expect_err(batch_end(&b, &HEADER), ERR_TOO_LARGE);
    expect_str(buf_slice(&out), "before");

    batch_begin(&b, &out);
    batch_put(&b, row_key_slice(&key), BATCH_OWN_VERSION, slice_of(payload.data, fits));
    expect_err(batch_end(&b, &HEADER), ERR_OK);
    expect_err(batch_check(slice_skip(buf_slice(&out), 6)), ERR_OK);
    buf_done(&payload);
    buf_done(&out);
}

static void an_empty_batch_is_a_header(void **state)
{
    (void)state;
    struct buf out = {0};
    struct batch_builder b;
    batch_begin(&b, &out);
    expect_err(batch_end(&b, &HEADER), ERR_OK);
    assert_int_equal(out.len, BATCH_HEADER_BYTES);
    expect_err(batch_check(buf_slice(&out)), ERR_OK);
    buf_done(&out);
}

static void an_entry_gives_its_batches_back(void **state)
{
    (void)state;
    struct buf batch = sample();
    struct buf entry = {0};
    for (int i = 0; i < 3; i++) {
        entry_append(&entry, buf_slice(&batch));
    }
    expect_err(entry_check(buf_slice(&entry)), ERR_OK);
    struct slice rest = buf_slice(&entry);
    struct slice one;
    for (int i = 0; i < 3; i++) {
        expect_err(entry_next(&rest, &one), ERR_OK);
        expect_slice(one, buf_slice(&batch));
    }
    assert_int_equal(rest.len, 0);
    expect_err(entry_check((struct slice){0}), ERR_OK);
    for (size_t n = 1; n < entry.len; n++) {
        size_t stride = 4 + batch.len;
        expect_err(entry_check(slice_of(entry.data, n)), n % stride == 0 ? ERR_OK : ERR_CORRUPT);
    }
    buf_done(&batch);
    buf_done(&entry);
}

static void a_length_beyond_the_entry_is_corrupt(void **state)
{
    (void)state;
    uint8_t entry[8];
    put_be32(entry, UINT32_MAX);
    expect_err(entry_check(slice_of(entry, sizeof entry)), ERR_CORRUPT);
}

static void collecting_stops_at_256_kb_or_1000_batches_but_one_always_fits(void **state)
{
    (void)state;
    assert_true(entry_has_room(0, 0, BATCH_BYTES_MAX));
    assert_true(entry_has_room(100, 1, ENTRY_COLLECT_BYTES_MAX - 104));
    assert_false(entry_has_room(100, 1, ENTRY_COLLECT_BYTES_MAX - 103));
    assert_true(entry_has_room(100, 999, 50));
    assert_false(entry_has_room(100, 1000, 50));
}

TEST_MAIN(cmocka_unit_test(ops_come_back_in_order),
          cmocka_unit_test(a_batch_cut_anywhere_or_with_more_behind_is_corrupt),
          cmocka_unit_test(a_changed_byte_never_reads_out_of_bounds),
          cmocka_unit_test(another_format_is_told_apart_from_damage),
          cmocka_unit_test(a_batch_over_24_mib_is_refused_and_taken_back),
          cmocka_unit_test(an_empty_batch_is_a_header),
          cmocka_unit_test(an_entry_gives_its_batches_back),
          cmocka_unit_test(a_length_beyond_the_entry_is_corrupt),
          cmocka_unit_test(collecting_stops_at_256_kb_or_1000_batches_but_one_always_fits))
