/* A request's head: where it is to go, whether it may, and its beginning. */
#include <stdio.h>
#include <string.h>

#include "actor/egress/box.h"
#include "actor/egress/egress.h"
#include "actor/egress/guest.h"
#include "actor/egress/relay.h"
#include "actor/egress/target.h"
#include "actor/egress_policy.h"
#include "actor/egress_rules.h"
#include "base/buf.h"
#include "base/invariant.h"

enum { DETAIL_BYTES = 512, PORT_HTTP = 80, PORT_HTTPS = 443 };

static const char malformed[] = "The request is not one for a proxy, or its target is malformed.";

static bool is_absolute(struct slice target)
{
    return slice_has_prefix(target, SLICE("http://")) ||
           slice_has_prefix(target, SLICE("https://"));
}

/* scheme://authority and a path, which is visible ASCII. */
static enum err parse(const char *scheme, struct slice authority, struct slice path,
                      struct target *ret)
{
    struct buf url = {0};
    const char *detail;
    buf_append_str(&url, scheme);
    buf_append_str(&url, "://");
    buf_append_slice(&url, authority);
    buf_append_slice(&url, path);
    enum err err =
        authority.len > 0 ? target_parse(buf_slice(&url), ret, &detail) : ERR_BAD_REQUEST;
    buf_done(&url);
    return err;
}

/* The Host field names the same as the target does. */
static bool agrees(const struct target *t, struct slice host)
{
    struct target named;
    if (host.len == 0) {
        return true; /* HTTP/1.0 */
    }
    if (parse(t->scheme, host, SLICE("/"), &named) != ERR_OK) {
        return false;
    }
    bool same = strcmp(named.host, t->host) == 0 && named.port == t->port;
    target_done(&named);
    return same;
}

/* The name of a hello, where it is an address: that has no brackets. */
static bool is_host(const struct target *t, const char *host)
{
    size_t len = strlen(t->host);
    bool is_v6 = t->host[0] == '[' && host[0] != '[';
    return is_v6 ? strlen(host) == len - 2 && memcmp(t->host + 1, host, len - 2) == 0
                 : strcmp(t->host, host) == 0;
}

/* What the connection is for: a CONNECT, a hello or the port. */
static bool is_of_connection(const struct guest *g, const struct target *t)
{
    bool is_secure = g->layer == GUEST_TLS;
    uint16_t port = g->is_connected ? g->port : g->way == EGRESS_BOX_HTTPS ? PORT_HTTPS : PORT_HTTP;
    return strcmp(t->scheme, is_secure ? "https" : "http") == 0 && t->port == port &&
           (!is_secure || is_host(t, g->hello.host)) &&
           (!g->is_connected || strcmp(t->host, g->host) == 0);
}

/* NULL, or what is wrong. `ret` is to be released where it is NULL. */
static const char *find_target(const struct guest *g, const struct http1_inbound_head *h,
                               struct target *ret)
{
    bool is_explicit = g->way == EGRESS_BOX_PROXY && !g->is_connected;
    bool is_secure = g->layer == GUEST_TLS;
    const char *detail;
    enum err err;
    if (is_absolute(h->target)) {
        err = target_parse(h->target, ret, &detail);
    } else if (is_explicit || h->target.len == 0 || h->target.data[0] != '/') {
        err = ERR_BAD_REQUEST;
    } else {
        err = parse(is_secure ? "https" : "http", h->host, h->target, ret);
    }
    if (err != ERR_OK) {
        return malformed;
    }
    if (!agrees(ret, h->host) || (!is_explicit && !is_of_connection(g, ret))) {
        target_done(ret);
        return "The Host is not the one that the connection or the target is for.";
    }
    return NULL;
}

static void refuse(struct guest *g, struct slice method, const struct target *t, enum err err,
                   const char *detail)
{
    relay_record_denied(g, method, t, err_info(err)->code);
    guest_refuse(g, err, detail);
}

