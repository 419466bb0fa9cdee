#include "rpc/webhook_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include <curl/curl.h>

#include "base/endian.h"
#include "base/mem.h"

struct block {
    uint8_t prefix[16];
    uint8_t bits;
};

static bool is_in(const uint8_t *address, const struct block *b)
{
    size_t whole = b->bits / 8;
    uint8_t mask = (uint8_t)(0xff00 >> b->bits % 8);
    return memcmp(address, b->prefix, whole) == 0 &&
           (b->bits % 8 == 0 || (address[whole] & mask) == (b->prefix[whole] & mask));
}

static bool v4_is_private(const uint8_t *address)
{
    static const struct block blocks[] = {
        {{0}, 8},                 /* this network; 0.0.0.0 reaches the host itself */
        {{10}, 8},                /* RFC 1918 */
        {{100, 64}, 10},          /* RFC 6598 */
        {{127}, 8},               /* loopback */
        {{169, 254}, 16},         /* link-local */
        {{172, 16}, 12},          /* RFC 1918 */
        {{192, 168}, 16},         /* RFC 1918 */
        {{198, 18}, 15},          /* RFC 2544: within a site; sandboxes have their broker there */
        {{192, 0, 0}, 24},        /* RFC 6890: of the protocol; a cloud's metadata among them */
        {{168, 63, 129, 16}, 32}, /* a cloud's metadata at an address that looks public */
        {{224}, 3},               /* multicast, reserved, broadcast */
    };
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        if (is_in(address, &blocks[i])) {
            return true;
        }
    }
    return false;
}

static bool v6_is_private(const uint8_t *address)
{
    static const struct block blocks[] = {
        {{0xfc}, 7},                       /* unique-local */
        {{0xfe, 0x80}, 9},                 /* link-local, and site-local once */
        {{0xff}, 8},                       /* multicast */
        {{0, 0x64, 0xff, 0x9b, 0, 1}, 48}, /* translation within a site, RFC 8215 */
    };
    /* IPv4 within IPv6: at which byte the address stands. */
    static const struct {
        struct block block;
        uint8_t at;
    } wraps[] = {
        {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12}, /* mapped */
        {{{0}, 96}, 12},                   /* compatible; ::1 and :: are in 0.0.0.0/8 */
        {{{0, 0x64, 0xff, 0x9b}, 96}, 12}, /* NAT64 */
        {{{0x20, 0x02}, 16}, 2},           /* 6to4 */
    };
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        if (is_in(address, &blocks[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof wraps / sizeof wraps[0]; i++) {
        if (is_in(address, &wraps[i].block) && v4_is_private(address + wraps[i].at)) {
            return true;
        }
    }
    return false;
}

bool address_is_private(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return v4_is_private((const uint8_t *)&v4.sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return v6_is_private(v6.sin6_addr.s6_addr);
    }
    return true;
}

bool address_text_is_private(const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        return address_is_private((const struct sockaddr *)&v4);
    }
    return inet_pton(AF_INET6, address, &v6.sin6_addr) != 1 ||
           address_is_private((const struct sockaddr *)&v6);
}

/* curl has brought numbers such as 0x7f.1 and 2130706433 into the dotted form. */
static bool host_is_private(const char *host)
{
    uint8_t v4[4];
    uint8_t v6[16];
    char inner[INET6_ADDRSTRLEN];
    size_t len = strlen(host);
    if (inet_pton(AF_INET, host, v4) == 1) {
        return v4_is_private(v4);
    }
    if (len < 2 || len - 2 >= sizeof inner || host[0] != '[' || host[len - 1] != ']') {
        return false;
    }
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = '\0';
    return inet_pton(AF_INET6, inner, v6) == 1 && v6_is_private(v6);
}

static enum err check_parts(CURLU *parts, const char *url, bool allow_private,
                            const char **ret_detail)
{
    char *scheme = NULL;
    char *host = NULL;
    enum err err = ERR_BAD_REQUEST;
    if (curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK || host[0] == '\0') {
        *ret_detail = "webhook is not a URL with a host.";
    } else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        *ret_detail = "webhook is neither an http nor an https URL.";
    } else if (!allow_private && host_is_private(host)) {
        *ret_detail = "webhook is a private address, which needs --allow-private-targets.";
    } else {
        err = ERR_OK;
    }
    curl_free(scheme);
    curl_free(host);
    return err;
}

/* curl would take "http:///path" for a host called path. */
static bool has_empty_host(struct slice url)
{
    const uint8_t *colon = memchr(url.data, ':', url.len);
    return colon != NULL &&
           slice_has_prefix(slice_skip(url, (size_t)(colon - url.data)), SLICE(":///"));
}

enum err webhook_url_check(struct slice url, bool allow_private, const char **ret_detail)
{
    for (size_t i = 0; i < url.len; i++) {
        if (url.data[i] <= 0x20 || url.data[i] >= 0x7f) {
            *ret_detail = "webhook is not a URL of visible ASCII.";
            return ERR_BAD_REQUEST;
        }
    }
    if (url.len == 0 || has_empty_host(url)) {
        *ret_detail = "webhook is not a URL with a host.";
        return ERR_BAD_REQUEST;
    }
    CURLU *parts = curl_url();
    if (parts == NULL) {
        *ret_detail = "No memory is left.";
        return ERR_NO_MEMORY;
    }
    char *text = mem_strndup((const char *)url.data, url.len);
    enum err err = check_parts(parts, text, allow_private, ret_detail);
    mem_free(text);
    curl_url_cleanup(parts);
    return err;
}
