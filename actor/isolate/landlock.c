#include "actor/isolate/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the newest kernel knows it; headers of the system may be older, and older kernels take less of it. */
struct ruleset {
    uint64_t files;
    uint64_t network; /* ABI 4 */
    uint64_t scopes;  /* ABI 6 */
};

enum {
    FILES_ABI_1 = 13,   /* rights on files, as many bits */
    FILES_ABI_2 = 14,   /* and to link across directories */
    FILES_ABI_3 = 15,   /* and to truncate */
    FILES_ABI_5 = 16,   /* and ioctl of devices */
    NETWORK_RIGHTS = 2, /* TCP: bind, connect */
    SCOPES = 2,         /* abstract sockets, signals of other domains */
};

static uint64_t bits(int count)
{
    return (UINT64_C(1) << count) - 1;
}

int landlock_deny_all(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        return -1;
    }
    struct ruleset all = {
        .files = bits(abi >= 5   ? FILES_ABI_5
                      : abi >= 3 ? FILES_ABI_3
                      : abi == 2 ? FILES_ABI_2
                                 : FILES_ABI_1),
        .network = abi >= 4 ? bits(NETWORK_RIGHTS) : 0,
        .scopes = abi >= 6 ? bits(SCOPES) : 0,
    };
    size_t size = abi >= 6   ? sizeof all
                  : abi >= 4 ? offsetof(struct ruleset, scopes)
                             : offsetof(struct ruleset, network);
    return (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
}

int landlock_enforce(int ruleset_fd)
{
    /* Closed here: nothing but its own restriction could be had from it. */
    int error = syscall(SYS_landlock_restrict_self, ruleset_fd, 0) == 0 ? 0 : errno;
    (void)close(ruleset_fd);
    return error;
}
