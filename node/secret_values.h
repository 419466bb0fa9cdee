/* The values of the secrets that rules of egress name, as the egress process is told them: no others leave the
 * records. */
#ifndef NODE_SECRET_VALUES_H
#define NODE_SECRET_VALUES_H

#include "base/buf.h"
#include "base/slice.h"

struct cluster_view;
struct node;

/* Appends a document {name: bin} of those that are set, or nothing where the rules name none. Wipe it
 * (seal_wipe). */
void secret_values_put(const struct node *n, const struct cluster_view *v, struct slice ns,
                       struct slice rules, struct buf *out);

#endif
