#include "node/exposure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

enum err exposure_check(const char *host, bool has_tls, bool has_tokens, char *ret_detail,
                        size_t detail_bytes)
{
    if (is_loopback(host) || (has_tls && has_tokens)) {
        return ERR_OK;
    }
    (void)snprintf(ret_detail, detail_bytes, "--listen %s: beyond loopback a node needs %s", host,
                   has_tls ? "tokens; the first is made with `dormouse token create` while it "
                             "listens on loopback"
                           : "TLS (--tls-cert and --tls-key) and tokens");
    return ERR_BAD_REQUEST;
}
