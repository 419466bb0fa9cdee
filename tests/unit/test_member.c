#include "node/member.h"

#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "node/cluster_view.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static void hex_is_written_and_read_back(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x1f, 0xa0, 0xff};
    uint8_t back[sizeof bytes];
    char text[2 * sizeof bytes + 1];
    hex_encode(bytes, sizeof bytes, text);
    assert_string_equal(text, "001fa0ff");
    assert_true(hex_decode(slice_of_str(text), back, sizeof back));
    assert_memory_equal(back, bytes, sizeof bytes);
    assert_false(hex_decode(SLICE("001fa0f"), back, sizeof back));
    assert_false(hex_decode(SLICE("001fa0fff"), back, sizeof back));
    assert_false(hex_decode(SLICE("001FA0FF"), back, sizeof back));
    assert_false(hex_decode(SLICE("001fa0fg"), back, sizeof back));
}

static void a_member_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct cluster_member m = {.id = 4000000000U,
                               .state = MEMBER_DRAINING,
                               .peer = "[::1]:7421",
                               .url = "https://node-2.example.com:7420",
                               .joined_ms = 17};
    struct cluster_member back;
    struct buf payload = {0};
    char name[MEMBER_NAME_BYTES + 1];
    member_record_name(m.id, name);
    assert_string_equal(name, "member/4000000000");
    member_encode(&m, &payload);
    expect_err(member_decode(slice_of_str(name), buf_slice(&payload), &back), ERR_OK);
    assert_int_equal(back.id, m.id);
    assert_int_equal(back.state, MEMBER_DRAINING);
    assert_string_equal(back.peer, m.peer);
    assert_string_equal(back.url, m.url);
    assert_int_equal(back.joined_ms, 17);
    for (size_t len = 0; len < payload.len; len++) {
        expect_err(member_decode(slice_of_str(name), slice_of(payload.data, len), &back),
                   ERR_CORRUPT);
    }
    static const char *const names[] = {"member/0000000000",  "member/1",
                                        "member/00000000012", "member/4294967296",
                                        "member/-000000001",  "members"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_err(member_decode(slice_of_str(names[i]), buf_slice(&payload), &back), ERR_CORRUPT);
    }
    buf_done(&payload);
}

static void a_place_reads_back_as_it_was_written(void **state)
{
    (void)state;
    static const uint32_t shards[] = {0, 63, 4095, SHARD_META};
    for (size_t i = 0; i < sizeof shards / sizeof shards[0]; i++) {
        struct place p = {.shard = shards[i],
                          .replica_count = 2,
                          .replicas = {replica_id(1, 9), replica_id(7, UINT32_MAX)},
                          .leaving = i % 2 == 0 ? 0 : UINT32_MAX,
                          .is_pinned = i >= 2};
        struct place back;
        struct buf payload = {0};
        char name[PLACE_NAME_BYTES + 1];
        place_record_name(p.shard, name);
        place_encode(&p, &payload);
        expect_err(place_decode(slice_of_str(name), buf_slice(&payload), &back), ERR_OK);
        assert_int_equal(back.shard, p.shard);
        assert_int_equal(back.replica_count, 2);
        assert_memory_equal(back.replicas, p.replicas, sizeof p.replicas);
        assert_int_equal(back.leaving, p.leaving);
        assert_int_equal(back.is_pinned, p.is_pinned);
        buf_done(&payload);
    }
}

static void a_place_without_replicas_or_with_too_many_is_corrupt(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= PLACEMENT_REPLICAS_MAX + 1; count++) {
        struct buf payload = {0};
        struct place back;
        value_put_map(&payload, 1);
        value_put_text(&payload, "replicas");
        value_put_array(&payload, count);
        for (uint32_t i = 0; i < count; i++) {
            value_put_uint(&payload, replica_id(1, i));
        }
        bool is_sound = count >= 1 && count <= PLACEMENT_REPLICAS_MAX;
        expect_err(place_decode(SLICE("shard/00001"), buf_slice(&payload), &back),
                   is_sound ? ERR_OK : ERR_CORRUPT);
        buf_done(&payload);
    }
}

