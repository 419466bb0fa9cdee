/* dormouse-launcher: starts the other programs of a node for dormoused, and ends them with it.
 *
 * The only program of a node that keeps root's powers, where the node was started by root. It has one thread and
 * reads nothing but packets of one size from its daemon; what it starts is a name of a list. It comes from
 * actor/launch.c, with its end of a socket as descriptor LAUNCH_FD, and ends when the other end is closed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor/launch_wire.h"
#include "actor/launcher/programs.h"
#include "actor/launcher/sandboxes.h"
#include "base/log.h"
#include "config.h"

enum { EXIT_BAD_USAGE = 2, PATH_BYTES = 4096, TIDY_MS = 20 };

static struct programs programs;
static struct sandboxes sandboxes;

/* 1. What it is told: --user UID:GID, which programs become. */

static bool parse_user(const char *text, struct programs *p)
{
    unsigned uid;
    unsigned gid;
    char rest;
    if (sscanf(text, "%u:%u%c", &uid, &gid, &rest) != 2 || uid == 0 || gid == 0) {
        return false;
    }
    p->has_user = true;
    p->uid = uid;
    p->gid = gid;
    return true;
}

static int parse(int argc, char **argv, struct programs *p)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("dormouse-launcher %s\n", PACKAGE_VERSION);
        return 0;
    }
    if (argc == 1 || (argc == 3 && strcmp(argv[1], "--user") == 0 && parse_user(argv[2], p))) {
        struct stat socket;
        if (fstat(LAUNCH_FD, &socket) == 0 && S_ISSOCK(socket.st_mode)) {
            return -1;
        }
    }
    (void)fputs("dormouse-launcher is started by dormoused.\n", stderr);
    return EXIT_BAD_USAGE;
}

/* 2. What it gives up before it reads anything. */

/* Enough to give a program its user, and to end it after that; and what sandboxes take: mounts, namespaces, cgroups
 * and loop devices (SYS_ADMIN, MKNOD), a look at the namespaces of its child (SYS_PTRACE), images that are the
 * daemon's (DAC_OVERRIDE), files whose owner changes (CHOWN, FOWNER). */
static bool keep_few_capabilities(void)
{
    const uint32_t kept = 1U << CAP_KILL | 1U << CAP_SETGID | 1U << CAP_SETUID |
                          1U << CAP_SYS_ADMIN | 1U << CAP_SYS_PTRACE | 1U << CAP_DAC_OVERRIDE |
                          1U << CAP_CHOWN | 1U << CAP_FOWNER | 1U << CAP_MKNOD;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = kept, .permitted = kept}};
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if ((capability >= 32 || (kept >> capability & 1) == 0) &&
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            return false;
        }
    }
    return syscall(SYS_capset, &head, data) == 0;
}

static uint32_t enter(const struct programs *p)
{
    uint32_t layers = p->has_user ? LAUNCH_OTHER_USER : 0U;
    (void)chdir("/");
    (void)umask(S_IRWXG | S_IRWXO);
    (void)syscall(SYS_close_range, LAUNCH_FD + 1, ~0U, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (geteuid() == 0) {
        layers |= LAUNCH_IS_ROOT;
        if (p->has_user && !keep_few_capabilities()) {
            LOG(LOG_WARN, "launcher_keeps_capabilities", LOG_INT("errno", errno));
        }
    } else {
        layers |= LAUNCH_OTHER_USER;
    }
    layers |= prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 ? LAUNCH_SUBREAPER : 0U;
    layers |= prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? LAUNCH_NO_NEW_PRIVS : 0U;
    return layers;
}

/* The daemon's end is what ends it: signals that reach the whole group or service find it still there while the
 * daemon finishes its work. Returns a descriptor that tells of ends of programs, or -1. */
static int take_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    sigset_t ends;
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) != 0) {
        return -1;
    }
    return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Its own folder, where the programs are. */
static int open_folder(void)
{
    char path[PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (slash == NULL) {
        return -1;
    }
    slash[1] = '\0';
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* 3. What it is asked for. */

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
}

static size_t take_fds(struct msghdr *message, int fds[LAUNCH_FDS_MAX])
{
    size_t count = 0;
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(head), count * sizeof(int));
    }
    return count;
}

