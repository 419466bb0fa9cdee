#include "actor/isolate/touched.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "actor/isolate/proc.h"
#include "base/mem.h"

enum {
    SHARED_BYTES = 64 * 1024,
    RANGES_MAX = (SHARED_BYTES - sizeof(struct touched)) / sizeof(struct touched_range),
    BYTES_MAX = 4 << 20, /* more would be no child that has done little */
    ENTRIES = 2048,      /* of a pagemap, in one go */
    PAGE_BYTES = 4096,
};

#define PAGE_PRESENT   (UINT64_C(1) << 63)
#define PAGE_OF_FILE   (UINT64_C(1) << 61) /* or shared memory */
#define PAGE_EXCLUSIVE (UINT64_C(1) << 56)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct touched *touched_open(void)
{
    void *shared =
        mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED || sysconf(_SC_PAGESIZE) != PAGE_BYTES ? NULL : shared;
}

bool touched_watch(struct touched_watch *ret, int proc_fd)
{
    *ret = (struct touched_watch){0};
    proc_read_maps(proc_fd, &ret->maps);
    ret->pagemap_fd = openat(proc_fd, "self/pagemap", O_RDONLY | O_CLOEXEC);
    return ret->pagemap_fd >= 0;
}

static void add(struct touched *t, uint8_t *page)
{
    struct touched_range *last = t->count > 0 ? &t->ranges[t->count - 1] : NULL;
    if (last != NULL && last->start + last->bytes == page) {
        last->bytes += PAGE_BYTES;
    } else if (t->count < RANGES_MAX) {
        t->ranges[t->count++] = (struct touched_range){page, PAGE_BYTES};
    }
}

static void find_in(int pagemap_fd, uint8_t *start, size_t pages_left, struct touched *t)
{
    static uint64_t entries[ENTRIES];
    while (pages_left > 0) {
        size_t pages = pages_left < ENTRIES ? pages_left : ENTRIES;
        ssize_t n = pread(pagemap_fd, entries, pages * sizeof entries[0],
                          (off_t)((uintptr_t)start / PAGE_BYTES * sizeof entries[0]));
        if (n != (ssize_t)(pages * sizeof entries[0])) {
            return;
        }
        for (size_t i = 0; i < pages; i++) {
            if ((entries[i] & (PAGE_PRESENT | PAGE_EXCLUSIVE | PAGE_OF_FILE)) ==
                (PAGE_PRESENT | PAGE_EXCLUSIVE)) {
                add(t, start + i * PAGE_BYTES);
            }
        }
        start += pages * PAGE_BYTES;
        pages_left -= pages;
    }
}

void touched_find(const struct touched_watch *w, struct touched *ret)
{
    for (const char *line = (const char *)w->maps.data; line != NULL && *line != '\0';) {
        uint8_t *start;
        uint8_t *end;
        char rights[5];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", (uintptr_t *)&start, (uintptr_t *)&end,
                   rights) == 3 &&
            rights[1] == 'w' && rights[3] == 'p') {
            find_in(w->pagemap_fd, start, (size_t)(end - start) / PAGE_BYTES, ret);
        }
        line = strchr(line, '\n');
        line += line != NULL ? 1 : 0;
    }
}

struct touched *touched_close(struct touched *shared)
{
    size_t bytes = 0;
    size_t count = shared->count <= RANGES_MAX ? shared->count : 0;
    for (size_t i = 0; i < count; i++) {
        bytes += shared->ranges[i].bytes;
    }
    count = bytes <= BYTES_MAX ? count : 0;
    struct touched *own = mem_zalloc(sizeof *own + count * sizeof own->ranges[0]);
    own->count = count;
    memcpy(own->ranges, shared->ranges, count * sizeof own->ranges[0]);
    (void)munmap(shared, SHARED_BYTES);
    return own;
}

/* What cannot be written now is when it has to be: a kernel before 5.14 has no such advice. */
void touched_write(const struct touched *t)
{
    for (size_t i = 0; t != NULL && i < t->count; i++) {
        const struct touched_range *r = &t->ranges[i];
        (void)madvise(r->start, r->bytes, MADV_POPULATE_WRITE);
    }
}
