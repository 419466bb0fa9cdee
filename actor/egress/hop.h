/* A hop: one request of a fetch, of which redirects make several. What the next one asks, and with what, as
 * the fetch standard has it: whoever is redirected elsewhere is told no secrets of the first host. Pure. */
#ifndef ACTOR_EGRESS_HOP_H
#define ACTOR_EGRESS_HOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { HOP_REDIRECTS_MAX = 20, HOP_METHOD_BYTES = 32 };

struct hop {
    char method[HOP_METHOD_BYTES];
    bool sends_body;        /* if there is one */
    bool sends_credentials; /* Authorization and Cookie, where they were given */
    uint32_t redirects;     /* before it */
};

/* ERR_BAD_REQUEST: no token, too long, or a method that opens tunnels or shows what servers were sent. */
enum err hop_init(struct hop *h, struct slice method, const char **ret_detail) MUST_CHECK;

bool hop_is_redirect(uint32_t status);

/* After a redirect. ERR_UNAVAILABLE: there were too many. */
enum err hop_redirect(struct hop *h, uint32_t status, bool is_same_origin) MUST_CHECK;

/* What it asked may be asked again where no answer came: RFC 9110, 9.2.2. */
bool hop_is_idempotent(const struct hop *h);

#endif
