#include "actor/isolate/lockdown.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor/isolate/filter.h"
#include "actor/isolate/landlock.h"
#include "actor/isolate/memory.h"
#include "actor/isolate_control.h"
#include "base/invariant.h"

enum {
    NOBODY = 65534,
    POLLED_FDS =
        4, /* poll takes no more than RLIMIT_NOFILE of them; those kept fill the numbers below */
};

/* main */

/* A namespace of users maps one of them; root is not the one that should own isolates. */
static void leave_root(void)
{
    if (geteuid() != 0) {
        return;
    }
    (void)setgroups(0, NULL);
    bool is_nobody =
        setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0;
    (void)is_nobody; /* a container may have no other user: the other layers stand */
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* else /proc/self is root's */
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    (void)close(fd);
    return is_written;
}

/* Inside, this user is nobody, with all capabilities until the root is closed. */
static void map_user(uid_t uid, gid_t gid)
{
    char text[64];
    (void)write_file("/proc/self/setgroups", "deny");
    (void)snprintf(text, sizeof text, "%d %u 1", NOBODY, (unsigned)uid);
    (void)write_file("/proc/self/uid_map", text);
    (void)snprintf(text, sizeof text, "%d %u 1", NOBODY, (unsigned)gid);
    (void)write_file("/proc/self/gid_map", text);
}

void lockdown_enter(struct lockdown *l)
{
    static const struct {
        int flag;
        enum isolate_layer layer;
    } namespaces[] = {
        {CLONE_NEWNET, ISOLATE_LAYER_NETNS}, {CLONE_NEWNS, ISOLATE_LAYER_MOUNTNS},
        {CLONE_NEWPID, ISOLATE_LAYER_PIDNS}, {CLONE_NEWIPC, ISOLATE_LAYER_IPCNS},
        {CLONE_NEWUTS, ISOLATE_LAYER_UTSNS},
    };
    *l = (struct lockdown){.proc_fd = -1, .landlock_fd = -1};
    leave_root();
    l->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) != 0) {
        return;
    }
    l->layers |= ISOLATE_LAYER_USERNS;
    map_user(uid, gid);
    for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++) {
        if (unshare(namespaces[i].flag) == 0) {
            l->layers |= namespaces[i].layer;
        }
    }
}

/* zygote */

enum err lockdown_prepare(struct lockdown *l)
{
    l->landlock_fd = landlock_deny_all();
    l->layers |= l->landlock_fd >= 0 ? ISOLATE_LAYER_LANDLOCK : 0U;
    l->layers |= l->proc_fd >= 0 ? ISOLATE_LAYER_RLIMIT : 0U;
    enum err err = filter_new(&l->filter, &l->filter_count);
    l->layers |= err == ERR_OK ? ISOLATE_LAYER_SECCOMP : 0U;
    return err;
}

/* The root becomes an empty, read-only file system; what was mounted goes. */
static bool empty_root(void)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", flags, "size=0,nr_inodes=2,mode=555") != 0 ||
        chdir("/proc") != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) {
        return false;
    }
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) == 0;
}

static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    (void)syscall(SYS_capset, &head, none);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void lockdown_close_root(struct lockdown *l)
{
    if ((l->layers & ISOLATE_LAYER_MOUNTNS) != 0 && !empty_root()) {
        l->layers &= ~(uint32_t)ISOLATE_LAYER_MOUNTNS;
    }
    drop_capabilities();
}

/* child */

static void keep_descriptors(const int *kept, size_t count)
{
    unsigned from = 0;
    for (size_t i = 0; i < count; i++) {
        PRE(kept[i] >= (int)from);
        if (kept[i] > (int)from) {
            (void)syscall(SYS_close_range, from, (unsigned)kept[i] - 1, 0);
        }
        from = (unsigned)kept[i] + 1;
    }
    (void)syscall(SYS_close_range, from, ~0U, 0);
}

static bool limit(int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit l = {.rlim_cur = soft, .rlim_max = hard};
    return setrlimit(resource, &l) == 0;
}

static bool set_limits(const struct lockdown_limits *limits)
{
    uint64_t data = memory_data_bytes(limits->statm_fd);
    uint64_t data_max = data + limits->memory_bytes;
    bool is_set = data > 0 && limit(RLIMIT_DATA, data_max, data_max) && limit(RLIMIT_FSIZE, 0, 0) &&
                  limit(RLIMIT_CORE, 0, 0) && limit(RLIMIT_MEMLOCK, 0, 0) &&
                  limit(RLIMIT_MSGQUEUE, 0, 0) && limit(RLIMIT_NOFILE, POLLED_FDS, POLLED_FDS);
    if (limits->cpu_seconds > 0) {
        /* SIGXCPU first, which EXITED tells from a kill of the worker's. */
        is_set = is_set && limit(RLIMIT_CPU, limits->cpu_seconds, limits->cpu_seconds + 1U);
    }
    return is_set;
}

/* The first line throws at the bound, or ends the process; the second waits a little beyond. */
static void watch_memory(const struct lockdown_limits *limits)
{
    const uint64_t slack_bytes = 8 << 20;
    uint64_t own = memory_own_bytes(limits->statm_fd);
    memory_watch(limits->statm_fd,
                 own + limits->memory_bytes + limits->memory_bytes / 8 + slack_bytes);
}

int lockdown_child(const struct lockdown *l, const struct lockdown_limits *limits)
{
    PRE((l->layers & ISOLATE_LAYER_SECCOMP) != 0);
    keep_descriptors(limits->kept_fds, limits->kept_count);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (!set_limits(limits)) {
        return errno != 0 ? errno : EIO;
    }
    watch_memory(limits);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return errno;
    }
    int error = l->landlock_fd >= 0 ? landlock_enforce(l->landlock_fd) : 0;
    return error != 0 ? error : filter_install(l->filter, l->filter_count);
}
