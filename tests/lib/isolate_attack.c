/* dormouse-isolate with host functions that make system calls directly, as native code that took over a child
 * would: `attack(name)` gives the result, or -errno; where the filter kills there is none. `attacks(kills)`
 * lists the names. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "actor/isolate/engine.h"
#include "actor/isolate/program.h"

struct attack {
    const char *name;
    long number;
    intptr_t arguments[6];
};

static char page[8192] __attribute__((aligned(4096)));

/* For each of these the process dies. */
static const struct attack killed[] = {
    {"socket", SYS_socket, {AF_INET, SOCK_STREAM}},
    {"socket_unix", SYS_socket, {AF_UNIX, SOCK_STREAM}},
    {"socket_netlink", SYS_socket, {AF_NETLINK, SOCK_RAW}},
    {"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0, (intptr_t)page}},
    {"connect", SYS_connect, {3, (intptr_t)page, 16}},
    {"bind", SYS_bind, {3, (intptr_t)page, 16}},
    {"accept", SYS_accept4, {3}},
    {"execve", SYS_execve, {(intptr_t) "/etc/passwd"}},
    {"execveat", SYS_execveat, {3, (intptr_t) "/etc/passwd", 0, 0, AT_EMPTY_PATH}},
    {"fork", SYS_clone, {SIGCHLD}},
    {"vfork", SYS_clone, {CLONE_VM | CLONE_VFORK | SIGCHLD}},
    {"unshare", SYS_unshare, {CLONE_NEWUSER}},
    {"setns", SYS_setns, {3}},
    {"ptrace", SYS_ptrace, {PTRACE_TRACEME}},
    {"process_vm_readv", SYS_process_vm_readv, {1}},
    {"pidfd_open", SYS_pidfd_open, {1}},
    {"pidfd_getfd", SYS_pidfd_getfd, {3}},
    {"kill", SYS_kill, {1, SIGKILL}},
    {"kill_all", SYS_kill, {-1, SIGKILL}},
    {"tkill", SYS_tkill, {1, SIGKILL}},
    {"tgkill_other", SYS_tgkill, {1, 1, SIGKILL}},
    {"rt_sigqueueinfo", SYS_rt_sigqueueinfo, {1, SIGKILL, (intptr_t)page}},
    {"io_uring_setup", SYS_io_uring_setup, {8, (intptr_t)page}},
    {"bpf", SYS_bpf, {0, (intptr_t)page, 64}},
    {"userfaultfd", SYS_userfaultfd, {0}},
    {"perf_event_open", SYS_perf_event_open, {(intptr_t)page, 0, -1, -1}},
    {"keyctl", SYS_keyctl, {0}},
    {"mount",
     SYS_mount,
     {(intptr_t) "/etc/passwd", (intptr_t) "/etc/passwd", (intptr_t) "/etc/passwd"}},
    {"pivot_root", SYS_pivot_root, {(intptr_t) "/etc/passwd", (intptr_t) "/etc/passwd"}},
    {"chroot", SYS_chroot, {(intptr_t) "/etc/passwd"}},
    {"chdir", SYS_chdir, {(intptr_t) "/etc/passwd"}},
    {"openat2", SYS_openat2, {AT_FDCWD, (intptr_t) "/etc/passwd", (intptr_t)page, 24}},
    {"open_by_handle_at", SYS_open_by_handle_at, {3, (intptr_t)page}},
    {"memfd_create", SYS_memfd_create, {(intptr_t) "/etc/passwd"}},
    {"memfd_secret", SYS_memfd_secret, {0}},
    {"mmap_exec",
     SYS_mmap,
     {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1}},
    {"mmap_file", SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE, 3}},
    {"mprotect_exec", SYS_mprotect, {(intptr_t)page, 4096, PROT_READ | PROT_EXEC}},
    {"pkey_mprotect", SYS_pkey_mprotect, {(intptr_t)page, 4096, PROT_READ | PROT_EXEC, -1}},
    {"shmget", SYS_shmget, {1, 4096, 01600}},
    {"dup", SYS_dup, {3}},
    {"fcntl", SYS_fcntl, {3, F_DUPFD, 10}},
    {"ioctl", SYS_ioctl, {3}},
    {"pipe", SYS_pipe2, {(intptr_t)page}},
    {"eventfd", SYS_eventfd2, {0}},
    {"epoll_create", SYS_epoll_create1, {0}},
    {"inotify", SYS_inotify_init1, {0}},
    {"seccomp", SYS_seccomp, {0}},
    {"prctl_dumpable", SYS_prctl, {PR_SET_DUMPABLE, 1}},
    {"setuid", SYS_setuid, {0}},
    {"capset", SYS_capset, {(intptr_t)page, (intptr_t)page}},
    {"setrlimit", SYS_setrlimit, {RLIMIT_DATA, (intptr_t)page}},
    {"setitimer", SYS_setitimer, {ITIMER_PROF, (intptr_t)page}},
    {"sigaction", SYS_rt_sigaction, {SIGPROF, (intptr_t)page, 0, 8}},
    {"sethostname", SYS_sethostname, {(intptr_t) "/etc/passwd", 1}},
    {"init_module", SYS_init_module, {(intptr_t)page, 1}},
    {"reboot", SYS_reboot, {0}},
    {"landlock", SYS_landlock_create_ruleset, {0}},
};

