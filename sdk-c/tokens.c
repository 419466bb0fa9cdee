/* Access tokens. */
#include "sdk-c/dormouse.h"
#include "sdk-c/exchange.h"

static const char tokens_path[] = "/admin/v1/tokens";

enum dormouse_code dormouse_token_create(struct dormouse *d, const char *json, size_t bytes,
                                         const struct dormouse_call *call,
                                         struct dormouse_doc **ret_doc,
                                         struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "POST", call);
    buf_append_str(&x.target, tokens_path);
    x.takes_key = false; /* a repetition would make another */
    exchange_json_body(&x, json, bytes);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_token_list(struct dormouse *d, const struct dormouse_call *call,
                                       struct dormouse_doc **ret_doc,
                                       struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    buf_append_str(&x.target, tokens_path);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_token_revoke(struct dormouse *d, const char *id,
                                         const struct dormouse_call *call,
                                         struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "DELETE", call);
    buf_append_str(&x.target, tokens_path);
    x.takes_key = false;
    exchange_name(&x, id);
    exchange_run(&x);
    return exchange_done(&x, ret_error);
}
