/* A copy of a shard's store, made while the shard goes on: what a leader sends to a replica that lacks
 * entries which are gone.
 *
 *     bulk thread    the file is copied, as of its newest transaction; checkpoints go on meanwhile, and take
 *                    new pages for what the copy still holds
 *     worker         `done`; the store may be closed or replaced again
 */
#include <errno.h>

#include "base/invariant.h"
#include "storage/engine_own.h"
#include "storage/shard_own.h"

static void run_copy_on_bulk(struct job *job)
{
    struct shard_copy *c = CONTAINER_OF(job, struct shard_copy, running);
    if (c->shard->engine->is_abandoned) {
        return;
    }
    c->err = store_copy(c->shard->store, c->path, &c->applied, &c->bytes);
    c->reason = errno;
}

static void copy_is_done(struct job *job)
{
    struct shard_copy *c = CONTAINER_OF(job, struct shard_copy, running);
    struct shard *s = c->shard;
    s->copies--;
    c->done(c, s->engine->is_closing ? ERR_CLOSED : c->err);
}

void shard_hold_log(struct shard *s)
{
    s->log_holds++;
}

void shard_release_log(struct shard *s)
{
    PRE(s->log_holds > 0);
    s->log_holds--;
}

enum err shard_copy(struct shard *s, struct shard_copy *c)
{
    if (s->reopen_runs || s->must_reopen || s->install != NULL) {
        return ERR_BUSY;
    }
    c->shard = s;
    c->err = ERR_OK;
    c->reason = 0;
    c->running = (struct job){.run_on_thread = run_copy_on_bulk, .done_on_worker = copy_is_done};
    enum err err = job_thread_submit(s->engine->bulk, &c->running);
    s->copies += err == ERR_OK ? 1 : 0;
    return err;
}
