#include "actor/launcher/sandboxes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor/launcher/sandbox_child.h"
#include "actor/launcher/sandbox_net.h"

#define INIT "dormouse-init"

enum {
    FD_REPORT,
    FD_SOCKET,
    FD_DISK,
    FD_LAYERS,
    FIRST_USER = 1048576, /* above those of people and of other ranges' usual beginnings */
    RANGES = 14,          /* of SANDBOXES_MAX slots each, so that two launchers seldom share one */
    PATH_BYTES = 64,
    MAP_BYTES = 64,
};

static const uint64_t namespaces =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

static void close_fds(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

static void tell(int report, const struct launch_report *r, const int *fds, size_t count)
{
    struct iovec bytes = {.iov_base = (void *)(uintptr_t)r, .iov_len = sizeof *r};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(SANDBOX_FDS * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
    }
    (void)sendmsg(report, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* What the machine has */

static pid_t clone_into(uint64_t flags, int cgroup, int *ret_pidfd)
{
    struct clone_args args = {.flags = flags | CLONE_PIDFD,
                              .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
                              .exit_signal = SIGCHLD};
    if (cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static bool has_file_system(const char *name)
{
    char line[PATH_BYTES];
    bool found = false;
    FILE *f = fopen("/proc/filesystems", "re");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        char *at = strrchr(line, '\t');
        found = at != NULL && strncmp(at + 1, name, strlen(name)) == 0;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return found;
}

/* In a child with the namespaces of a sandbox: may it mount an overlay? */
static void try_overlay(void)
{
    int fs;
    bool is_good = setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0 &&
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                   mount("none", LAYERS_ROOT, "tmpfs", 0, "size=64k") == 0 &&
                   chdir(LAYERS_ROOT) == 0 && mkdirat(AT_FDCWD, "u", 0700) == 0 &&
                   mkdirat(AT_FDCWD, "w", 0700) == 0 && mkdirat(AT_FDCWD, "l", 0700) == 0 &&
                   (fs = fsopen("overlay", 0)) >= 0 &&
                   fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", "l", 0) == 0 &&
                   fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", "u", 0) == 0 &&
                   fsconfig(fs, FSCONFIG_SET_STRING, "workdir", "w", 0) == 0 &&
                   fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) == 0 &&
                   fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0;
    _exit(is_good ? 0 : 1);
}

static bool write_map(pid_t pid, const char *name, uint32_t first);

static uint32_t try_namespaces(const struct sandboxes *s)
{
    int pidfd;
    int go[2];
    int status = 1;
    char byte = 0;
    if (pipe2(go, O_CLOEXEC) != 0) {
        return 0;
    }
    pid_t pid = clone_into(namespaces, -1, &pidfd);
    if (pid == 0) {
        (void)close(go[1]);
        if (read(go[0], &byte, 1) != 1) {
            _exit(1);
        }
        try_overlay();
    }
    (void)close(go[0]);
    uint32_t found = 0;
    if (pid > 0) {
        bool is_mapped =
            write_map(pid, "uid_map", s->first_user) && write_map(pid, "gid_map", s->first_user);
        found = is_mapped ? 1U << SANDBOX_NEEDS_NAMESPACES : 0U;
        if (is_mapped) {
            (void)!write(go[1], &byte, 1);
        }
    }
    (void)close(go[1]);
    if (pid > 0) {
        (void)waitpid(pid, &status, 0);
        (void)close(pidfd);
        found |= status == 0 ? 1U << SANDBOX_NEEDS_OVERLAY : 0U;
    }
    return found;
}

static uint32_t try_machine(const struct sandboxes *s)
{
    uint32_t found = try_namespaces(s);
    if (s->layers.is_ready && has_file_system("erofs")) {
        found |= 1U << SANDBOX_NEEDS_EROFS;
    }
    if (has_file_system("ext4") && access("/dev/loop-control", R_OK | W_OK) == 0) {
        found |= 1U << SANDBOX_NEEDS_LOOP;
    }
    if (mount_setattr(-1, "", AT_EMPTY_PATH, NULL, 0) != 0 && errno != ENOSYS) {
        found |= 1U << SANDBOX_NEEDS_IDMAP;
    }
    if (syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, NULL) != 0 && errno == EFAULT) {
        found |= 1U << SANDBOX_NEEDS_SECCOMP;
    }
    return found;
}

void sandboxes_open(struct sandboxes *s, int folder, uid_t owner, gid_t group)
{
    s->owner = owner;
    s->group = group;
    s->first_user =
        FIRST_USER + (uint32_t)(getpid() % RANGES) * (uint32_t)SANDBOXES_MAX * SANDBOX_USERS;
    s->init = openat(folder, INIT, O_RDONLY | O_CLOEXEC);
    s->own_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    s->needs = cgroups_open(&s->cgroups);
    (void)layers_init(&s->layers);
    s->needs |= try_machine(s);
}

void sandboxes_close(struct sandboxes *s)
{
    cgroups_close(&s->cgroups);
}

/* A new one */

static bool write_map(pid_t pid, const char *name, uint32_t first)
{
    char path[PATH_BYTES];
    char text[MAP_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int len = snprintf(text, sizeof text, "0 %u %d", (unsigned)first, SANDBOX_USERS);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_written = fd >= 0 && write(fd, text, (size_t)len) == len;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_written;
}

static int open_userns(pid_t pid)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static struct sandbox *find_free(struct sandboxes *s)
{
    for (uint32_t i = 0; i < SANDBOXES_MAX; i++) {
        s->last =
            (s->last + 1) % SANDBOXES_MAX; /* one that has ended may leave something for a moment */
        if (s->alive[s->last].pid == 0) {
            return &s->alive[s->last];
        }
    }
    return NULL;
}

static uint32_t number_of(const struct sandboxes *s, const struct sandbox *b)
{
    return (uint32_t)(b - s->alive);
}

/* The child has namespaces and waits: its users, groups, network and mounts. */
static int prepare(struct sandboxes *s, const struct sandbox *b, pid_t pid, int go, bool is_pack,
                   const int *given, size_t layer_count, int fds[SANDBOX_FDS])
{
    const uint32_t first = s->first_user + number_of(s, b) * (uint32_t)SANDBOX_USERS;
    const struct sandbox_go text = {.layer_count = (uint32_t)layer_count};
    int mounts[1 + LAUNCH_LAYERS_MAX];
    size_t count = 0;
    if (!write_map(pid, "uid_map", first) || !write_map(pid, "gid_map", first)) {
        return errno;
    }
    int userns = open_userns(pid);
    if (userns < 0) {
        return errno;
    }
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
    int error =
        mount_setattr(given[FD_DISK], "", AT_EMPTY_PATH, &attr, sizeof attr) != 0 ? errno : 0;
    mounts[count++] = given[FD_DISK];
    for (size_t i = 0; i < layer_count && error == 0; i++) {
        error = layers_take(&s->layers, given[FD_LAYERS + i], userns, &mounts[count]);
        count += error == 0 ? 1 : 0;
    }
    (void)close(userns);
    if (error == 0 && is_pack && fchown(given[FD_SOCKET], first, first) != 0) {
        error = errno;
    }
    error = error != 0 ? error : sandbox_net_make(fds[SANDBOX_FD_PROCESS], s->own_net, fds);
    if (error == 0) {
        struct iovec bytes = {.iov_base = (void *)(uintptr_t)&text, .iov_len = sizeof text};
        union {
            struct cmsghdr head;
            char space[CMSG_SPACE((1 + LAUNCH_LAYERS_MAX) * sizeof(int))];
        } control = {0};
        struct msghdr message = {.msg_iov = &bytes,
                                 .msg_iovlen = 1,
                                 .msg_control = control.space,
                                 .msg_controllen = CMSG_SPACE(count * sizeof(int))};
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.head), mounts, count * sizeof(int));
        error = sendmsg(go, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
    }
    close_fds(mounts + 1, count - 1); /* the disk's is one of those given */
    return error;
}

/* 0 and its process, or an errno and nothing. */
static int make(struct sandboxes *s, const struct sandbox *b, const struct launch_sandbox *wanted,
                const int *given, size_t layer_count, int fds[SANDBOX_FDS], pid_t *ret_pid)
{
    int go[2];
    int cgroup;
    int error = cgroup_make(&s->cgroups, number_of(s, b), wanted, &cgroup);
    if (error != 0) {
        return error;
    }
    error = cgroup_open_files(&s->cgroups, number_of(s, b), cgroup, fds);
    if (error == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, go) != 0) {
        error = errno;
    }
    if (error != 0) {
        (void)close(cgroup);
        (void)cgroup_remove(&s->cgroups, number_of(s, b));
        return error;
    }
    struct sandbox_child child = {.go = go[1],
                                  .init = s->init,
                                  .socket = given[FD_SOCKET],
                                  .packs = wanted->kind == LAUNCH_PACK};
    error = cgroup_open_tasks(&s->cgroups, number_of(s, b), child.tasks);
    pid_t pid = error == 0 ? clone_into(namespaces, cgroup, &fds[SANDBOX_FD_PROCESS]) : -1;
    if (pid == 0) {
        (void)close(go[0]);
        sandbox_child_run(&child);
    }
    error = error == 0 && pid < 0 ? errno : error;
    (void)close(cgroup);
    (void)close(go[1]);
    close_fds(child.tasks, CGROUP_CONTROLLERS);
    if (error == 0) {
        error = prepare(s, b, pid, go[0], wanted->kind == LAUNCH_PACK, given, layer_count, fds);
        if (error != 0) {
            cgroup_kill(&s->cgroups, number_of(s, b));
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
        }
    }
    (void)close(go[0]);
    if (error != 0) {
        (void)cgroup_remove(&s->cgroups, number_of(s, b));
    }
    *ret_pid = pid;
    return error;
}

/* Takes the descriptors but that of the file, which a packer's entry keeps. */
static void start(struct sandboxes *s, const struct launch_sandbox *wanted, const int *given,
                  size_t count, int packed)
{
    struct launch_report r = {.kind = LAUNCH_STARTED};
    int fds[SANDBOX_FDS];
    for (int i = 0; i < SANDBOX_FDS; i++) {
        fds[i] = -1;
    }
    struct sandbox *b = find_free(s);
    r.error = s->init < 0 ? ENOENT : b == NULL ? EAGAIN : 0;
    if (r.error == 0) {
        r.error = make(s, b, wanted, given, count - FD_LAYERS, fds, &r.pid);
    }
    bool gives = r.error == 0 && packed < 0;
    tell(given[FD_REPORT], &r, fds, gives ? SANDBOX_FDS : 0);
    close_fds(fds, SANDBOX_FDS);
    for (size_t i = 1; i < count; i++) {
        if (given[i] != packed || r.error != 0) {
            (void)close(given[i]);
        }
    }
    if (r.error != 0) {
        (void)close(given[FD_REPORT]);
        return;
    }
    *b = (struct sandbox){.pid = r.pid, .report = given[FD_REPORT], .packed = packed};
}

void sandboxes_start(struct sandboxes *s, const struct launch_sandbox *wanted, const int *given,
                     size_t count)
{
    if (count > FD_LAYERS) {
        start(s, wanted, given, count, -1);
    } else {
        close_fds(given, count);
    }
}

/* A sandbox of another kind: in place of the first process it runs the program that packs. */
void sandboxes_pack(struct sandboxes *s, const struct launch_sandbox *wanted, const int *given,
                    size_t count)
{
    if (count == FD_LAYERS) {
        start(s, wanted, given, count, given[FD_SOCKET]);
    } else {
        close_fds(given, count);
    }
}

void sandboxes_mount_disk(const struct launch_sandbox *wanted, const int *fds, size_t count)
{
    struct launch_report r = {.kind = LAUNCH_STARTED};
    int mount = -1;
    if (count == 2) {
        r.error = disk_mount(fds[1], wanted->is_new != 0, &mount);
        tell(fds[FD_REPORT], &r, &mount, r.error == 0 ? 1 : 0);
        close_fds(&mount, r.error == 0 ? 1 : 0);
    }
    close_fds(fds, count);
}

void sandboxes_connect(struct sandboxes *s, const struct launch_sandbox *wanted, const int *fds,
                       size_t count)
{
    struct launch_report r = {.kind = LAUNCH_STARTED};
    int socket = -1;
    if (count == 2) {
        r.error = sandbox_net_connect(fds[1], s->own_net, (uint16_t)wanted->port, &socket);
        tell(fds[FD_REPORT], &r, &socket, r.error == 0 ? 1 : 0);
        close_fds(&socket, r.error == 0 ? 1 : 0);
    }
    close_fds(fds, count);
}

/* Ends */

static void finish(struct sandboxes *s, struct sandbox *b)
{
    if (!cgroup_remove(&s->cgroups, number_of(s, b))) {
        return;
    }
    if (b->packed >= 0) {
        (void)!fchown(b->packed, s->owner, s->group);
        (void)close(b->packed);
    }
    const struct launch_report r = {.kind = LAUNCH_EXITED, .pid = b->pid, .status = b->status};
    tell(b->report, &r, NULL, 0);
    (void)close(b->report);
    *b = (struct sandbox){0};
    s->dead_count--;
}

/* With its first process all of its processes have ended. */
bool sandboxes_on_end(struct sandboxes *s, pid_t pid, int status)
{
    for (uint32_t i = 0; i < SANDBOXES_MAX; i++) {
        struct sandbox *b = &s->alive[i];
        if (b->pid == pid) {
            b->is_dead = true;
            b->status = status;
            s->dead_count++;
            finish(s, b);
            return true;
        }
    }
    return false;
}

void sandboxes_tidy(struct sandboxes *s)
{
    for (uint32_t i = 0; i < SANDBOXES_MAX && s->dead_count > 0; i++) {
        if (s->alive[i].is_dead) {
            finish(s, &s->alive[i]);
        }
    }
}

void sandboxes_kill(struct sandboxes *s)
{
    for (uint32_t i = 0; i < SANDBOXES_MAX; i++) {
        if (s->alive[i].pid > 0 && !s->alive[i].is_dead) {
            cgroup_kill(&s->cgroups, i);
            (void)kill(s->alive[i].pid, SIGKILL);
        }
    }
}
