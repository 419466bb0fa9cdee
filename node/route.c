#include "node/route.h"

#include "rpc/uri.h"

struct pattern {
    const char *text;
    const char *methods;
    enum route_place place;
    uint32_t scopes;
};

enum { LOCAL = ROUTE_IS_LOCAL, ACTOR = ROUTE_IS_ACTOR, LATER = ROUTE_IS_LATER };

enum { ROUTE_OF_STORAGE = 1 << 30 }; /* beside the scopes */

enum {
    ANYONE = 0,
    CALL = SCOPE_CALL,
    INSPECT = SCOPE_INSPECT,
    DEPLOY = SCOPE_DEPLOY,
    SANDBOX = SCOPE_SANDBOX,
    ADMIN = SCOPE_ADMIN,
    STORAGE = SCOPE_CALL | ROUTE_OF_STORAGE,
};

static const struct pattern patterns[ROUTE_COUNT] = {
#define X(name, pattern, methods, place, scopes) \
    {pattern, methods, (enum route_place)(place), scopes},
#include "node/route.def"
#undef X
};

/* The segment of a pattern at *at, which moves past it; empty at the end. */
static struct slice next_part(const char **at)
{
    const char *start = *at;
    const char *end = strchr(start, '/');
    size_t len = end != NULL ? (size_t)(end - start) : strlen(start);
    *at = end != NULL ? end + 1 : start + len;
    return slice_of(start, len);
}

static bool fits(const char *pattern, struct slice path, struct route *ret)
{
    struct slice segment;
    ret->segment_count = 0;
    while (*pattern != '\0') {
        struct slice part = next_part(&pattern);
        if (!path_next(&path, &segment)) {
            return false;
        }
        if (slice_equal_str(part, "**")) {
            return true;
        }
        if (!slice_equal_str(part, "*")) {
            if (!slice_equal(part, segment)) {
                return false;
            }
        } else if (ret->segment_count < ROUTE_SEGMENTS_MAX) {
            ret->segments[ret->segment_count++] = segment;
        }
    }
    return !path_next(&path, &segment);
}

static bool begins(const char *pattern, const char *with)
{
    return strncmp(pattern, with, strlen(with)) == 0;
}

static bool allows(const char *methods, struct slice method)
{
    if (*methods == '\0') {
        return true;
    }
    for (const char *at = methods; at != NULL; at = strchr(at, ',')) {
        at += *at == ',' ? 2 : 0;
        size_t len = strcspn(at, ",");
        if (slice_equal(method, slice_of(at, len))) {
            return true;
        }
    }
    return false;
}

enum err route_find(struct slice method, struct slice path, struct route *ret_route)
{
    for (int i = 0; i < ROUTE_COUNT; i++) {
        if (!fits(patterns[i].text, path, ret_route)) {
            continue;
        }
        ret_route->name = (enum route_name)i;
        ret_route->place = patterns[i].place;
        ret_route->methods = patterns[i].methods;
        ret_route->scopes = patterns[i].scopes & ~(uint32_t)ROUTE_OF_STORAGE;
        ret_route->is_of_storage = (patterns[i].scopes & ROUTE_OF_STORAGE) != 0;
        ret_route->has_actor = begins(patterns[i].text, "v1/*/*/*");
        ret_route->has_namespace = begins(patterns[i].text, "v1/*") ||
                                   begins(patterns[i].text, "w/*") ||
                                   begins(patterns[i].text, "admin/v1/namespaces/*");
        return allows(patterns[i].methods, method) ? ERR_OK : ERR_METHOD_NOT_ALLOWED;
    }
    return ERR_NOT_FOUND;
}
