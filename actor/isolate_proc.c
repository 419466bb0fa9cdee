#include "actor/isolate_proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 4096 };

/* Closed by NUL; empty where it cannot be read. */
static void read_file(int32_t pid, const char *name, char ret_text[TEXT_BYTES])
{
    char path[64];
    ret_text[0] = '\0';
    (void)snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    ssize_t n = read(fd, ret_text, TEXT_BYTES - 1);
    (void)close(fd);
    ret_text[n > 0 ? n : 0] = '\0';
}

uint64_t isolate_proc_peak_bytes(int32_t pid)
{
    char text[TEXT_BYTES];
    read_file(pid, "status", text);
    const char *line = strstr(text, "\nVmHWM:");
    return line != NULL ? strtoull(line + sizeof "\nVmHWM:" - 1, NULL, 10) * 1024 : 0;
}

uint64_t isolate_proc_memory_bytes(int32_t pid)
{
    char text[TEXT_BYTES];
    char *at = text;
    read_file(pid, "statm", text);
    (void)strtoull(at, &at, 10); /* pages: of address space, resident, of files */
    uint64_t resident = strtoull(at, &at, 10);
    uint64_t files = strtoull(at, &at, 10);
    return resident > files ? (resident - files) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
