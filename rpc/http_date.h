/* A date: what the Date field of an answer says (RFC 9110, 6.6.1), such as
 * "Sun, 06 Nov 1994 08:49:37 GMT".
 *
 * Connections borrow one and copy its text into every answer. Its owner sets it from a clock as often as
 * he likes: the text is made anew once a second. One that was never set has no text: then there is
 * no clock, and no Date is sent. */
#ifndef RPC_HTTP_DATE_H
#define RPC_HTTP_DATE_H

#include <stdint.h>

#include "base/slice.h"

enum { HTTP_DATE_BYTES = 29 };

struct http_date {
    uint64_t second; /* since the epoch, of the text; 0: not set */
    char text[HTTP_DATE_BYTES];
};

/* Milliseconds since the epoch. A year with more than four digits has no text either. */
void http_date_set(struct http_date *d, uint64_t wall_ms);

struct slice http_date_text(const struct http_date *d); /* good until it is set again */

#endif
