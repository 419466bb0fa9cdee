/* One request of any kind. */
#include <string.h>

#include "base/mem.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/exchange.h"

/* What would end the request line, or the header section, of HTTP/1.1. */
static bool has_blank_or_control(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c <= ' ' || c == 0x7f) {
            return true;
        }
    }
    return false;
}

static void take_answer(struct exchange *x, struct dormouse_answer *ret_answer)
{
    struct buf body = buf_take(&x->response.body);
    struct buf headers = buf_take(&x->response.headers);
    size_t body_bytes = body.len;
    buf_append_byte(&body, '\0');
    for (size_t i = 0; i < headers.len; i++) {
        headers.data[i] = headers.data[i] == '\0' ? '\n' : headers.data[i];
    }
    buf_append_byte(&headers, '\0');
    *ret_answer = (struct dormouse_answer){.status = x->response.status,
                                           .body = body.data,
                                           .body_bytes = body_bytes,
                                           .headers = (char *)headers.data};
}

enum dormouse_code dormouse_request(struct dormouse *d, const struct dormouse_request *request,
                                    const struct dormouse_call *call,
                                    struct dormouse_answer *ret_answer,
                                    struct dormouse_error *ret_error)
{
    struct exchange x;
    exchange_init(&x, d, request->method, call);
    if (request->path[0] != '/' || has_blank_or_control(request->path) ||
        request->method[0] == '\0' || has_blank_or_control(request->method)) {
        exchange_refuse(&x, "The method or the path is malformed.");
    }
    buf_append_str(&x.target, request->path);
    x.takes_key = false;
    x.headers = request->headers;
    x.header_count = request->header_count;
    x.body = slice_of(request->body, request->body_bytes);
    x.has_body = request->body != NULL;
    if (exchange_run(&x)) {
        take_answer(&x, ret_answer);
    }
    return exchange_done(&x, ret_error);
}

void dormouse_answer_done(struct dormouse_answer *answer)
{
    mem_free(answer->body);
    mem_free(answer->headers);
    *answer = (struct dormouse_answer){0};
}
