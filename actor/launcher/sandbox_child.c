#include "actor/launcher/sandbox_child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor/launcher/layers.h"
#include "actor/sandbox_frame.h"

enum { GO_FDS_MAX = 1 + LAUNCH_LAYERS_MAX, NAME_BYTES = 64, INIT_FILE_FD = SANDBOX_INIT_FD + 1 };

static const struct sock_filter filter[] = {
#include "actor/launcher/filter.inc"
};

/* 1. Joining what the launcher has prepared */

static bool receive_go(int go, int fds[GO_FDS_MAX], uint32_t *ret_layers)
{
    struct sandbox_go text;
    struct iovec bytes = {.iov_base = &text, .iov_len = sizeof text};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(GO_FDS_MAX * sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control};
    if (recvmsg(go, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof text) {
        return false; /* the launcher has given it up */
    }
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    size_t count = head != NULL ? (head->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    if (count != 1 + (size_t)text.layer_count) {
        return false;
    }
    memcpy(fds, CMSG_DATA(head), count * sizeof(int));
    *ret_layers = text.layer_count;
    return true;
}

/* Its own limits, before anything that they should count. */
static bool join_groups(const struct sandbox_child *c)
{
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        if (c->tasks[i] >= 0 && write(c->tasks[i], "0", 1) != 1) {
            return false;
        }
    }
    return true;
}

/* The change of users undoes a death signal, so that comes after it. */
static bool join(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)umask(S_IWGRP | S_IWOTH);
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0 && setgroups(0, NULL) == 0 &&
           setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0 &&
           prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && unshare(CLONE_NEWCGROUP) == 0 &&
           sethostname("sandbox", sizeof "sandbox" - 1) == 0 && setsid() >= 0;
}

/* 2. The root */

/* Attached first: overlayfs does not take what is attached nowhere. */
static bool attach(int mount, const char *name)
{
    return mkdir(name, 0700) == 0 &&
           move_mount(mount, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

/* Names are numbers, so that all of them fit what fsconfig takes. */
static bool attach_layers(const int *mounts, uint32_t count, char ret_list[256])
{
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        char name[NAME_BYTES];
        (void)snprintf(name, sizeof name, "%u", (unsigned)i);
        at += (size_t)snprintf(ret_list + at, 256 - at, "%s%s", i > 0 ? ":" : "", name);
        if (at >= 256 || !attach(mounts[i], name)) {
            return false;
        }
    }
    return true;
}

static int make_overlay(const char *layers)
{
    int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    int root = -1;
    if (fs >= 0 && fsconfig(fs, FSCONFIG_SET_STRING, "source", "sandbox", 0) == 0 &&
        fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", layers, 0) == 0 &&
        fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", "disk/upper", 0) == 0 &&
        fsconfig(fs, FSCONFIG_SET_STRING, "workdir", "disk/work", 0) == 0 &&
        fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) == 0 &&
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) {
        root = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV);
    }
    int error = errno;
    if (fs >= 0) {
        (void)close(fs);
    }
    errno = error;
    return root;
}

/* The working directory becomes the root to be. */
static bool mount_overlay(const int *mounts, uint32_t layer_count)
{
    char layers[256];
    struct statvfs st;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", LAYERS_ROOT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=256k,mode=700") != 0 ||
        chdir(LAYERS_ROOT) != 0 || !attach(mounts[0], "disk") ||
        !attach_layers(mounts + 1, layer_count, layers)) {
        return false;
    }
    int root = make_overlay(layers);
    if (root < 0 || !attach(root, "root") || chdir("root") != 0 || statvfs(".", &st) != 0) {
        return false;
    }
    errno = EROFS; /* which overlayfs falls back to in silence */
    return (st.f_flag & ST_RDONLY) == 0;
}

static bool make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    return fd >= 0 && close(fd) == 0;
}

/* What is not there need not be hidden. */
static bool is_absent(void)
{
    return errno == ENOENT;
}

