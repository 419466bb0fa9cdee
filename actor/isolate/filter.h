/* The filter of system calls of a child, as a BPF program. */
#ifndef ACTOR_ISOLATE_FILTER_H
#define ACTOR_ISOLATE_FILTER_H

#include <stdint.h>

#include "base/err.h"

struct sock_filter;

/* The program, for any child; the zygote keeps it. ERR_NOT_IMPLEMENTED where this system has no filters
 * or not all of the calls are known to it. */
enum err filter_new(struct sock_filter **ret_program, unsigned short *ret_count) MUST_CHECK;

/* From now on this process lives under it, for good. 0 or errno. Needs no_new_privs. The child's own
 * number is put in first: it may signal its own threads and nobody else. */
int filter_install(struct sock_filter *program, unsigned short count);

#endif
