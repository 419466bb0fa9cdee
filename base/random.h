/* Randomness from the kernel, through libsodium. `random_init` comes first in every main. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_init(void);
void random_bytes(void *ret, size_t n);
uint64_t random_u64(void);
uint64_t random_process_seed(void); /* the same for the life of the process, any thread */

#endif
