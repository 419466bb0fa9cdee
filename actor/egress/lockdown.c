#include "actor/egress/lockdown.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor/egress_frame.h"

/* Landlock */

/* What headers of Linux 6.1 do not know yet. */
struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

enum {
    ABI_TRUNCATE = 3,
    ABI_NET = 4,
    ABI_IOCTL = 5,
    ABI_SCOPE = 6,
    BITS_FS_V1 = 13,
    BIT_REFER = 13,
    BIT_TRUNCATE = 14,
    BIT_IOCTL = 15,
    NET_BIND_TCP = 1,
    SCOPE_ALL = 3, /* abstract sockets, signals */
};

#define READ_ONLY ((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))

static bool allow_read(int ruleset, const char *path)
{
    struct stat stat;
    struct landlock_path_beneath_attr rule = {.allowed_access = READ_ONLY};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0) {
        return true; /* not every system has every file */
    }
    if (fstat(rule.parent_fd, &stat) == 0 && !S_ISDIR(stat.st_mode)) {
        rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    }
    long rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    (void)close(rule.parent_fd);
    return rc == 0;
}

static int new_ruleset(long abi)
{
    struct ruleset r = {.fs = ((uint64_t)1 << BITS_FS_V1) - 1};
    size_t bytes = offsetof(struct ruleset, net);
    r.fs |= abi >= 2 ? (uint64_t)1 << BIT_REFER : 0;
    r.fs |= abi >= ABI_TRUNCATE ? (uint64_t)1 << BIT_TRUNCATE : 0;
    r.fs |= abi >= ABI_IOCTL ? (uint64_t)1 << BIT_IOCTL : 0;
    if (abi >= ABI_NET) {
        r.net = NET_BIND_TCP;
        bytes = offsetof(struct ruleset, scoped);
    }
    if (abi >= ABI_SCOPE) {
        r.scoped = SCOPE_ALL;
        bytes = sizeof r;
    }
    return (int)syscall(SYS_landlock_create_ruleset, &r, bytes, 0);
}

/* Files stand for themselves here, not for their names: actor/egress/files.h says what becomes of one that is
 * replaced. */
static uint32_t restrict_files(void)
{
    static const char *const paths[] = {
        "/etc/resolv.conf",     "/etc/hosts",     "/etc/nsswitch.conf",
        "/etc/host.conf",       "/etc/gai.conf",  "/etc/services",
        "/etc/localtime",       "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
        "/etc/ca-certificates", "/usr/lib/ssl",   "/usr/share/ca-certificates",
        "/run/systemd/resolve", "/run/resolvconf"};
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int ruleset = abi > 0 ? new_ruleset(abi) : -1;
    if (ruleset < 0) {
        return 0;
    }
    bool good = true;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        good = allow_read(ruleset, paths[i]) && good;
    }
    good = good && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    (void)close(ruleset);
    return !good ? 0U
                 : EGRESS_LANDLOCK | (abi >= ABI_NET ? EGRESS_LANDLOCK_NET : 0U) |
                       (abi >= ABI_SCOPE ? EGRESS_LANDLOCK_SCOPE : 0U);
}

/* Limits */

static bool limit(int resource, rlim_t most)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)resource, &now) != 0) {
        return false;
    }
    most = most < now.rlim_max ? most : now.rlim_max;
    struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
    return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

/* A sanitizer's shadow of the memory counts as memory, too. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DATA_BYTES RLIM_INFINITY
#else
#define DATA_BYTES ((rlim_t)1 << 30)
#endif

static uint32_t set_limits(void)
{
    enum { DESCRIPTORS = 4096 };
    bool good = limit(RLIMIT_CORE, 0) && limit(RLIMIT_NOFILE, DESCRIPTORS) &&
                limit(RLIMIT_DATA, DATA_BYTES) && limit(RLIMIT_MEMLOCK, 0);
    return good ? EGRESS_RLIMIT : 0U;
}

/* System calls */

