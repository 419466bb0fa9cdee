/* A pool: the connections of one namespace, and libcurl's view of the loop. */
#ifndef ACTOR_EGRESS_POOL_H
#define ACTOR_EGRESS_POOL_H

#include <stdint.h>

#include <curl/curl.h>

#include "actor/egress/rate.h"
#include "actor/egress/source.h"
#include "base/list.h"
#include "base/slice.h"

struct egress;

/* Who uses a connection: what CURLINFO_PRIVATE is. */
struct pool_user {
    void (*on_end)(struct pool_user *u, CURLcode code);
};

enum { POOL_MAGIC = 0x65677201, POOL_CONNECTIONS_KEPT_MAX = 16 };

struct pool {
    uint32_t magic;
    struct egress *egress;
    CURLM *multi;
    struct list link; /* of egress->pools */
    char *ns;
    size_t transfer_count;
    struct rate requests; /* of a namespace's code */
    uint64_t timer_ms;    /* when libcurl wants to be called; UINT64_MAX: never */
    uint64_t idle_ms;     /* since when there are no transfers */
};

/* A socket of a pool, as long as it is watched: what epoll hands back. */
struct pool_socket {
    struct source source;
    struct list link;  /* of egress->unwatched, once it no longer is */
    struct pool *pool; /* NULL then */
    curl_socket_t fd;
};

/* The pool of a namespace, made where there is none. NULL: no memory. A transfer's from pool_enter to
 * pool_leave. */
struct pool *pool_of(struct egress *e, struct slice ns);
void pool_enter(struct pool *p);
void pool_leave(struct pool *p);

uint64_t pools_next_ms(const struct egress *e);
void pools_tick(struct egress *e);  /* timers, and pools that were idle for long */
void pools_close(struct egress *e); /* transfers have gone before */
void pools_free_unwatched(struct egress *e);

#endif
