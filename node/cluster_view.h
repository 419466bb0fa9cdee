/* A cluster view: what the meta group says of the cluster, as of one moment. Immutable and shared by
 * reference count: worker 0 builds a new one when the records have changed, and every worker takes it
 * over before it looks at its next request.
 *
 * Access. A cluster without tokens answers everyone who can reach it, on loopback. From the first token
 * on every request needs one, for good: revoking all tokens does not open it again. As long as there has
 * never been a token with the scope admin, /admin is open on loopback, so that one can be made. */
#ifndef NODE_CLUSTER_VIEW_H
#define NODE_CLUSTER_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/map.h"
#include "node/deployments.h"
#include "node/member.h"
#include "node/secret.h"
#include "node/token.h"

struct cluster_view {
    _Atomic uint32_t refs;
    uint64_t version;  /* of the meta group: what it wrote until then is in here */
    bool needs_tokens; /* a token was made once */
    bool has_admin;    /* one with the scope admin was */
    struct map tokens; /* by the first 8 bytes of their hashes */

    struct cluster_member *members; /* by id; removed ones too. None: a single node */
    size_t member_count;
    struct place *places; /* by shard, that of SHARD_META last; those that have a record */
    size_t place_count;
    uint32_t next_sequence; /* of replicas */
    struct join_token *joins;
    size_t join_count;
    struct deployments deployments;
    struct secret *secrets; /* by the names of their records: those of a namespace in a row */
    size_t secret_count;
    struct bytes *egress_ca_cert;   /* PEM (node/broker.h); NULL: there is none yet */
    struct bytes *egress_ca_sealed; /* its key */
};

/* The record of the last two: {"cert","sealed"}. */
#define EGRESS_CA_RECORD "egress-ca"

/* Lets one node join until it expires. */
struct join_token {
    uint8_t hash[DIGEST_BYTES];
    uint64_t expires_ms; /* wall */
};

/* The record that says the first two, a msgpack map {"admin": bool}. It is never removed. */
#define ACCESS_RECORD "access"

struct cluster_view *cluster_view_new(void); /* empty; one reference */
struct cluster_view *cluster_view_ref(struct cluster_view *v);
void cluster_view_unref(struct cluster_view *v); /* NULL is fine */

/* While it is built, by records in the order of their names. A record of an unknown kind is skipped: a newer node wrote it. ERR_CORRUPT. */
enum err cluster_view_add(struct cluster_view *v, struct slice name,
                          struct slice payload) MUST_CHECK;

const struct cluster_member *cluster_view_member(const struct cluster_view *v,
                                                 uint32_t id); /* or NULL */
/* With or without a record. */
struct place cluster_view_place(const struct cluster_view *v, uint32_t shard);
/* False: no such token, or it has expired. */
bool cluster_view_may_join(const struct cluster_view *v, const uint8_t hash[DIGEST_BYTES],
                           uint64_t wall_ms);

/* What is deployed in the namespace now; NULL: nothing is. Borrowed from the view: take a reference to keep
 * it for longer. */
static inline struct deployment *cluster_view_deployment(const struct cluster_view *v,
                                                         struct slice ns)
{
    return deployments_find(&v->deployments, ns);
}

/* Those of a namespace, by name; NULL and 0: none. */
const struct secret *cluster_view_secrets(const struct cluster_view *v, struct slice ns,
                                          size_t *ret_count);
const struct secret *cluster_view_secret(const struct cluster_view *v, struct slice ns,
                                         struct slice name); /* or NULL */

/* NULL: no such token, or it has expired. */
const struct token *cluster_view_token(const struct cluster_view *v,
                                       const uint8_t hash[DIGEST_BYTES], uint64_t wall_ms);

#endif
