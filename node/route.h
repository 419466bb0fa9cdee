/* A route: which of the contract's addresses a request names, and with what. Pure. */
#ifndef NODE_ROUTE_H
#define NODE_ROUTE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"
#include "node/token.h"

enum route_place { ROUTE_IS_LOCAL, ROUTE_IS_ACTOR, ROUTE_IS_LATER };

enum route_name {
#define X(name, pattern, methods, place, scopes) ROUTE_##name,
#include "node/route.def"
#undef X
    ROUTE_COUNT
};

enum { ROUTE_SEGMENTS_MAX = 5 };

struct route {
    enum route_name name;
    enum route_place place;
    const char *methods;                       /* "GET, HEAD"; "" for any */
    uint32_t scopes;                           /* of enum scope: one is needed; 0: no token */
    bool is_of_storage;                        /* classes with code want another scope for it */
    bool has_namespace;                        /* it is the first segment ... */
    bool has_actor;                            /* ... and class and id are the next two */
    struct slice segments[ROUTE_SEGMENTS_MAX]; /* raw text of each `*`, borrowed from the path */
    size_t segment_count;
};

/* ERR_NOT_FOUND: no such route. ERR_METHOD_NOT_ALLOWED: `ret_route->methods` says which are. */
enum err route_find(struct slice method, struct slice path, struct route *ret_route) MUST_CHECK;

#endif
