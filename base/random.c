#include "base/random.h"

#include <pthread.h>

#include <sodium/core.h>
#include <sodium/randombytes.h>

#include "base/invariant.h"

static pthread_once_t seed_once = PTHREAD_ONCE_INIT;
static uint64_t process_seed;

static void draw_seed(void)
{
    random_init();
    process_seed = random_u64();
}

void random_init(void)
{
    int rc = sodium_init();
    INVARIANT(rc >= 0); /* 1: was initialised already */
}

void random_bytes(void *ret, size_t n)
{
    randombytes_buf(ret, n);
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof v);
    return v;
}

uint64_t random_process_seed(void)
{
    int rc = pthread_once(&seed_once, draw_seed);
    INVARIANT(rc == 0);
    return process_seed;
}
