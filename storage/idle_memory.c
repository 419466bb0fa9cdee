#include "storage/idle_memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void note_least(struct idle_memory *m, struct memory_size now)
{
    if (!m->has_least) {
        m->least = now;
        m->has_least = true;
    }
    m->least.free_bytes = min_size(m->least.free_bytes, now.free_bytes);
    m->least.resident_bytes = min_size(m->least.resident_bytes, now.resident_bytes);
}

bool idle_memory_look(struct idle_memory *m, struct memory_size now, uint64_t now_ms)
{
    note_least(m, now);
    bool has_news = now.free_bytes >= m->least.free_bytes + IDLE_MEMORY_BYTES ||
                    now.resident_bytes >= m->least.resident_bytes + IDLE_MEMORY_BYTES;
    return has_news && now.free_bytes >= IDLE_MEMORY_BYTES && now_ms >= m->next_ms;
}

void idle_memory_given(struct idle_memory *m, struct memory_size left, uint64_t began_ms,
                       uint64_t now_ms)
{
    uint64_t pause_ms = (now_ms - began_ms) * IDLE_MEMORY_PAUSE_TIMES;
    pause_ms = pause_ms > IDLE_MEMORY_PAUSE_MS ? pause_ms : IDLE_MEMORY_PAUSE_MS;
    pause_ms = pause_ms < IDLE_MEMORY_PAUSE_MS_MAX ? pause_ms : IDLE_MEMORY_PAUSE_MS_MAX;
    m->least = left;
    m->next_ms = now_ms + pause_ms;
}

/* Of /proc/self/statm: pages in all, resident, and of these shared with files. 0 where it cannot be read:
 * then what is free alone decides. */
static size_t resident_bytes(void)
{
    char text[128] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    size_t all;
    size_t resident;
    size_t shared;
    if (n <= 0 || sscanf(text, "%zu %zu %zu", &all, &resident, &shared) != 3) {
        return 0;
    }
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

static struct memory_size size_now(void)
{
    return (struct memory_size){.free_bytes = mallinfo2().fordblks,
                                .resident_bytes = resident_bytes()};
}

static struct idle_memory of_process; /* under mutex */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void idle_memory_give_back(void)
{
    if (pthread_mutex_trylock(&mutex) != 0) {
        return; /* another worker's thread is about it */
    }
    uint64_t began_ms = clock_mono_ms();
    if (idle_memory_look(&of_process, size_now(), began_ms)) {
        (void)malloc_trim(0);
        uint64_t ended_ms = clock_mono_ms();
        idle_memory_given(&of_process, size_now(), began_ms, ended_ms);
    }
    (void)pthread_mutex_unlock(&mutex);
}
