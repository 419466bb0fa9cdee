#include "actor/actor.h"
#include "actor/ops.h"
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

/* A visit wakes nobody (actor/registry.h): who is awake for it alone is shown as asleep. */
static void put_info(struct buf *out, const struct turn *t)
{
    const struct actor *a = t->actor;
    bool exists = t->number != 0;
    value_put_map(out, 11);
    value_put_text(out, "namespace");
    value_put_str(out, a->address.ns);
    value_put_text(out, "class");
    value_put_str(out, a->address.class);
    value_put_text(out, "id");
    value_put_str(out, a->address.id);
    value_put_text(out, "exists");
    value_put_bool(out, exists);
    value_put_text(out, "state");
    value_put_text(out, a->is_visit ? "hibernated" : "awake");
    value_put_text(out, "shard");
    value_put_uint(out, shard_id(a->shard));
    value_put_text(out, "owner");
    value_put_uint(out, shard_owner_node(a->shard));
    put_version(out, "version", t->meta.version, exists);
    value_put_text(out, "keys");
    value_put_uint(out, t->meta.keys);
    value_put_text(out, "bytes");
    value_put_uint(out, t->meta.bytes);
    put_version(out, "alarm", t->meta.alarm_at_ms, t->meta.alarm_at_ms != 0);
}

enum err op_actor_info(struct turn *t, struct request *r)
{
    struct buf body = {0};
    put_info(&body, t);
    reply_body(&r->reply, 200, &body);
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
