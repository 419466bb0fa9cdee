/* Code: deploying it, going back, calling its methods, running some once. */
#include "base/address.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "sdk-c/doc.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"
#include "sdk-c/exchange.h"
#include "sdk-c/target.h"

/* "/v1/NS" and, where given, "/part". */
static void begin_exchange(struct exchange *x, struct dormouse *d, const char *method,
                           const char *ns, const char *part, const struct dormouse_call *call)
{
    exchange_init(x, d, method, call);
    x->takes_key = false; /* what it would be kept with is an actor's */
    if (ns == NULL || !address_namespace_is_valid(slice_of_str(ns))) {
        exchange_refuse(x, "The namespace is not valid.");
        return;
    }
    buf_append_str(&x->target, "/v1");
    target_segment(&x->target, slice_of_str(ns));
    if (part != NULL) {
        target_segment(&x->target, slice_of_str(part));
    }
}

/* As msgpack: code in JSON is longer by its line ends and quotes, and bodies are limited. */
static void take_json(struct exchange *x, const char *json, size_t bytes)
{
    struct json_detail detail;
    if (json_to_value(slice_of(json, bytes), VALUE_DEPTH_CAP, &x->own_body, &detail) != ERR_OK) {
        exchange_refuse(x, detail.text);
        return;
    }
    exchange_own_body(x);
    x->content_type = "application/msgpack";
}

enum dormouse_code dormouse_deploy(struct dormouse *d, const char *ns, const char *json,
                                   size_t bytes, const struct dormouse_call *call,
                                   struct dormouse_doc **ret_doc, struct dormouse_error *ret_error)
{
    struct exchange x;
    begin_exchange(&x, d, "PUT", ns, NULL, call);
    take_json(&x, json, bytes);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_deployment(struct dormouse *d, const char *ns,
                                       const struct dormouse_call *call,
                                       struct dormouse_doc **ret_doc,
                                       struct dormouse_error *ret_error)
{
    struct exchange x;
    begin_exchange(&x, d, "GET", ns, NULL, call);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_versions(struct dormouse *d, const char *ns,
                                     const struct dormouse_call *call,
                                     struct dormouse_doc **ret_doc,
                                     struct dormouse_error *ret_error)
{
    struct exchange x;
    begin_exchange(&x, d, "GET", ns, "versions", call);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_rollback(struct dormouse *d, const char *ns, uint64_t version,
                                     const struct dormouse_call *call,
                                     struct dormouse_doc **ret_doc,
                                     struct dormouse_error *ret_error)
{
    struct exchange x;
    begin_exchange(&x, d, "POST", ns, "rollback", call);
    if (version != 0) {
        buf_printf(&x.own_body, "{\"version\":%llu}", (unsigned long long)version);
        exchange_own_body(&x);
    }
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

/* On an actor; a key only where the caller brings one: each would be kept for a day. */
static void begin_on_actor(struct exchange *x, struct dormouse *d,
                           const struct dormouse_actor *actor, const char *part,
                           const struct dormouse_call *call)
{
    exchange_init(x, d, "POST", call);
    exchange_actor(x, actor, part);
    x->takes_key = false;
}

enum dormouse_code dormouse_call_method(struct dormouse *d, const struct dormouse_actor *actor,
                                        const char *method, const char *json, size_t bytes,
                                        const struct dormouse_call *call,
                                        struct dormouse_doc **ret_doc,
                                        struct dormouse_error *ret_error)
{
    static const char no_arguments[] = "[]";
    struct exchange x;
    begin_on_actor(&x, d, actor, "call", call);
    exchange_name(&x, method);
    exchange_json_body(&x, json != NULL ? json : no_arguments,
                       json != NULL ? bytes : sizeof(no_arguments) - 1);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_execute(struct dormouse *d, const struct dormouse_actor *actor,
                                    const char *json, size_t bytes,
                                    const struct dormouse_call *call, struct dormouse_doc **ret_doc,
                                    struct dormouse_error *ret_error)
{
    struct exchange x;
    begin_on_actor(&x, d, actor, "execute", call);
    exchange_json_body(&x, json, bytes);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}
