/* What a process holds in memory, and the second line of its bound.
 *
 * The first line is RLIMIT_DATA, which the engine meets as a failed allocation. What it cannot see is the
 * engine's heap of object layouts, reserved long before; so a tick of the processor time that is used reads
 * what is resident and ends the process over the bound. */
#ifndef ACTOR_ISOLATE_MEMORY_H
#define ACTOR_ISOLATE_MEMORY_H

#include <stdint.h>

int memory_open(int proc_fd); /* /proc/self/statm, by a descriptor of /proc; -1 where it cannot */

uint64_t memory_own_bytes(int statm_fd); /* resident and not of a file; 0 where it cannot be read */
uint64_t
memory_data_bytes(int statm_fd); /* mapped as data, as RLIMIT_DATA counts, with the stack */

/* From now on this process ends with ISOLATE_EXIT_RESIDENT soon after its own bytes are over the bound. */
void memory_watch(int statm_fd, uint64_t own_bytes_max);

#endif
