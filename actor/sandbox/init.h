/* dormouse-init: the first process of a sandbox. What its files share. */
#ifndef ACTOR_SANDBOX_INIT_H
#define ACTOR_SANDBOX_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor/sandbox_frame.h"

enum { INIT_FDS_MAX = 4 };

/* A request's texts, each closed by NUL, in the frame. */
struct texts {
    char *list[SANDBOX_TEXTS_MAX + 2]; /* NULL after the arguments and after the environment */
    size_t count;                      /* of arguments, what stands before them included */
    char **environment;
};

/* init.c: to the daemon. The descriptors are closed. A daemon that is gone ends this process. */
void init_send(const struct sandbox_frame *f, const void *payload, size_t bytes, const int *fds,
               size_t count);
void init_fail(uint32_t id, int error, uint32_t where);

/* spawn.c */
void spawn_start(const struct sandbox_frame *f, struct texts *t);
void spawn_signal(uint32_t id, int number);
void spawn_reap(void);

/* pty.c: both sides of a new terminal; an errno */
int pty_make(uint32_t size, int *ret_master, int *ret_slave);

/* watch.c: in a child; does not return while all goes well; an errno */
int watch_run(const char *path, bool is_recursive);

/* file.c */
void file_open(const struct sandbox_frame *f, const char *path);
/* In a child; an errno. */
int file_list(const char *path, bool is_recursive);
int file_remove(const char *path);
int file_mkdir(const char *path);
int file_move(const char *from, const char *to);
int file_copy(const char *from, const char *to);

#endif