static void addresses_have_a_host_and_a_port(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
    } rows[] = {
        {"127.0.0.1:7421", true},
        {"node-2.example.com:1", true},
        {"[::1]:65535", true},
        {"localhost:0", false},
        {"localhost:65536", false},
        {"localhost", false},
        {":7421", false},
        {"[::1]", false},
        {"a b:1", false},
        {"a/b:1", false},
        {"a:b:1", false},
        {"a:-1", false},
        {"", false},
        {"http://a:1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (member_address_is_valid(slice_of_str(rows[i].text)) != rows[i].is_valid) {
            fail_msg("\"%s\"", rows[i].text);
        }
    }
}

/* Cluster views */

static void add(struct cluster_view *v, const char *name, struct buf *payload)
{
    expect_err(cluster_view_add(v, slice_of_str(name), buf_slice(payload)), ERR_OK);
    buf_done(payload);
}

static void a_view_finds_what_was_added(void **state)
{
    (void)state;
    struct cluster_view *v = cluster_view_new();
    struct buf payload = {0};
    uint8_t hash[DIGEST_BYTES];
    char join[JOIN_NAME_BYTES + 1];
    memset(hash, 9, sizeof hash);
    join_record_name(hash, join);
    join_encode(1000, &payload);
    add(v, join, &payload);
    for (uint32_t id = 1; id <= 5; id++) {
        char name[MEMBER_NAME_BYTES + 1];
        struct cluster_member m = {.id = id, .peer = "h:1", .url = "http://h:2"};
        member_record_name(id, name);
        member_encode(&m, &payload);
        add(v, name, &payload);
    }
    sequence_encode(FIRST_SEQUENCE + 3, &payload);
    add(v, SEQUENCE_RECORD, &payload);
    for (uint32_t shard = 0; shard < 40; shard += 2) {
        char name[PLACE_NAME_BYTES + 1];
        struct place p = {.shard = shard, .replica_count = 1, .replicas = {replica_id(3, shard)}};
        place_record_name(shard, name);
        place_encode(&p, &payload);
        add(v, name, &payload);
    }
    struct place meta = {.shard = SHARD_META, .replica_count = 1, .replicas = {replica_id(4, 1)}};
    place_encode(&meta, &payload);
    add(v, "shard/meta", &payload);

    assert_int_equal(v->member_count, 5);
    assert_int_equal(cluster_view_member(v, 4)->id, 4);
    assert_null(cluster_view_member(v, 6));
    assert_int_equal(v->next_sequence, FIRST_SEQUENCE + 3);
    assert_true(cluster_view_place(v, 38).replicas[0] == replica_id(3, 38));
    assert_true(cluster_view_place(v, 39).replicas[0] == replica_id(1, 40)); /* no record */
    assert_true(cluster_view_place(v, SHARD_META).replicas[0] == replica_id(4, 1));
    assert_true(cluster_view_may_join(v, hash, 999));
    assert_false(cluster_view_may_join(v, hash, 1000));
    hash[0]++;
    assert_false(cluster_view_may_join(v, hash, 1));
    cluster_view_unref(v);
}

static void a_record_of_a_newer_node_is_skipped(void **state)
{
    (void)state;
    struct cluster_view *v = cluster_view_new();
    expect_err(cluster_view_add(v, SLICE("zebra"), SLICE("nonsense")), ERR_OK);
    expect_err(cluster_view_add(v, SLICE("member/0000000001"), SLICE("nonsense")), ERR_CORRUPT);
    cluster_view_unref(v);
}

TEST_MAIN(cmocka_unit_test(hex_is_written_and_read_back),
          cmocka_unit_test(a_member_reads_back_as_it_was_written),
          cmocka_unit_test(a_place_reads_back_as_it_was_written),
          cmocka_unit_test(a_place_without_replicas_or_with_too_many_is_corrupt),
          cmocka_unit_test(addresses_have_a_host_and_a_port),
          cmocka_unit_test(a_view_finds_what_was_added),
          cmocka_unit_test(a_record_of_a_newer_node_is_skipped))
