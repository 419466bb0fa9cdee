/* The outer side of a terminal that something in a sandbox runs on. */
#ifndef ACTOR_SANDBOX_PTY_H
#define ACTOR_SANDBOX_PTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct machine;
struct pty;

struct pty_hooks {
    void (*output)(void *ctx, struct slice bytes);
    void (*writable)(void *ctx); /* it takes input again */
};

/* Takes the descriptor. NULL: it is no terminal. Output is read from the start. */
struct pty *pty_new(struct machine *m, int fd, const struct pty_hooks *hooks, void *ctx);
void pty_free(struct pty *p); /* whoever runs on it hears that it hung up; NULL is fine */

void pty_read(struct pty *p, bool wants_output); /* false: who writes to it waits */
void pty_drain(struct pty *p, size_t bytes_max); /* what is there now */
/* How much of it was taken; `writable` comes where it was not all. */
size_t pty_write(struct pty *p, struct slice bytes);
void pty_resize(struct pty *p, uint16_t columns, uint16_t rows);

#endif
