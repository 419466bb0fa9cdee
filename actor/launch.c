#include "actor/launch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/invariant.h"

#define LAUNCHER     "dormouse-launcher"
#define USER_DEFAULT "dormouse"

enum { CLOSE_MS_MAX = 10 * 1000, NUMBER_BYTES = 16, USER_BYTES = 32 };

/* A program of ours */

/* `fd` becomes its LAUNCH_FD; of the rest it has standard error alone, and no environment. */
static int spawn(const char *path, char *const argv[], int fd, pid_t *ret_pid)
{
    static char *const environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0) {
        return rc;
    }
    rc = posix_spawnattr_init(&attributes);
    if (rc != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return rc;
    }
    rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    rc = rc == 0
             ? posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
             : rc;
    rc = rc == 0 ? posix_spawn_file_actions_adddup2(&actions, fd, LAUNCH_FD) : rc;
    rc = rc == 0 ? posix_spawnattr_setsigmask(&attributes, &none) : rc;
    rc = rc == 0 ? posix_spawnattr_setsigdefault(&attributes, &all) : rc;
    rc = rc == 0
             ? posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
             : rc;
    rc = rc == 0 ? posix_spawn(ret_pid, path, &actions, &attributes, argv, environment) : rc;
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

/* The folder of this program. */
static bool own_folder(char ret[LAUNCH_FOLDER_BYTES])
{
    ssize_t n = readlink("/proc/self/exe", ret, LAUNCH_FOLDER_BYTES - 1);
    if (n <= 0) {
        return false;
    }
    ret[n] = '\0';
    char *slash = strrchr(ret, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    return true;
}

static bool find_launcher(char *ret_path, size_t bytes)
{
    char folder[LAUNCH_FOLDER_BYTES];
    if (own_folder(folder)) {
        (void)snprintf(ret_path, bytes, "%s/" LAUNCHER, folder);
        if (access(ret_path, X_OK) == 0) {
            return true;
        }
    }
    (void)snprintf(ret_path, bytes, "%s/" LAUNCHER, PKGLIBEXEC_DIR);
    return access(ret_path, X_OK) == 0;
}

/* The user */

void launch_find_user(struct launch_user *ret)
{
    const char *name = getenv("DORMOUSE_USER");
    *ret = (struct launch_user){.uid = geteuid(), .gid = getegid()};
    if (ret->uid != 0) {
        return;
    }
    const struct passwd *user = getpwnam(name != NULL ? name : USER_DEFAULT);
    if (user != NULL && user->pw_uid != 0) {
        *ret = (struct launch_user){.is_other = true, .uid = user->pw_uid, .gid = user->pw_gid};
    }
}

static bool is_empty(const char *path)
{
    DIR *folder = opendir(path);
    bool found = false;
    const struct dirent *entry;
    if (folder == NULL) {
        return false;
    }
    while (!found && (entry = readdir(folder)) != NULL) {
        found = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    (void)closedir(folder);
    return !found;
}

/* What fails here shows when the user looks at the data. */
static void give_data(const struct launch_user *user, const char *data)
{
    bool is_new = mkdir(data, S_IRWXU) == 0;
    if (is_new || is_empty(data)) {
        int rc = chown(data, user->uid, user->gid);
        (void)rc;
    }
}

static bool become(const struct launch_user *user)
{
    return setgroups(1, &user->gid) == 0 && setresgid(user->gid, user->gid, user->gid) == 0 &&
           setresuid(user->uid, user->uid, user->uid) == 0 && setuid(0) != 0 &&
           prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0; /* as if that user had started it */
}

enum err launch_become_user(const struct launch_user *user, const char *data,
                            char ret_detail[LAUNCH_DETAIL_BYTES])
{
    if (!user->is_other) {
        return ERR_OK;
    }
    if (data != NULL) {
        give_data(user, data);
    }
    if (!become(user)) {
        (void)snprintf(ret_detail, LAUNCH_DETAIL_BYTES, "cannot become user %u: %s",
                       (unsigned)user->uid, strerror(errno));
        return ERR_UNAVAILABLE;
    }
    if (data != NULL && access(data, R_OK | W_OK | X_OK) != 0) {
        (void)snprintf(ret_detail, LAUNCH_DETAIL_BYTES,
                       "%s: %s for user %u, whom a node that root starts becomes (DORMOUSE_USER): "
                       "chown -R %u:%u it",
                       data, strerror(errno), (unsigned)user->uid, (unsigned)user->uid,
                       (unsigned)user->gid);
        return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

/* The launcher */

static int start_launcher(struct launch *l, const struct launch_user *user, const char *path,
                          int fd)
{
    char name[] = LAUNCHER;
    char flag[] = "--user";
    char ids[USER_BYTES];
    char *argv[] = {name, flag, ids, NULL};
    (void)snprintf(ids, sizeof ids, "%u:%u", (unsigned)user->uid, (unsigned)user->gid);
    argv[1] = user->is_other ? flag : NULL;
    return spawn(path, argv, fd, &l->pid);
}

enum err launch_open(struct launch *l, const struct launch_user *user,
                     char ret_detail[LAUNCH_DETAIL_BYTES])
{
    char path[LAUNCH_FOLDER_BYTES + sizeof LAUNCHER];
    int pair[2];
    *l = (struct launch){.socket = -1, .pid = -1};
    if (!find_launcher(path, sizeof path)) {
        (void)snprintf(ret_detail, LAUNCH_DETAIL_BYTES,
                       LAUNCHER " is neither beside this program nor in " PKGLIBEXEC_DIR);
        return ERR_UNAVAILABLE;
    }
    int rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 ? 0 : errno;
    if (rc == 0) {
        rc = start_launcher(l, user, path, pair[1]);
        (void)close(pair[1]);
        if (rc == 0) {
            l->socket = pair[0];
            return ERR_OK;
        }
        (void)close(pair[0]);
        l->pid = -1;
    }
    (void)snprintf(ret_detail, LAUNCH_DETAIL_BYTES, "%s: %s", path, strerror(rc));
    return ERR_UNAVAILABLE;
}

enum err launch_await_hello(struct launch *l, int timeout_ms)
{
    struct pollfd wanted = {.fd = l->socket, .events = POLLIN};
    struct launch_hello hello;
    if (l->socket < 0 || poll(&wanted, 1, timeout_ms) != 1 ||
        recv(l->socket, &hello, sizeof hello, MSG_DONTWAIT) != (ssize_t)sizeof hello ||
        hello.kind != LAUNCH_HELLO) {
        return ERR_UNAVAILABLE;
    }
    l->layers = hello.layers;
    l->sandbox = hello.sandbox;
    return ERR_OK;
}

bool launch_has_ended(struct launch *l)
{
    if (l->pid <= 0 || waitpid(l->pid, NULL, WNOHANG) != l->pid) {
        return false;
    }
    l->pid = -1;
    return true;
}

void launch_close(struct launch *l)
{
    if (l->socket >= 0) {
        (void)close(l->socket);
        l->socket = -1;
    }
    if (l->pid <= 0) {
        return;
    }
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, l->pid, 0), .events = POLLIN};
    if (ended.fd >= 0) {
        if (poll(&ended, 1, CLOSE_MS_MAX) != 1) {
            (void)kill(l->pid, SIGKILL); /* it hangs: what it started dies with it */
        }
        (void)close(ended.fd);
    }
    (void)waitpid(l->pid, NULL, 0);
    l->pid = -1;
}

/* Programs */

void launch_init_direct(struct launch *l, const char *folder)
{
    *l = (struct launch){.socket = -1, .pid = -1, .is_direct = true};
    (void)snprintf(l->folder, sizeof l->folder, "%s", folder);
}

static enum err start_direct(const struct launch *l, enum launch_program program, int fd)
{
    char path[LAUNCH_FOLDER_BYTES + NAME_MAX];
    char name[NUMBER_BYTES * 2];
    char flag[NUMBER_BYTES];
    char number[NUMBER_BYTES];
    char *argv[] = {name, flag, number, NULL};
    const struct launch_text text = launch_text(program);
    pid_t pid;
    (void)snprintf(path, sizeof path, "%s/%s", l->folder, text.file);
    (void)snprintf(name, sizeof name, "%s", text.file);
    (void)snprintf(flag, sizeof flag, "%s", text.flag);
    (void)snprintf(number, sizeof number, "%d", LAUNCH_FD);
    while (waitpid(-1, NULL, WNOHANG) > 0) { /* earlier ones */
    }
    return spawn(path, argv, fd, &pid) == 0 ? ERR_OK : ERR_UNAVAILABLE;
}

static bool send_packet(int socket, const void *packet, size_t size, const int *fds,
                        size_t fd_count)
{
    struct iovec bytes = {.iov_base = (void *)(uintptr_t)packet, .iov_len = size};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(LAUNCH_FDS_MAX * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = CMSG_SPACE(fd_count * sizeof(int))};
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(&control.head), fds, fd_count * sizeof(int));
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

static enum err start_launched(const struct launch *l, enum launch_program program, int fd,
                               int *ret_report)
{
    int reports[2] = {-1, -1};
    if (l->socket < 0 || (ret_report != NULL &&
                          socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, reports) != 0)) {
        return ERR_UNAVAILABLE;
    }
    const int fds[] = {fd, reports[1]};
    const struct launch_start start = {.kind = LAUNCH_START, .program = program};
    bool is_sent = send_packet(l->socket, &start, sizeof start, fds, ret_report != NULL ? 2 : 1);
    if (ret_report != NULL) {
        (void)close(reports[1]);
        if (is_sent) {
            *ret_report = reports[0];
        } else {
            (void)close(reports[0]);
        }
    }
    return is_sent ? ERR_OK : ERR_UNAVAILABLE;
}

enum err launch_start(const struct launch *l, enum launch_program program, int fd, int *ret_report)
{
    PRE(fd >= 0 && program < LAUNCH_PROGRAMS);
    PRE(!l->is_direct || ret_report == NULL);

    enum err err =
        l->is_direct ? start_direct(l, program, fd) : start_launched(l, program, fd, ret_report);
    (void)close(fd);
    return err;
}

enum err launch_ask(const struct launch *l, const struct launch_sandbox *what, const int *fds,
                    size_t count, int *ret_report)
{
    PRE(count < LAUNCH_FDS_MAX && what->kind > LAUNCH_EXITED && what->kind < LAUNCH_KIND_END);

    int all[LAUNCH_FDS_MAX];
    int reports[2];
    if (l->socket < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, reports) != 0) {
        return ERR_UNAVAILABLE;
    }
    all[0] = reports[1];
    memcpy(all + 1, fds, count * sizeof *fds);
    bool is_sent = send_packet(l->socket, what, sizeof *what, all, count + 1);
    (void)close(reports[1]);
    if (!is_sent) {
        (void)close(reports[0]);
        return ERR_UNAVAILABLE;
    }
    *ret_report = reports[0];
    return ERR_OK;
}
