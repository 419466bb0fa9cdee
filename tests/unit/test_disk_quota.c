#include "storage/disk_quota.h"

#include <pthread.h>

#include "base/invariant.h"
#include "tests/lib/test.h"

static void what_all_say_together_counts(void **state)
{
    (void)state;
    struct disk_quota q = {.bytes_max = 100};
    uint64_t first = 0;
    uint64_t second = 0;
    disk_quota_say(&q, &first, 90);
    disk_quota_say(&q, &second, 9);
    assert_true(disk_quota_has_room(&q, 1));
    assert_false(disk_quota_has_room(&q, 2));
    disk_quota_say(&q, &second, 11);
    assert_false(disk_quota_has_room(&q, 0));
    assert_false(disk_quota_has_room(&q, UINT64_MAX));
    disk_quota_say(&q, &first, 30); /* what one gives up another may use */
    disk_quota_say(&q, &second, 70);
    assert_true(disk_quota_has_room(&q, 0));
    disk_quota_say(&q, &first, 0);
    disk_quota_say(&q, &second, 0);
    assert_int_equal(q.said_bytes, 0);
}

static void what_is_taken_never_exceeds_the_limit(void **state)
{
    (void)state;
    struct disk_quota q = {.bytes_max = 100};
    uint64_t first = 0;
    uint64_t second = 0;
    assert_true(disk_quota_take(&q, &first, 60));
    assert_false(disk_quota_take(&q, &second, 41));
    assert_int_equal(second, 0);
    assert_true(disk_quota_take(&q, &second, 40));
    assert_int_equal(first + second, 100);
    disk_quota_say(&q, &first, 50); /* it came to less */
    assert_true(disk_quota_take(&q, &second, 10));
    disk_quota_say(&q, &first, 200);
    assert_false(disk_quota_take(&q, &second, 0));
}

static void without_a_limit_there_is_always_room(void **state)
{
    (void)state;
    struct disk_quota q = {0};
    uint64_t said = 0;
    disk_quota_say(&q, &said, UINT64_MAX / 2);
    assert_true(disk_quota_has_room(&q, UINT64_MAX));
    assert_true(disk_quota_take(&q, &said, 1));
}

enum { THREADS = 4, TIMES = 20 * 1000 };

static struct disk_quota shared = {.bytes_max = 1};

static void *say_often(void *arg)
{
    uint64_t said = 0;
    for (uint64_t i = 0; i < TIMES; i++) {
        disk_quota_say(&shared, &said, i * 7919 % 1000);
    }
    disk_quota_say(&shared, &said, *(const uint64_t *)arg);
    return NULL;
}

static void nothing_that_threads_say_at_once_is_lost(void **state)
{
    (void)state;
    static const uint64_t last[THREADS] = {1, 20, 300, 4000};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        int rc = pthread_create(&threads[i], NULL, say_often, (void *)(uintptr_t)&last[i]);
        INVARIANT(rc == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(shared.said_bytes, 4321);
}

static struct disk_quota contested = {.bytes_max = 100 * 1000 + 1};

static void *take_all(void *arg)
{
    uint64_t *taken = arg;
    while (disk_quota_take(&contested, taken, 2)) {
    }
    return NULL;
}

static void threads_that_take_at_once_share_what_there_is(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    uint64_t taken[THREADS] = {0};
    uint64_t sum = 0;
    for (int i = 0; i < THREADS; i++) {
        int rc = pthread_create(&threads[i], NULL, take_all, &taken[i]);
        INVARIANT(rc == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
        sum += taken[i];
    }
    assert_int_equal(sum, 100 * 1000);
    assert_int_equal(contested.said_bytes, sum);
}

TEST_MAIN(cmocka_unit_test(what_all_say_together_counts),
          cmocka_unit_test(what_is_taken_never_exceeds_the_limit),
          cmocka_unit_test(without_a_limit_there_is_always_room),
          cmocka_unit_test(nothing_that_threads_say_at_once_is_lost),
          cmocka_unit_test(threads_that_take_at_once_share_what_there_is))
