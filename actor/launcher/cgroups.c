#include "actor/launcher/cgroups.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX   "dormouse-"
#define LAUNCHER "dormouse-launch" /* as much as the kernel keeps of a program's name */

enum { NAME_BYTES = 32, TEXT_BYTES = 64, LINE_BYTES = PATH_MAX + 64, PERIOD_US = 100000 };

static const char *const names[CGROUP_CONTROLLERS] = {
    [CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids", [CGROUP_CPU] = "cpu"};

/* Files */

static int write_text(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno;
    }
    int error = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : errno;
    (void)close(fd);
    return error;
}

static int write_number(int dir, const char *name, int64_t number)
{
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    return write_text(dir, name, text);
}

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += len) {
        bool begins = at == list || at[-1] == ',' || at[-1] == ' ';
        if (begins && (at[len] == '\0' || at[len] == ',' || at[len] == ' ' || at[len] == '\n')) {
            return true;
        }
    }
    return false;
}

static bool file_has_word(int dir, const char *name, const char *word)
{
    char text[1024];
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) {
        (void)close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    return has_word(text, word);
}

/* Where they are */

/* The cgroup of this process in the hierarchy of a controller; NULL: that of version 2. */
static bool own_path(const char *controller, char ret[PATH_MAX])
{
    static char line[LINE_BYTES];
    FILE *f = fopen("/proc/self/cgroup", "re");
    bool found = false;
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        char *list = strchr(line, ':');
        char *path = list != NULL ? strchr(list + 1, ':') : NULL;
        if (path == NULL) {
            continue;
        }
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        found = controller == NULL ? list[1] == '\0' : has_word(list + 1, controller);
        if (found) {
            (void)snprintf(ret, PATH_MAX, "%s", path);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return found;
}

/* The mount point of it. */
static bool mount_point(const char *controller, char ret[PATH_MAX])
{
    static char line[LINE_BYTES];
    static char options[LINE_BYTES];
    char type[TEXT_BYTES];
    FILE *f = fopen("/proc/self/mounts", "re");
    bool found = false;
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        static char point[PATH_MAX];
        if (sscanf(line, "%*s %4095s %63s %4095s", point, type, options) != 3) {
            continue;
        }
        found = controller == NULL ? strcmp(type, "cgroup2") == 0
                                   : strcmp(type, "cgroup") == 0 && has_word(options, controller);
        if (found) {
            (void)snprintf(ret, PATH_MAX, "%s", point);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return found;
}

static int open_own(const char *controller)
{
    static char point[PATH_MAX];
    static char path[PATH_MAX];
    static char full[2 * PATH_MAX];
    if (!mount_point(controller, point) || !own_path(controller, path)) {
        return -1;
    }
    (void)snprintf(full, sizeof full, "%s%s", point, path);
    int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Of another namespace, the path may be of no use here; then ours are at the top. */
    return fd >= 0 ? fd : open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Directories of launchers */

static bool is_launcher(long pid)
{
    char path[TEXT_BYTES];
    char name[TEXT_BYTES] = {0};
    (void)snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && read(fd, name, sizeof name - 1) > 0 &&
              strncmp(name, LAUNCHER, sizeof LAUNCHER - 1) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is;
}

/* What one that was killed has left behind: what lives there ends, and its directories go. Processes need a moment
 * to end; the next start removes what this one could not. */
static void remove_tree(int parent, const char *name)
{
    int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = dir >= 0 ? fdopendir(dir) : NULL;
    const struct dirent *entry;
    if (list == NULL) {
        return;
    }
    (void)write_text(dir, "cgroup.kill", "1");
    while ((entry = readdir(list)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            for (int tries = 0;
                 unlinkat(dir, entry->d_name, AT_REMOVEDIR) != 0 && errno == EBUSY && tries < 50;
                 tries++) {
                (void)poll(NULL, 0, 10);
            }
        }
    }
    (void)closedir(list);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

static void remove_old(int own)
{
    int copy = openat(own, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    const struct dirent *entry;
    while (list != NULL && (entry = readdir(list)) != NULL) {
        char *end;
        if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) != 0) {
            continue;
        }
        long pid = strtol(entry->d_name + sizeof PREFIX - 1, &end, 10);
        if (*end == '\0' && !is_launcher(pid)) {
            remove_tree(own, entry->d_name);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
}

static void own_name(char ret[NAME_BYTES])
{
    (void)snprintf(ret, NAME_BYTES, PREFIX "%d", (int)getpid());
}

static int make_own(int parent)
{
    char name[NAME_BYTES];
    if (parent < 0) {
        return -1;
    }
    own_name(name);
    remove_old(parent);
    if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST) {
        return -1;
    }
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Version 2 has no processes in a group whose children have controllers: those of this group, the daemon and
 * ourselves, go into one of its children. */
static void leave_inner(int parent)
{
    char text[16 * 1024];
    if (mkdirat(parent, "node", 0755) != 0 && errno != EEXIST) {
        return;
    }
    int node = openat(parent, "node", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(parent, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    text[n > 0 ? n : 0] = '\0';
    char *rest = text;
    for (char *pid; node >= 0 && (pid = strsep(&rest, "\n")) != NULL;) {
        if (isdigit((unsigned char)*pid)) {
            (void)write_text(node, "cgroup.procs", pid);
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (node >= 0) {
        (void)close(node);
    }
}

/* In our directory's parent and then in ours. */
static bool enable(int parent, int own, const char *controller)
{
    char text[TEXT_BYTES];
    (void)snprintf(text, sizeof text, "+%s", controller);
    if (!file_has_word(parent, "cgroup.controllers", controller)) {
        return false;
    }
    int error = write_text(parent, "cgroup.subtree_control", text);
    if (error == EBUSY) {
        leave_inner(parent);
        error = write_text(parent, "cgroup.subtree_control", text);
    }
    return error == 0 && write_text(own, "cgroup.subtree_control", text) == 0;
}

uint32_t cgroups_open(struct cgroups *c)
{
    static const uint32_t needs[CGROUP_CONTROLLERS] = {
        1U << SANDBOX_NEEDS_MEMORY, 1U << SANDBOX_NEEDS_PIDS, 1U << SANDBOX_NEEDS_CPU};
    uint32_t found = 0;
    int parent = open_own(NULL);
    c->own = make_own(parent);
    if (c->own >= 0 && faccessat(c->own, "cgroup.kill", W_OK, 0) == 0) {
        found |= 1U << SANDBOX_NEEDS_CGROUPS;
    }
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        c->legacy[i] = -1;
        c->unified[i] = c->own >= 0 && enable(parent, c->own, names[i]);
        if (!c->unified[i]) {
            int legacy = open_own(names[i]);
            c->legacy[i] = make_own(legacy);
            if (legacy >= 0) {
                (void)close(legacy);
            }
        }
        found |= c->unified[i] || c->legacy[i] >= 0 ? needs[i] : 0U;
    }
    if (parent >= 0) {
        (void)close(parent);
    }
    return found;
}

static void remove_own(int *fd)
{
    char name[NAME_BYTES];
    if (*fd < 0) {
        return;
    }
    own_name(name);
    int parent = openat(*fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)close(*fd);
    *fd = -1;
    if (parent >= 0) {
        remove_tree(parent, name);
        (void)close(parent);
    }
}

void cgroups_close(struct cgroups *c)
{
    remove_own(&c->own);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        remove_own(&c->legacy[i]);
    }
}

/* One of them */

static void name_of(uint32_t number, char ret[NAME_BYTES])
{
    (void)snprintf(ret, NAME_BYTES, "s%u", (unsigned)number);
}

static int make_dir(int parent, uint32_t number, int *ret_dir)
{
    char name[NAME_BYTES];
    name_of(number, name);
    if (mkdirat(parent, name, 0755) != 0) {
        return errno;
    }
    *ret_dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_dir < 0 ? errno : 0;
}

static int limit_unified(const struct cgroups *c, int dir, const struct launch_sandbox *limits)
{
    char text[TEXT_BYTES];
    int error = 0;
    if (c->unified[CGROUP_MEMORY]) {
        error = write_number(dir, "memory.max", (int64_t)limits->memory_bytes);
        (void)write_text(dir, "memory.swap.max", "0"); /* there may be no swap to be bounded */
    }
    if (error == 0 && c->unified[CGROUP_PIDS]) {
        error = write_number(dir, "pids.max", limits->pids_max);
    }
    if (error == 0 && c->unified[CGROUP_CPU]) {
        (void)snprintf(text, sizeof text, "%llu %d",
                       (unsigned long long)limits->cpu_milli * (PERIOD_US / 1000), PERIOD_US);
        error = write_text(dir, "cpu.max", text);
    }
    return error;
}

static int limit_legacy(enum cgroup_controller which, int dir, const struct launch_sandbox *limits)
{
    int error = 0;
    switch (which) {
    case CGROUP_MEMORY:
        return write_number(dir, "memory.limit_in_bytes", (int64_t)limits->memory_bytes);
    case CGROUP_PIDS:
        return write_number(dir, "pids.max", limits->pids_max);
    case CGROUP_CPU:
        error = write_number(dir, "cpu.cfs_period_us", PERIOD_US);
        return error != 0 ? error
                          : write_number(dir, "cpu.cfs_quota_us",
                                         (int64_t)limits->cpu_milli * (PERIOD_US / 1000));
    case CGROUP_CONTROLLERS:
        break;
    }
    return EINVAL;
}

int cgroup_make(const struct cgroups *c, uint32_t number, const struct launch_sandbox *limits,
                int *ret_dir)
{
    int error = make_dir(c->own, number, ret_dir);
    if (error != 0) {
        return error;
    }
    error = limit_unified(c, *ret_dir, limits);
    for (int i = 0; i < CGROUP_CONTROLLERS && error == 0; i++) {
        int dir = -1;
        if (c->legacy[i] < 0) {
            continue;
        }
        error = make_dir(c->legacy[i], number, &dir);
        if (error == 0) {
            error = limit_legacy((enum cgroup_controller)i, dir, limits);
            (void)close(dir);
        }
    }
    if (error != 0) {
        (void)close(*ret_dir);
        *ret_dir = -1;
        (void)cgroup_remove(c, number);
    }
    return error;
}

/* Where there is no memory controller, which the operator has accepted, nothing is read. */
static int open_memory(const struct cgroups *c, const char *name, int dir, bool wants_events)
{
    if (c->unified[CGROUP_MEMORY]) {
        return openat(dir, wants_events ? "memory.events" : "memory.current", O_RDONLY | O_CLOEXEC);
    }
    if (c->legacy[CGROUP_MEMORY] < 0) {
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    char path[NAME_BYTES + TEXT_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", name,
                   wants_events ? "memory.oom_control" : "memory.usage_in_bytes");
    return openat(c->legacy[CGROUP_MEMORY], path, O_RDONLY | O_CLOEXEC);
}

int cgroup_open_files(const struct cgroups *c, uint32_t number, int dir, int fds[SANDBOX_FDS])
{
    char name[NAME_BYTES];
    name_of(number, name);
    fds[SANDBOX_FD_CPU] = openat(dir, "cpu.stat", O_RDONLY | O_CLOEXEC);
    fds[SANDBOX_FD_FREEZE] = openat(dir, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
    fds[SANDBOX_FD_KILL] = openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    fds[SANDBOX_FD_MEMORY] = open_memory(c, name, dir, false);
    fds[SANDBOX_FD_OOM] = open_memory(c, name, dir, true);
    for (int i = SANDBOX_FD_CPU; i <= SANDBOX_FD_OOM; i++) {
        if (fds[i] < 0) {
            return ENOENT;
        }
    }
    return 0;
}

int cgroup_open_tasks(const struct cgroups *c, uint32_t number, int ret_tasks[CGROUP_CONTROLLERS])
{
    char path[NAME_BYTES + sizeof "/tasks"];
    char name[NAME_BYTES];
    int error = 0;
    name_of(number, name);
    (void)snprintf(path, sizeof path, "%s/tasks", name);
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        ret_tasks[i] = -1;
        if (c->legacy[i] >= 0) {
            ret_tasks[i] = openat(c->legacy[i], path, O_WRONLY | O_CLOEXEC);
            error = ret_tasks[i] < 0 ? errno : error;
        }
    }
    return error;
}

void cgroup_kill(const struct cgroups *c, uint32_t number)
{
    char path[NAME_BYTES + sizeof "/cgroup.kill"];
    char name[NAME_BYTES];
    name_of(number, name);
    (void)snprintf(path, sizeof path, "%s/cgroup.kill", name);
    (void)write_text(c->own, path, "1");
}

bool cgroup_remove(const struct cgroups *c, uint32_t number)
{
    char name[NAME_BYTES];
    bool is_gone = true;
    name_of(number, name);
    for (int i = -1; i < CGROUP_CONTROLLERS; i++) {
        int parent = i < 0 ? c->own : c->legacy[i];
        if (parent >= 0 && unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
            is_gone = false;
        }
    }
    return is_gone;
}
