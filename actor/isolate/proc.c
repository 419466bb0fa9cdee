#include "actor/isolate/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/invariant.h"

bool proc_fds_have(const struct proc_fds *l, int fd)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->fds[i] == fd) {
            return true;
        }
    }
    return false;
}

void proc_fds_add(struct proc_fds *l, int fd)
{
    PRE(l->count < PROC_FDS_MAX);
    size_t at = l->count;
    for (; at > 0 && l->fds[at - 1] > fd; at--) {
        l->fds[at] = l->fds[at - 1];
    }
    l->fds[at] = fd;
    l->count++;
}

enum err proc_list_fds(int proc_fd, struct proc_fds *ret)
{
    int dir_fd = openat(proc_fd, "self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = dir_fd < 0 ? NULL : fdopendir(dir_fd);
    if (listing == NULL) {
        return ERR_IO;
    }
    enum err err = ERR_OK;
    *ret = (struct proc_fds){0};
    for (struct dirent *entry; (entry = readdir(listing)) != NULL && err == ERR_OK;) {
        int fd = entry->d_name[0] == '.' ? dir_fd : (int)strtol(entry->d_name, NULL, 10);
        if (fd == dir_fd) {
            continue;
        }
        if (ret->count == PROC_FDS_MAX) {
            err = ERR_OVERLOADED;
        } else {
            proc_fds_add(ret, fd);
        }
    }
    (void)closedir(listing);
    return err;
}

bool proc_fd_is(int proc_fd, int fd, const char *ending)
{
    char link[32];
    char target[256];
    (void)snprintf(link, sizeof link, "self/fd/%d", fd);
    ssize_t n = readlinkat(proc_fd, link, target, sizeof target);
    size_t len = strlen(ending);
    return n >= (ssize_t)len && memcmp(target + n - len, ending, len) == 0;
}

size_t proc_task_count(int proc_fd)
{
    /* The folder of tasks has a link for each, beside the two that each folder has. */
    struct stat st;
    return fstatat(proc_fd, "self/task", &st, 0) == 0 && st.st_nlink > 2 ? st.st_nlink - 2 : 0;
}

void proc_read_maps(int proc_fd, struct buf *ret)
{
    enum { PIECE_BYTES = 64 * 1024 };
    int fd = openat(proc_fd, "self/maps", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : 1;
    while (n > 0) {
        buf_reserve(ret, PIECE_BYTES);
        n = read(fd, ret->data + ret->len, PIECE_BYTES);
        ret->len += n > 0 ? (size_t)n : 0;
    }
    buf_append_byte(ret, '\0');
    if (fd >= 0) {
        (void)close(fd);
    }
}
