/* The node and the cluster: health, members, actors of a namespace. */
#include "base/address.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"
#include "sdk-c/exchange.h"
#include "sdk-c/target.h"

enum dormouse_code dormouse_health(struct dormouse *d, const struct dormouse_call *call,
                                   struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    buf_append_str(&x.target, "/healthz");
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_ready(struct dormouse *d, const struct dormouse_call *call,
                                  struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    buf_append_str(&x.target, "/readyz");
    x.one_attempt = true;
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}

static enum dormouse_code get_doc(struct dormouse *d, const char *target,
                                  const struct dormouse_call *call, struct dormouse_doc **ret_doc,
                                  struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    buf_append_str(&x.target, target);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_node_status(struct dormouse *d, const struct dormouse_call *call,
                                        struct dormouse_doc **ret_doc,
                                        struct dormouse_error *ret_error)
{
    return get_doc(d, "/admin/v1/status", call, ret_doc, ret_error);
}

enum dormouse_code dormouse_cluster(struct dormouse *d, const struct dormouse_call *call,
                                    struct dormouse_doc **ret_doc, struct dormouse_error *ret_error)
{
    return get_doc(d, "/admin/v1/cluster", call, ret_doc, ret_error);
}

enum dormouse_code dormouse_actors(struct dormouse *d, const char *ns,
                                   const struct dormouse_actor_filter *filter,
                                   const struct dormouse_call *call, struct dormouse_doc **ret_doc,
                                   struct dormouse_error *ret_error)
{
    static const struct dormouse_actor_filter everything = {0};
    const struct dormouse_actor_filter *f = filter == NULL ? &everything : filter;
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    if (ns == NULL || !address_namespace_is_valid(slice_of_str(ns))) {
        error_set(&x.error, DORMOUSE_INVALID_ID, "The namespace is not valid.");
        return exchange_done(&x, ret_error);
    }
    buf_append_str(&x.target, "/admin/v1/namespaces");
    exchange_name(&x, ns);
    buf_append_str(&x.target, "/actors");
    target_query(&x.target, "class", f->class_name);
    target_query(&x.target, "prefix", f->prefix);
    target_query(&x.target, "cursor", f->cursor);
    if (f->limit != 0) {
        target_query_u64(&x.target, "limit", f->limit);
    }
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}
