/* What a deploy asks for, from the body of `PUT /v1/{namespace}` to the bundle that is kept. Pure.
 *
 *     body --deploy_body_read--> names, sizes, form are right
 *          --check (node/code_check.h)--> found --deploy_body_bundle--> bundle (node/deployment.h)
 *
 * All slices are borrowed from the body. */
#ifndef NODE_DEPLOY_BODY_H
#define NODE_DEPLOY_BODY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "node/decode.h"

enum {
    DEPLOY_MODULES_MAX = 1000,
    DEPLOY_MODULES_BYTES_MAX = 10 << 20,     /* of all names and sources */
    DEPLOY_SOURCE_MAPS_BYTES_MAX = 10 << 20, /* likewise */
    DEPLOY_SOURCE_MAPS_MAX = 64,             /* each is looked through where code throws */
    DEPLOY_MODULE_NAME_BYTES_MAX = 255,
    DEPLOY_ENV_BYTES_MAX = 128 << 10,
    DEPLOY_NAMES_MAX = 128, /* of env, bindings and classes, each */
    DEPLOY_ALLOWED_HOSTS_MAX = 256,
};

/* For a detail: what a client sent, cut: "%.*s". */
enum { DEPLOY_SHOWN_BYTES = 64 };
#define SHOWN(s) \
    (int)((s).len < DEPLOY_SHOWN_BYTES ? (s).len : DEPLOY_SHOWN_BYTES), (const char *)(s).data

struct deploy_body {
    struct slice modules;
    struct slice main;
    struct slice env;
    struct slice classes; /* empty: not given */
    struct slice bindings;
    struct slice egress;      /* empty: not given */
    struct slice source_maps; /* likewise */
};

/* `doc` is a checked document. ERR_BAD_REQUEST, ERR_TOO_LARGE. */
enum err deploy_body_read(struct slice doc, struct deploy_body *ret_body,
                          struct decode_error *ret_error) MUST_CHECK;

/* The classes that the check shall look for: those that were named and those that are bound; nothing is
 * appended where none were named. */
void deploy_body_classes(const struct deploy_body *b, struct buf *ret_array);

/* With what the check has found, a checked document. Where no classes were named, those count that are
 * objects or workflows, or bound. ERR_INVALID_CODE: a class that was named is not among what was found;
 * ERR_BAD_REQUEST, ERR_TOO_LARGE. ERR_CORRUPT: `found` has not the form of node/code_check.h. */
enum err deploy_body_bundle(const struct deploy_body *b, struct slice found, struct buf *ret_bundle,
                            struct decode_error *ret_error) MUST_CHECK;

#endif
