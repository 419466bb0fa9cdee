#include <malloc.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/heap.h"
#include "base/invariant.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/table.h"

#include "tests/lib/storage.h"
#include "tests/lib/test.h"

static void a_buf_grows_and_keeps_its_bytes(void **state)
{
    (void)state;
    struct buf b = {0};
    for (int i = 0; i < 1000; i++) {
        buf_printf(&b, "%d,", i % 10);
    }
    assert_int_equal(b.len, 2000);
    buf_consume(&b, 1998);
    expect_str(buf_slice(&b), "9,");
    buf_shrink(&b);
    expect_str(buf_slice(&b), "9,");
    assert_int_equal(b.cap, 2);
    buf_clear(&b);
    buf_shrink(&b);
    assert_null(b.data);
}

static void encoded_numbers_sort_as_numbers(void **state)
{
    (void)state;
    struct buf low = {0};
    struct buf high = {0};
    buf_append_u64(&low, 255);
    buf_append_u64(&high, 256);
    assert_true(slice_compare(buf_slice(&low), buf_slice(&high)) < 0);
    buf_done(&low);
    buf_done(&high);
}

static void bytes_live_until_the_last_reference_goes(void **state)
{
    (void)state;
    struct bytes *b = bytes_new(SLICE("value"));
    struct bytes *second = bytes_ref(b);
    bytes_unref(b);
    expect_str(bytes_slice(second), "value");
    bytes_unref(second);
    bytes_unref(NULL);
}

static void crc32c_gives_the_published_check_value(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

enum { NODES = 200 };

static void a_heap_yields_keys_in_order_whatever_moved_or_left(void **state)
{
    (void)state;
    struct heap h = {0};
    struct heap_node nodes[NODES] = {0};
    for (uint64_t i = 0; i < NODES; i++) {
        heap_set(&h, &nodes[i], (i * 7919) % 1000);
    }
    for (uint64_t i = 0; i < NODES; i += 3) {
        heap_set(&h, &nodes[i], (i * 104729) % 1000);
    }
    for (uint64_t i = 1; i < NODES; i += 3) {
        heap_remove(&h, &nodes[i]);
        heap_remove(&h, &nodes[i]); /* no effect */
    }
    uint64_t last = 0;
    size_t seen = 0;
    for (struct heap_node *n; (n = heap_first(&h)) != NULL; seen++) {
        assert_true(n->key >= last);
        last = n->key;
        heap_remove(&h, n);
    }
    assert_int_equal(seen, NODES - (NODES + 1) / 3);
    heap_done(&h);
}

static void a_map_finds_all_with_equal_hashes(void **state)
{
    (void)state;
    struct map m = {0};
    struct map_node nodes[NODES] = {0};
    for (uint64_t i = 0; i < NODES; i++) {
        map_add(&m, &nodes[i], i / 2);
    }
    struct map_node *first = map_find(&m, 21);
    assert_non_null(first);
    assert_non_null(map_next_same(first));
    assert_null(map_next_same(map_next_same(first)));
    map_remove(&m, &nodes[42]);
    map_remove(&m, &nodes[43]);
    assert_null(map_find(&m, 21));
    size_t seen = 0;
    MAP_FOREACH (n, &m) {
        seen++;
    }
    assert_int_equal(seen, NODES - 2);
    map_done(&m);
}

struct tabled {
    uint64_t hash;
    int times; /* seen */
};

/* Hashes are few, so that many items share one and runs of slots meet each other's. */
static void a_table_finds_all_with_equal_hashes(void **state)
{
    (void)state;
    enum { ITEMS = 3000, HASHES = 100 };
    static struct tabled items[ITEMS];
    struct table t = {0};
    struct table_walk w;
    uint64_t seed = 1;
    assert_null(table_first(&t, 1, &w));
    for (int i = 0; i < ITEMS; i++) {
        items[i].hash = test_below(&seed, HASHES) * UINT64_C(0x100000001);
        table_add(&t, items[i].hash, &items[i]);
    }
    assert_int_equal(t.count, ITEMS);
    for (uint64_t i = 0; i < 2 * HASHES; i++) {
        uint64_t hash = i * UINT64_C(0x100000001);
        struct tabled *found = table_first(&t, hash, &w);
        for (; found != NULL; found = table_next(&t, hash, &w)) {
            assert_true(found->hash == hash);
            found->times++;
        }
    }
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(items[i].times, 1);
    }
    table_done(&t);
}

