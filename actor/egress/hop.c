#include "actor/egress/hop.h"

#include <string.h>
#include <strings.h>

#include "actor/egress/field.h"

static bool is_one_of(const char *method, const char *const *methods, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(method, methods[i]) == 0) {
            return true;
        }
    }
    return false;
}

enum err hop_init(struct hop *h, struct slice method, const char **ret_detail)
{
    static const char *const refused[] = {"CONNECT", "TRACE", "TRACK"};
    *h = (struct hop){.sends_body = true, .sends_credentials = true};
    if (method.len == 0 || method.len >= sizeof h->method || !field_is_token(method)) {
        *ret_detail = "The method is malformed.";
        return ERR_BAD_REQUEST;
    }
    memcpy(h->method, method.data, method.len);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (strcasecmp(h->method, refused[i]) == 0) {
            *ret_detail = "The method is not allowed.";
            return ERR_BAD_REQUEST;
        }
    }
    return ERR_OK;
}

bool hop_is_redirect(uint32_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

enum err hop_redirect(struct hop *h, uint32_t status, bool is_same_origin)
{
    bool is_post = strcmp(h->method, "POST") == 0;
    bool reads = strcmp(h->method, "GET") == 0 || strcmp(h->method, "HEAD") == 0;
    if (h->redirects == HOP_REDIRECTS_MAX) {
        return ERR_UNAVAILABLE;
    }
    h->redirects++;
    if ((status == 303 && !reads) || ((status == 301 || status == 302) && is_post)) {
        memcpy(h->method, "GET", sizeof "GET");
        h->sends_body = false;
    }
    h->sends_credentials = h->sends_credentials && is_same_origin;
    return ERR_OK;
}

bool hop_is_idempotent(const struct hop *h)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};
    return is_one_of(h->method, methods, sizeof methods / sizeof methods[0]);
}
