#include "actor/egress/pool.h"

#include <string.h>
#include <sys/epoll.h>

#include "actor/egress/egress.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"

/* Sockets */

static void on_events(struct source *source, uint32_t events);

static struct pool_socket *watch(struct pool *p, curl_socket_t fd, uint32_t events)
{
    struct pool_socket *s = MEM_NEW(struct pool_socket);
    s->source.act = on_events;
    s->pool = p;
    s->fd = fd;
    list_init(&s->link);
    struct epoll_event event = {.events = events, .data.ptr = &s->source};
    if (epoll_ctl(p->egress->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        mem_free(s);
        return NULL;
    }
    (void)curl_multi_assign(p->multi, fd, s);
    return s;
}

static void unwatch(struct pool *p, struct pool_socket *s)
{
    (void)curl_multi_assign(p->multi, s->fd, NULL);
    (void)epoll_ctl(p->egress->epoll, EPOLL_CTL_DEL, s->fd, NULL); /* it may be closed already */
    s->pool = NULL;
    list_append(&p->egress->unwatched, &s->link);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *of_socket)
{
    OBJ_CAST(pool, user, POOL_MAGIC);
    struct pool_socket *s = of_socket;
    uint32_t events =
        (what != CURL_POLL_OUT ? EPOLLIN : 0U) | (what != CURL_POLL_IN ? EPOLLOUT : 0U);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL) {
            unwatch(pool, s);
        }
        return 0;
    }
    if (s == NULL) {
        return watch(pool, fd, events) != NULL ? 0 : -1;
    }
    struct epoll_event event = {.events = events, .data.ptr = &s->source};
    return epoll_ctl(pool->egress->epoll, EPOLL_CTL_MOD, fd, &event);
}

static int on_curl_timer(CURLM *multi, long delay_ms, void *user)
{
    OBJ_CAST(pool, user, POOL_MAGIC);
    (void)multi;
    pool->timer_ms = delay_ms < 0 ? UINT64_MAX : clock_mono_ms() + (uint64_t)delay_ms;
    return 0;
}

/* What has ended. A transfer may go on with another request meanwhile. */
static void collect(struct pool *p)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(p->multi, &left)) != NULL) {
        struct pool_user *u = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&u);
        u->on_end(u, code);
    }
}

static void act(struct pool *p, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(p->multi, fd, events, &running);
    collect(p);
}

static void on_events(struct source *source, uint32_t events)
{
    struct pool_socket *s = CONTAINER_OF(source, struct pool_socket, source);
    if (s->pool != NULL) {
        act(s->pool, s->fd,
            ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0));
    }
}

/* Life */

static void close_pool(struct pool *p)
{
    INVARIANT(p->transfer_count == 0);

    list_remove(&p->link);
    p->egress->idle_count--;
    (void)curl_multi_cleanup(p->multi);
    p->magic = 0;
    mem_free(p->ns);
    mem_free(p);
}

static struct pool *open_pool(struct egress *e, struct slice ns)
{
    CURLM *multi = curl_multi_init();
    if (multi == NULL) {
        return NULL;
    }
    struct pool *p = MEM_NEW(struct pool);
    p->magic = POOL_MAGIC;
    p->egress = e;
    p->multi = multi;
    p->ns = mem_strndup((const char *)ns.data, ns.len);
    p->timer_ms = UINT64_MAX;
    p->idle_ms = e->now_ms;
    e->idle_count++;
    list_append(&e->pools, &p->link);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, p);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, p);
    (void)curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    (void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)POOL_CONNECTIONS_KEPT_MAX);
    return p;
}

static void close_longest_idle(struct egress *e)
{
    LIST_FOREACH (link, &e->pools) {
        struct pool *p = LIST_ENTRY(link, struct pool, link);
        if (p->transfer_count == 0) {
            close_pool(p);
            return;
        }
    }
}

struct pool *pool_of(struct egress *e, struct slice ns)
{
    LIST_FOREACH (link, &e->pools) {
        struct pool *p = LIST_ENTRY(link, struct pool, link);
        if (slice_equal_str(ns, p->ns)) {
            return p;
        }
    }
    if (e->idle_count >= EGRESS_POOLS_IDLE_MAX) {
        close_longest_idle(e);
    }
    return open_pool(e, ns);
}

void pool_enter(struct pool *p)
{
    p->egress->idle_count -= p->transfer_count == 0 ? 1 : 0;
    p->transfer_count++;
}

void pool_leave(struct pool *p)
{
    PRE(p->transfer_count > 0);

    if (--p->transfer_count == 0) {
        p->egress->idle_count++;
        p->idle_ms = p->egress->now_ms;
        list_remove(&p->link); /* idle ones are in the order in which they became so */
        list_append(&p->egress->pools, &p->link);
    }
}

uint64_t pools_next_ms(const struct egress *e)
{
    uint64_t next_ms = UINT64_MAX;
    LIST_FOREACH (link, &e->pools) {
        const struct pool *p = LIST_ENTRY(link, struct pool, link);
        uint64_t idle_until_ms =
            p->transfer_count == 0 ? p->idle_ms + EGRESS_POOL_IDLE_MS : UINT64_MAX;
        next_ms = p->timer_ms < next_ms ? p->timer_ms : next_ms;
        next_ms = idle_until_ms < next_ms ? idle_until_ms : next_ms;
    }
    return next_ms;
}

void pools_tick(struct egress *e)
{
    LIST_FOREACH_SAFE (link, &e->pools) {
        struct pool *p = LIST_ENTRY(link, struct pool, link);
        if (p->timer_ms <= e->now_ms) {
            p->timer_ms = UINT64_MAX;
            act(p, CURL_SOCKET_TIMEOUT, 0);
        }
        if (p->transfer_count == 0 && p->idle_ms + EGRESS_POOL_IDLE_MS <= e->now_ms) {
            close_pool(p);
        }
    }
}

void pools_close(struct egress *e)
{
    LIST_FOREACH_SAFE (link, &e->pools) {
        close_pool(LIST_ENTRY(link, struct pool, link));
    }
}

void pools_free_unwatched(struct egress *e)
{
    struct pool_socket *s;
    while ((s = LIST_FIRST(&e->unwatched, struct pool_socket, link)) != NULL) {
        list_remove(&s->link);
        mem_free(s);
    }
}
