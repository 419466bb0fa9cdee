/* A field: a name and a value of an HTTP header section, and what the parts of one may hold.
 *
 * The same rules serve HTTP/1.1, HTTP/2 and answers written by user code: what passes here can be
 * forwarded over either protocol without meaning something else there. */
#ifndef RPC_HTTP_FIELD_H
#define RPC_HTTP_FIELD_H

#include <stdbool.h>

#include "base/slice.h"

struct http_header {
    struct slice name; /* lower case in requests */
    struct slice value;
};

bool http_name_is_valid(struct slice name);   /* a token of RFC 9110 */
bool http_value_is_valid(struct slice value); /* no control characters but HT */

/* "/path?query" in visible ASCII without '#'. */
bool http_target_is_valid(struct slice target);

/* What a Host may hold: letters, digits and the marks of names, ports and IP literals; may be
 * empty. Whether the host is ours is decided above. */
bool http_authority_is_valid(struct slice authority);

/* Fields that speak of one connection, and the length of the body: the codec writes these itself
 * and drops them from answers. Any case. */
bool http_name_is_of_connection(struct slice name);

void http_name_to_lower(uint8_t *name, size_t len);
struct slice http_trim(struct slice value); /* without spaces and tabs at both ends */

/* ASCII, any case; `want` is lower case. */
bool http_equal_any_case(struct slice got, const char *want);
bool http_value_lists(struct slice value, const char *want); /* ... among others, between commas */

#endif
