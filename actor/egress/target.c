#include "actor/egress/target.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "actor/egress_frame.h"
#include "base/mem.h"
#include "rpc/webhook_url.h"

void target_done(struct target *t)
{
    curl_free(t->url);
    curl_free(t->scheme);
    curl_free(t->host);
    curl_free(t->path);
    curl_url_cleanup(t->parts);
    *t = (struct target){0};
}

static bool get(CURLU *parts, CURLUPart part, unsigned flags, char **ret)
{
    return curl_url_get(parts, part, ret, flags) == CURLUE_OK;
}

static bool has(CURLU *parts, CURLUPart part)
{
    char *text = NULL;
    bool found = get(parts, part, 0, &text);
    curl_free(text);
    return found;
}

static bool take_port(struct target *t)
{
    char *port = NULL;
    if (!get(t->parts, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port)) {
        return false;
    }
    unsigned long number = strtoul(port, NULL, 10); /* of digits: the parser has seen to it */
    curl_free(port);
    t->port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX;
}

static void lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

static bool is_visible_ascii(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f || text.data[i] == '\\') {
            return false;
        }
    }
    return true;
}

/* Takes the parts, also where it fails. */
static enum err take(CURLU *parts, struct target *ret, const char **ret_detail)
{
    struct target t = {.parts = parts};
    const char *detail = NULL;
    if (!get(parts, CURLUPART_SCHEME, 0, &t.scheme) || !get(parts, CURLUPART_HOST, 0, &t.host) ||
        t.host[0] == '\0' || !get(parts, CURLUPART_PATH, 0, &t.path)) {
        detail = "The URL has no host.";
    } else if (!is_visible_ascii(slice_of_str(t.host))) {
        detail = "The host of the URL is malformed.";
    } else if (strcmp(t.scheme, "http") != 0 && strcmp(t.scheme, "https") != 0) {
        detail = "The URL is neither an http nor an https one.";
    } else if (has(parts, CURLUPART_USER) || has(parts, CURLUPART_PASSWORD)) {
        detail = "The URL has a user or a password.";
    } else if (has(parts, CURLUPART_ZONEID)) {
        detail = "The address in the URL has a zone.";
    } else if (!take_port(&t)) {
        detail = "The port of the URL is none.";
    } else if (curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
               !get(parts, CURLUPART_URL, 0, &t.url) || strlen(t.url) > EGRESS_URL_BYTES_MAX) {
        detail = "The URL is too long.";
    }
    if (detail != NULL) {
        target_done(&t);
        *ret_detail = detail;
        return ERR_BAD_REQUEST;
    }
    lower(t.host);
    *ret = t;
    return ERR_OK;
}

/* "http:///path" is no host called path. */
static bool has_empty_host(struct slice url)
{
    const uint8_t *colon = memchr(url.data, ':', url.len);
    return colon != NULL &&
           slice_has_prefix(slice_skip(url, (size_t)(colon - url.data)), SLICE(":///"));
}

/* The text of a URL onto parts that are new, or those of the URL that it is relative to. */
static enum err set(CURLU *parts, struct slice url, struct target *ret, const char **ret_detail)
{
    if (parts == NULL) {
        *ret_detail = "No memory is left.";
        return ERR_NO_MEMORY;
    }
    char *text = mem_strndup((const char *)url.data, url.len);
    CURLUcode rc =
        curl_url_set(parts, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE);
    mem_free(text);
    if (rc != CURLUE_OK) {
        curl_url_cleanup(parts);
        *ret_detail = "The URL is malformed.";
        return ERR_BAD_REQUEST;
    }
    return take(parts, ret, ret_detail);
}

enum err target_parse(struct slice url, struct target *ret, const char **ret_detail)
{
    if (url.len == 0 || url.len > EGRESS_URL_BYTES_MAX || !is_visible_ascii(url) ||
        has_empty_host(url)) {
        *ret_detail = "The URL is malformed.";
        return ERR_BAD_REQUEST;
    }
    return set(curl_url(), url, ret, ret_detail);
}

/* Servers write anything into a Location. What is above ASCII is escaped by the parser; what ends a line
 * cannot be in a field, and a NUL would end the text before its end. */
static bool is_location(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f || text.data[i] == '\\') {
            return false;
        }
    }
    return text.len > 0 && text.len <= EGRESS_URL_BYTES_MAX && !has_empty_host(text);
}

enum err target_redirect(const struct target *from, struct slice location, struct target *ret,
                         const char **ret_detail)
{
    if (!is_location(location)) {
        *ret_detail = "The Location of a redirect is malformed.";
        return ERR_BAD_REQUEST;
    }
    /* A fragment alone leads to the same place; the parser would lose the end of the path. */
    struct slice url = location.data[0] == '#' ? slice_of_str(from->url) : location;
    return set(curl_url_dup(from->parts), url, ret, ret_detail);
}

bool target_is_same_origin(const struct target *a, const struct target *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0 && a->port == b->port;
}

bool target_is_private(const struct target *t)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char inner[INET6_ADDRSTRLEN];
    size_t len = strlen(t->host);
    if (inet_pton(AF_INET, t->host, &v4.sin_addr) == 1) {
        return address_is_private((const struct sockaddr *)&v4);
    }
    if (len < 2 || len - 2 >= sizeof inner || t->host[0] != '[') {
        return false;
    }
    memcpy(inner, t->host + 1, len - 2);
    inner[len - 2] = '\0';
    return inet_pton(AF_INET6, inner, &v6.sin6_addr) == 1 &&
           address_is_private((const struct sockaddr *)&v6);
}
