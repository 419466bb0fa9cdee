/* A deployment: the code that a namespace has in force, as the workers find it in their view. Immutable and
 * shared by reference count, across threads and from one view to the next.
 *
 * All that was deployed is one document, its bundle: it is stored as it is (node/release.h) and named by
 * its SHA-256; every slice here points into it.
 *
 *     {"main": str, "classes": [{"name","kind","methods"}], "has_default": bool, "bindings": {NAME: class},
 *      "env": bin, "egress": bin, "modules": bin, "source_maps": bin}
 *
 * The bins hold one msgpack document each, which the node hands on and does not read. Members that a reader
 * does not know are ignored. */
#ifndef NODE_DEPLOYMENT_H
#define NODE_DEPLOYMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    BUNDLE_BYTES_MAX =
        22 << 20, /* with all that goes around it, it fits a batch and a peer's message */
    DEPLOYED_CLASSES_MAX = 128,
};

/* Is there in every namespace, and runs no code. */
#define BUILT_IN_CLASS "Store"

enum class_kind { CLASS_OBJECT, CLASS_WORKFLOW, CLASS_OTHER, CLASS_KIND_COUNT };

struct deployed_class {
    struct slice name;
    enum class_kind kind;
    struct slice methods; /* an array of strings */
};

struct deployment {
    _Atomic uint32_t refs;
    char ns[NAMESPACE_BYTES_MAX + 1];
    uint64_t version;     /* from 1, grows with every deploy and rollback of the namespace */
    uint64_t created_ms;  /* wall */
    struct bytes *bundle; /* owned reference */

    struct slice main;
    bool has_default;         /* the main module exports one: it answers /w/{namespace}/ */
    struct slice bindings;    /* a map of names to names of classes */
    struct slice env;         /* what the bins hold */
    struct slice egress;      /* a map {"allow": ...}; empty: none was given */
    struct slice modules;     /* an array of [name, code], linked */
    struct slice source_maps; /* of modules, for node/source_map.h; empty: none was given */
    size_t class_count;
    struct deployed_class *classes; /* in the order of their names */
};

/* Of a bundle, to which it takes a reference of its own. ERR_CORRUPT. */
enum err deployment_new(struct slice ns, uint64_t version, uint64_t created_ms,
                        struct bytes *bundle, struct deployment **ret_deployment) MUST_CHECK;
struct deployment *deployment_ref(struct deployment *d);
void deployment_unref(struct deployment *d); /* NULL is fine */

/* NULL: it has no such class. `d` may be NULL too. */
const struct deployed_class *deployment_class(const struct deployment *d, struct slice name);

/* A name that a deployed class may have: any but that of the built-in class. */
bool deployed_class_name_is_valid(struct slice name);

const char *class_kind_name(enum class_kind kind); /* "object" */
bool class_kind_of_name(struct slice name, enum class_kind *ret_kind);

/* Makes a bundle: every field but those of the first lines of the struct is read, and classes need not be
 * in order. */
void bundle_encode(const struct deployment *d, struct buf *out);

#endif
