/* Idle memory: what the allocator holds free, and the system could have. A wave of actors that went to
 * sleep, or of clients that hung up, leaves a heap of small holes, which the allocator keeps.
 *
 * Giving it back stops all threads that allocate meanwhile, for longer than a request should take where the
 * holes are many. So it is done only where there is news: the least that was free, or resident, since
 * the last time has grown by IDLE_MEMORY_BYTES; and the longer it took, the longer nobody does it again. */
#ifndef STORAGE_IDLE_MEMORY_H
#define STORAGE_IDLE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    IDLE_MEMORY_PAUSE_MS = 5 * 1000,
    IDLE_MEMORY_PAUSE_MS_MAX = 30 * 1000,
    IDLE_MEMORY_PAUSE_TIMES = 20, /* as long as it took is the pause, within these two */
};
#define IDLE_MEMORY_BYTES ((size_t)8 << 20)

struct memory_size {
    size_t free_bytes;     /* of the allocator's: some of it the system has already */
    size_t resident_bytes; /* of the process, anonymous */
};

/* Zero-initialised is the start. */
struct idle_memory {
    bool has_least;
    struct memory_size least; /* each since the last time */
    uint64_t next_ms;
};

/* Pure. True: give it back now, and tell. */
bool idle_memory_look(struct idle_memory *m, struct memory_size now, uint64_t now_ms);
void idle_memory_given(struct idle_memory *m, struct memory_size left, uint64_t began_ms,
                       uint64_t now_ms);

/* Both with what this process has. Any thread but a worker's; all of them look with the same eyes. */
void idle_memory_give_back(void);

#endif
