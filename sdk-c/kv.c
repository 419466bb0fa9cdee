/* Keys and values of an actor, one at a time and in transactions. */
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"
#include "sdk-c/exchange.h"

static const char *type_of_format(enum dormouse_format format)
{
    switch (format) {
    case DORMOUSE_JSON:
        return "application/json";
    case DORMOUSE_BYTES:
        return "application/octet-stream";
    case DORMOUSE_MSGPACK:
        return "application/msgpack";
    case DORMOUSE_AS_STORED:
        break;
    }
    return NULL;
}

static enum dormouse_format format_of_answer(const struct client_response *r)
{
    const char *type = client_response_header(r, "Content-Type");
    if (type != NULL && strncasecmp(type, "application/json", 16) == 0) {
        return DORMOUSE_JSON;
    }
    if (type != NULL && strncasecmp(type, "application/msgpack", 19) == 0) {
        return DORMOUSE_MSGPACK;
    }
    return DORMOUSE_BYTES;
}

/* Moves the answer's body out. */
static void take_value(struct exchange *x, uint64_t version, struct dormouse_value *ret_value)
{
    struct buf body = buf_take(&x->response.body);
    size_t bytes = body.len;
    buf_append_byte(&body, '\0');
    *ret_value = (struct dormouse_value){.format = format_of_answer(&x->response),
                                         .data = body.data,
                                         .bytes = bytes,
                                         .version = version};
}

enum dormouse_code dormouse_get(struct dormouse *d, const struct dormouse_actor *actor,
                                const char *key, enum dormouse_format format,
                                const struct dormouse_call *call, struct dormouse_value *ret_value,
                                struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "GET", call);
    exchange_actor(&x, actor, "kv");
    exchange_name(&x, key);
    x.takes_if_none_match = true;
    /* Bytes come as they are where Accept names neither JSON nor msgpack. */
    bool by_storage = format == DORMOUSE_BYTES || format == DORMOUSE_AS_STORED;
    x.accept = by_storage ? NULL : type_of_format(format);
    if (exchange_run(&x) && x.response.status == 304) {
        error_set(&x.error, DORMOUSE_NOT_MODIFIED, "The version is still the same.");
        x.error.http_status = 304;
    } else if (x.error.kind == DORMOUSE_OK) {
        uint64_t version = exchange_version(&x);
        if (version != 0 && format == DORMOUSE_BYTES && format_of_answer(&x.response) != format) {
            error_set(&x.error, DORMOUSE_PROTOCOL, "The value is not bytes.");
        } else if (version != 0) {
            take_value(&x, version, ret_value);
        }
    }
    return exchange_done(&x, ret_error);
}

void dormouse_value_done(struct dormouse_value *value)
{
    mem_free(value->data);
    *value = (struct dormouse_value){0};
}

enum dormouse_code dormouse_put(struct dormouse *d, const struct dormouse_actor *actor,
                                const char *key, enum dormouse_format format, const void *data,
                                size_t bytes, const struct dormouse_call *call,
                                uint64_t *ret_version, struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "PUT", call);
    exchange_actor(&x, actor, "kv");
    exchange_name(&x, key);
    if (type_of_format(format) == NULL) {
        exchange_refuse(&x, "A value is put as JSON, bytes or msgpack.");
    }
    exchange_json_body(&x, data, bytes);
    x.content_type = type_of_format(format);
    x.takes_if_match = true;
    if (exchange_run(&x)) {
        uint64_t version = exchange_version(&x);
        if (version != 0 && ret_version != NULL) {
            *ret_version = version;
        }
    }
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_delete(struct dormouse *d, const struct dormouse_actor *actor,
                                   const char *key, const struct dormouse_call *call,
                                   bool *ret_existed, struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "DELETE", call);
    exchange_actor(&x, actor, "kv");
    exchange_name(&x, key);
    x.call.if_absent = false;
    x.takes_if_match = true;
    if (exchange_run(&x) && ret_existed != NULL) {
        const char *existed = client_response_header(&x.response, "Dormouse-Existed");
        *ret_existed = existed != NULL && strcasecmp(existed, "true") == 0;
    }
    return exchange_done(&x, ret_error);
}

enum dormouse_code dormouse_txn(struct dormouse *d, const struct dormouse_actor *actor,
                                const char *json, size_t bytes, const struct dormouse_call *call,
                                struct dormouse_doc **ret_doc, struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, "POST", call);
    exchange_actor(&x, actor, "txn");
    exchange_json_body(&x, json, bytes);
    exchange_run_doc(&x, ret_doc);
    return exchange_done(&x, ret_error);
}
