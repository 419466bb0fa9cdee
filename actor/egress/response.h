/* A response's head as its lines come: status, fields, and what matters of them. Bounded; pure.
 *
 *     response_line ("HTTP/1.1 200 OK"), response_line ("A: b") ..., response_line ("")
 *
 * Responses before the final one (1xx) are forgotten when the next one begins. */
#ifndef ACTOR_EGRESS_RESPONSE_H
#define ACTOR_EGRESS_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct response {
    uint32_t status;
    struct buf text;     /* behind the status */
    struct buf lines;    /* of fields, each closed by a line feed */
    uint32_t line_count; /* at most EGRESS_FIELDS_MAX; their bytes EGRESS_FIELD_BYTES_MAX */
    bool is_complete;    /* the head of the final response is all there */
};

void response_init(struct response *r);
void response_done(struct response *r);

/* One line, its end left out or not. ERR_TOO_LARGE, ERR_UNAVAILABLE (no line of HTTP), and a static sentence. */
enum err response_line(struct response *r, struct slice line, const char **ret_detail) MUST_CHECK;

/* The first field of that name (in lower case); false where there is none. Borrowed until the next line. */
bool response_field(const struct response *r, const char *name, struct slice *ret);

/* The lines of the fields, without their ends: for (rest = buf_slice(&r->lines); response_next(&rest, &line);) */
bool response_next(struct slice *rest, struct slice *ret_line);

/* The fields as a document. Of a body that was decoded the encoding and the length are left out: they are no
 * longer true, and code often passes a response on as it is. */
void response_put_fields(const struct response *r, bool is_decoded, struct buf *out);

#endif
