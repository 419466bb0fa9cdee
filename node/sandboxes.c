#include "node/sandboxes.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "node/node.h"
#include "node/worker.h"

#define FOLDER "sandboxes"

static void folder_of(const char *data, char ret[SANDBOX_PATH_BYTES])
{
    (void)snprintf(ret, SANDBOX_PATH_BYTES, "%s/" FOLDER, data);
}

void sandboxes_clean(const char *data)
{
    char folder[SANDBOX_PATH_BYTES];
    folder_of(data, folder);
    disks_clean(folder);
}

/* What is missing that nobody has said may be. */
static uint32_t missing_of(const struct node *n)
{
    return ((1U << SANDBOX_NEEDS) - 1) & ~n->launch->sandbox & ~n->options->sandbox_without;
}

void sandboxes_open(struct sandboxes *s, struct worker *w)
{
    char folder[SANDBOX_PATH_BYTES];
    const struct node *n = w->node;
    folder_of(n->data.path, folder);
    (void)mkdir(folder, 0700); /* where it cannot be, a disk says so */
    machines_open(&s->machines, &w->loop, n->launch);
    disks_open(&s->disks, &w->loop, n->launch, folder);
    sandbox_host_init(&s->host, &w->registry, &w->sockets.owner.sets, &s->machines, &s->disks,
                      n->options->image_dir, missing_of(n));
}

void sandboxes_close(struct sandboxes *s)
{
    sandbox_host_stop(&s->host);
    machines_close(&s->machines);
    disks_close(&s->disks);
}

void sandboxes_done(struct sandboxes *s)
{
    sandbox_host_done(&s->host);
}

void worker_submit(struct worker *w, struct shard *shard, struct request *r, uint32_t timeout_ms)
{
    if (r->kind == REQUEST_SANDBOX && shard != NULL && shard_is_leading(shard)) {
        w->sandboxes.host.missing = missing_of(w->node); /* known once the launcher has spoken */
        sandbox_host_submit(&w->sandboxes.host, shard, r, timeout_ms);
        return;
    }
    if (r->kind == REQUEST_ACTOR_DELETE) {
        sandbox_host_forget_actor(&w->sandboxes.host, &r->identity);
    }
    code_host_submit(&w->code.host, shard, r, timeout_ms);
}

void worker_cancel(struct worker *w, struct request *r)
{
    if (r->kind == REQUEST_SANDBOX) {
        sandbox_host_cancel(&w->sandboxes.host, r);
    } else {
        code_host_cancel(&w->code.host, r);
    }
}
