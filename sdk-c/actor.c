/* The actor itself: what it is, and the end or the sleep of it. */
#include "sdk-c/dormouse.h"
#include "sdk-c/exchange.h"

enum dormouse_code dormouse_actor_info(struct dormouse *d, const struct dormouse_actor *actor,
                                       const struct dormouse_call *call,
                                       struct dormouse_doc **ret_doc,
                                       struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    exchange_actor(&x, actor, NULL);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_actor_delete(struct dormouse *d, const struct dormouse_actor *actor,
                                         const struct dormouse_call *call,
                                         struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "DELETE", call);
    exchange_actor(&x, actor, NULL);
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_actor_hibernate(struct dormouse *d, const struct dormouse_actor *actor,
                                            const struct dormouse_call *call,
                                            struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "POST", call);
    exchange_actor(&x, actor, "hibernate");
    x.has_body = true; /* an empty one: POST has a length */
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}