static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(lseek),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(dup),
    SCMP_SYS(fcntl),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    SCMP_SYS(accept4), /* on sockets that it was given: it makes none that listens */
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(membarrier),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrandom),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group)};

/* Nothing of ours makes these: whoever does has taken the process over. All others are EPERM, since libraries
 * try some and go on without. */
static const int deadly[] = {SCMP_SYS(execve),
                             SCMP_SYS(execveat),
                             SCMP_SYS(fork),
                             SCMP_SYS(vfork),
                             SCMP_SYS(ptrace),
                             SCMP_SYS(process_vm_readv),
                             SCMP_SYS(process_vm_writev),
                             SCMP_SYS(kill),
                             SCMP_SYS(tkill),
                             SCMP_SYS(pidfd_open),
                             SCMP_SYS(pidfd_getfd),
                             SCMP_SYS(pidfd_send_signal),
                             SCMP_SYS(bpf),
                             SCMP_SYS(io_uring_setup),
                             SCMP_SYS(userfaultfd),
                             SCMP_SYS(perf_event_open),
                             SCMP_SYS(mount),
                             SCMP_SYS(unshare),
                             SCMP_SYS(setns),
                             SCMP_SYS(keyctl),
                             SCMP_SYS(listen),
                             SCMP_SYS(accept)};

static bool add_all(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t count)
{
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        good = seccomp_rule_add(ctx, action, calls[i], 0) == 0 && good;
    }
    return good;
}

static bool allow_if(scmp_filter_ctx ctx, int call, struct scmp_arg_cmp condition)
{
    return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &condition) == 0;
}

static bool add_sockets(scmp_filter_ctx ctx)
{
    /* Netlink tells the resolver which addresses this machine has. */
    static const uint64_t families[] = {AF_INET, AF_INET6, AF_NETLINK};
    bool good = allow_if(ctx, SCMP_SYS(socketpair), SCMP_A0(SCMP_CMP_EQ, AF_UNIX)) &&
                allow_if(ctx, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONREAD)) &&
                allow_if(ctx, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONBIO));
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        good = good && allow_if(ctx, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, families[i]));
    }
    return good;
}

static bool add_conditions(scmp_filter_ctx ctx)
{
    const uint64_t thread =
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    return allow_if(ctx, SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, O_RDONLY)) &&
           allow_if(ctx, SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, O_ACCMODE, O_RDONLY)) &&
           allow_if(ctx, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) &&
           allow_if(ctx, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) &&
           allow_if(ctx, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread)) &&
           allow_if(ctx, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)) &&
           allow_if(ctx, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0)) && /* to look */
           allow_if(ctx, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid())) &&
           /* glibc falls back to clone, whose flags can be seen */
           seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

static bool filter_calls(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool good = ctx != NULL &&
                add_all(ctx, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof allowed[0]) &&
                add_all(ctx, SCMP_ACT_KILL_PROCESS, deadly, sizeof deadly / sizeof deadly[0]) &&
                add_sockets(ctx) && add_conditions(ctx) && seccomp_load(ctx) == 0;
    seccomp_release(ctx);
    return good;
}

/* What is refused now would have been granted before. */
static bool is_filtered(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd < 0 && errno == EPERM;
}

/* Where there is no user for it. A container may have no other one: the other layers stand. */
static void leave_root(void)
{
    enum { NOBODY = 65534 };
    if (geteuid() == 0 && setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0) {
        int rc = setresuid(NOBODY, NOBODY, NOBODY);
        (void)rc;
    }
}

enum err lockdown(uint32_t *ret_layers)
{
    uint32_t layers = set_limits();
    leave_root();
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return ERR_IO;
    }
    layers |= restrict_files();
    if (!filter_calls() || !is_filtered()) {
        return ERR_IO;
    }
    *ret_layers = layers | EGRESS_SECCOMP;
    return ERR_OK;
}
