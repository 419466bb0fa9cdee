#include "node/cors.h"

#include <string.h>

#include "base/mem.h"
#include "rpc/uri.h"

/* What scripts see of an answer beside its body and content-type. */
#define EXPOSED                                                                             \
    "etag, dormouse-owner, dormouse-existed, dormouse-staleness-ms, idempotency-replayed, " \
    "retry-after, location"

#define ANY_METHOD "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

/* After the scheme: a name or an address, in lower case, and maybe a port. */
static bool is_host(struct slice text)
{
    size_t len = text.len;
    const uint8_t *colon = memrchr(text.data, ':', len);
    bool is_v6 = len > 0 && text.data[0] == '[';
    const uint8_t *close = is_v6 ? memchr(text.data, ']', len) : NULL;
    if (is_v6 && close == NULL) {
        return false;
    }
    if (colon != NULL && (!is_v6 || colon > close)) {
        uint64_t port;
        struct slice digits = slice_skip(text, (size_t)(colon - text.data) + 1);
        if (!parse_uint(digits, &port) || port == 0 || port > UINT16_MAX) {
            return false;
        }
        len = (size_t)(colon - text.data);
    }
    for (size_t i = 0; i < len; i++) {
        char c = (char)text.data[i];
        if (!is_label_char(c) && !(is_v6 && (c == '[' || c == ']' || c == ':'))) {
            return false;
        }
    }
    return len > 0 && (!is_v6 || text.data[len - 1] == ']');
}

static bool is_origin(struct slice text)
{
    static const struct slice schemes[] = {{(const uint8_t *)"https://", 8},
                                           {(const uint8_t *)"http://", 7}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (slice_has_prefix(text, schemes[i])) {
            return is_host(slice_skip(text, schemes[i].len));
        }
    }
    return false;
}

static enum err add(struct cors *c, struct slice text, const char **ret_detail)
{
    if (slice_equal_str(text, "*")) {
        *ret_detail = "* would let every page in; name the origins";
        return ERR_BAD_REQUEST;
    }
    if (!is_origin(text)) {
        *ret_detail = "not origins like https://app.example.com, with commas between them";
        return ERR_BAD_REQUEST;
    }
    if (c->count == CORS_ORIGINS_MAX) {
        *ret_detail = "more than 32 origins";
        return ERR_BAD_REQUEST;
    }
    c->origins[c->count++] =
        (struct cors_origin){.text = text,
                             .fields = {{SLICE("access-control-allow-origin"), text},
                                        {SLICE("vary"), SLICE("origin")},
                                        {SLICE("access-control-expose-headers"), SLICE(EXPOSED)}}};
    return ERR_OK;
}

enum err cors_parse(struct cors *ret, const char *text, const char **ret_detail)
{
    *ret = (struct cors){.list = mem_strdup(text)};
    enum err err = ERR_OK;
    char *rest = NULL;
    for (char *item = strtok_r(ret->list, ",", &rest); item != NULL && err == ERR_OK;
         item = strtok_r(NULL, ",", &rest)) {
        item += strspn(item, " ");
        size_t len = strlen(item);
        while (len > 0 && item[len - 1] == ' ') {
            len--;
        }
        err = add(ret, slice_of(item, len), ret_detail);
    }
    if (err == ERR_OK && ret->count == 0) {
        *ret_detail = "no origin";
        err = ERR_BAD_REQUEST;
    }
    if (err != ERR_OK) {
        cors_done(ret);
    }
    return err;
}

void cors_done(struct cors *c)
{
    mem_free(c->list);
    *c = (struct cors){0};
}

const struct cors_origin *cors_find(const struct cors *c, const struct http_request *h)
{
    struct slice origin;
    if (c->count == 0 || !http_request_header(h, "origin", &origin)) {
        return NULL;
    }
    for (size_t i = 0; i < c->count; i++) {
        if (slice_equal(c->origins[i].text, origin)) {
            return &c->origins[i];
        }
    }
    return NULL;
}

bool cors_is_preflight(const struct http_request *h)
{
    struct slice ignored;
    return slice_equal_str(h->method, "OPTIONS") &&
           http_request_header(h, "access-control-request-method", &ignored);
}

void cors_answer_preflight(struct http_exchange *x, const char *methods)
{
    struct slice wanted;
    struct http_header fields[] = {
        {SLICE("access-control-allow-methods"),
         slice_of_str(*methods != '\0' ? methods : ANY_METHOD)},
        {SLICE("access-control-max-age"), SLICE("7200")},
        {SLICE("access-control-allow-headers"), SLICE("")},
    };
    size_t count = sizeof fields / sizeof fields[0] - 1;
    /* Any field may come: the node looks at those that it knows, code at all. */
    if (http_request_header(http_exchange_request(x), "access-control-request-headers", &wanted)) {
        fields[count++].value = wanted;
    }
    http_respond(x, 204, fields, count, NULL);
}
