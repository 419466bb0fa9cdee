#include "node/forward.h"

#include "actor/request_wire.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/errand.h"
#include "node/neighbours.h"
#include "node/peer_kind.h"
#include "node/worker.h"

enum { ID_BYTES = 8, REQUEST_HEAD_BYTES = 12, TIMEOUT_MS_MAX = 600 * 1000 };

/* A request that came from another node. */
struct visitor {
    struct forward *forward;
    struct map_node by_id;
    uint32_t node;
    uint64_t id;
    bool is_cancelled;
    struct errand errand;
};

void forward_init(struct forward *f, struct worker *w)
{
    *f = (struct forward){.worker = w};
}

void forward_done(struct forward *f)
{
    INVARIANT(f->visitor_count == 0);
    map_done(&f->visitors);
}

static uint64_t hash_of_visitor(uint32_t node, uint64_t id)
{
    const uint64_t key[2] = {node, id};
    return hash_of(slice_of(key, sizeof key));
}

static bool post(struct forward *f, uint32_t node, uint32_t shard, enum peer_kind kind,
                 const struct buf *payload)
{
    return neighbours_send(&f->worker->neighbours, node, kind, shard, buf_slice(payload));
}

/* Where the client is */

bool forward_request(struct forward *f, uint32_t node, uint32_t shard, uint64_t id,
                     const struct request *r, uint32_t timeout_ms)
{
    struct buf payload = {0};
    buf_append_u64(&payload, id);
    buf_append_u32(&payload, timeout_ms);
    request_encode(r, &payload);
    bool is_sent = post(f, node, shard, PEER_KIND_REQUEST, &payload);
    buf_done(&payload);
    return is_sent;
}

void forward_cancel(struct forward *f, uint32_t node, uint32_t shard, uint64_t id)
{
    struct buf payload = {0};
    buf_append_u64(&payload, id);
    (void)post(f, node, shard, PEER_KIND_CANCEL, &payload);
    buf_done(&payload);
}

enum err forward_take_reply(struct forward *f, uint32_t from, const struct peer_message *m)
{
    if (m->payload.len < ID_BYTES) {
        return ERR_CORRUPT;
    }
    courier_on_reply(&f->worker->courier, from, get_be64(m->payload.data),
                     slice_skip(m->payload, ID_BYTES));
    return ERR_OK;
}

/* Where the actor is */

static void send_reply(struct forward *f, uint32_t node, uint32_t shard, uint64_t id,
                       const struct reply *reply)
{
    struct buf payload = {0};
    buf_append_u64(&payload, id);
    reply_to_wire(reply, &payload);
    (void)post(f, node, shard, PEER_KIND_REPLY, &payload);
    buf_done(&payload);
}

static void refuse(struct forward *f, uint32_t node, uint32_t shard, uint64_t id, enum err err)
{
    struct reply reply;
    reply_init(&reply);
    (void)reply_fail(&reply, err, NULL);
    send_reply(f, node, shard, id, &reply);
    reply_clear(&reply);
}

static void on_done(struct errand *e)
{
    struct visitor *v = CONTAINER_OF(e, struct visitor, errand);
    send_reply(v->forward, v->node, e->shard, v->id, &e->request->reply);
    request_free(e->request);
    e->request = NULL;
}

static void on_gone(struct errand *e)
{
    struct visitor *v = CONTAINER_OF(e, struct visitor, errand);
    map_remove(&v->forward->visitors, &v->by_id);
    v->forward->visitor_count--;
    mem_free(v);
}

static struct visitor *find(const struct forward *f, uint32_t node, uint64_t id)
{
    struct map_node *n = map_find(&f->visitors, hash_of_visitor(node, id));
    for (; n != NULL; n = map_next_same(n)) {
        struct visitor *v = CONTAINER_OF(n, struct visitor, by_id);
        if (v->node == node && v->id == id) {
            return v;
        }
    }
    return NULL;
}

/* The message came to the worker of its shard, so the errand has no way to go. */
static void begin(struct forward *f, uint32_t from, uint64_t id, uint32_t timeout_ms,
                  struct request *r, uint32_t shard)
{
    struct visitor *v = MEM_NEW(struct visitor);
    v->forward = f;
    v->node = from;
    v->id = id;
    v->errand.request = r;
    v->errand.shard = shard;
    v->errand.timeout_ms = timeout_ms < TIMEOUT_MS_MAX ? timeout_ms : TIMEOUT_MS_MAX;
    v->errand.is_of_node = true;
    v->errand.done = on_done;
    v->errand.gone = on_gone;
    map_add(&f->visitors, &v->by_id, hash_of_visitor(from, id));
    f->visitor_count++;
    f->taken++;
    enum err err = errand_begin(&v->errand, f->worker);
    INVARIANT(err == ERR_OK);
}

enum err forward_take_request(struct forward *f, uint32_t from, const struct peer_message *m)
{
    struct request *r;
    if (m->payload.len < REQUEST_HEAD_BYTES) {
        return ERR_CORRUPT;
    }
    uint64_t id = get_be64(m->payload.data);
    uint32_t timeout_ms = get_be32(m->payload.data + ID_BYTES);
    uint32_t shard = m->group - 1;
    if (f->visitor_count >= FORWARD_VISITORS_MAX) {
        refuse(f, from, shard, id, ERR_OVERLOADED);
        return ERR_OK;
    }
    enum err err = request_decode(slice_skip(m->payload, REQUEST_HEAD_BYTES), &r);
    if (err != ERR_OK) {
        refuse(f, from, shard, id, ERR_NOT_IMPLEMENTED); /* of a newer version, or worse */
        return err;
    }
    if (!neighbours_is_shard_of(&f->worker->neighbours, &r->identity, m->group) ||
        find(f, from, id) != NULL) {
        request_free(r);
        return ERR_CORRUPT;
    }
    begin(f, from, id, timeout_ms, r, shard);
    return ERR_OK;
}

enum err forward_take_cancel(struct forward *f, uint32_t from, const struct peer_message *m)
{
    if (m->payload.len != ID_BYTES) {
        return ERR_CORRUPT;
    }
    struct visitor *v = find(f, from, get_be64(m->payload.data));
    if (v != NULL && !v->is_cancelled) {
        v->is_cancelled = true;
        errand_cancel(&v->errand);
    }
    return ERR_OK;
}
