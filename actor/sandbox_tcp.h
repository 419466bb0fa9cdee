/* A connection to something in a sandbox. */
#ifndef ACTOR_SANDBOX_TCP_H
#define ACTOR_SANDBOX_TCP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct machine;
struct tcp;

struct tcp_hooks {
    void (*input)(void *ctx, struct slice bytes);
    void (*ended)(void *ctx);    /* nothing more comes; once */
    void (*writable)(void *ctx); /* all that was written has left */
};

/* Takes the descriptor. NULL: it is no socket. Any hook may free it. */
struct tcp *tcp_new(struct machine *m, int fd, const struct tcp_hooks *hooks, void *ctx);
void tcp_free(struct tcp *t); /* NULL is fine */
void tcp_read(struct tcp *t, bool wants_input);
void tcp_write(struct tcp *t, struct slice bytes);
size_t tcp_unsent_bytes(const struct tcp *t);

#endif
