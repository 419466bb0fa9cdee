/* Changes of files below a folder, by inotify, in a child of its own: one watch a folder. A folder that appears is
 * watched and then looked through, since what was made in it before the watch is told by nobody. Where events are lost, or
 * there are too many folders, it says RESYNC. What is below .git and node_modules is not watched, but where asked for. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "actor/sandbox/init.h"

enum {
    WATCHES_MAX = 8192, /* folders of one watcher; the kernel bounds them for each user too */
    DEPTH_MAX = 64,
    MOVE_WAIT_MS = 20, /* for the other half of a move */
    EVENTS_BYTES = 64 * 1024,
    PATH_BYTES = 4096,
    WATCHED_PATH_BYTES = 1024, /* of a folder; below longer ones it does not see */
    WATCHED = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
              IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW |
              IN_EXCL_UNLINK,
};

struct watched {
    int wd;                        /* 0: free */
    char path[WATCHED_PATH_BYTES]; /* below the root; "" is the root itself */
};

static int notify;
static const char *root;
static bool goes_down;
static struct watched list[WATCHES_MAX];
static size_t list_count;
static struct {
    uint32_t cookie; /* 0: none */
    bool is_folder;
    char path[PATH_BYTES];
} moved;

static void tell(enum sandbox_change_kind kind, bool is_folder, const char *path, const char *from)
{
    const struct sandbox_change c = {.kind = kind,
                                     .is_folder = is_folder,
                                     .path_bytes = (uint32_t)strlen(path),
                                     .from_bytes = (uint32_t)strlen(from)};
    struct iovec parts[] = {{(void *)(uintptr_t)&c, sizeof c},
                            {(void *)(uintptr_t)path, c.path_bytes},
                            {(void *)(uintptr_t)from, c.from_bytes}};
    size_t left = sizeof c + c.path_bytes + c.from_bytes;
    struct iovec *at = parts;
    while (left > 0) {
        ssize_t n = writev(STDOUT_FILENO, at, (int)(parts + 3 - at));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            _exit(0); /* nobody reads it */
        }
        left -= (size_t)n;
        for (; at < parts + 3 && (size_t)n >= at->iov_len; at++) {
            n -= (ssize_t)at->iov_len;
        }
        if (left > 0) {
            at->iov_base = (char *)at->iov_base + n;
            at->iov_len -= (size_t)n;
        }
    }
}

static struct watched *find(int wd)
{
    for (size_t i = 0; i < list_count; i++) {
        if (list[i].wd == wd) {
            return &list[i];
        }
    }
    return NULL;
}

static bool is_passed_over(const char *name)
{
    return strcmp(name, ".git") == 0 || strcmp(name, "node_modules") == 0;
}

static bool join(char ret[PATH_BYTES], const char *folder, const char *name)
{
    int n = snprintf(ret, PATH_BYTES, "%s%s%s", folder, *folder != '\0' && *name != '\0' ? "/" : "",
                     name);
    return n > 0 ? n < PATH_BYTES : *name == '\0';
}

/* False: it cannot be watched. */
static bool add(const char *path, int *ret_error)
{
    char whole[2 * PATH_BYTES];
    (void)snprintf(whole, sizeof whole, "%s%s%s", root, *path != '\0' ? "/" : "", path);
    if (strlen(path) >= WATCHED_PATH_BYTES) {
        *ret_error = ENOSPC;
        return false;
    }
    int wd = inotify_add_watch(notify, whole, WATCHED);
    if (wd < 0) {
        *ret_error = errno;
        return false;
    }
    struct watched *w = find(wd);
    if (w == NULL) {
        w = find(0);
    }
    if (w == NULL && list_count < WATCHES_MAX) {
        w = &list[list_count++];
    }
    if (w == NULL) {
        (void)inotify_rm_watch(notify, wd);
        *ret_error = ENOSPC;
        return false;
    }
    w->wd = wd;
    (void)snprintf(w->path, sizeof w->path, "%s", path);
    return true;
}

