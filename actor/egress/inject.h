/* An injection: the fields that rules put on a request for one host, with secrets in them. Who asks never sees
 * them; a field of the same name that came with the request is left out. Pure. */
#ifndef ACTOR_EGRESS_INJECT_H
#define ACTOR_EGRESS_INJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct injection {
    struct buf lines;   /* "Name: value", each closed by NUL */
    struct buf secrets; /* strings, as in a document: names of those that are in there */
    uint32_t line_count;
    uint32_t secret_count;
};

void injection_done(struct injection *i); /* wipes it */

/* `inject` and `secrets` are documents, or empty. ERR_UNAVAILABLE: a secret is not set, and the text says which;
 * the request is not to leave without it. */
enum { INJECT_DETAIL_BYTES = 128 };
enum err injection_make(struct slice inject, struct slice secrets, struct slice host, uint16_t port,
                        struct injection *ret, char ret_detail[INJECT_DETAIL_BYTES]) MUST_CHECK;

/* Whether it has a field of that name, in any case. */
bool injection_has(const struct injection *i, struct slice name);

/* The lines: for (at = NULL; (at = injection_next(i, at)) != NULL;) */
const char *injection_next(const struct injection *i, const char *at);

/* Appends the document that a record has: an array of names, or nothing. */
void injection_put_names(const struct injection *i, struct buf *out);

#endif
