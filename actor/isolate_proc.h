/* What /proc says of the memory of an isolate's process; 0: it is gone. */
#ifndef ACTOR_ISOLATE_PROC_H
#define ACTOR_ISOLATE_PROC_H

#include <stdint.h>

uint64_t isolate_proc_peak_bytes(int32_t pid); /* resident at most, ever */
/* Resident now, but for files. What it still shares with its zygote, since the fork, is counted. */
uint64_t isolate_proc_memory_bytes(int32_t pid);

#endif
