/* Conditions: the versions that If-Match and If-None-Match ask for (RFC 9110, 13.1).
 *
 *     If-Match: "3"            the entry has version 3        If-Match: *        it is there
 *     If-None-Match: "3", "5"  it has neither, or is absent   If-None-Match: *   it is absent
 *
 * An entity tag that is none of ours matches nothing, and neither does a weak one where the comparison
 * is a strong one. Pure. */
#ifndef NODE_CONDITIONS_H
#define NODE_CONDITIONS_H

#include "actor/request.h"
#include "node/decode.h"
#include "rpc/http.h"

/* Sets the request's match. On an error `ret_error` is complete. */
enum err conditions_decode(struct request *r, const struct http_request *h,
                           struct decode_error *ret_error) MUST_CHECK;

#endif