static bool is_folder_at(int at, const struct dirent *e)
{
    struct stat st;
    if (e->d_type != DT_UNKNOWN) {
        return e->d_type == DT_DIR;
    }
    return fstatat(at, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* `tells`: what is found there has been made since. An errno of the folder itself. */
static int take_in(const char *path, bool tells, int depth)
{
    char whole[2 * PATH_BYTES];
    char below[PATH_BYTES];
    struct dirent *e;
    int error = 0;
    if (!add(path, &error)) {
        return error;
    }
    (void)snprintf(whole, sizeof whole, "%s%s%s", root, *path != '\0' ? "/" : "", path);
    int fd = open(whole, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        return errno;
    }
    while ((tells || goes_down) && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            !join(below, path, e->d_name)) {
            continue;
        }
        bool is_folder = is_folder_at(dirfd(d), e);
        if (tells) {
            tell(SANDBOX_CHANGE_CREATE, is_folder, below, "");
        }
        if (is_folder && goes_down && !is_passed_over(e->d_name) &&
            (depth >= DEPTH_MAX || take_in(below, tells, depth + 1) == ENOSPC)) {
            tell(SANDBOX_CHANGE_RESYNC, true, below, ""); /* it is not seen any more */
        }
    }
    (void)closedir(d);
    return 0;
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static void let_go(const char *folder)
{
    for (size_t i = 0; i < list_count; i++) {
        if (list[i].wd != 0 && is_below(list[i].path, folder)) {
            (void)inotify_rm_watch(notify, list[i].wd);
            list[i].wd = 0;
        }
    }
}

static void rename_below(const char *from, const char *to)
{
    char path[PATH_BYTES];
    for (size_t i = 0; i < list_count; i++) {
        if (list[i].wd == 0 || !is_below(list[i].path, from)) {
            continue;
        }
        const char *rest = list[i].path + strlen(from);
        bool fits =
            join(path, to, *rest == '/' ? rest + 1 : rest) && strlen(path) < WATCHED_PATH_BYTES;
        if (fits) {
            memcpy(list[i].path, path, strlen(path) + 1);
        } else {
            (void)inotify_rm_watch(notify, list[i].wd);
            list[i].wd = 0;
            tell(SANDBOX_CHANGE_RESYNC, true, to, "");
        }
    }
}

/* One half of a move whose other half is elsewhere: it is gone from here. */
static void end_move(void)
{
    if (moved.cookie != 0) {
        moved.cookie = 0;
        tell(SANDBOX_CHANGE_DELETE, moved.is_folder, moved.path, "");
        if (moved.is_folder) {
            let_go(moved.path);
        }
    }
}

static void appear(const char *path, const char *name, bool is_folder)
{
    tell(SANDBOX_CHANGE_CREATE, is_folder, path, "");
    if (is_folder && goes_down && !is_passed_over(name) && take_in(path, true, 0) == ENOSPC) {
        tell(SANDBOX_CHANGE_RESYNC, true, path, "");
    }
}

static void take(const struct inotify_event *e)
{
    char path[PATH_BYTES];
    bool is_folder = (e->mask & IN_ISDIR) != 0;
    /* Both halves of a move stand one behind the other. */
    if (moved.cookie != 0 && ((e->mask & IN_MOVED_TO) == 0 || e->cookie != moved.cookie)) {
        end_move();
    }
    struct watched *w = find(e->wd);
    if ((e->mask & IN_Q_OVERFLOW) != 0) {
        tell(SANDBOX_CHANGE_RESYNC, true, "", "");
        (void)take_in("", false, 0); /* folders that have come meanwhile */
        return;
    }
    if (w == NULL || e->wd == 0) {
        return;
    }
    if ((e->mask & IN_IGNORED) != 0) {
        w->wd = 0;
        return;
    }
    if ((e->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
        if (*w->path == '\0') {
            tell(SANDBOX_CHANGE_DELETE, true, "", "");
            _exit(0); /* the watched folder is there no more */
        }
        return;
    }
    if (!join(path, w->path, e->len > 0 ? e->name : "")) {
        return;
    }
    if ((e->mask & IN_MOVED_FROM) != 0) {
        moved.cookie = e->cookie;
        moved.is_folder = is_folder;
        (void)snprintf(moved.path, sizeof moved.path, "%s", path);
    } else if ((e->mask & IN_MOVED_TO) != 0 && moved.cookie != 0) {
        moved.cookie = 0;
        tell(SANDBOX_CHANGE_MOVE, is_folder, path, moved.path);
        if (is_folder) {
            rename_below(moved.path, path);
        }
    } else if ((e->mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
        appear(path, e->len > 0 ? e->name : "", is_folder);
    } else if ((e->mask & IN_DELETE) != 0) {
        tell(SANDBOX_CHANGE_DELETE, is_folder, path, "");
    } else if ((e->mask & (IN_MODIFY | IN_CLOSE_WRITE)) != 0) {
        tell(SANDBOX_CHANGE_MODIFY, is_folder, path, "");
    } else if ((e->mask & IN_ATTRIB) != 0 && (e->len > 0 || *w->path == '\0')) {
        tell(SANDBOX_CHANGE_ATTRIB, is_folder, path, "");
    }
}

int watch_run(const char *path, bool is_recursive)
{
    static char events[EVENTS_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
    root = strcmp(path, "/") == 0 ? "" : path;
    goes_down = is_recursive;
    notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (notify < 0) {
        return errno;
    }
    int error = 0;
    if (*root == '\0') {
        root = "/.";
    }
    error = take_in("", false, 0);
    if (error != 0) {
        return error;
    }
    tell(SANDBOX_CHANGE_READY, true, "", "");
    for (;;) {
        struct pollfd p[] = {{.fd = notify, .events = POLLIN}, {.fd = STDOUT_FILENO}};
        if (poll(p, 2, moved.cookie != 0 ? MOVE_WAIT_MS : -1) < 0 && errno != EINTR) {
            return errno;
        }
        if (p[1].revents != 0) {
            return 0; /* nobody reads it */
        }
        ssize_t n = read(notify, events, sizeof events);
        if (n <= 0) {
            end_move();
            continue;
        }
        for (char *at = events; at < events + n;) {
            const struct inotify_event *e = (const void *)at;
            take(e);
            at += sizeof *e + e->len;
        }
    }
}
