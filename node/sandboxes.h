/* What a worker has for the sandboxes of its actors: machines, disks, and the host that runs them
 * (actor/sandbox_host.h). */
#ifndef NODE_SANDBOXES_H
#define NODE_SANDBOXES_H

#include "actor/sandbox_disk_uv.h"
#include "actor/sandbox_host.h"
#include "actor/sandbox_machine_uv.h"

struct worker;

struct sandboxes {
    struct machines machines;
    struct disks disks;
    struct sandbox_host host;
    struct sandbox_outside outside;
};

/* Before the workers: what an earlier process has left half done goes. */
void sandboxes_clean(const char *data);

void sandboxes_open(struct sandboxes *s, struct worker *w); /* the loop is there */
void sandboxes_close(struct sandboxes *s);                  /* before registry_done */
void sandboxes_done(struct sandboxes *s);                   /* after it */

/* Any request of an actor, to whoever runs it; and back. */
void worker_submit(struct worker *w, struct shard *shard, struct request *r, uint32_t timeout_ms);
void worker_cancel(struct worker *w, struct request *r);

#endif
