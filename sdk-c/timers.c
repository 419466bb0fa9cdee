/* Timers of an actor. */
#include "sdk-c/dormouse.h"
#include "sdk-c/exchange.h"

enum dormouse_code dormouse_timer_put(struct dormouse *d, const struct dormouse_actor *actor,
                                      const char *name, const char *json, size_t bytes,
                                      const struct dormouse_call *call,
                                      struct dormouse_doc **ret_doc,
                                      struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "PUT", call);
    exchange_actor(&x, actor, "timers");
    exchange_name(&x, name);
    exchange_json_body(&x, json, bytes);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_timer_get(struct dormouse *d, const struct dormouse_actor *actor,
                                      const char *name, const struct dormouse_call *call,
                                      struct dormouse_doc **ret_doc,
                                      struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    exchange_actor(&x, actor, "timers");
    exchange_name(&x, name);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_timer_list(struct dormouse *d, const struct dormouse_actor *actor,
                                       const struct dormouse_call *call,
                                       struct dormouse_doc **ret_doc,
                                       struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    exchange_actor(&x, actor, "timers");
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_timer_delete(struct dormouse *d, const struct dormouse_actor *actor,
                                         const char *name, const struct dormouse_call *call,
                                         struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "DELETE", call);
    exchange_actor(&x, actor, "timers");
    exchange_name(&x, name);
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}
