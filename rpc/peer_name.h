/* A node's name in its certificate: a URI among the subject's alternative names.
 *
 *     dormouse://<cluster>            in the certificate of a cluster's CA
 *     dormouse://<cluster>/node/<n>   in that of node n, 1 to 2^32-1
 *
 * The cluster's name is drawn when its CA is made: 1 to 32 of a-z, 0-9 and '-'. It says which CA's
 * certificates belong together, and is not the id of the cluster's data, which is not there yet. Pure. */
#ifndef RPC_PEER_NAME_H
#define RPC_PEER_NAME_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { PEER_CLUSTER_BYTES = 33, PEER_NAME_BYTES = 64 };

struct peer_name {
    char cluster[PEER_CLUSTER_BYTES];
    uint32_t node; /* 0: the CA */
};

/* ERR_BAD_REQUEST: it is not of this form, to the letter. */
enum err peer_name_parse(struct slice uri, struct peer_name *ret_name) MUST_CHECK;
void peer_name_format(const struct peer_name *name, char ret_uri[PEER_NAME_BYTES]);

#endif
