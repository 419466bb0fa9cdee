#include "node/sandboxes.h"

#include <stdio.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "node/errand.h"
#include "node/node.h"
#include "node/worker.h"

#define DISKS  "sandboxes"
#define LAYERS "layers"

static void folder_of(const char *data, const char *name, char ret[SANDBOX_PATH_BYTES])
{
    (void)snprintf(ret, SANDBOX_PATH_BYTES, "%s/%s", data, name);
}

void sandboxes_clean(const char *data)
{
    char folder[SANDBOX_PATH_BYTES];
    folder_of(data, DISKS, folder);
    disks_clean(folder);
    folder_of(data, LAYERS, folder);
    disks_clean(folder);
}

/* What is missing that nobody has said may be. */
static uint32_t missing_of(const struct node *n)
{
    return ((1U << SANDBOX_NEEDS) - 1) & ~n->launch->sandbox & ~n->options->sandbox_without;
}

/* A request of a sandbox's owner to that of another actor. */
struct sandbox_errand {
    struct errand errand;
    struct worker *worker;
    void (*answer)(struct request *r);
    void *user;
};

static void on_sent(struct errand *e)
{
    struct sandbox_errand *s = CONTAINER_OF(e, struct sandbox_errand, errand);
    struct request *r = e->request;
    r->user = s->user;
    s->answer(r);
}

static void on_sent_gone(struct errand *e)
{
    struct sandbox_errand *s = CONTAINER_OF(e, struct sandbox_errand, errand);
    s->worker->code.call_count--;
    mem_free(s);
}

static void send_to_actor(void *ctx, struct request *r, uint32_t timeout_ms)
{
    struct worker *w = ctx;
    const struct node *n = w->node;
    struct sandbox_errand *s = MEM_NEW(struct sandbox_errand);
    s->worker = w;
    s->answer = r->answer;
    s->user = r->user;
    r->identity = address_identity(&r->address, n->data.address_key);
    s->errand.request = r;
    s->errand.shard = identity_shard(&r->identity, n->data.shard_count);
    s->errand.timeout_ms = timeout_ms;
    s->errand.done = on_sent;
    s->errand.gone = on_sent_gone;
    w->code.call_count++;
    if (errand_begin(&s->errand, w) != ERR_OK) {
        (void)reply_fail(&r->reply, ERR_OVERLOADED, NULL);
        r->stage = REQUEST_DONE;
        on_sent(&s->errand);
        on_sent_gone(&s->errand);
    }
}

static void *open_outside(void *ctx, const struct address *actor, const char *name,
                          struct slice rules, const int fds[EGRESS_BOX_SOCKETS])
{
    struct worker *w = ctx;
    struct broker_box *box;
    const char *why;
    const struct broker_who who = {actor->ns, actor->class, actor->id, slice_of_str(name)};
    return broker_open(&w->broker, &who, rules, fds, &box, &why) == ERR_OK ? box : NULL;
}

static void close_outside(void *opened)
{
    broker_close(opened);
}

static struct slice authority(void *ctx)
{
    struct worker *w = ctx;
    struct slice pem = broker_ca_pem(&w->broker);
    if (pem.len == 0) {
        broker_need_ca(&w->broker);
    }
    return pem;
}

void sandboxes_open(struct sandboxes *s, struct worker *w)
{
    char folder[SANDBOX_PATH_BYTES];
    const struct node *n = w->node;
    char layers[SANDBOX_PATH_BYTES];
    folder_of(n->data.path, DISKS, folder);
    folder_of(n->data.path, LAYERS, layers);
    machines_open(&s->machines, &w->loop, n->launch);
    disks_open(&s->disks, &w->loop, n->launch, folder, layers);
    sandbox_host_init(&s->host, &w->registry, &w->sockets.owner.sets, &s->machines, &s->disks,
                      n->options->image_dir);
    s->host.send = send_to_actor;
    s->host.send_ctx = w;
    s->outside = (struct sandbox_outside){.ctx = w,
                                          .open = open_outside,
                                          .close = close_outside,
                                          .authority = authority,
                                          .environment = broker_environment};
    s->host.outside = &s->outside;
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

/* An actor is deleted: once that is durable its sandboxes go, whether this node has woken them or not. */
struct deletion {
    struct worker *worker;
    void (*answer)(struct request *r);
    void *user;
};

static void on_deleted(struct request *r)
{
    struct deletion *d = r->user;
    if (r->reply.err == ERR_OK) {
        sandbox_host_forget_actor(&d->worker->sandboxes.host, &r->identity);
    }
    r->user = d->user;
    r->answer = d->answer;
    mem_free(d);
    r->answer(r);
}

static void watch_deletion(struct worker *w, struct request *r)
{
    struct deletion *d = MEM_NEW(struct deletion);
    d->worker = w;
    d->answer = r->answer;
    d->user = r->user;
    r->user = d;
    r->answer = on_deleted;
}

void worker_submit(struct worker *w, struct shard *shard, struct request *r, uint32_t timeout_ms)
{
    if (r->kind == REQUEST_SANDBOX && shard != NULL && shard_is_leading(shard)) {
        w->sandboxes.host.missing = missing_of(w->node); /* known once the launcher has spoken */
        sandbox_host_submit(&w->sandboxes.host, shard, r, timeout_ms);
        return;
    }
    if (r->kind == REQUEST_ACTOR_DELETE) {
        watch_deletion(w, r);
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