static void a_list_moves_all_and_forgives_a_second_removal(void **state)
{
    (void)state;
    struct list a;
    struct list b;
    struct list links[3];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 3; i++) {
        list_append(i == 0 ? &a : &b, &links[i]);
    }
    list_move_all(&a, &b);
    assert_true(list_is_empty(&b));
    list_remove(&links[1]);
    list_remove(&links[1]);
    assert_ptr_equal(a.next, &links[0]);
    assert_ptr_equal(a.prev, &links[2]);
}

static void a_broken_precondition_stops(void **state)
{
    (void)state;
    struct buf b = {0};
    expect_invariants_to_fail();
    expect_assert_failure(buf_consume(&b, 1));
    invariant_hook = NULL;
}

static void fallible_allocations_fail_on_demand(void **state)
{
    (void)state;
    mem_fail_after(1);
    void *first = mem_try_alloc(8);
    assert_non_null(first);
    assert_null(mem_try_alloc(8));
    mem_fail_after(-1);
    mem_free(first);
}

enum { BLOCKS = 300, BLOCK_BYTES = 4000, STEPS = 50 * 1000 };

struct block {
    uint8_t *at;
    size_t len;
    uint8_t fill;
};

static void expect_filled(const struct block *b)
{
    for (size_t i = 0; i < b->len; i++) {
        assert_int_equal(b->at[i], b->fill);
    }
}

static void change_block(struct block *b, uint64_t *seed)
{
    size_t len = test_below(seed, 10) == 0 ? test_below(seed, BLOCK_BYTES) : test_below(seed, 100);
    if (b->at == NULL) {
        bool zeroed = test_below(seed, 2) == 0;
        b->at = zeroed ? mem_zalloc(len) : mem_alloc(len);
        b->len = len;
        b->fill = 0;
        if (zeroed) {
            expect_filled(b);
        }
    } else if (test_below(seed, 2) == 0) {
        b->at = mem_realloc(b->at, len);
        b->len = b->len < len ? b->len : len;
        expect_filled(b); /* what it had moved along */
        b->len = len;
    } else {
        mem_free(b->at);
        *b = (struct block){0};
        return;
    }
    b->fill = (uint8_t)test_next(seed);
    memset(b->at, b->fill, b->len);
}

static void small_blocks_are_nobody_elses_while_in_use(void **state)
{
    (void)state;
    struct block blocks[BLOCKS] = {0};
    uint64_t seed = 1;
    mem_keep_small();
    for (int i = 0; i < STEPS; i++) {
        struct block *b = &blocks[test_below(&seed, BLOCKS)];
        expect_filled(b);
        change_block(b, &seed);
        if (i % 1000 == 0) {
            mem_give_back_small();
        }
    }
    for (int i = 0; i < BLOCKS; i++) {
        expect_filled(&blocks[i]);
        mem_free(blocks[i].at);
    }
    mem_keep_no_small();
}

static void kept_small_blocks_are_bounded_and_given_back(void **state)
{
    (void)state;
    enum {
        COUNT = 10 * 1000,
        BYTES = 48,
        KEPT_MAX = 128 * 1024,
        SOME_OF_THE_ALLOCATORS_OWN = 4096
    };
    static void *blocks[COUNT];
    mem_keep_small();
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = mem_alloc(BYTES);
    }
    for (int i = 0; i < COUNT; i++) {
        mem_free(blocks[i]);
    }
    assert_true(mallinfo2().uordblks <= before + KEPT_MAX);
    mem_give_back_small();
    assert_true(mallinfo2().uordblks <= before + SOME_OF_THE_ALLOCATORS_OWN);
    mem_keep_no_small();
}

TEST_MAIN(cmocka_unit_test(a_buf_grows_and_keeps_its_bytes),
          cmocka_unit_test(encoded_numbers_sort_as_numbers),
          cmocka_unit_test(bytes_live_until_the_last_reference_goes),
          cmocka_unit_test(crc32c_gives_the_published_check_value),
          cmocka_unit_test(a_heap_yields_keys_in_order_whatever_moved_or_left),
          cmocka_unit_test(a_map_finds_all_with_equal_hashes),
          cmocka_unit_test(a_table_finds_all_with_equal_hashes),
          cmocka_unit_test(a_list_moves_all_and_forgives_a_second_removal),
          cmocka_unit_test(a_broken_precondition_stops),
          cmocka_unit_test(fallible_allocations_fail_on_demand),
          cmocka_unit_test(small_blocks_are_nobody_elses_while_in_use),
          cmocka_unit_test(kept_small_blocks_are_bounded_and_given_back))
