#include "node/join_uv.h"

#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "base/buf.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/log.h"
#include "node/order.h"
#include "node/peer_kind.h"
#include "node/peers.h"
#include "node/record.h"
#include "rpc/value.h"
#include "storage/engine.h"

enum { JOIN_MAGIC = 0x6a6f6901, ID_BYTES = 8, SEED = 0 /* its node is not known */ };

struct join {
    uint32_t magic;
    const struct join_request *request;
    struct data_origin *answer;
    char *detail;
    enum err err;
    bool is_over;
    uv_loop_t loop;
    uv_timer_t retry;
    uv_prepare_t before_sleep;
    uint64_t until_ms;
    struct peers_shared shared;
    struct peers *peers;
    struct order order;
};

static void on_peers_closed(void *ctx)
{
    OBJ_CAST(join, ctx, JOIN_MAGIC);
    join->peers = NULL;
}

/* Its connections may be in the middle of something: they are closed before the loop sleeps. */
static void end(struct join *j, enum err err)
{
    j->err = j->is_over ? j->err : err;
    j->is_over = true;
}

static void before_sleep(uv_prepare_t *prepare)
{
    OBJ_CAST(join, prepare->data, JOIN_MAGIC);
    if (!join->is_over) {
        peers_flush(join->peers);
        return;
    }
    uv_close((uv_handle_t *)&join->retry, NULL);
    uv_close((uv_handle_t *)&join->before_sleep, NULL);
    peers_close(join->peers, on_peers_closed);
}

/* Asking */

static void ask(struct join *j)
{
    struct buf payload = {0};
    buf_append_u64(&payload, 1); /* every time: any answer will do */
    order_encode(&j->order, &payload);
    const struct peer_message m = {.kind = PEER_KIND_ORDER,
                                   .group = GROUP_OF_META,
                                   .from = replica_id(j->request->self.id, 0),
                                   .payload = buf_slice(&payload)};
    enum err err = peers_send(j->peers, SEED, PEER_MESSAGES, &m);
    (void)err; /* where it is not connected yet it asks again */
    buf_done(&payload);
}

static void on_retry(uv_timer_t *timer)
{
    OBJ_CAST(join, timer->data, JOIN_MAGIC);
    if (join->request->is_stopped(join->request->ctx)) {
        (void)snprintf(join->detail, JOIN_DETAIL_BYTES, "stopped before it had joined");
        end(join, ERR_CLOSED);
    } else if (uv_now(&join->loop) >= join->until_ms) {
        (void)snprintf(join->detail, JOIN_DETAIL_BYTES,
                       "%s: no answer within %d s: is it a member of the cluster, can it reach %s, "
                       "and has the cluster a majority?",
                       join->request->seed, JOIN_TIMEOUT_MS / 1000, join->request->self.peer);
        end(join, ERR_UNAVAILABLE);
    } else {
        ask(join);
    }
}

/* The answer */

static enum err take_answer(struct slice document, struct data_origin *answer)
{
    struct slice member;
    struct slice key;
    uint64_t shards;
    if (!record_is_map(document) || !record_uint(document, "cluster", &answer->cluster_id) ||
        answer->cluster_id == 0 || !record_uint(document, "shards", &shards) || shards == 0 ||
        shards > DATA_SHARDS_MAX || !value_member(document, "key", &member) ||
        !value_get_bin(member, &key) || key.len != ADDRESS_KEY_BYTES) {
        return ERR_CORRUPT;
    }
    answer->shard_count = (uint32_t)shards;
    memcpy(answer->address_key, key.data, ADDRESS_KEY_BYTES);
    return ERR_OK;
}

