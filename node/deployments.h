/* The deployments of a view: of each namespace the releases that are kept, and the code in force.
 *
 *     deployments_add (every record, in the order of names) --> deployments_share (with the former view)
 *         --> deployments_missing / deployments_give, until none is missing --> immutable
 *
 * A bundle may have megabytes: it is read once, and shared by each view that follows. */
#ifndef NODE_DEPLOYMENTS_H
#define NODE_DEPLOYMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "node/deployment.h"
#include "node/release.h"

struct deployments {
    struct release *releases; /* those of a namespace in a row, oldest first */
    size_t release_count;
    struct map current; /* of what is the file's own, by hash of the namespace */
};

void deployments_done(struct deployments *s);

/* ERR_CORRUPT. */
enum err deployments_add(struct deployments *s, struct slice name, struct slice payload) MUST_CHECK;
void deployments_share(struct deployments *s, const struct deployments *former);
/* The release in force of a namespace whose bundle is yet to be read; NULL: none is. */
const struct release *deployments_missing(const struct deployments *s);
/* NULL: it cannot be had, and the namespace is one without code. ERR_CORRUPT: it cannot be read, likewise. */
enum err deployments_give(struct deployments *s, const struct release *r,
                          struct bytes *bundle) MUST_CHECK;

struct deployment *deployments_find(const struct deployments *s, struct slice ns); /* or NULL */
/* The releases that are kept, oldest first; NULL: nothing was ever deployed there. */
const struct release *deployments_releases(const struct deployments *s, struct slice ns,
                                           size_t *ret_count);
uint64_t deployments_bytes(const struct deployments *s); /* of all bundles in force */

#endif
