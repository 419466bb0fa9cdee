#include "storage/wal_format.h"

#include "base/buf.h"
#include "base/endian.h"
#include "storage/wal_identity.h"

#include "tests/lib/test.h"

static const struct wal_frame frame = {.wal = 0x1122334455667788,
                                       .epoch = 3,
                                       .segment = 9,
                                       .sequence = 1234567,
                                       .length = 4096,
                                       .crc = 0xabcdef01};

static void a_frame_header_round_trips(void **state)
{
    (void)state;
    uint8_t bytes[WAL_FRAME_HEADER_BYTES];
    struct wal_frame f;
    wal_frame_encode(bytes, &frame);
    expect_err(wal_frame_decode(slice_of(bytes, sizeof bytes), &f), ERR_OK);
    assert_int_equal(f.wal, frame.wal);
    assert_int_equal(f.epoch, frame.epoch);
    assert_int_equal(f.segment, frame.segment);
    assert_int_equal(f.sequence, frame.sequence);
    assert_int_equal(f.length, frame.length);
    assert_int_equal(f.crc, frame.crc);
}

static void every_flipped_bit_of_a_header_is_noticed(void **state)
{
    (void)state;
    uint8_t bytes[WAL_FRAME_HEADER_BYTES];
    struct wal_frame f;
    wal_frame_encode(bytes, &frame);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect_err(wal_frame_decode(slice_of(bytes, sizeof bytes), &f), ERR_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    expect_err(wal_frame_decode(slice_of(bytes, sizeof bytes - 1), &f), ERR_MORE);
}

static void frames_begin_at_multiples_of_eight(void **state)
{
    (void)state;
    assert_int_equal(wal_frame_end(0, 0), 56);
    assert_int_equal(wal_frame_end(56, 1), 120);
    assert_int_equal(wal_frame_end(56, 8), 120);
    assert_int_equal(wal_block_up(4096), 4096);
    assert_int_equal(wal_block_up(4097), 8192);
}

static const struct wal_record records[] = {
    {.kind = WAL_TABLE, .index = 5, .term = 17},
    {.kind = WAL_CREATE, .group = 1, .replica = 2},
    {.kind = WAL_REMOVE, .group = UINT32_MAX, .replica = UINT64_MAX},
    {.kind = WAL_TERM, .group = 1, .replica = 2, .term = 3, .vote = 4},
    {.kind = WAL_ENTRY,
     .type = 9,
     .group = 1,
     .replica = 2,
     .index = 3,
     .term = 4,
     .data = SLICE("data")},
    {.kind = WAL_COPY, .type = 255, .group = 1, .replica = 2, .index = 3, .term = 4},
    {.kind = WAL_TRUNCATE, .group = 1, .replica = 2, .index = 3},
    {.kind = WAL_SNAPSHOT,
     .group = 1,
     .replica = 2,
     .index = 3,
     .term = 4,
     .configuration_index = 5,
     .data = SLICE("configuration")},
    {.kind = WAL_INSTALL,
     .group = 1,
     .replica = 2,
     .index = 3,
     .term = 4,
     .configuration_index = 5,
     .data = SLICE("c")},
    {.kind = WAL_FLOOR, .index = 77},
};

enum { RECORDS = sizeof records / sizeof records[0] };

static void encode(struct buf *to, const struct wal_record *r)
{
    uint8_t *data = wal_record_encode(buf_extend(to, wal_record_bytes(r)), r);
    if (r->data.len > 0) {
        memcpy(data, r->data.data, r->data.len);
    }
}

static void every_kind_of_record_round_trips(void **state)
{
    (void)state;
    struct buf b = {0};
    for (size_t i = 0; i < RECORDS; i++) {
        encode(&b, &records[i]);
    }
    struct slice rest = buf_slice(&b);
    for (size_t i = 0; i < RECORDS; i++) {
        struct wal_record r;
        expect_err(wal_record_decode(&rest, &r), ERR_OK);
        assert_int_equal(r.kind, records[i].kind);
        assert_int_equal(r.type, records[i].type);
        assert_int_equal(r.group, records[i].group);
        assert_int_equal(r.replica, records[i].replica);
        assert_int_equal(r.index, records[i].index);
        assert_int_equal(r.term, records[i].term);
        assert_int_equal(r.vote, records[i].vote);
        assert_int_equal(r.configuration_index, records[i].configuration_index);
        expect_slice(r.data, records[i].data);
    }
    assert_int_equal(rest.len, 0);
    buf_done(&b);
}

static void a_record_cut_anywhere_is_no_record(void **state)
{
    (void)state;
    for (size_t i = 0; i < RECORDS; i++) {
        struct buf b = {0};
        encode(&b, &records[i]);
        for (size_t len = 0; len < b.len; len++) {
            struct slice rest = slice_of(b.data, len);
            struct wal_record r;
            expect_err(wal_record_decode(&rest, &r), ERR_CORRUPT);
        }
        buf_done(&b);
    }
}

static void a_record_whose_length_does_not_fit_its_kind_is_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    struct wal_record r;
    encode(&b, &records[3]); /* TERM: exactly two numbers */
    buf_append_u64(&b, 0);
    put_be32(b.data, 24);
    struct slice rest = buf_slice(&b);
    expect_err(wal_record_decode(&rest, &r), ERR_CORRUPT);
    put_be32(b.data, 8);
    rest = buf_slice(&b);
    expect_err(wal_record_decode(&rest, &r), ERR_CORRUPT);
    b.data[4] = WAL_KIND_COUNT;
    rest = buf_slice(&b);
    expect_err(wal_record_decode(&rest, &r), ERR_CORRUPT);
    buf_done(&b);
}

static void another_version_is_told_from_damage(void **state)
{
    (void)state;
    uint8_t bytes[WAL_IDENTITY_BYTES];
    struct wal_identity identity = {.wal = 1, .epoch = 2, .sequence = 3, .worker = 4};
    struct wal_identity read;
    wal_identity_encode(bytes, &identity);
    expect_err(wal_identity_decode(slice_of(bytes, sizeof bytes), &read), ERR_OK);
    assert_int_equal(read.epoch, 2);
    put_be16(bytes + 4, WAL_FORMAT + 1);
    expect_err(wal_identity_decode(slice_of(bytes, sizeof bytes), &read), ERR_FORMAT);
    put_be16(bytes + 4, WAL_FORMAT);
    bytes[20] ^= 1;
    expect_err(wal_identity_decode(slice_of(bytes, sizeof bytes), &read), ERR_CORRUPT);
}

TEST_MAIN(cmocka_unit_test(a_frame_header_round_trips),
          cmocka_unit_test(every_flipped_bit_of_a_header_is_noticed),
          cmocka_unit_test(frames_begin_at_multiples_of_eight),
          cmocka_unit_test(every_kind_of_record_round_trips),
          cmocka_unit_test(a_record_cut_anywhere_is_no_record),
          cmocka_unit_test(a_record_whose_length_does_not_fit_its_kind_is_refused),
          cmocka_unit_test(another_version_is_told_from_damage))