/* Of what may pass nothing is said: it asks again. */
static void take_outcome(struct join *j, uint32_t from, struct slice payload)
{
    if (payload.len < ID_BYTES ||
        outcome_decode(slice_skip(payload, ID_BYTES), &j->order) != ERR_OK) {
        return;
    }
    const struct decode_error *error = &j->order.error;
    if (error->err == ERR_OK && take_answer(buf_slice(&j->order.document), j->answer) == ERR_OK) {
        LOG(LOG_INFO, "joined", LOG_INT("peer", from), LOG_INT("shards", j->answer->shard_count));
        end(j, ERR_OK);
    } else if (error->err != ERR_OK && !err_info(error->err)->retryable) {
        (void)snprintf(j->detail, JOIN_DETAIL_BYTES, "%s: node %u says: %s", j->request->seed, from,
                       error->detail[0] != '\0' ? error->detail : err_info(error->err)->text);
        end(j, error->err);
    }
}

static bool admits(void *ctx, const struct peer_hello *hello)
{
    (void)ctx;
    (void)hello;
    return true; /* its certificate is of the cluster */
}

static void on_message(void *ctx, uint32_t from, const struct peer_message *m)
{
    OBJ_CAST(join, ctx, JOIN_MAGIC);
    if (m->kind == PEER_KIND_OUTCOME && !join->is_over) {
        take_outcome(join, from, m->payload);
    }
}

static void on_up(void *ctx, const struct peer_hello *hello, enum peer_channel channel)
{
    OBJ_CAST(join, ctx, JOIN_MAGIC);
    (void)hello;
    if (channel == PEER_MESSAGES && !join->is_over) {
        ask(join);
    }
}

static void on_lost(void *ctx, uint32_t node)
{
    (void)ctx;
    (void)node;
}

static uint32_t owner_of(void *ctx, uint32_t group)
{
    (void)ctx;
    (void)group;
    return 0;
}

static const struct peers_hooks hooks = {.admits = admits,
                                         .on_message = on_message,
                                         .on_up = on_up,
                                         .on_lost = on_lost,
                                         .owner_of = owner_of};

/* The loop */

static void begin(struct join *j)
{
    const struct peers_member seed = {SEED, j->request->seed};
    j->retry.data = j;
    j->until_ms = uv_now(&j->loop) + JOIN_TIMEOUT_MS;
    int rc = uv_timer_init(&j->loop, &j->retry);
    j->before_sleep.data = j;
    rc |= uv_prepare_init(&j->loop, &j->before_sleep);
    rc |= uv_prepare_start(&j->before_sleep, before_sleep);
    rc |= uv_timer_start(&j->retry, on_retry, JOIN_RETRY_MS, JOIN_RETRY_MS);
    INVARIANT(rc == 0);
    peers_set_members(j->peers, &seed, 1);
}

static enum err run(struct join *j)
{
    const struct join_request *r = j->request;
    const struct peers_options options = {.node = r->self.id,
                                          .host = r->host,
                                          .port = r->port,
                                          .is_first = true,
                                          .tls = r->tls,
                                          .shared = &j->shared,
                                          .hooks = &hooks,
                                          .ctx = j};
    peers_shared_init(&j->shared, 1);
    enum err err = peers_open(&j->peers, &j->loop, &options, j->detail);
    if (err == ERR_OK) {
        begin(j);
        (void)uv_run(&j->loop, UV_RUN_DEFAULT);
        err = j->err;
    }
    return err;
}

enum err join_cluster(const struct join_request *r, struct data_origin *ret_origin,
                      char ret_detail[JOIN_DETAIL_BYTES])
{
    _Static_assert((int)JOIN_DETAIL_BYTES == (int)PEERS_DETAIL_BYTES, "peers_open fills it in");
    struct join j = {.magic = JOIN_MAGIC, .request = r, .answer = ret_origin, .detail = ret_detail};
    struct buf body = {0};
    int rc = uv_loop_init(&j.loop);
    INVARIANT(rc == 0);
    member_say_encode(&r->self, slice_of_str(r->token), &body);
    order_init(&j.order, ORDER_MEMBER_ADD);
    j.order.body = bytes_new(buf_slice(&body));
    buf_done(&body);
    enum err err = run(&j);
    order_done(&j.order);
    rc = uv_loop_close(&j.loop);
    INVARIANT(rc == 0);
    return err;
}
