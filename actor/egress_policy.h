/* Where user code may go: the patterns of an allow list, and whether a host and port are among them.
 *
 *     host         host:port         that name or address
 *     *.name       *.name:port       all names below it, not itself
 *     *            *:port            all
 *     [v6]         [v6]:port         that address
 *
 * Nothing is allowed but what a pattern says. Without a port a pattern means 80 and 443, or any port where
 * the list is one of a single run (API sections 4 and 5). Addresses are checked again, by another rule, when
 * they are connected to: a pattern allows a name, never the private address that it may have. Pure. */
#ifndef ACTOR_EGRESS_POLICY_H
#define ACTOR_EGRESS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum {
    EGRESS_PATTERNS_MAX = 256, /* of one list */
    EGRESS_HOST_BYTES_MAX = 253,
};

/* ERR_BAD_REQUEST: no pattern of these forms; `*ret_detail` is a static sentence that says why. */
enum err egress_pattern_check(struct slice pattern, const char **ret_detail) MUST_CHECK;

/* `host` is in lower case where it is a name and dotted where it is an address; a v6 one is in brackets. */
bool egress_pattern_matches(struct slice pattern, struct slice host, uint16_t port, bool any_port);

/* Of a document: an array of patterns. Any other type, and what is no pattern, allows nothing. */
enum err egress_list_check(struct slice list, const char **ret_detail) MUST_CHECK;
bool egress_list_allows(struct slice list, struct slice host, uint16_t port, bool any_port);

#endif
