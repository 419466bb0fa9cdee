#include "actor/isolate/memory.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

#include "actor/isolate_control.h"
#include "base/invariant.h"

enum { STATM_RESIDENT = 1, STATM_SHARED = 2, STATM_DATA = 5, STATM_FIELDS = 6, TICK_US = 4000 };

static int watched_fd = -1;
static uint64_t watched_pages_max;
static uint64_t page_bytes; /* set before the first tick: sysconf is not for signal handlers */

int memory_open(int proc_fd)
{
    return openat(proc_fd, "self/statm", O_RDONLY | O_CLOEXEC);
}

/* Safe in a signal handler. False where it cannot be read. */
static bool read_pages(int fd, uint64_t pages[STATM_FIELDS])
{
    char text[256];
    ssize_t n = pread(fd, text, sizeof text, 0);
    int field = 0;
    pages[0] = 0;
    for (ssize_t i = 0; i < n; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            pages[field] = pages[field] * 10 + (uint64_t)(text[i] - '0');
        } else if (++field < STATM_FIELDS) {
            pages[field] = 0;
        } else {
            return true;
        }
    }
    return false;
}

static uint64_t own_pages(const uint64_t pages[STATM_FIELDS])
{
    uint64_t resident = pages[STATM_RESIDENT];
    uint64_t shared = pages[STATM_SHARED];
    return resident > shared ? resident - shared : 0;
}

static uint64_t bytes_of_pages(uint64_t pages)
{
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t memory_own_bytes(int statm_fd)
{
    uint64_t pages[STATM_FIELDS];
    return read_pages(statm_fd, pages) ? bytes_of_pages(own_pages(pages)) : 0;
}

uint64_t memory_data_bytes(int statm_fd)
{
    uint64_t pages[STATM_FIELDS];
    return read_pages(statm_fd, pages) ? bytes_of_pages(pages[STATM_DATA]) : 0;
}

static void tick(int signal_number)
{
    (void)signal_number;
    uint64_t pages[STATM_FIELDS];
    if (read_pages(watched_fd, pages) && own_pages(pages) > watched_pages_max) {
        _exit(ISOLATE_EXIT_RESIDENT);
    }
}

void memory_watch(int statm_fd, uint64_t own_bytes_max)
{
    PRE(statm_fd >= 0 && own_bytes_max > 0);
    page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    watched_fd = statm_fd;
    watched_pages_max = own_bytes_max / page_bytes;
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    (void)sigaction(SIGPROF, &action, NULL);
    struct itimerval every = {.it_interval = {.tv_usec = TICK_US},
                              .it_value = {.tv_usec = TICK_US}};
    (void)setitimer(ITIMER_PROF, &every, NULL);
}
