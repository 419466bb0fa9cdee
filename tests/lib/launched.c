/* A program for the launcher to start in place of a real one: says what it was given, and does as it is told by
 * single bytes on its socket, LAUNCH_FD.
 *
 *     i   says what it is: one line of `name=value`
 *     f   forks a process that stays; says its number
 *     eN  ends with status N
 *     s   ends by SIGSEGV */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "actor/launch_wire.h"

extern char **environ;

static void say(const char *text)
{
    if (write(LAUNCH_FD, text, strlen(text)) < 0) {
        _exit(99);
    }
}

/* Descriptors but the one that lists them. */
static void list_fds(char *out, size_t bytes)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    size_t len = 0;
    out[0] = '\0';
    while (folder != NULL && (entry = readdir(folder)) != NULL && len < bytes) {
        if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != dirfd(folder)) {
            len +=
                (size_t)snprintf(out + len, bytes - len, "%s%s", len > 0 ? "," : "", entry->d_name);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
}

static int count_environment(void)
{
    int count = 0;
    while (environ[count] != NULL) {
        count++;
    }
    return count;
}

static int count_signals(void)
{
    int count = 0;
    for (int number = 1; number < 32; number++) {
        struct sigaction action;
        sigset_t blocked;
        (void)sigprocmask(SIG_SETMASK, NULL, &blocked);
        if (sigaction(number, NULL, &action) == 0) {
            count += action.sa_handler != SIG_DFL || sigismember(&blocked, number) == 1 ? 1 : 0;
        }
    }
    return count;
}

static void say_all(int argc, char **argv)
{
    char fds[256];
    char text[1024];
    char folder[256];
    list_fds(fds, sizeof fds);
    (void)snprintf(text, sizeof text,
                   "pid=%d ppid=%d group=%d uid=%d gid=%d fds=%s environment=%d signals=%d name=%s "
                   "arguments=%s nnp=%d folder=%s\n",
                   getpid(), getppid(), getpgid(0), getuid(), getgid(), fds, count_environment(),
                   count_signals(), argv[0], argc == 3 ? argv[1] : "",
                   prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
                   getcwd(folder, sizeof folder) != NULL ? folder : "");
    say(text);
}

static void leave_behind(void)
{
    char text[32];
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(LAUNCH_FD);
        for (;;) {
            (void)pause();
        }
    }
    (void)snprintf(text, sizeof text, "%d\n", pid);
    say(text);
}

static void crash(void)
{
    const struct rlimit none = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)raise(SIGSEGV);
}

int main(int argc, char **argv)
{
    char command[2];
    while (read(LAUNCH_FD, command, 1) == 1) {
        switch (command[0]) {
        case 'i':
            say_all(argc, argv);
            break;
        case 'f':
            leave_behind();
            break;
        case 's':
            crash();
            break;
        default:
            return read(LAUNCH_FD, command, 1) == 1 ? command[0] : 98;
        }
    }
    return 0;
}
