#include "actor/launcher/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

enum { FOLDER_FD = LAUNCH_FD + 1, EXIT_NOT_STARTED = 127, KILL_SECONDS = 5 };

/* In the child, between fork and exec. */

static void unblock_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool become_user(const struct programs *p)
{
    return !p->has_user || (setgroups(0, NULL) == 0 && setresgid(p->gid, p->gid, p->gid) == 0 &&
                            setresuid(p->uid, p->uid, p->uid) == 0 && setuid(0) != 0);
}

/* The launcher's socket and signals have these two numbers, so nothing that is needed here does. */
static bool keep_only(int fd, int folder)
{
    int high_fd = fcntl(fd, F_DUPFD_CLOEXEC, FOLDER_FD + 1);
    int high_folder = fcntl(folder, F_DUPFD_CLOEXEC, FOLDER_FD + 1);
    return high_fd >= 0 && high_folder >= 0 && dup2(high_fd, LAUNCH_FD) == LAUNCH_FD &&
           dup3(high_folder, FOLDER_FD, O_CLOEXEC) == FOLDER_FD;
}

/* Errors are told on `failure`, which a successful exec closes. */
static void run(const struct programs *p, enum launch_program which, int fd, int failure,
                pid_t parent)
{
    static char *const environment[] = {NULL};
    static const char number[] = {'0' + LAUNCH_FD, '\0'};
    const struct launch_text text = launch_text(which);
    const char *const argv[] = {text.file, text.flag, number, NULL};
    bool good = setpgid(0, 0) == 0 && keep_only(fd, p->folder) && become_user(p);
    /* A change of the user would undo it; a parent that is gone by now would not come back. */
    good = good && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
    unblock_signals();
    if (good) {
        (void)syscall(SYS_execveat, FOLDER_FD, text.file, (char *const *)(uintptr_t)argv,
                      environment, 0);
    }
    int error = errno;
    (void)!write(failure, &error, sizeof error);
    _exit(EXIT_NOT_STARTED);
}

/* In the launcher. */

static void tell(int report, const struct launch_report *r)
{
    if (report >= 0) {
        (void)send(report, r, sizeof *r, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static struct program *find(struct programs *p, pid_t pid)
{
    for (size_t i = 0; i < PROGRAMS_MAX; i++) {
        if (p->alive[i].pid == pid) {
            return &p->alive[i];
        }
    }
    return NULL;
}

/* 0, and the process, once it has become the program; else an errno, and there is no process. */
static int start(const struct programs *p, enum launch_program which, int fd, pid_t *ret_pid)
{
    int failure[2];
    int error = 0;
    pid_t parent = getpid();
    if (pipe2(failure, O_CLOEXEC) != 0) {
        return errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        run(p, which, fd, failure[1], parent);
    }
    error = pid < 0 ? errno : 0;
    (void)close(failure[1]);
    if (pid > 0 && read(failure[0], &error, sizeof error) > 0) {
        (void)waitpid(pid, NULL, 0);
    }
    (void)close(failure[0]);
    *ret_pid = pid;
    return error;
}

void programs_start(struct programs *p, enum launch_program which, int fd, int report)
{
    struct launch_report r = {.kind = LAUNCH_STARTED};
    struct program *slot = find(p, 0);
    r.error = slot == NULL ? EAGAIN : start(p, which, fd, &r.pid);
    (void)close(fd);
    tell(report, &r);
    if (r.error != 0) {
        LOG(LOG_ERROR, "program_not_started", LOG_STR("program", launch_text(which).file),
            LOG_INT("errno", r.error));
        if (report >= 0) {
            (void)close(report);
        }
        return;
    }
    *slot = (struct program){.pid = r.pid, .report = report, .which = which};
}

static void on_end(struct programs *p, pid_t pid, int status)
{
    struct program *ended = find(p, pid);
    if (ended == NULL) {
        (void)p->other_ended(pid, status); /* or what a program had left behind */
        return;
    }
    if (status != 0) {
        LOG(LOG_WARN, "program_ended", LOG_STR("program", launch_text(ended->which).file),
            LOG_INT("pid", pid), LOG_INT("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
            LOG_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    }
    tell(ended->report,
         &(struct launch_report){.kind = LAUNCH_EXITED, .pid = pid, .status = status});
    if (ended->report >= 0) {
        (void)close(ended->report);
    }
    *ended = (struct program){0};
}

void programs_reap(struct programs *p)
{
    siginfo_t info = {0};
    /* As long as it is not reaped its number is its group's and nobody else's. */
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0) {
        pid_t pid = info.si_pid;
        int status;
        if (find(p, pid) != NULL) {
            (void)kill(-pid, SIGKILL); /* what it leaves behind */
        }
        if (waitpid(pid, &status, 0) == pid) {
            on_end(p, pid, status);
        }
        info.si_pid = 0;
    }
}

void programs_kill(struct programs *p)
{
    for (size_t i = 0; i < PROGRAMS_MAX; i++) {
        if (p->alive[i].pid > 0) {
            (void)kill(-p->alive[i].pid, SIGKILL);
        }
    }
    /* One that hangs in the kernel is not waited for without end: it dies with the launcher, once it can. */
    (void)alarm(KILL_SECONDS);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
    }
}
