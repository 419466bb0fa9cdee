/* Certificates of a cluster: its CA, made once, and one for each node.
 *
 *     DIR/ca.pem           the CA's certificate
 *     DIR/ca-key.pem       its key, mode 0600: to be kept where no node runs
 *     DIR/node-<n>/        what node n needs, and nothing else: copied to it as a whole
 *         ca.pem
 *         node.pem         names the node (rpc/peer_name.h) and the hosts that were asked for
 *         node-key.pem     mode 0600
 *
 * Keys are EC P-256. Each file appears whole or not at all. */
#ifndef RPC_TLS_MAKE_H
#define RPC_TLS_MAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/peer_name.h"
#include "rpc/tls_context.h"

#define TLS_CA_FILE       "ca.pem"
#define TLS_NODE_FILE     "node.pem"
#define TLS_NODE_KEY_FILE "node-key.pem"

enum {
    TLS_CA_DAYS = 10 * 365,
    TLS_NODE_DAYS_DEFAULT = 3 * 365,
    TLS_NODE_HOSTS_MAX = 64,
};

struct tls_make_options {
    const char *dir;          /* made where it is missing */
    uint32_t node;            /* from 1 on */
    const char *const *hosts; /* names or addresses under which clients reach the node */
    size_t host_count;
    uint32_t days; /* that the node's certificate lasts, no longer than its CA; 0: the default */
    bool renew;    /* replaces a certificate that is there */
};

struct tls_made {
    struct peer_name name;
    bool is_new_ca;
    uint64_t expires_ms; /* wall */
};

/* ERR_BAD_REQUEST with one sentence: what is there does not fit, a host is none, a file cannot be read
 * or written. */
enum err tls_make_node(const struct tls_make_options *o, uint64_t wall_ms,
                       struct tls_made *ret_made, char ret_detail[TLS_DETAIL_BYTES]) MUST_CHECK;

#endif
