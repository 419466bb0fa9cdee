/* The lock-down of the egress process, which reads what strangers send and holds nobody's data.
 *
 *     LANDLOCK   no file but those that names and certificates need, none for writing; no port of its own; no
 *                signals and no abstract sockets beyond itself
 *     SECCOMP    the system calls that libcurl and the resolver make, and no others; sockets of the network
 *                alone; no new code: neither exec nor pages that become executable
 *     RLIMIT     memory, descriptors, no core dumps
 *
 * For good, and for every thread that comes later. */
#ifndef ACTOR_EGRESS_LOCKDOWN_H
#define ACTOR_EGRESS_LOCKDOWN_H

#include <stdint.h>

#include "base/err.h"

/* The layers that are in force, of enum egress_layer. ERR_IO: without a filter of system calls the process is not
 * to run; the other layers are what the kernel has. */
enum err lockdown(uint32_t *ret_layers) MUST_CHECK;

#endif
