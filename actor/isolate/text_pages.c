#include "actor/isolate/text_pages.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "actor/isolate/proc.h"
#include "base/buf.h"

enum { LARGE_BYTES = 256 * 1024 }; /* smaller ones are a fault or two */

struct mapping {
    uint8_t *start;
    size_t bytes;
    int protection;
};

/* A line of /proc/self/maps; false where it is none of a file that is only read or run. */
static bool parse_mapping(const char *line, struct mapping *ret)
{
    uintptr_t start;
    uintptr_t end;
    char rights[5];
    int path_at = 0;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &start, &end, rights,
               &path_at) != 3) {
        return false;
    }
    if (line[path_at] != '/' || rights[0] != 'r' || rights[1] != '-' || rights[3] != 'p') {
        return false;
    }
    *ret = (struct mapping){
        .start = (uint8_t *)start,
        .bytes = end - start,
        .protection = PROT_READ | (rights[2] == 'x' ? PROT_EXEC : 0),
    };
    return true;
}

/* Writes the first byte of it, as it was. */
static void own_one_page(const struct mapping *m)
{
    if (mprotect(m->start, m->bytes, m->protection | PROT_WRITE) == 0) {
        volatile uint8_t *first = m->start;
        *first = *first;
        (void)mprotect(m->start, m->bytes, m->protection);
    }
}

void text_pages_share(int proc_fd)
{
    struct buf maps = {0};
    proc_read_maps(proc_fd, &maps);
    for (char *line = (char *)maps.data; *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = '\0';
        }
        struct mapping m;
        if (parse_mapping(line, &m) && m.bytes >= LARGE_BYTES) {
            own_one_page(&m);
        }
        line = end == NULL ? line + strlen(line) : end + 1;
    }
    buf_done(&maps);
}
