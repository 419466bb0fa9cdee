/* A target: the URL that a hop goes to, in the parts that are checked.
 *
 * The same parser reads it here and for the request itself, and that is handed what was read, so there are no
 * two opinions of where a URL leads. Visible ASCII, http or https, a host, no user and no zone; a fragment is
 * left out. */
#ifndef ACTOR_EGRESS_TARGET_H
#define ACTOR_EGRESS_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

#include "base/err.h"
#include "base/slice.h"

struct target {
    CURLU *parts;
    char *url;    /* as it is told: without a fragment */
    char *scheme; /* "http" or "https" */
    char *host;   /* in lower case; numbers are dotted, a v6 address is in brackets */
    char *path;
    uint16_t port;
};

/* ERR_BAD_REQUEST and a static sentence; ERR_NO_MEMORY. */
enum err target_parse(struct slice url, struct target *ret, const char **ret_detail) MUST_CHECK;

/* Where a Location of `from` leads; it may be relative. */
enum err target_redirect(const struct target *from, struct slice location, struct target *ret,
                         const char **ret_detail) MUST_CHECK;
void target_done(struct target *t);

bool target_is_same_origin(const struct target *a, const struct target *b);

/* The host is an address that user code may not ask for. Of names nothing is known before they resolve. */
bool target_is_private(const struct target *t);

#endif
