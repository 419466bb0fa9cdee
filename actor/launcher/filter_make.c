/* Writes the filter of system calls for the processes of sandboxes, as the text of a C array: run once, when the
 * launcher is built, so that neither it nor a sandbox's start needs the library. An allow list, from the default
 * profile of container engines: what programs use, less what reaches beyond the sandbox. The rest is EPERM. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <seccomp.h>

static const char *const allowed[] = {
#define X(name) #name,
#include "actor/launcher/filter.def"
#undef X
};

enum {
    NAMESPACE_FLAGS = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                      CLONE_NEWPID | CLONE_NEWNET,
};

static void check(int rc, const char *what)
{
    if (rc != 0) {
        (void)fprintf(stderr, "filter_make: %s: %d\n", what, rc);
        exit(1);
    }
}

static void add_names(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        int call = seccomp_syscall_resolve_name(allowed[i]);
        if (call == __NR_SCMP_ERROR) {
            continue; /* an older library does not know it: it is refused */
        }
        /* One that this machine's calls do not have is no error either. */
        int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
        check(rc == -EDOM || rc == -EINVAL ? 0 : rc, allowed[i]);
    }
}

static void add_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                               SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i])),
              "socket");
    }
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                           SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE)),
          "socket");
}

static void add_clone(scmp_filter_ctx filter)
{
    check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                           SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACE_FLAGS, 0)),
          "clone");
    check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3");
}

/* PER_LINUX and what else changes nothing of how memory is laid out. */
static void add_personality(scmp_filter_ctx filter)
{
    static const scmp_datum_t values[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                               SCMP_A0(SCMP_CMP_EQ, values[i])),
              "personality");
    }
}

/* In front of the library's program: keys may not be put into a terminal that somebody else reads. The kernel looks
 * at 32 bits of the request, so what stands above them must not matter; the library cannot say that in a list of
 * what is allowed. */
static void print_ioctl(void)
{
    static const struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half comes first");
    for (size_t i = 0; i < sizeof program / sizeof program[0]; i++) {
        (void)printf("{%#x, %u, %u, %#x},\n", program[i].code, program[i].jt, program[i].jf,
                     program[i].k);
    }
}

static void print(scmp_filter_ctx filter)
{
    struct sock_filter program[4096];
    int fd = memfd_create("filter", MFD_CLOEXEC);
    check(fd < 0 ? errno : seccomp_export_bpf(filter, fd), "export");
    ssize_t bytes = pread(fd, program, sizeof program, 0);
    check(bytes > 0 && bytes < (ssize_t)sizeof program ? 0 : 1, "its length");
    for (size_t i = 0; i < (size_t)bytes / sizeof program[0]; i++) {
        (void)printf("{%#x, %u, %u, %#x},\n", program[i].code, program[i].jt, program[i].jf,
                     program[i].k);
    }
    (void)close(fd);
}

int main(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    check(filter == NULL, "init");
    /* Another set of calls than the machine's own: the process dies. */
    check(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "badarch");
    add_names(filter);
    add_sockets(filter);
    add_clone(filter);
    add_personality(filter);
    print_ioctl();
    print(filter);
    seccomp_release(filter);
    return fflush(stdout) == 0 ? 0 : 1;
}
