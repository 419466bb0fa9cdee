/* Files, for the daemon: every path is resolved here, inside of the sandbox. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actor/sandbox/init.h"

enum { DEPTH_MAX = 512, COPY_BYTES = 128 * 1024, FOR_REPLACING = 1 << 30 };

/* Opening */

static int make_parents(const char *path)
{
    static char copy[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof copy) {
        return ENAMETOOLONG;
    }
    memcpy(copy, path, len + 1);
    for (char *at = copy + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST) {
            return errno;
        }
        *at = '/';
    }
    return 0;
}

/* A new file beside the one that it will replace once it is whole: its path, NUL, that of the other. */
static void open_for_replacing(const struct sandbox_frame *f, const char *path)
{
    static unsigned number;
    static char real[PATH_MAX];
    char names[2 * PATH_MAX + 64];
    struct stat st;
    int error = make_parents(path);
    if (error != 0) {
        init_fail(f->id, error, 0);
        return;
    }
    if (realpath(path, real) == NULL) {
        (void)snprintf(real, sizeof real, "%s", path);
    }
    mode_t mode = stat(real, &st) == 0 ? st.st_mode & 07777 : 0644;
    if (stat(real, &st) == 0 && !S_ISREG(st.st_mode)) {
        init_fail(f->id, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, 0);
        return;
    }
    const char *slash = strrchr(real, '/');
    int first = snprintf(names, sizeof names, "%.*s/.put-%u-%u", (int)(slash - real), real, f->id,
                         ++number);
    int second = snprintf(names + first + 1, sizeof names - (size_t)first - 1, "%s", real);
    int fd = open(names, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        init_fail(f->id, errno, 0);
        return;
    }
    (void)fchmod(fd, mode);
    const struct sandbox_frame opened = {.kind = SANDBOX_OPENED, .id = f->id};
    init_send(&opened, names, (size_t)(first + 1 + second + 1), &fd, 1);
}

void file_open(const struct sandbox_frame *f, const char *path)
{
    if (path[0] != '/') {
        init_fail(f->id, EINVAL, 0);
        return;
    }
    if ((f->a & FOR_REPLACING) != 0) {
        open_for_replacing(f, path);
        return;
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        init_fail(f->id, errno, 0);
        return;
    }
    const struct sandbox_frame opened = {.kind = SANDBOX_OPENED, .id = f->id};
    init_send(&opened, NULL, 0, &fd, 1);
}

/* Listing: records to standard output */

static bool put(int dir, const char *name, const char *path)
{
    char link[PATH_MAX];
    struct stat st;
    struct sandbox_listed r = {0};
    ssize_t link_bytes = 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT; /* it went away meanwhile */
    }
    if (S_ISLNK(st.st_mode)) {
        link_bytes = readlinkat(dir, name, link, sizeof link);
        link_bytes = link_bytes < 0 ? 0 : link_bytes;
    }
    r.bytes = (uint64_t)st.st_size;
    r.modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    r.mode = st.st_mode;
    r.path_bytes = (uint16_t)strlen(path);
    r.link_bytes = (uint16_t)link_bytes;
    return fwrite(&r, sizeof r, 1, stdout) == 1 &&
           fwrite(path, 1, r.path_bytes, stdout) == r.path_bytes &&
           fwrite(link, 1, r.link_bytes, stdout) == r.link_bytes;
}

static int list_dir(int dir, char path[PATH_MAX], size_t len, bool is_recursive, int depth)
{
    DIR *list = fdopendir(dir);
    struct dirent *entry;
    int error = list == NULL ? errno : 0;
    while (error == 0 && (errno = 0, entry = readdir(list)) != NULL) {
        const char *name = entry->d_name;
        size_t bytes = strlen(name);
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || len + bytes + 2 >= PATH_MAX) {
            continue;
        }
        memcpy(path + len, name, bytes + 1);
        error = put(dir, name, path) ? 0 : EIO;
        if (is_recursive && error == 0 && depth < DEPTH_MAX &&
            (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)) {
            int sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (sub >= 0) {
                memcpy(path + len + bytes, "/", 2);
                error = list_dir(sub, path, len + bytes + 1, true, depth + 1);
            }
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return error;
}

int file_list(const char *path, bool is_recursive)
{
    static char below[PATH_MAX];
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return errno;
    }
    int error = list_dir(dir, below, 0, is_recursive, 0);
    return error == 0 && fflush(stdout) != 0 ? EIO : error;
}

/* Removing, making, moving */

