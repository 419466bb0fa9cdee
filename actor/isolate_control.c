#include "actor/isolate_control.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/invariant.h"

static enum isolate_end end_of_exit(int code)
{
    switch (code) {
    case ISOLATE_EXIT_OK:
        return ISOLATE_END_OK;
    case ISOLATE_EXIT_MEMORY:
    case ISOLATE_EXIT_RESIDENT:
        return ISOLATE_END_MEMORY;
    default:
        return ISOLATE_END_CRASHED;
    }
}

enum isolate_end isolate_control_end(int32_t status)
{
    if (WIFEXITED(status)) {
        return end_of_exit(WEXITSTATUS(status));
    }
    switch (WIFSIGNALED(status) ? WTERMSIG(status) : 0) {
    case SIGABRT: /* the engine gives up so where it cannot throw */
    case SIGILL:
    case SIGTRAP:
        return ISOLATE_END_MEMORY;
    case SIGXCPU:
        return ISOLATE_END_CPU;
    case SIGKILL:
        return ISOLATE_END_KILLED;
    case SIGSYS:
        return ISOLATE_END_FORBIDDEN;
    default:
        return ISOLATE_END_CRASHED;
    }
}

enum err isolate_control_pid(int pidfd, int32_t *ret_pid)
{
    PRE(pidfd >= 0);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return ERR_IO;
    }
    char text[1024];
    ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (n <= 0) {
        return ERR_IO;
    }
    text[n] = '\0';
    const char *line = strstr(text, "\nPid:");
    long pid = line == NULL ? 0 : strtol(line + strlen("\nPid:"), NULL, 10);
    if (pid <= 0) { /* -1 once it is reaped, 0 where this namespace does not see it */
        return ERR_CLOSED;
    }
    *ret_pid = (int32_t)pid;
    return ERR_OK;
}
