/* HTTP/1.1, the client's side of one exchange: the answer, taken apart as it comes. Interim answers are passed over;
 * after 101 what follows is not HTTP any more. No I/O. */
#ifndef RPC_HTTP1_REPLY_H
#define RPC_HTTP1_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "rpc/http.h"

enum { HTTP1_REPLY_HEAD_BYTES_MAX = 64 * 1024, HTTP1_REPLY_FIELDS_MAX = 200 };

struct http1_reply;

struct http1_reply_hooks {
    /* Names in lower case; all of it good until it returns. */
    void (*head)(void *ctx, int status, const struct http_header *fields, size_t count);
    void (*body)(void *ctx, struct slice bytes);
    void (*end)(void *ctx); /* it is whole */
};

struct http1_reply *http1_reply_new(bool is_of_head, const struct http1_reply_hooks *hooks,
                                    void *ctx);
void http1_reply_free(struct http1_reply *r); /* not from its hooks; NULL is fine */

/* ERR_CORRUPT: it is no answer, or its head is too large. `ret_used` is less than all of it after 101 alone. */
enum err http1_reply_recv(struct http1_reply *r, struct slice in, size_t *ret_used) MUST_CHECK;
/* Nothing more comes. ERR_CORRUPT: it was not whole. */
enum err http1_reply_recv_end(struct http1_reply *r) MUST_CHECK;

#endif
