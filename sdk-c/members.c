/* Members of the cluster: letting nodes in, taking their shards from them, letting them go. */
#include <inttypes.h>

#include "sdk-c/dormouse.h"
#include "sdk-c/exchange.h"

static const char cluster_path[] = "/admin/v1/cluster";

enum dormouse_code dormouse_join_token(struct dormouse *d, uint64_t ttl_ms,
                                       const struct dormouse_call *call,
                                       struct dormouse_doc **ret_doc,
                                       struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "POST", call);
    buf_printf(&x.target, "%s/join-tokens", cluster_path);
    x.takes_key = false; /* a repetition would make another */
    if (ttl_ms != 0) {
        buf_printf(&x.own_body, "{\"ttl_ms\":%" PRIu64 "}", ttl_ms);
        exchange_own_body(&x);
    }
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

/* To the same state a second time is no change. */
static enum dormouse_code change(struct dormouse *d, const char *method, uint32_t id,
                                 const char *verb, const struct dormouse_call *call,
                                 struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, method, call);
    buf_printf(&x.target, "%s/members/%" PRIu32 "%s", cluster_path, id, verb);
    x.takes_key = false;
    x.may_repeat = true;
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_member_drain(struct dormouse *d, uint32_t id,
                                         const struct dormouse_call *call,
                                         struct dormouse_error *ret_error)
{
    return change(d, "POST", id, "/drain", call, ret_error);
}

enum dormouse_code dormouse_member_undrain(struct dormouse *d, uint32_t id,
                                           const struct dormouse_call *call,
                                           struct dormouse_error *ret_error)
{
    return change(d, "POST", id, "/undrain", call, ret_error);
}

enum dormouse_code dormouse_member_remove(struct dormouse *d, uint32_t id,
                                          const struct dormouse_call *call,
                                          struct dormouse_error *ret_error)
{
    return change(d, "DELETE", id, "", call, ret_error);
}

enum dormouse_code dormouse_shard_move(struct dormouse *d, uint32_t shard, uint32_t from,
                                       uint32_t to, const struct dormouse_call *call,
                                       struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "POST", call);
    buf_printf(&x.target, "%s/shards/%" PRIu32 "/move", cluster_path, shard);
    buf_printf(&x.own_body, "{\"from\":%" PRIu32 ",\"to\":%" PRIu32 "}", from, to);
    exchange_own_body(&x);
    x.takes_key = false;
    x.may_repeat = true;
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_rebalance(struct dormouse *d, const struct dormouse_call *call,
                                      struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "POST", call);
    buf_printf(&x.target, "%s/rebalance", cluster_path);
    x.takes_key = false;
    x.may_repeat = true;
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}