static bool mount_proc(void)
{
    static const char *const hidden[] = {"proc/kcore",      "proc/keys", "proc/timer_list",
                                         "proc/kallsyms",   "proc/kmsg", "proc/sysrq-trigger",
                                         "proc/sched_debug"};
    static const char *const fixed[] = {"proc/sys", "proc/irq",  "proc/bus",
                                        "proc/fs",  "proc/acpi", "proc/scsi"};
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if ((mkdir("proc", 0555) != 0 && errno != EEXIST) ||
        mount("proc", "proc", "proc", flags, NULL) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        if (mount("/dev/null", hidden[i], NULL, MS_BIND, NULL) != 0 && !is_absent()) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (mount(fixed[i], fixed[i], NULL, MS_BIND | MS_REC, NULL) != 0) {
            if (is_absent()) {
                continue;
            }
            return false;
        }
        if (mount(NULL, fixed[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | flags, NULL) != 0) {
            return false;
        }
    }
    return true;
}

static bool bind_devices(void)
{
    static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        char own[NAME_BYTES];
        char host[NAME_BYTES];
        (void)snprintf(own, sizeof own, "dev/%s", devices[i]);
        (void)snprintf(host, sizeof host, "/dev/%s", devices[i]);
        if (!make_file(own) || mount(host, own, NULL, MS_BIND, NULL) != 0) {
            return false;
        }
    }
    return true;
}

static bool mount_dev(void)
{
    const unsigned long flags = MS_NOSUID | MS_NOEXEC;
    if ((mkdir("dev", 0755) != 0 && errno != EEXIST) ||
        mount("none", "dev", "tmpfs", flags, "size=64k,nr_inodes=64,mode=755") != 0) {
        return false;
    }
    return bind_devices() && mkdir("dev/pts", 0755) == 0 && mkdir("dev/shm", 0755) == 0 &&
           mount("devpts", "dev/pts", "devpts", flags,
                 "newinstance,ptmxmode=0666,mode=620,gid=5") == 0 &&
           mount("none", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0 &&
           symlink("pts/ptmx", "dev/ptmx") == 0 && symlink("/proc/self/fd", "dev/fd") == 0 &&
           symlink("/proc/self/fd/0", "dev/stdin") == 0 &&
           symlink("/proc/self/fd/1", "dev/stdout") == 0 &&
           symlink("/proc/self/fd/2", "dev/stderr") == 0;
}

static bool enter_root(void)
{
    return syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 &&
           chdir("/") == 0;
}

/* 3. What it gives up */

/* Enough for package managers, and within its own user namespace alone. */
static bool drop_capabilities(void)
{
    const uint32_t kept = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER |
                          1U << CAP_FSETID | 1U << CAP_KILL | 1U << CAP_SETGID | 1U << CAP_SETUID |
                          1U << CAP_SETPCAP | 1U << CAP_NET_BIND_SERVICE | 1U << CAP_SYS_CHROOT |
                          1U << CAP_SETFCAP;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = kept, .permitted = kept}};
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if ((capability >= 32 || (kept >> capability & 1) == 0) &&
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            return false;
        }
    }
    return syscall(SYS_capset, &head, data) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

