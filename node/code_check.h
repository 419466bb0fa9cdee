/* The check of code before it is deployed: an isolate in mode "check" links the modules, evaluates them and
 * says which classes they export.
 *
 *     code_check --> isolate --> `done`: ERR_OK and what it found
 *                                        ERR_INVALID_CODE and where the code is wrong
 *                                        any other error: the check could not be made
 *
 * It ends by itself, within the limits of an isolate; nobody takes it back. */
#ifndef NODE_CODE_CHECK_H
#define NODE_CODE_CHECK_H

#include "base/bytes.h"
#include "base/slice.h"
#include "node/decode.h"

struct worker;

struct code_check {
    /* asked; checked documents that stay until `done` */
    struct slice ns;
    struct slice modules;               /* a map of names to sources */
    struct slice main;                  /* one of these names, as text */
    struct slice classes;               /* an array of names; empty: all that there are */
    struct slice env;                   /* a map */
    void (*done)(struct code_check *c); /* once, on the worker; perhaps from inside */

    /* outcome: documents from the isolate, checked with value_check and no further, which are the
     * receiver's */
    struct decode_error error;
    struct bytes
        *found; /* ERR_OK: {"modules": [[name, code] ...], "classes": [{"name", "methods": [...],
                            "kind"} ...], "has_default": bool} */
    struct bytes
        *fault; /* ERR_INVALID_CODE: {"name","message","stack","file","line","column"}, any of
                            which may be missing; NULL: error.detail says it all */
};

/* From the worker's thread. */
void code_check(struct worker *w, struct code_check *c);

#endif