/* These fail, since libraries make them too. */
static const struct attack refused[] = {
    {"open_root", SYS_openat, {AT_FDCWD, (intptr_t) "/", O_RDONLY}},
    {"open_passwd", SYS_openat, {AT_FDCWD, (intptr_t) "/etc/passwd", O_RDONLY}},
    {"open_proc", SYS_openat, {AT_FDCWD, (intptr_t) "/proc/1/environ", O_RDONLY}},
    {"open_beside_a_descriptor", SYS_openat, {3, (intptr_t) "../1/environ", O_RDONLY}},
    {"create", SYS_openat, {AT_FDCWD, (intptr_t) "/new", O_WRONLY | O_CREAT, 0600}},
    {"stat_root", SYS_newfstatat, {AT_FDCWD, (intptr_t) "/", (intptr_t)page}},
    {"clone3", SYS_clone3, {(intptr_t)page, 88}},
    {"prlimit", SYS_prlimit64, {0, RLIMIT_DATA, 0, (intptr_t)page}},
    {"sched_setscheduler", SYS_sched_setscheduler, {0, 1, (intptr_t)page}},
};

enum { KILLED = sizeof killed / sizeof killed[0], REFUSED = sizeof refused / sizeof refused[0] };

static void list_attacks(struct engine_call *c, void *context)
{
    (void)context;
    bool kills = engine_arg_bool(c, 0);
    struct buf names = {0};
    for (size_t i = 0; i < (kills ? KILLED : REFUSED); i++) {
        buf_printf(&names, "%s%s", i == 0 ? "" : " ", kills ? killed[i].name : refused[i].name);
    }
    engine_return_text(c, buf_slice(&names), false);
    buf_done(&names);
}

static const struct attack *find(struct slice name)
{
    for (size_t i = 0; i < KILLED + REFUSED; i++) {
        const struct attack *a = i < KILLED ? &killed[i] : &refused[i - KILLED];
        if (slice_equal_str(name, a->name)) {
            return a;
        }
    }
    return NULL;
}

static void run_attack(struct engine_call *c, void *context)
{
    (void)context;
    struct buf name = {0};
    const struct attack *a = NULL;
    if (engine_arg_text(c, 0, &name)) {
        a = find(buf_slice(&name));
    }
    buf_done(&name);
    if (a == NULL) {
        engine_throw(c, "RangeError", "there is no such attack");
        return;
    }
    long result = syscall(a->number, a->arguments[0], a->arguments[1], a->arguments[2],
                          a->arguments[3], a->arguments[4], a->arguments[5]);
    engine_return_number(c, result < 0 ? -(double)errno : (double)result);
}

/* The second way into the kernel that some machines have, with numbers of its own. */
static void run_foreign(struct engine_call *c, void *context)
{
    (void)context;
#if defined(__x86_64__)
    long result = 20; /* getpid */
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    engine_return_number(c, (double)result);
#else
    engine_return_bool(c, false);
#endif
}

/* What a child may do, and the engine does. */
static void signal_own_thread(struct engine_call *c, void *context)
{
    (void)context;
    double number = 0;
    if (engine_arg_number(c, 0, &number)) {
        engine_return_number(c, (double)syscall(SYS_tgkill, getpid(), gettid(), (int)number));
    }
}

/* A crash: the fault is taken by the engine's handler first. */
static void write_wild(struct engine_call *c, void *context)
{
    (void)context;
    static volatile uintptr_t address =
        8; /* read at run time, so that the compiler cannot know it */
    *(volatile int *)address = 1;
    engine_return_bool(c, true);
}

static void add_hosts(struct engine *e)
{
    static const struct engine_host hosts[] = {
        {"attacks", list_attacks},      {"attack", run_attack},
        {"attackForeign", run_foreign}, {"signalOwnThread", signal_own_thread},
        {"writeWild", write_wild},
    };
    engine_host_add(e, hosts, sizeof hosts / sizeof hosts[0], NULL);
}

int main(int argc, char **argv)
{
    return program_run(argc, argv, add_hosts);
}
