/* A packet on the control socket: bytes, and at most one descriptor. Blocking. */
#ifndef ACTOR_ISOLATE_PACKET_H
#define ACTOR_ISOLATE_PACKET_H

#include <stddef.h>

#include "base/err.h"

/* `passed_fd` may be -1. ERR_CLOSED: the other side is gone. */
enum err packet_send(int fd, const void *data, size_t bytes, int passed_fd) MUST_CHECK;

/* One packet of at most `room` bytes. *ret_fd is the caller's; -1: none came.
 * ERR_CLOSED: the other side is gone; ERR_BAD_REQUEST: it is longer, or brought more than one descriptor,
 * and those are closed. */
enum err packet_receive(int fd, void *data, size_t room, size_t *ret_bytes, int *ret_fd) MUST_CHECK;

#endif
