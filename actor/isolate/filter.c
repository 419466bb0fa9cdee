#include "actor/isolate/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/invariant.h"
#include "base/mem.h"

/* Stands for the number of the child, which is not known when the program is made. */
enum { OWN_PID = 0x5afe10ff };

enum { THREAD_FLAGS = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD };

/* What the engine, the allocator and libc use for computing, waiting and talking on the channel. */
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(futex),
    SCMP_SYS(madvise),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(sched_yield),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigsuspend),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(pread64),
    SCMP_SYS(close),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(membarrier),
    SCMP_SYS(lseek),
};

/* What they try by themselves, and go on without. */
static const struct {
    int call;
    int error;
} refused[] = {
    {SCMP_SYS(clone3), ENOSYS}, /* libc then takes clone */
    {SCMP_SYS(sched_setscheduler), EPERM},
    {SCMP_SYS(openat), EACCES},
    {SCMP_SYS(open), EACCES},
    {SCMP_SYS(newfstatat), EACCES},
    {SCMP_SYS(stat), EACCES},
    {SCMP_SYS(fstat), EACCES},
    {SCMP_SYS(access), EACCES},
    {SCMP_SYS(readlink), EACCES},
    {SCMP_SYS(statfs), EACCES},
    {SCMP_SYS(prlimit64), EACCES},
};

static int add_lists(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
        if (rc != 0) {
            return rc;
        }
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)refused[i].error),
                                  refused[i].call, 0);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* The engine's handler of a crash puts the default back, which ends the process; were that refused, the
 * faulting instruction would run for ever. Other handlers stay: the tick of memory.h is one. */
static int add_crash_signals(scmp_filter_ctx filter)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigaction), 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)signals[i]));
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Memory is never executable but for the pool of the compiler, which is mapped before the fork; and never a
 * file's. Threads share everything with their process. */
static int add_conditions(scmp_filter_ctx filter)
{
    int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                              SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
    rc = rc != 0 ? rc
                 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    rc = rc != 0 ? rc
                 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                    SCMP_A0(SCMP_CMP_MASKED_EQ, THREAD_FLAGS, THREAD_FLAGS));
    rc = rc != 0 ? rc
                 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                    SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    rc = rc != 0 ? rc
                 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                    SCMP_A0(SCMP_CMP_EQ, OWN_PID));
    return rc;
}

/* The program as libseccomp writes it into a descriptor. */
static enum err export_program(scmp_filter_ctx filter, struct sock_filter **ret_program,
                               unsigned short *ret_count)
{
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0) {
        return ERR_NOT_IMPLEMENTED;
    }
    enum err err = ERR_NOT_IMPLEMENTED;
    struct stat st;
    if (seccomp_export_bpf(filter, fd) != 0 || fstat(fd, &st) != 0) {
        goto close_fd;
    }
    size_t bytes = (size_t)st.st_size;
    INVARIANT(bytes > 0 && bytes % sizeof(struct sock_filter) == 0);
    struct sock_filter *program = mem_alloc(bytes);
    if (pread(fd, program, bytes, 0) != (ssize_t)bytes) {
        mem_free(program);
        goto close_fd;
    }
    *ret_program = program;
    *ret_count = (unsigned short)(bytes / sizeof(struct sock_filter));
    err = ERR_OK;
close_fd:
    (void)close(fd);
    return err;
}

enum err filter_new(struct sock_filter **ret_program, unsigned short *ret_count)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) {
        return ERR_NOT_IMPLEMENTED;
    }
    enum err err = ERR_NOT_IMPLEMENTED;
    if (add_lists(filter) == 0 && add_crash_signals(filter) == 0 && add_conditions(filter) == 0) {
        err = export_program(filter, ret_program, ret_count);
    }
    seccomp_release(filter);
    return err;
}

int filter_install(struct sock_filter *program, unsigned short count)
{
    int own_count = 0;
    for (unsigned short i = 0; i < count; i++) {
        if (BPF_CLASS(program[i].code) == BPF_JMP && program[i].k == OWN_PID) {
            program[i].k = (uint32_t)getpid();
            own_count++;
        }
    }
    PRE(own_count == 1);
    struct sock_fprog fprog = {.len = count, .filter = program};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) == 0 ? 0 : errno;
}
