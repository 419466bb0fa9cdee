#include "node/cluster.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/gather.h"
#include "node/node.h"
#include "rpc/value.h"

struct cluster_query {
    struct callee callee;
    struct http_exchange *x; /* NULL: the client is gone */
    enum body_form form;
    struct gather gather;
    struct board_line *lines; /* by shard; each is written by the worker that has it */
    uint32_t part_count;
    struct gather_part parts[]; /* one a worker */
};

static void on_cancel(struct callee *c)
{
    CONTAINER_OF(c, struct cluster_query, callee)->x = NULL; /* freed when all parts are back */
}

static void look_at(const struct worker *w, uint32_t id, struct board_line *line)
{
    const struct shard *s = engine_shard(w->engine, id);
    if (s != NULL && shard_is_leading(s)) {
        line->leader = w->node->id;
        steward_describe(w, s, &line->said);
    } else {
        (void)board_find(&w->node->board, id, clock_mono_ms(), line);
    }
}

static void look(struct gather_part *p)
{
    struct cluster_query *q = CONTAINER_OF(p->gather, struct cluster_query, gather);
    const struct node *n = p->worker->node;
    for (uint32_t id = p->worker->index; id < n->data.shard_count; id += n->worker_count) {
        look_at(p->worker, id, &q->lines[id]);
    }
    gather_part_done(p, ERR_OK);
}

/* A URL without its scheme. */
static const char *address_of(const char *url)
{
    const char *host = strstr(url, "://");
    return host != NULL ? host + 3 : url;
}

static const char *state_of(const struct worker *w, const struct cluster_member *m)
{
    bool is_own = m->id == w->node->id;
    if (is_own && w->state != WORKER_SERVING) {
        return "draining";
    }
    if (!is_own && !board_is_alive(&w->node->board, m->id, clock_mono_ms())) {
        return "down";
    }
    return member_state_name(m->state);
}

static void put_member(struct buf *doc, const struct worker *w, const struct cluster_member *m)
{
    value_put_map(doc, m->peer[0] != '\0' ? 4 : 3);
    value_put_text(doc, "id");
    value_put_uint(doc, m->id);
    value_put_text(doc, "address");
    value_put_text(doc, address_of(m->url));
    value_put_text(doc, "state");
    value_put_text(doc, state_of(w, m));
    if (m->peer[0] != '\0') {
        value_put_text(doc, "peer");
        value_put_text(doc, m->peer);
    }
}

/* A single node is in no record. Those that were removed are gone. */
static void put_members(struct buf *doc, struct worker *w)
{
    const struct cluster_view *v = worker_view(w);
    uint32_t count = 0;
    for (size_t i = 0; i < v->member_count; i++) {
        count += v->members[i].state != MEMBER_REMOVED ? 1 : 0;
    }
    value_put_text(doc, "members");
    value_put_array(doc, v->member_count > 0 ? count : 1);
    for (size_t i = 0; i < v->member_count; i++) {
        if (v->members[i].state != MEMBER_REMOVED) {
            put_member(doc, w, &v->members[i]);
        }
    }
    if (v->member_count == 0) {
        struct cluster_member self;
        node_describe(w->node, &self);
        put_member(doc, w, &self);
    }
}

static void put_voters(struct buf *doc, const struct board_shard *said)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < said->replica_count; i++) {
        count += said->replicas[i].role == GROUP_VOTER ? 1 : 0;
    }
    value_put_array(doc, count);
    for (uint32_t i = 0; i < said->replica_count; i++) {
        if (said->replicas[i].role == GROUP_VOTER) {
            value_put_uint(doc, replica_node(said->replicas[i].replica));
        }
    }
}

/* Those that vote: one that is still being filled is no help when another dies. Where nobody leads, those
 * that there should be. */
static void put_replicas(struct buf *doc, const struct board_line *line, const struct place *place)
{
    if (line->leader != 0) {
        put_voters(doc, &line->said);
        return;
    }
    value_put_array(doc, place->replica_count);
    for (uint32_t i = 0; i < place->replica_count; i++) {
        value_put_uint(doc, replica_node(place->replicas[i]));
    }
}

/* Entries that the slowest replica is behind the leader. */
static uint64_t lag_of(const struct board_line *line)
{
    uint64_t lag = 0;
    for (uint32_t i = 0; i < line->said.replica_count; i++) {
        lag = line->said.replicas[i].lag > lag ? line->said.replicas[i].lag : lag;
    }
    return lag;
}

static void put_shard(struct buf *doc, uint32_t id, const struct board_line *line,
                      const struct place *place)
{
    value_put_map(doc, 4);
    value_put_text(doc, "id");
    value_put_uint(doc, id);
    value_put_text(doc, "leader");
    if (line->leader != 0) {
        value_put_uint(doc, line->leader);
    } else {
        value_put_nil(doc);
    }
    value_put_text(doc, "replicas");
    put_replicas(doc, line, place);
    value_put_text(doc, "lag");
    if (line->leader != 0) {
        value_put_uint(doc, lag_of(line));
    } else {
        value_put_nil(doc);
    }
}

static void answer(struct cluster_query *q)
{
    struct worker *w = q->gather.origin;
    struct buf doc = {0};
    value_put_map(&doc, 2);
    put_members(&doc, w);
    value_put_text(&doc, "shards");
    value_put_array(&doc, w->node->data.shard_count);
    for (uint32_t id = 0; id < w->node->data.shard_count; id++) {
        struct place place = cluster_view_place(worker_view(w), id);
        put_shard(&doc, id, &q->lines[id], &place);
    }
    answer_document(q->x, 200, buf_slice(&doc), q->form);
    buf_done(&doc);
}

static void on_gathered(struct gather *g)
{
    struct cluster_query *q = CONTAINER_OF(g, struct cluster_query, gather);
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < q->part_count; i++) {
        err = q->parts[i].err;
    }
    if (q->x != NULL) {
        http_exchange_set_user(q->x, NULL);
        if (err == ERR_OK) {
            answer(q);
        } else {
            answer_err(q->x, err);
        }
    }
    mem_free(q->lines);
    mem_free(q);
}

void cluster_open(struct worker *w, struct http_exchange *x)
{
    struct node *n = w->node;
    struct cluster_query *q = mem_zalloc(sizeof *q + n->worker_count * sizeof q->parts[0]);
    q->callee.cancel = on_cancel;
    q->x = x;
    q->form = accepted_form(http_exchange_request(x));
    q->lines = mem_zalloc(n->data.shard_count * sizeof *q->lines);
    q->part_count = n->worker_count;
    http_exchange_set_user(x, &q->callee);
    gather_init(&q->gather, w, look, on_gathered);
    for (uint32_t i = 0; i < n->worker_count; i++) {
        gather_ask(&q->gather, &q->parts[i], &n->workers[i]);
    }
    gather_asked(&q->gather);
}
