/* Exposure: whether a node may listen where it is told to (API section 7). Pure. */
#ifndef NODE_EXPOSURE_H
#define NODE_EXPOSURE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* ERR_BAD_REQUEST with one sentence: beyond loopback a node needs TLS and tokens, or whoever reaches its
 * port may read and write everything. `host` is numeric; a name is taken for one beyond loopback. */
enum err exposure_check(const char *host, bool has_tls, bool has_tokens, char *ret_detail,
                        size_t detail_bytes) MUST_CHECK;

#endif
