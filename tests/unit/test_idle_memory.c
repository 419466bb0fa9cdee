/* When freed memory is given back to the system: where there is news of it, and not too often. */
#include "storage/idle_memory.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "tests/lib/test.h"

#define MIB ((size_t)1 << 20)

static bool looks(struct idle_memory *m, size_t free_mib, size_t resident_mib, uint64_t now_ms)
{
    return idle_memory_look(m, (struct memory_size){free_mib * MIB, resident_mib * MIB}, now_ms);
}

static void gives(struct idle_memory *m, size_t free_mib, size_t resident_mib, uint64_t took_ms,
                  uint64_t now_ms)
{
    idle_memory_given(m, (struct memory_size){free_mib * MIB, resident_mib * MIB}, now_ms - took_ms,
                      now_ms);
}

static void what_was_in_use_and_is_free_is_given_back(void **state)
{
    (void)state;
    struct idle_memory m = {0};
    assert_false(looks(&m, 1, 50, 0));
    assert_false(looks(&m, 4, 300, 1000)); /* it is in use */
    assert_false(looks(&m, 7, 300, 2000));
    assert_true(looks(&m, 200, 300, 3000));
}

static void what_is_free_and_not_resident_is_no_news(void **state)
{
    (void)state;
    struct idle_memory m = {0};
    (void)looks(&m, 1, 50, 0);
    assert_true(looks(&m, 200, 300, 1000));
    gives(&m, 200, 100, 0, 1000);
    assert_false(looks(&m, 200, 100, 100 * 1000));
    assert_false(looks(&m, 207, 107, 200 * 1000));
}

static void free_memory_that_was_used_again_is_news(void **state)
{
    (void)state;
    struct idle_memory m = {0};
    (void)looks(&m, 1, 50, 0);
    gives(&m, 200, 100, 0, 0);
    assert_true(looks(&m, 200, 110, 10 * 1000)); /* used between two looks */
    assert_false(looks(&m, 20, 103, 20 * 1000)); /* in use */
    assert_true(looks(&m, 28, 103, 30 * 1000));
}

static void the_longer_it_took_the_longer_the_pause(void **state)
{
    (void)state;
    struct idle_memory m = {0};
    (void)looks(&m, 1, 50, 0);
    gives(&m, 10, 100, 1, 1000);
    assert_false(looks(&m, 200, 300, 1000 + IDLE_MEMORY_PAUSE_MS - 1));
    assert_true(looks(&m, 200, 300, 1000 + IDLE_MEMORY_PAUSE_MS));
    gives(&m, 10, 100, 300, 10 * 1000);
    assert_false(looks(&m, 200, 300, 16 * 1000 - 1));
    assert_true(looks(&m, 200, 300, 16 * 1000));
    gives(&m, 10, 100, 10 * 1000, 20 * 1000);
    assert_false(looks(&m, 200, 300, 20 * 1000 + IDLE_MEMORY_PAUSE_MS_MAX - 1));
    assert_true(looks(&m, 200, 300, 20 * 1000 + IDLE_MEMORY_PAUSE_MS_MAX));
}

/* Half of 64 MB in small pieces, and no two free ones beside each other but by chance. */
static void what_this_process_has_freed_goes_back(void **state)
{
    (void)state;
    enum { PIECES = 16 * 1024, PIECE_BYTES = 4 * 1024 };
    static void *pieces[PIECES];
    idle_memory_give_back();
    for (int i = 0; i < PIECES; i++) {
        pieces[i] = malloc(PIECE_BYTES);
        memset(pieces[i], 1, PIECE_BYTES);
    }
    for (int i = 0; i < PIECES; i++) {
        if (i % 16 != 0) {
            free(pieces[i]);
        }
    }
    idle_memory_give_back();
#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) /* they have allocators of their own */
    size_t resident = 0;
    for (int i = 0; i + 15 < PIECES; i += 16) {
        unsigned char is_in[16] = {0};
        uintptr_t page = ((uintptr_t)pieces[i] + 8 * PIECE_BYTES) & ~(uintptr_t)4095;
        resident += mincore((void *)page, 4096, is_in) == 0 && (is_in[0] & 1) != 0;
    }
    assert_in_range(resident, 0, PIECES / 16 / 4);
#endif
    for (int i = 0; i < PIECES; i += 16) {
        free(pieces[i]);
    }
}

TEST_MAIN(cmocka_unit_test(what_was_in_use_and_is_free_is_given_back),
          cmocka_unit_test(what_is_free_and_not_resident_is_no_news),
          cmocka_unit_test(free_memory_that_was_used_again_is_news),
          cmocka_unit_test(the_longer_it_took_the_longer_the_pause),
          cmocka_unit_test(what_this_process_has_freed_goes_back))