/* Standard streams are null, then come the socket and the file of init, and nothing else. */
static bool keep_few_descriptors(const struct sandbox_child *c)
{
    const struct rlimit no_core = {0, 0};
    int socket = fcntl(c->socket, F_DUPFD_CLOEXEC, INIT_FILE_FD + 1);
    int init = fcntl(c->init, F_DUPFD_CLOEXEC, INIT_FILE_FD + 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    return socket >= 0 && init >= 0 && null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
           dup2(null, 2) == 2 && dup2(socket, SANDBOX_INIT_FD) == SANDBOX_INIT_FD &&
           dup3(init, INIT_FILE_FD, O_CLOEXEC) == INIT_FILE_FD &&
           syscall(SYS_close_range, INIT_FILE_FD + 1, ~0U, 0) == 0 &&
           setrlimit(RLIMIT_CORE, &no_core) == 0;
}

static bool install_filter(void)
{
    const struct sock_fprog program = {.len = sizeof filter / sizeof filter[0],
                                       .filter = (struct sock_filter *)(uintptr_t)filter};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/* Packing: a root with the system's programs and the disk, and nothing that can be written but the file. */

static bool bind_programs(void)
{
    static const char *const links[][2] = {
        {"usr/bin", "bin"}, {"usr/lib", "lib"}, {"usr/lib64", "lib64"}};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        if (symlink(links[i][0], links[i][1]) != 0) {
            return false;
        }
    }
    return mkdir("usr", 0755) == 0 && mount("/usr", "usr", NULL, MS_BIND | MS_REC, NULL) == 0 &&
           mount(NULL, "usr", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID, NULL) == 0;
}

static bool is_empty_layer(void)
{
    DIR *list = opendir("/disk/upper");
    const struct dirent *entry;
    bool has_some = list == NULL;
    while (!has_some && (entry = readdir(list)) != NULL) {
        has_some = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return !has_some;
}

static bool make_pack_root(const int *mounts)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", LAYERS_ROOT, "tmpfs", flags, "size=256k,mode=755") == 0 &&
           chdir(LAYERS_ROOT) == 0 && bind_programs() && attach(mounts[0], "disk") &&
           mkdir("dev", 0755) == 0 && make_file("dev/null") &&
           mount("/dev/null", "dev/null", NULL, MS_BIND, NULL) == 0 && mkdir("proc", 0555) == 0 &&
           mount("proc", "proc", "proc", flags | MS_NOEXEC, NULL) == 0 && enter_root();
}

/* The file has the number that init's socket has. */
static _Noreturn void pack(const struct sandbox_child *c, const int *mounts)
{
    static const char *const argv[] = {"mkfs.erofs",      "-x",          "1", "-d", "0",
                                       "/proc/self/fd/3", "/disk/upper", NULL};
    static char *const environment[] = {NULL};
    if (join() && make_pack_root(mounts)) {
        if (is_empty_layer()) {
            _exit(SANDBOX_PACK_NOTHING);
        }
        if (keep_few_descriptors(c) && drop_capabilities() && install_filter()) {
            (void)execve("/usr/bin/mkfs.erofs", (char *const *)(uintptr_t)argv, environment);
        }
    }
    _exit(1);
}

static int give_up(void)
{
    if (!drop_capabilities()) {
        return SANDBOX_STAGE_PRIVILEGES;
    }
    return install_filter() ? SANDBOX_STAGE_EXEC : SANDBOX_STAGE_FILTER;
}

/* All of it */

static int prepare(const int *mounts, uint32_t layer_count)
{
    if (!join()) {
        return SANDBOX_STAGE_JOIN;
    }
    if (!mount_overlay(mounts, layer_count)) {
        return SANDBOX_STAGE_OVERLAY;
    }
    if (!mount_proc()) {
        return SANDBOX_STAGE_PROC;
    }
    if (!mount_dev()) {
        return SANDBOX_STAGE_DEV;
    }
    if (!enter_root()) {
        return SANDBOX_STAGE_ROOT;
    }
    return 0;
}

void sandbox_child_run(const struct sandbox_child *c)
{
    static char name[] = "init";
    static char *const argv[] = {name, NULL};
    static char *const environment[] = {NULL};
    int mounts[GO_FDS_MAX];
    uint32_t layer_count;
    bool has_joined = join_groups(c);
    if (!receive_go(c->go, mounts, &layer_count)) {
        _exit(1);
    }
    if (c->packs && has_joined) {
        pack(c, mounts);
    }
    int socket = c->socket;
    int stage = has_joined ? prepare(mounts, layer_count) : SANDBOX_STAGE_JOIN;
    if (stage == 0 && keep_few_descriptors(c)) {
        socket = SANDBOX_INIT_FD;
        stage = give_up();
    } else if (stage == 0) {
        stage = SANDBOX_STAGE_PRIVILEGES;
    }
    if (stage == SANDBOX_STAGE_EXEC) {
        (void)syscall(SYS_execveat, INIT_FILE_FD, "", argv, environment, AT_EMPTY_PATH);
    }
    const struct sandbox_frame failed = {
        .kind = SANDBOX_FAILED, .a = (uint32_t)stage, .b = (uint32_t)errno};
    (void)send(socket, &failed, sizeof failed, MSG_DONTWAIT | MSG_NOSIGNAL);
    _exit(1);
}
