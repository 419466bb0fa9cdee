/* Where a webhook may go: the form of its URL, and which addresses are private.
 *
 * Private are loopback, RFC 1918, link-local, shared (RFC 6598), unique-local, multicast and
 * unspecified addresses, those of networks' own use, and the metadata services of clouds; also where
 * IPv6 wraps such an IPv4 one. A literal is refused at once; a name shows its addresses when it is connected to. Pure. */
#ifndef RPC_WEBHOOK_URL_H
#define RPC_WEBHOOK_URL_H

#include <stdbool.h>

#include <sys/socket.h>

#include "base/err.h"
#include "base/slice.h"

/* http or https with a host. ERR_BAD_REQUEST: `*ret_detail` is a static sentence that says why not. */
enum err webhook_url_check(struct slice url, bool allow_private,
                           const char **ret_detail) MUST_CHECK;

/* Other families than IPv4 and IPv6 count as private: nobody asked for them. */
bool address_is_private(const struct sockaddr *address);
/* Likewise of an address as text; what is none counts as private. */
bool address_text_is_private(const char *address);

#endif
