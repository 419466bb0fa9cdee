#include "tests/bench/workload.h"

#include <inttypes.h>

#include <sodium.h>

#include "base/invariant.h"

/* splitmix64: each request needs some tens of random bytes, and the kernel's would cost more than
 * the request. */
static uint64_t next_random(struct workload *w)
{
    uint64_t z = (w->random += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Text that needs no escapes in JSON: the value itself is `value_bytes` long in every server. */
static void append_value(struct workload *w, struct buf *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t *out = buf_extend(to, w->value_bytes);
    uint64_t bits = 0;
    for (uint32_t i = 0; i < w->value_bytes; i++) {
        if (i % 10 == 0) {
            bits = next_random(w);
        }
        out[i] = (uint8_t)digits[bits & 63];
        bits >>= 6;
    }
}

static void append_base64(struct buf *to, struct slice s)
{
    size_t room = sodium_base64_encoded_len(s.len, sodium_base64_VARIANT_ORIGINAL);
    uint8_t *out = buf_extend(to, room);
    (void)sodium_bin2base64((char *)out, room, s.data, s.len, sodium_base64_VARIANT_ORIGINAL);
    to->len--; /* its closing zero */
}

void workload_init(struct workload *w, uint64_t seed)
{
    PRE(w->actors > 0 && w->keys > 0);
    w->random = seed;
    w->fill_left = w->operation == OPERATION_FILL ? w->actors * w->keys : 0;
}

void workload_done(struct workload *w)
{
    buf_done(&w->scratch);
}

void request_done(struct request *r)
{
    buf_done(&r->path);
    buf_done(&r->body);
}

/* ["kept in storage"], or no arguments. */
static void append_arguments(struct workload *w, struct buf *to, bool has_value)
{
    buf_append_byte(to, '[');
    if (has_value) {
        buf_append_byte(to, '"');
        append_value(w, to);
        buf_append_byte(to, '"');
    }
    buf_append_byte(to, ']');
}

static void next_call(struct workload *w, enum operation operation, uint64_t actor,
                      struct request *r)
{
    static const char program[] = "async (input) => input + 1";
    r->method = "POST";
    if (operation == OPERATION_EXECUTE) {
        bool is_ours = w->server == SERVER_DORMOUSE;
        buf_printf(&r->path,
                   is_ours ? "/v1/bench/Store/a%" PRIu64 "/execute" : "/execute/a%" PRIu64, actor);
        buf_printf(&r->body, "{\"code\":\"%s\",\"input\":41}", program);
        return;
    }
    bool is_put = operation == OPERATION_CALL_PUT;
    buf_printf(&r->path,
               w->server == SERVER_DORMOUSE ? "/v1/bench/Bench/a%" PRIu64 "/call/%s"
                                            : "/call/a%" PRIu64 "/%s",
               actor, is_put ? "put" : "read");
    append_arguments(w, &r->body, is_put);
}

static bool is_call(enum operation operation)
{
    return operation == OPERATION_CALL_READ || operation == OPERATION_CALL_PUT ||
           operation == OPERATION_EXECUTE;
}

static void next_dormouse(struct workload *w, enum operation operation, uint64_t actor,
                          uint64_t key, struct request *r)
{
    buf_printf(&r->path, "/v1/bench/Store/a%" PRIu64 "/", actor);
    switch (operation) {
    case OPERATION_FILL:
    case OPERATION_PUT:
        r->method = "PUT";
        buf_printf(&r->path, "kv/k%" PRIu64, key);
        buf_append_byte(&r->body, '"');
        append_value(w, &r->body);
        buf_append_byte(&r->body, '"');
        return;
    case OPERATION_GET:
        r->method = "GET";
        buf_printf(&r->path, "kv/k%" PRIu64, key);
        return;
    case OPERATION_TXN:
        r->method = "POST";
        buf_append_str(&r->path, "txn");
        buf_printf(&r->body, "{\"do\":[{\"add\":\"count\"},{\"put\":\"k%" PRIu64 "\",\"value\":\"",
                   key);
        append_value(w, &r->body);
        buf_append_str(&r->body, "\"}]}");
        return;
    case OPERATION_CALL_READ:
    case OPERATION_CALL_PUT:
    case OPERATION_EXECUTE:
        break; /* next_call */
    }
    UNREACHABLE();
}

static void next_etcd(struct workload *w, enum operation operation, uint64_t actor, uint64_t key,
                      struct request *r)
{
    PRE(operation != OPERATION_TXN && !is_call(operation));
    bool is_put = operation != OPERATION_GET;
    r->method = "POST";
    buf_append_str(&r->path, is_put ? "/v3/kv/put" : "/v3/kv/range");
    buf_clear(&w->scratch);
    buf_printf(&w->scratch, "a%" PRIu64 "/k%" PRIu64, actor, key);
    buf_append_str(&r->body, "{\"key\":\"");
    append_base64(&r->body, buf_slice(&w->scratch));
    if (is_put) {
        buf_clear(&w->scratch);
        append_value(w, &w->scratch);
        buf_append_str(&r->body, "\",\"value\":\"");
        append_base64(&r->body, buf_slice(&w->scratch));
    }
    buf_append_str(&r->body, "\"}");
}

void workload_next(struct workload *w, struct request *ret_request)
{
    uint64_t actor = next_random(w) % w->actors;
    uint64_t key = next_random(w) % w->keys;
    if (w->operation == OPERATION_FILL) {
        PRE(w->fill_left > 0);
        w->fill_left--;
        actor = w->fill_left % w->actors;
        key = w->fill_left / w->actors;
    }
    buf_clear(&ret_request->path);
    buf_clear(&ret_request->body);
    switch (w->server) {
    case SERVER_DORMOUSE:
        if (is_call(w->operation)) {
            next_call(w, w->operation, actor, ret_request);
            break;
        }
        next_dormouse(w, w->operation, actor, key, ret_request);
        break;
    case SERVER_ETCD:
        next_etcd(w, w->operation, actor, key, ret_request);
        break;
    case SERVER_WORKERD:
        next_call(w, w->operation, actor, ret_request);
        break;
    }
    buf_append_byte(&ret_request->path, 0);
    ret_request->path.len--;
}
