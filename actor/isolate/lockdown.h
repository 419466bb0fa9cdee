/* The lock-down: what keeps native code that took over a child from anything but its channel.
 *
 *     main     lockdown_enter      empty namespaces, as many as this system grants; before any thread
 *     zygote   lockdown_prepare    filter and ruleset, made once
 *              lockdown_close_root after all files were opened that anybody will need: an empty root,
 *                                  no capability
 *     child    lockdown_child      descriptors, limits, no_new_privs, Landlock, the filter; a few 100 us
 *
 * Children inherit the namespaces at no cost. The filter kills for what is not in its list; a few calls
 * that libraries try by themselves fail instead. Memory is bounded by RLIMIT_DATA, so the engine must run
 * without its cage (GIGACAGE_ENABLED=0, main.c), which that limit does not see. */
#ifndef ACTOR_ISOLATE_LOCKDOWN_H
#define ACTOR_ISOLATE_LOCKDOWN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sock_filter;

struct lockdown {
    uint32_t layers; /* enum isolate_layer, those that are in force or ready */
    int proc_fd;     /* /proc of the system; closed in children before they run code */
    int landlock_fd; /* -1: this kernel has none */
    struct sock_filter *filter;
    unsigned short filter_count;
};

struct lockdown_limits {
    const int *kept_fds; /* ascending; all others are closed */
    size_t kept_count;
    int statm_fd; /* of the child, one of those kept */
    uint64_t memory_bytes;
    uint32_t cpu_seconds; /* 0: no bound */
};

void lockdown_enter(struct lockdown *l);
enum err lockdown_prepare(struct lockdown *l) MUST_CHECK;
void lockdown_close_root(struct lockdown *l);

/* 0, or the errno of the layer that could not be had: the child must end then. */
int lockdown_child(const struct lockdown *l, const struct lockdown_limits *limits);

#endif
