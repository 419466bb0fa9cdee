/* Secrets of a namespace: set, listed by name and removed; none is ever shown. */
#include <string.h>

#include "rpc/value.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/exchange.h"

static void begin(struct exchange *x, struct dormouse *d, const char *method, const char *ns,
                  const struct dormouse_call *call)
{
    exchange_init(x, d, method, call);
    x->takes_key = false;
    x->may_repeat = true;
    buf_append_str(&x->target, "/admin/v1/namespaces");
    exchange_name(x, ns);
    buf_append_str(&x->target, "/secrets");
}

enum dormouse_code dormouse_secret_set(struct dormouse *d, const char *ns, const char *name,
                                       const char *value, size_t bytes,
                                       const struct dormouse_call *call,
                                       struct dormouse_error *ret_error)
{
    struct exchange x;
    begin(&x, d, "PUT", ns, call);
    exchange_name(&x, name);
    value_put_map(&x.own_body, 1);
    value_put_text(&x.own_body, "value");
    value_put_str(&x.own_body, slice_of(value, bytes));
    exchange_own_body(&x);
    x.content_type = "application/msgpack";
    exchange_run(&x);
    explicit_bzero(x.own_body.data, x.own_body.len);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_secret_list(struct dormouse *d, const char *ns,
                                        const struct dormouse_call *call,
                                        struct dormouse_doc **ret_doc,
                                        struct dormouse_error *ret_error)
{
    struct exchange x;
    begin(&x, d, "GET", ns, call);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_secret_remove(struct dormouse *d, const char *ns, const char *name,
                                          const struct dormouse_call *call,
                                          struct dormouse_error *ret_error)
{
    struct exchange x;
    begin(&x, d, "DELETE", ns, call);
    x.may_repeat = false;
    exchange_name(&x, name);
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}
