#include "node/worker_count.h"

#include <sched.h>
#include <unistd.h>

#include "storage/data_dir.h"
#include "storage/engine.h"

uint32_t worker_count_default(uint32_t processor_count, uint64_t max_disk)
{
    uint32_t count = processor_count > 1 ? processor_count - 1 : 1;
    count = count < DATA_WORKERS_MAX ? count : DATA_WORKERS_MAX;
    while (count > 1 && max_disk != 0 && max_disk < engine_quota_bytes_min(count)) {
        count--;
    }
    return count;
}

uint32_t worker_count_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return (uint32_t)CPU_COUNT(&set);
    }
    long count = sysconf(_SC_NPROCESSORS_ONLN); /* more than a cpu_set_t can name */
    return count > 0 ? (uint32_t)count : 1;
}
