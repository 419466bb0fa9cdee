#include "actor/egress_policy.h"

#include <arpa/inet.h>
#include <string.h>

#include "rpc/value.h"

enum { LABEL_BYTES_MAX = 63, PORT_HTTP = 80, PORT_HTTPS = 443 };

/* A pattern in its parts. */
struct pattern {
    struct slice host; /* without "*."; with the brackets of a v6 address */
    bool is_suffix;    /* it was below "*." */
    bool is_any;       /* "*" */
    uint16_t port;     /* 0: none is given */
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool is_name_byte(uint8_t c)
{
    uint8_t l = lower(c);
    return (l >= 'a' && l <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/* 1 to 65535, in its shortest form. */
static bool parse_port(struct slice text, uint16_t *ret)
{
    uint32_t port = 0;
    if (text.len == 0 || text.len > 5 || text.data[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i])) {
            return false;
        }
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    *ret = (uint16_t)port;
    return port <= UINT16_MAX;
}

static bool parse_address(int family, struct slice text, void *ret)
{
    char dotted[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof dotted) {
        return false;
    }
    memcpy(dotted, text.data, text.len);
    dotted[text.len] = '\0';
    return inet_pton(family, dotted, ret) == 1;
}

static bool is_bracketed(struct slice host)
{
    return host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
}

static bool parse_v6(struct slice host, struct in6_addr *ret)
{
    return is_bracketed(host) &&
           parse_address(AF_INET6, slice_of(host.data + 1, host.len - 2), ret);
}

/* Names whose last label is a number are addresses to some programs and names to others: only the dotted
 * form of four is one thing. */
static bool ends_in_number(struct slice host)
{
    size_t at = host.len;
    while (at > 0 && host.data[at - 1] != '.') {
        at--;
    }
    bool is_hex = host.len - at > 1 && host.data[at] == '0' && lower(host.data[at + 1]) == 'x';
    return at < host.len && is_digit(host.data[at]) &&
           (is_hex || is_digit(host.data[host.len - 1]));
}

static bool is_name(struct slice host)
{
    size_t label = 0;
    if (host.len == 0 || host.len > EGRESS_HOST_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        bool is_dot = host.data[i] == '.';
        if (is_dot ? label == 0 : !is_name_byte(host.data[i]) || label == LABEL_BYTES_MAX) {
            return false;
        }
        label = is_dot ? 0 : label + 1;
    }
    return label > 0;
}

static bool is_host(struct slice host)
{
    struct in6_addr v6;
    struct in_addr v4;
    if (host.len > 0 && host.data[0] == '[') {
        return parse_v6(host, &v6);
    }
    return is_name(host) && (!ends_in_number(host) || parse_address(AF_INET, host, &v4));
}

/* Where the port's colon stands; the length where there is none. */
static size_t find_colon(struct slice text)
{
    size_t at = text.len;
    while (at > 0 && is_digit(text.data[at - 1])) {
        at--;
    }
    return at > 0 && text.data[at - 1] == ':' ? at - 1 : text.len;
}

static bool parse(struct slice text, struct pattern *ret)
{
    /* Colons within brackets are not a port's, and a v6 address without brackets is no host. */
    size_t colon = text.len > 0 && text.data[text.len - 1] == ']' ? text.len : find_colon(text);
    *ret = (struct pattern){.host = slice_of(text.data, colon)};
    if (colon < text.len && !parse_port(slice_skip(text, colon + 1), &ret->port)) {
        return false;
    }
    if (slice_equal(ret->host, SLICE("*"))) {
        ret->is_any = true;
        return true;
    }
    if (slice_has_prefix(ret->host, SLICE("*."))) {
        ret->is_suffix = true;
        ret->host = slice_skip(ret->host, 2);
        return is_name(ret->host) && !ends_in_number(ret->host);
    }
    return is_host(ret->host);
}

enum err egress_pattern_check(struct slice pattern, const char **ret_detail)
{
    struct pattern p;
    if (!parse(pattern, &p)) {
        *ret_detail = "a pattern is neither `host`, `host:port`, `*.name`, `*.name:port` nor `*`";
        return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

static bool equal_in_any_case(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

static bool is_below(struct slice host, struct slice name)
{
    return host.len > name.len + 1 && host.data[host.len - name.len - 1] == '.' && is_name(host) &&
           equal_in_any_case(slice_skip(host, host.len - name.len), name);
}

static bool matches_host(const struct pattern *p, struct slice host)
{
    struct in6_addr a;
    struct in6_addr b;
    if (p->is_any) {
        return true;
    }
    if (p->is_suffix) {
        return is_below(host, p->host);
    }
    if (is_bracketed(p->host)) { /* an address has several forms */
        return parse_v6(p->host, &a) && parse_v6(host, &b) && memcmp(&a, &b, sizeof a) == 0;
    }
    return equal_in_any_case(host, p->host);
}

static bool matches_port(const struct pattern *p, uint16_t port, bool any_port)
{
    return p->port != 0 ? p->port == port : any_port || port == PORT_HTTP || port == PORT_HTTPS;
}

bool egress_pattern_matches(struct slice pattern, struct slice host, uint16_t port, bool any_port)
{
    struct pattern p;
    /* example.com. is example.com, from the root of all names. */
    if (host.len > 1 && host.data[host.len - 1] == '.') {
        host.len--;
    }
    return parse(pattern, &p) && is_host(host) && matches_port(&p, port, any_port) &&
           matches_host(&p, host);
}

enum err egress_list_check(struct slice list, const char **ret_detail)
{
    struct slice item;
    struct slice text;
    if (value_type(list) != VALUE_ARRAY || value_count(list) > EGRESS_PATTERNS_MAX) {
        *ret_detail = "a list of hosts is an array of at most 256 patterns";
        return ERR_BAD_REQUEST;
    }
    for (struct value_iter it = value_items(list); value_next(&it, &item);) {
        if (!value_get_str(item, &text)) {
            *ret_detail = "a pattern of hosts is a string";
            return ERR_BAD_REQUEST;
        }
        enum err err = egress_pattern_check(text, ret_detail);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

bool egress_list_allows(struct slice list, struct slice host, uint16_t port, bool any_port)
{
    struct slice item;
    struct slice text;
    if (list.len == 0) {
        return false;
    }
    for (struct value_iter it = value_items(list); value_next(&it, &item);) {
        if (value_get_str(item, &text) && egress_pattern_matches(text, host, port, any_port)) {
            return true;
        }
    }
    return false;
}
