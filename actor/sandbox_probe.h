/* One request to a port of a sandbox, of which the status alone is wanted: GET path. */
#ifndef ACTOR_SANDBOX_PROBE_H
#define ACTOR_SANDBOX_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct machine;
struct probe;

/* `done` is called once, later, with the status; 0: there was no answer. Then the probe is gone. NULL: it cannot
 * be asked now. */
struct probe *probe_new(struct machine *m, uint16_t port, struct slice path,
                        void (*done)(void *ctx, int status), void *ctx);
void probe_free(struct probe *p); /* nothing more is heard of it; NULL is fine */

#endif
