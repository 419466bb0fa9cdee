/* The fields of requests and responses: what may be in them, and from strings to bytes and back.
 *
 * A string's characters up to 255 are a field's bytes, as the fetch standard has it. Nothing that could end
 * a line gets through in either direction. Fields that say how a message is framed or where it goes are ours:
 * what user code gives for them is left out, as browsers do, since code often passes on all fields of a
 * request that it got. Pure. */
#ifndef ACTOR_EGRESS_FIELD_H
#define ACTOR_EGRESS_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

bool field_is_token(struct slice text);
bool field_is_named(struct slice name, const char *lower_case);

/* Host, Connection and their like, Content-Length, all Proxy-*. */
bool field_is_ours(struct slice name);
/* Authorization, Cookie: told to no other origin. */
bool field_is_credential(struct slice name);
/* Content-Type and its like: they go where the body goes. */
bool field_is_of_body(struct slice name);

/* The line of a request's field, closed by NUL, onto `out`. ERR_BAD_REQUEST: no token, or a value that no
 * field can have. */
enum err field_put_line(struct buf *out, struct slice name, struct slice value,
                        const char **ret_detail) MUST_CHECK;

/* A line of a response in its parts, space around the value left out. False: it is none. */
bool field_split(struct slice line, struct slice *ret_name, struct slice *ret_value) MUST_CHECK;

/* Bytes as a string, a character each: as UTF-8, and as a document. */
void field_append_text(struct buf *out, struct slice bytes);
void field_put_text(struct buf *out, struct slice bytes);

#endif
