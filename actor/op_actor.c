#include "actor/actor.h"
#include "actor/ops.h"
#include "actor/registry.h"
#include "rpc/value.h"

static void put_version(struct buf *out, const char *name, uint64_t v, bool present)
{
    value_put_text(out, name);
    if (present) {
        value_put_uint(out, v);
    } else {
        value_put_nil(out);
    }
}

static void put_usage(struct buf *out, const struct actor_usage *usage)
{
    value_put_text(out, "code");
    value_put_map(out, 3);
    value_put_text(out, "calls");
    value_put_uint(out, usage->calls);
    value_put_text(out, "cpu_ms");
    value_put_uint(out, (usage->cpu_us + 500) / 1000);
    value_put_text(out, "memory_bytes");
    value_put_uint(out, usage->memory_bytes);
}

static void put_info(struct buf *out, const struct actor_facts *f)
{
    bool exists = f->exists;
    value_put_map(out, f->usage != NULL ? 12 : 11);
    value_put_text(out, "namespace");
    value_put_str(out, f->address->ns);
    value_put_text(out, "class");
    value_put_str(out, f->address->class);
    value_put_text(out, "id");
    value_put_str(out, f->address->id);
    value_put_text(out, "exists");
    value_put_bool(out, exists);
    value_put_text(out, "state");
    value_put_text(out, f->is_awake ? "awake" : "hibernated");
    value_put_text(out, "shard");
    value_put_uint(out, shard_id(f->shard));
    value_put_text(out, "owner");
    value_put_uint(out, shard_owner_node(f->shard));
    put_version(out, "version", f->meta->version, exists);
    value_put_text(out, "keys");
    value_put_uint(out, f->meta->keys);
    value_put_text(out, "bytes");
    value_put_uint(out, f->meta->bytes);
    put_version(out, "alarm", f->meta->alarm_at_ms, f->meta->alarm_at_ms != 0);
    if (f->usage != NULL) {
        put_usage(out, f->usage);
    }
}

void actor_facts_answer(struct request *r, const struct actor_facts *f)
{
    struct buf body = {0};
    put_info(&body, f);
    reply_body(&r->reply, 200, &body);
}

static bool has_code(const struct actor *a, struct actor_usage *ret_usage)
{
    const struct registry *g = a->registry;
    return g->has_code != NULL && g->has_code(g->has_code_ctx, &a->identity, ret_usage);
}

/* A visit wakes nobody (actor/registry.h): who is awake for it alone is shown as asleep. */
enum err op_actor_info(struct turn *t, struct request *r)
{
    const struct actor *a = t->actor;
    struct actor_usage usage;
    bool runs = has_code(a, &usage);
    actor_facts_answer(r, &(struct actor_facts){.address = &a->address,
                                                .exists = t->number != 0,
                                                .is_awake = !a->is_visit || runs,
                                                .usage = runs ? &usage : NULL,
                                                .shard = a->shard,
                                                .meta = &t->meta});
    return ERR_OK;
}

enum err op_actor_delete(struct turn *t, struct request *r)
{
    if (t->number != 0) {
        turn_drop_actor(t);
    }
    r->reply.status = 204;
    return ERR_OK;
}

/* It sleeps once nothing runs, waits or watches. */
enum err op_hibernate(struct turn *t, struct request *r)
{
    t->actor->wants_sleep = true;
    r->reply.status = 204;
    return ERR_OK;
}