static int remove_at(int dir, const char *name, int depth)
{
    if (unlinkat(dir, name, 0) == 0) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return errno;
    }
    int sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = sub >= 0 ? fdopendir(sub) : NULL;
    const struct dirent *entry;
    int error = list == NULL ? errno : depth > DEPTH_MAX ? ELOOP : 0;
    while (error == 0 && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            error = remove_at(sub, entry->d_name, depth + 1);
            error = error == ENOENT ? 0 : error;
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return error != 0 ? error : unlinkat(dir, name, AT_REMOVEDIR) == 0 ? 0 : errno;
}

int file_remove(const char *path)
{
    return strcmp(path, "/") == 0 ? EBUSY : remove_at(AT_FDCWD, path, 0);
}

int file_mkdir(const char *path)
{
    struct stat st;
    int error = make_parents(path);
    if (error != 0) {
        return error;
    }
    if (mkdir(path, 0755) == 0) {
        return 0;
    }
    return errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : errno;
}

/* Copying */

static int copy_bytes(int from, int to)
{
    static char bytes[COPY_BYTES];
    ssize_t n;
    while ((n = copy_file_range(from, NULL, to, NULL, 1 << 30, 0)) > 0) {
    }
    if (n == 0) {
        return 0;
    }
    while ((n = read(from, bytes, sizeof bytes)) > 0) {
        for (ssize_t at = 0; at < n;) {
            ssize_t written = write(to, bytes + at, (size_t)(n - at));
            if (written < 0) {
                return errno;
            }
            at += written;
        }
    }
    return n < 0 ? errno : 0;
}

static int copy_at(int from_dir, const char *from, int to_dir, const char *to, int depth);

static int copy_dir(int from, int to, int depth)
{
    DIR *list = fdopendir(from);
    const struct dirent *entry;
    int error = list == NULL ? errno : depth > DEPTH_MAX ? ELOOP : 0;
    while (error == 0 && (entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            error = copy_at(from, entry->d_name, to, entry->d_name, depth + 1);
        }
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return error;
}

static int copy_link(int from_dir, const char *from, int to_dir, const char *to)
{
    char text[PATH_MAX];
    ssize_t n = readlinkat(from_dir, from, text, sizeof text - 1);
    if (n < 0) {
        return errno;
    }
    text[n] = '\0';
    return symlinkat(text, to_dir, to) == 0 ? 0 : errno;
}

static int copy_folder(int from_dir, const char *from, int to_dir, const char *to,
                       const struct stat *st, int depth)
{
    if (mkdirat(to_dir, to, 0700) != 0 && errno != EEXIST) {
        return errno;
    }
    int in = openat(from_dir, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int out = openat(to_dir, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = in < 0 || out < 0 ? errno : copy_dir(in, out, depth);
    if (error == 0 && fchmod(out, st->st_mode & 07777) != 0) {
        error = errno;
    }
    if (out >= 0) {
        (void)close(out);
    }
    return error;
}

static int copy_regular(int from_dir, const char *from, int to_dir, const char *to,
                        const struct stat *st)
{
    int in = openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int out = openat(to_dir, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const struct timespec times[] = {st->st_atim, st->st_mtim};
    int error = in < 0 || out < 0 ? errno : copy_bytes(in, out);
    if (error == 0 && (fchmod(out, st->st_mode & 07777) != 0 || futimens(out, times) != 0)) {
        error = errno;
    }
    if (in >= 0) {
        (void)close(in);
    }
    if (out >= 0) {
        (void)close(out);
    }
    return error;
}

static int copy_at(int from_dir, const char *from, int to_dir, const char *to, int depth)
{
    struct stat st;
    if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno;
    }
    if (S_ISLNK(st.st_mode)) {
        return copy_link(from_dir, from, to_dir, to);
    }
    if (S_ISDIR(st.st_mode)) {
        return copy_folder(from_dir, from, to_dir, to, &st, depth);
    }
    if (S_ISREG(st.st_mode)) {
        return copy_regular(from_dir, from, to_dir, to, &st);
    }
    return depth == 0 ? EINVAL : 0; /* sockets and the like stay where they are */
}

/* A copy into itself would not end. */
static bool is_below(const char *from, const char *to)
{
    size_t len = strlen(from);
    return strncmp(from, to, len) == 0 && (to[len] == '/' || to[len] == '\0');
}

int file_copy(const char *from, const char *to)
{
    int error = is_below(from, to) ? EINVAL : make_parents(to);
    return error != 0 ? error : copy_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int file_move(const char *from, const char *to)
{
    struct stat st;
    if (lstat(from, &st) != 0) {
        return errno;
    }
    int error = make_parents(to);
    if (error != 0) {
        return error;
    }
    if (rename(from, to) == 0) {
        return 0;
    }
    if (errno != EXDEV) {
        return errno;
    }
    /* A directory of a layer below, or another file system. */
    error = file_copy(from, to);
    return error != 0 ? error : file_remove(from);
}
