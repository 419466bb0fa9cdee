#include "node/glances.h"

#include "actor/glance.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/node.h"

void glances_init(struct glances *g, struct worker *w)
{
    const struct node *n = w->node;
    size_t shards = n->data.shard_count / n->worker_count + 1;
    *g = (struct glances){.worker = w, .shards = mem_zalloc(shards * sizeof *g->shards)};
}

void glances_done(struct glances *g)
{
    INVARIANT(g->count == 0 && g->proof_count == 0);
    mem_free(g->shards);
}

static struct freshness *freshness_of(struct glances *g, uint32_t shard)
{
    return &g->shards[shard / g->worker->node->worker_count];
}

/* How old the replica is */

static uint32_t leader_of(const struct glances *g, const struct shard *s, uint64_t now_ms)
{
    struct board_line line;
    uint32_t node = shard_owner_node(s);
    if (node == 0 && board_find(&g->worker->node->board, shard_id(s), now_ms, &line)) {
        node = line.leader;
    }
    return node != g->worker->node->id ? node : 0;
}

static void ask(struct glances *g, const struct shard *s, uint64_t now_ms)
{
    struct freshness *f = freshness_of(g, shard_id(s));
    uint32_t leader = leader_of(g, s, now_ms);
    struct buf payload = {0};
    if (leader == 0 || !freshness_wants_ask(f, now_ms)) {
        return;
    }
    freshness_put_ask(++g->last_id, &payload);
    if (neighbours_send(&g->worker->neighbours, leader, PEER_KIND_FRESH_ASK, shard_id(s),
                        buf_slice(&payload))) {
        freshness_asked(f, g->last_id, now_ms);
    }
    buf_done(&payload);
}

/* At the leader */

struct fresh_proof {
    struct shard_proof proof;
    struct glances *glances;
    uint32_t shard;
    uint32_t from;
    uint64_t id;
};

static void answer(struct glances *g, const struct shard *s, uint32_t to, uint64_t id)
{
    struct buf payload = {0};
    freshness_put_answer(id, shard_applied(s)->index, &payload);
    (void)neighbours_send(&g->worker->neighbours, to, PEER_KIND_FRESH_ANSWER, shard_id(s),
                          buf_slice(&payload)); /* who does not hear it asks again */
    buf_done(&payload);
}

static void on_proven(struct shard_proof *proof, enum err err)
{
    struct fresh_proof *p = CONTAINER_OF(proof, struct fresh_proof, proof);
    struct glances *g = p->glances;
    if (err == ERR_OK) {
        answer(g, engine_shard(g->worker->engine, p->shard), p->from, p->id);
    }
    g->proof_count--;
    mem_free(p);
}

static void take_ask(struct glances *g, uint32_t from, uint32_t shard, uint64_t id)
{
    struct shard *s = engine_shard(g->worker->engine, shard);
    if (s == NULL || !shard_is_leading(s) || g->proof_count >= GLANCE_PROOFS_MAX) {
        return; /* it asks again, perhaps another node */
    }
    struct fresh_proof *p = MEM_NEW(struct fresh_proof);
    *p = (struct fresh_proof){
        .proof.done = on_proven, .glances = g, .shard = shard, .from = from, .id = id};
    g->proof_count++;
    if (shard_prove(s, &p->proof)) {
        on_proven(&p->proof, ERR_OK);
    }
}

enum err glances_take(struct glances *g, uint32_t from, const struct peer_message *m)
{
    uint64_t id;
    uint64_t index;
    if (m->group == GROUP_OF_META) {
        return ERR_CORRUPT;
    }
    uint32_t shard = m->group - 1;
    if (m->kind == PEER_KIND_FRESH_ASK) {
        enum err err = freshness_take_ask(m->payload, &id);
        if (err == ERR_OK) {
            take_ask(g, from, shard, id);
        }
        return err;
    }
    enum err err = freshness_take_answer(m->payload, &id, &index);
    if (err == ERR_OK) {
        freshness_answered(freshness_of(g, shard), id, index);
    }
    return err;
}

/* Reads */

struct glance_run {
    struct glance glance;
    struct glances *glances;
    uint64_t began_ms;
    uint64_t age_ms; /* of the replica then: its rows only become newer */
    void (*done)(void *ctx);
    void *ctx;
};

static void on_done(struct glance *glance)
{
    struct glance_run *run = CONTAINER_OF(glance, struct glance_run, glance);
    void (*done)(void *ctx) = run->done;
    void *ctx = run->ctx;
    uint64_t took_ms = clock_mono_ms() - run->began_ms;
    glance->request->reply.staleness_ms = run->age_ms + took_ms + 1; /* clocks were rounded down */
    run->glances->count--;
    mem_free(run);
    done(ctx);
}

bool glances_begin(struct glances *g, uint32_t shard, struct request *r, void (*done)(void *ctx),
                   void *ctx)
{
    struct shard *s = engine_shard(g->worker->engine, shard);
    uint64_t now_ms = clock_mono_ms();
    uint64_t age_ms;
    if (s == NULL || shard_is_leading(s) || !glance_is_for(r) || g->count >= GLANCES_MAX) {
        return false;
    }
    bool has_age = freshness_age(freshness_of(g, shard), shard_replica(s), shard_applied(s), now_ms,
                                 clock_wall_ms(), &age_ms);
    ask(g, s, now_ms);
    if (!has_age) {
        return false;
    }
    struct glance_run *run = mem_alloc(sizeof *run); /* its job, which is large, is begun later */
    run->glances = g;
    run->began_ms = now_ms;
    run->age_ms = age_ms;
    run->done = done;
    run->ctx = ctx;
    run->glance.request = r;
    run->glance.shard = s;
    run->glance.done = on_done;
    g->count++;
    glance_begin(&run->glance);
    return true;
}
