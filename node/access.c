#include "node/access.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "rpc/uri.h"

enum { HOST_BYTES_MAX = 255 };

/* "host", "host:port", "[v6]:port": the part before the port; false where the port is no number. */
static bool split_port(struct slice authority, struct slice *ret_host)
{
    size_t len = authority.len;
    if (len > 0 && authority.data[0] == '[') {
        const uint8_t *close = memchr(authority.data, ']', len);
        if (close == NULL) {
            return false;
        }
        len = (size_t)(close - authority.data) + 1;
    } else {
        const uint8_t *colon = memchr(authority.data, ':', len);
        len = colon != NULL ? (size_t)(colon - authority.data) : len;
    }
    *ret_host = slice_of(authority.data, len);
    struct slice port = slice_skip(authority, len);
    uint64_t number;
    return port.len == 0 || (parse_uint(slice_skip(port, 1), &number) && number <= UINT16_MAX);
}

static bool is_localhost_name(struct slice host)
{
    static const char suffix[] = ".localhost";
    size_t n = sizeof suffix - 1;
    if (http_equal_any_case(host, "localhost")) {
        return true;
    }
    return host.len > n && http_equal_any_case(slice_skip(host, host.len - n), suffix);
}

static bool is_loopback_v4(struct slice host)
{
    char text[HOST_BYTES_MAX + 1];
    struct in_addr address;
    (void)snprintf(text, sizeof text, "%.*s", (int)host.len, (const char *)host.data);
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

static bool host_is_local(struct slice authority)
{
    struct slice host;
    if (authority.len > HOST_BYTES_MAX || !split_port(authority, &host)) {
        return false;
    }
    return is_localhost_name(host) || is_loopback_v4(host) || slice_equal_str(host, "[::1]");
}

static bool origin_is_own(struct slice origin, const struct http_request *h)
{
    struct slice scheme = h->is_secure ? SLICE("https://") : SLICE("http://");
    return slice_has_prefix(origin, scheme) &&
           slice_equal(slice_skip(origin, scheme.len), h->authority);
}

/* A page that some other site serves must not reach a node on its reader's machine. */
static enum err check_local(const struct http_request *h, bool knows_origin)
{
    struct slice origin;
    if (!host_is_local(h->authority) ||
        (!knows_origin && http_request_header(h, "origin", &origin) && !origin_is_own(origin, h))) {
        return ERR_FORBIDDEN;
    }
    return ERR_OK;
}

enum err access_check_origin(const struct cluster_view *v, const struct http_request *h,
                             bool knows_origin)
{
    return v->needs_tokens ? ERR_OK : check_local(h, knows_origin);
}

/* "Bearer <token>" of RFC 6750; the scheme's name in any case. */
static bool bearer_of(const struct http_request *h, struct slice *ret_token)
{
    static const size_t scheme = sizeof "bearer" - 1;
    struct slice text;
    if (!http_request_header(h, "authorization", &text) || text.len <= scheme ||
        !http_equal_any_case(slice_of(text.data, scheme), "bearer") || text.data[scheme] != ' ') {
        return false;
    }
    *ret_token = slice_skip(text, scheme);
    while (ret_token->len > 0 && ret_token->data[0] == ' ') {
        *ret_token = slice_skip(*ret_token, 1);
    }
    return true;
}

/* A part of the path that is malformed has no decoded form: it is in no namespace, and no actor. */
static struct slice decoded(struct slice segment, struct buf *text)
{
    size_t start = text->len;
    if (percent_decode(segment, text) != ERR_OK) {
        return SLICE("?");
    }
    return slice_of(text->data + start, text->len - start);
}

static bool allows(const struct token *t, const struct route *route)
{
    struct token_need need = {.scopes = route->scopes};
    struct buf text = {0};
    size_t bytes = 1;
    for (size_t i = 0; i < route->segment_count; i++) {
        bytes += route->segments[i].len;
    }
    buf_reserve(&text, bytes); /* the slices point in here: it must not move */
    if (route->has_namespace) {
        need.ns = decoded(route->segments[0], &text);
    }
    if (route->has_actor) {
        need.class = decoded(route->segments[1], &text);
        need.id = decoded(route->segments[2], &text);
    }
    if (route->is_of_storage && !slice_equal_str(need.class, BUILT_IN_CLASS)) {
        need.scopes = SCOPE_INSPECT; /* it goes past what the code lets through */
    }
    bool allowed = token_allows(t, &need);
    buf_done(&text);
    return allowed;
}

static bool is_admin_door_open(const struct cluster_view *v, const struct http_request *h,
                               const struct route *route)
{
    return route->scopes == SCOPE_ADMIN && !v->has_admin && check_local(h, false) == ERR_OK;
}

enum err access_check_token(const struct cluster_view *v, const struct http_request *h,
                            const struct route *route, uint64_t wall_ms,
                            const struct token **ret_token, const char **ret_detail)
{
    struct slice text;
    uint8_t hash[DIGEST_BYTES];
    *ret_token = NULL;
    if (!v->needs_tokens || route->scopes == 0 || is_admin_door_open(v, h, route)) {
        return ERR_OK;
    }
    if (!bearer_of(h, &text)) {
        *ret_detail = "Authorization: Bearer and a token are needed.";
        return ERR_UNAUTHENTICATED;
    }
    token_hash(text, hash);
    *ret_token = cluster_view_token(v, hash, wall_ms);
    if (*ret_token == NULL) {
        *ret_detail = "The token is unknown, revoked or expired.";
        return ERR_UNAUTHENTICATED;
    }
    if (!allows(*ret_token, route)) {
        *ret_detail = "The token lacks the scope, the namespace or the actor.";
        return ERR_FORBIDDEN;
    }
    return ERR_OK;
}