static bool is_allowed(struct guest *g, struct slice method, const struct target *t)
{
    const struct egress_box_rules *rules = &g->box->rules->rules;
    char detail[DETAIL_BYTES];
    const char *why = NULL;
    if (!egress_list_allows(egress_rules_allow(rules->rules), slice_of_str(t->host), t->port,
                            false)) {
        why = "is not on the allow list.";
    } else if (!rules->allow_private && target_is_private(t)) {
        why = "is a private address, which needs --allow-private-targets.";
    }
    if (why != NULL) {
        (void)snprintf(detail, sizeof detail, "%s:%u %s", t->host, t->port, why);
        refuse(g, method, t, ERR_EGRESS_DENIED, detail);
    }
    return why == NULL;
}

/* CONNECT host:port: from now on the connection is for that, and looked into. */
static void connect_to(struct guest *g, const struct http1_inbound_head *h)
{
    struct target t;
    bool has_port = h->target.len > 0 && memchr(h->target.data, ':', h->target.len) != NULL &&
                    h->target.data[h->target.len - 1] != ']';
    if (g->way != EGRESS_BOX_PROXY || g->is_connected || h->has_body || !has_port ||
        memchr(h->target.data, '/', h->target.len) != NULL ||
        parse("http", h->target, SLICE("/"), &t) != ERR_OK) {
        refuse(g, h->method, NULL, ERR_BAD_REQUEST, malformed);
        return;
    }
    struct target named;
    bool same = h->host.len == 0 || (parse("http", h->host, SLICE("/"), &named) == ERR_OK);
    if (same && h->host.len > 0) { /* some name no port there */
        same = strcmp(named.host, t.host) == 0 &&
               (named.port == t.port || memchr(h->host.data, ':', h->host.len) == NULL);
        target_done(&named);
    }
    if (!same) {
        refuse(g, h->method, &t, ERR_BAD_REQUEST, "The Host is not the one of the target.");
    } else if (strlen(t.host) >= sizeof g->host) {
        refuse(g, h->method, &t, ERR_BAD_REQUEST, malformed);
    } else if (is_allowed(g, h->method, &t)) {
        (void)snprintf(g->host, sizeof g->host, "%s", t.host);
        g->port = t.port;
        g->is_connected = true;
        g->layer = GUEST_UNKNOWN;
        g->keeps_open = true;
        guest_put(g, SLICE("HTTP/1.1 200 Connection established\r\n\r\n"));
    }
    target_done(&t);
}

static bool may_ask(struct guest *g, struct slice method, const struct target *t)
{
    uint32_t rate = egress_rules_rate(g->box->rules->rules.rules);
    rate = rate != 0 ? rate : BOX_REQUESTS_A_MINUTE;
    if (rate_take(&g->box->requests, rate, g->box->egress->now_ms)) {
        return true;
    }
    refuse(g, method, t, ERR_RATE_LIMITED, "The sandbox asks more often than its rules let it.");
    return false;
}

/* True: the relay has begun, and target and injection are its. */
static bool begin(struct guest *g, const struct http1_inbound_head *h, struct target *t)
{
    const struct egress_box_rules *rules = &g->box->rules->rules;
    struct injection injection;
    char text[INJECT_DETAIL_BYTES];
    const char *detail = NULL;
    enum err err = injection_make(egress_rules_inject(rules->rules), rules->secrets,
                                  slice_of_str(t->host), t->port, &injection, text);
    if (err != ERR_OK) {
        refuse(g, h->method, t, err, text);
        return false;
    }
    err = relay_begin(g, h, t, &injection, &detail);
    if (err != ERR_OK) {
        refuse(g, h->method, t, err, detail);
        injection_done(&injection);
        return false;
    }
    if (h->has_body && h->wants_continue) {
        guest_put(g, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    return true;
}

void guest_on_head(struct guest *g, const struct http1_inbound_head *h)
{
    struct target t;
    guest_is_alive(g);
    if (slice_equal(h->method, SLICE("CONNECT"))) {
        connect_to(g, h);
        return;
    }
    const char *wrong = find_target(g, h, &t);
    if (wrong != NULL) {
        refuse(g, h->method, NULL, ERR_BAD_REQUEST, wrong);
        return;
    }
    if (!is_allowed(g, h->method, &t) || !may_ask(g, h->method, &t) || !begin(g, h, &t)) {
        target_done(&t);
    }
}
