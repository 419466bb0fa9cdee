#include "node/conditions.h"

#include "rpc/uri.h"

/* What one field says. */
struct tags {
    bool is_given;
    bool is_any;  /* a star */
    bool is_weak; /* weak tags count as well */
    uint64_t versions[MATCH_VERSIONS_MAX];
    uint32_t count;
};

/* False: there is no room for it. */
static bool add_version(struct tags *t, struct slice opaque)
{
    uint64_t version;
    if (!parse_uint(opaque, &version) || opaque.data[0] == '0') {
        return true; /* none of ours */
    }
    if (t->count == MATCH_VERSIONS_MAX) {
        return false;
    }
    t->versions[t->count++] = version;
    return true;
}

/* Takes "3" or W/"3" off the front of the list; false where no tag stands there. */
static bool take_tag(struct slice *rest, struct slice *ret_opaque, bool *ret_weak)
{
    *ret_weak = slice_has_prefix(*rest, SLICE("W/"));
    struct slice quoted = slice_skip(*rest, *ret_weak ? 2 : 0);
    const uint8_t *end = quoted.len >= 2 && quoted.data[0] == '"'
                             ? memchr(quoted.data + 1, '"', quoted.len - 1)
                             : NULL;
    if (end == NULL) {
        return false;
    }
    *ret_opaque = slice_of(quoted.data + 1, (size_t)(end - quoted.data) - 1);
    *rest = http_trim(slice_skip(quoted, ret_opaque->len + 2));
    return true;
}

/* Commas with nothing between them are fine (RFC 9110, 5.6.1). */
static struct slice skip_commas(struct slice rest)
{
    rest = http_trim(rest);
    while (rest.len > 0 && rest.data[0] == ',') {
        rest = http_trim(slice_skip(rest, 1));
    }
    return rest;
}

/* The list of one field line; false where it is none. */
static bool take_list(struct tags *t, struct slice text, bool *ret_too_many)
{
    struct slice rest = skip_commas(text);
    if (rest.len == 0) {
        return false;
    }
    while (rest.len > 0) {
        struct slice opaque;
        bool is_weak;
        if (!take_tag(&rest, &opaque, &is_weak) || (rest.len > 0 && rest.data[0] != ',')) {
            return false;
        }
        if ((t->is_weak || !is_weak) && !add_version(t, opaque)) {
            *ret_too_many = true;
        }
        rest = skip_commas(rest);
    }
    return true;
}

/* All lines of a field are one list; a star stands alone. */
static enum err decode_tags(struct tags *t, const struct http_request *h, const char *name,
                            const char *shown, struct decode_error *e)
{
    bool is_whole = true;
    bool has_list = false;
    bool too_many = false;
    for (size_t i = 0; i < h->header_count; i++) {
        if (!slice_equal_str(h->headers[i].name, name)) {
            continue;
        }
        bool is_star = slice_equal_str(h->headers[i].value, "*");
        is_whole =
            is_whole &&
            (is_star ? !t->is_given : !t->is_any && take_list(t, h->headers[i].value, &too_many));
        t->is_given = true;
        t->is_any = t->is_any || is_star;
        has_list = has_list || !is_star;
    }
    if (!is_whole || (t->is_any && has_list)) {
        return decode_fail(e, ERR_BAD_REQUEST, "%s is neither * nor versions in double quotes.",
                           shown);
    }
    if (too_many) {
        return decode_fail(e, ERR_BAD_REQUEST, "%s has more than %d versions.", shown,
                           MATCH_VERSIONS_MAX);
    }
    return ERR_OK;
}

enum err conditions_decode(struct request *r, const struct http_request *h, struct decode_error *e)
{
    struct tags match = {.is_weak = false};
    struct tags none_match = {.is_weak = true};
    enum err err = decode_tags(&match, h, "if-match", "If-Match", e);
    if (err == ERR_OK) {
        err = decode_tags(&none_match, h, "if-none-match", "If-None-Match", e);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (match.is_given && none_match.is_given) {
        return decode_fail(e, ERR_BAD_REQUEST, "If-Match and If-None-Match exclude each other.");
    }
    const struct tags *t = match.is_given ? &match : &none_match;
    if (match.is_given) {
        r->match = match.is_any ? MATCH_PRESENT : MATCH_VERSION;
    } else if (none_match.is_given) {
        r->match = none_match.is_any ? MATCH_ABSENT : MATCH_NOT_VERSION;
    }
    memcpy(r->match_versions, t->versions, sizeof r->match_versions);
    r->match_count = t->count;
    return ERR_OK;
}
