/* What /proc says of this process. It is asked through a descriptor of /proc, since the processes here
 * give up their root. */
#ifndef ACTOR_ISOLATE_PROC_H
#define ACTOR_ISOLATE_PROC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

enum { PROC_FDS_MAX = 64 };

struct proc_fds {
    int fds[PROC_FDS_MAX]; /* ascending */
    size_t count;
};

bool proc_fds_have(const struct proc_fds *l, int fd);
void proc_fds_add(struct proc_fds *l, int fd); /* keeps the order; there must be room */

/* All descriptors that are open. ERR_OVERLOADED: more than fit; ERR_IO: /proc does not say. */
enum err proc_list_fds(int proc_fd, struct proc_fds *ret) MUST_CHECK;

/* Does what the descriptor is of end so? "/statm", "[eventfd]". */
bool proc_fd_is(int proc_fd, int fd, const char *ending);

size_t proc_task_count(int proc_fd); /* 0: /proc does not say */

/* /proc/self/maps, closed by NUL; empty where it cannot be read. */
void proc_read_maps(int proc_fd, struct buf *ret);

#endif