union packet {
    uint32_t kind;
    struct launch_start start;
    struct launch_sandbox sandbox;
};

/* Takes the descriptors. False: it makes no sense. */
static bool serve_packet(const union packet *packet, size_t bytes, const int *fds, size_t count)
{
    if (count == 0) {
        return false;
    }
    if (packet->kind == LAUNCH_START && bytes == sizeof packet->start && count <= 2 &&
        packet->start.program < LAUNCH_PROGRAMS) {
        programs_start(&programs, (enum launch_program)packet->start.program, fds[0],
                       count > 1 ? fds[1] : -1);
        return true;
    }
    if (bytes != sizeof packet->sandbox) {
        close_all(fds, count);
        return false;
    }
    switch (packet->kind) {
    case LAUNCH_SANDBOX:
        sandboxes_start(&sandboxes, &packet->sandbox, fds, count);
        return true;
    case LAUNCH_DISK:
        sandboxes_mount_disk(&packet->sandbox, fds, count);
        return true;
    case LAUNCH_PACK:
        sandboxes_pack(&sandboxes, &packet->sandbox, fds, count);
        return true;
    case LAUNCH_CONNECT:
        sandboxes_connect(&sandboxes, &packet->sandbox, fds, count);
        return true;
    default:
        close_all(fds, count);
        return false;
    }
}

/* False: there is no daemon any more, or one that makes no sense. */
static bool serve_one(void)
{
    union packet packet;
    struct iovec bytes = {.iov_base = &packet, .iov_len = sizeof packet};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(LAUNCH_FDS_MAX * sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control};
    int fds[LAUNCH_FDS_MAX];
    ssize_t n = recvmsg(LAUNCH_FD, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    size_t count = take_fds(&message, fds);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || n < (ssize_t)sizeof packet.kind) {
        close_all(fds, count);
    } else if (serve_packet(&packet, (size_t)n, fds, count)) {
        return true;
    }
    if (n != 0) {
        LOG(LOG_ERROR, "launcher_heard_nonsense", LOG_INT("bytes", n));
    }
    return false;
}

static bool on_other_end(pid_t pid, int status)
{
    return sandboxes_on_end(&sandboxes, pid, status);
}

static void serve(int ends)
{
    struct pollfd polled[] = {{.fd = LAUNCH_FD, .events = POLLIN}, {.fd = ends, .events = POLLIN}};
    struct signalfd_siginfo info;
    for (;;) {
        if (poll(polled, 2, sandboxes.dead_count > 0 ? TIDY_MS : -1) < 0 && errno != EINTR) {
            return;
        }
        if (polled[1].revents != 0) {
            while (read(ends, &info, sizeof info) > 0) {
            }
            programs_reap(&programs);
        }
        sandboxes_tidy(&sandboxes);
        if (polled[0].revents != 0 && !serve_one()) {
            return;
        }
    }
}

int main(int argc, char **argv)
{
    int status = parse(argc, argv, &programs);
    if (status >= 0) {
        return status;
    }
    struct launch_hello hello = {.kind = LAUNCH_HELLO, .layers = enter(&programs)};
    int ends = take_signals();
    programs.folder = open_folder();
    programs.other_ended = on_other_end;
    if (ends < 0 || programs.folder < 0) {
        LOG(LOG_ERROR, "launcher_cannot_start", LOG_INT("errno", errno));
        return 1;
    }
    sandboxes_open(&sandboxes, programs.folder, programs.has_user ? programs.uid : geteuid(),
                   programs.has_user ? programs.gid : getegid());
    hello.sandbox = sandboxes.needs;
    /* A daemon that was given wrong flags has ended by now. */
    if (send(LAUNCH_FD, &hello, sizeof hello, MSG_NOSIGNAL) == (ssize_t)sizeof hello) {
        serve(ends);
    }
    sandboxes_kill(&sandboxes);
    programs_kill(&programs);
    sandboxes_close(&sandboxes);
    return 0;
}
