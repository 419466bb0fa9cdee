/* A mint: the certificates with which a broker stands in for the hosts that its guests ask for, and the sessions
 * of these guests.
 *
 *     tls_ca_make (once for a cluster) --> PEM --> tls_mint_new --> tls_mint_session, one a connection
 *
 * A leaf is made when a guest names its host (SNI), signed by the CA, and kept; all share one P-256 key. Kept
 * are TLS_MINT_LEAVES_MAX, the one not used for the longest time goes. Whoever opens a session says whether
 * another leaf may be made for it. A guest that names no host is refused, but for one whose host is known; one
 * that names another than that is refused too. ALPN is http/1.1, nothing is resumed.
 *
 * The CA signs leaves alone (pathlen 0), and nothing but the guests trusts it. No I/O and no clock in here. */
#ifndef RPC_TLS_MINT_H
#define RPC_TLS_MINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "rpc/tls.h"

enum {
    TLS_MINT_LEAVES_MAX = 512,
    TLS_MINT_HOST_BYTES_MAX = 253,
    TLS_MINT_DAYS = 7,
    TLS_MINT_CA_DAYS = 10 * 365,
};

/* Appends both as PEM. */
void tls_ca_make(uint64_t wall_ms, struct buf *ret_cert, struct buf *ret_key);

struct tls_mint;

/* ERR_BAD_REQUEST: that is no CA with its key. */
enum err tls_mint_new(struct slice cert, struct slice key, struct tls_mint **ret) MUST_CHECK;
void tls_mint_free(struct tls_mint *m); /* after its sessions; NULL is fine */
uint64_t tls_mint_made(const struct tls_mint *m);

/* What a session needs to know of its guest; the caller's, until the session is freed. */
struct tls_guest {
    char host[TLS_MINT_HOST_BYTES_MAX +
              1];     /* that it has to name; "": any, and then the one it named */
    uint64_t wall_ms; /* as of the last bytes that were fed */
    bool (*may_mint)(struct tls_guest *g);
    struct tls_mint *mint; /* set here */
};

/* NULL when memory is exhausted. */
struct tls *tls_mint_session(struct tls_mint *m, struct tls_guest *guest);

#endif
