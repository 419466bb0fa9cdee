/* Runs a program for which a system call fails, as in some containers and old kernels:
 *     without unshare|seccomp|landlock PROGRAM ARGUMENTS */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    uint32_t number;
    uint32_t error;
} calls[] = {
    {"unshare", SYS_unshare, EPERM},
    {"seccomp", SYS_seccomp, EINVAL},
    {"landlock", SYS_landlock_create_ruleset, ENOSYS},
};

/* False where there is no such call, or no filter can be had. */
static int refuse(const char *name)
{
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (strcmp(name, calls[i].name) != 0) {
            continue;
        }
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | calls[i].error),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
               syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3 || !refuse(argv[1])) {
        (void)fprintf(stderr, "usage: without unshare|seccomp|landlock PROGRAM ARGUMENTS\n");
        return 1;
    }
    (void)execv(argv[2], argv + 2);
    perror(argv[2]);
    return 1;
}
