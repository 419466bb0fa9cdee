/* Base64url without padding (RFC 4648, section 5), for what must be opaque in a URL; and plain base64 with
 * padding (section 4), as others write it. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

void base64url_encode(struct slice bytes, struct buf *out);

/* ERR_BAD_REQUEST for anything that base64url_encode cannot have written. */
enum err base64url_decode(struct slice text, struct buf *out) MUST_CHECK;

enum err base64_decode(struct slice text,
                       struct buf *out) MUST_CHECK; /* ERR_BAD_REQUEST: it is none */

#endif
