#include "node/deployments.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"

struct current {
    struct map_node by_ns;
    size_t first; /* of its releases */
    size_t count;
    struct deployment *deployment; /* owned reference; NULL: not yet, or not to be had */
    bool is_known;                 /* which of the two */
};

static struct current *find(const struct deployments *s, struct slice ns)
{
    struct map_node *n = map_find(&s->current, hash_of(ns));
    for (; n != NULL; n = map_next_same(n)) {
        struct current *c = CONTAINER_OF(n, struct current, by_ns);
        if (slice_equal_str(ns, s->releases[c->first].ns)) {
            return c;
        }
    }
    return NULL;
}

/* The release in force. */
static const struct release *newest(const struct deployments *s, const struct current *c)
{
    return &s->releases[c->first + c->count - 1];
}

void deployments_done(struct deployments *s)
{
    while (s->current.count > 0) {
        struct current *c = CONTAINER_OF(map_first(&s->current), struct current, by_ns);
        map_remove(&s->current, &c->by_ns);
        deployment_unref(c->deployment);
        mem_free(c);
    }
    map_done(&s->current);
    for (size_t i = 0; i < s->release_count; i++) {
        release_done(&s->releases[i]);
    }
    mem_free(s->releases);
}

static void note(struct deployments *s, struct slice ns, size_t i)
{
    struct current *c = find(s, ns);
    if (c == NULL) {
        c = MEM_NEW(struct current);
        c->first = i;
        map_add(&s->current, &c->by_ns, hash_of(ns));
    }
    INVARIANT(c->first + c->count == i); /* names come in order */
    c->count++;
}

enum err deployments_add(struct deployments *s, struct slice name, struct slice payload)
{
    size_t i = s->release_count;
    if ((i & (i - 1)) == 0) { /* 0, 1, 2, 4, 8 ... */
        s->releases = mem_realloc(s->releases, (i == 0 ? 1 : 2 * i) * sizeof *s->releases);
    }
    enum err err = release_decode(name, payload, &s->releases[i]);
    if (err == ERR_OK) {
        s->release_count++;
        note(s, slice_of_str(s->releases[i].ns), i);
    }
    return err;
}

void deployments_share(struct deployments *s, const struct deployments *former)
{
    MAP_FOREACH (n, &s->current) {
        struct current *c = CONTAINER_OF(n, struct current, by_ns);
        const struct release *r = newest(s, c);
        const struct current *old = find(former, slice_of_str(r->ns));
        if (old == NULL || old->deployment == NULL ||
            !release_has_bundle_of(r, newest(former, old))) {
            continue;
        }
        if (old->deployment->version == r->version) {
            c->deployment = deployment_ref(old->deployment);
            c->is_known = true;
        } else {
            enum err err = deployments_give(s, r, old->deployment->bundle);
            INVARIANT(err == ERR_OK); /* it was read once */
        }
    }
}

const struct release *deployments_missing(const struct deployments *s)
{
    MAP_FOREACH (n, &s->current) {
        const struct current *c = CONTAINER_OF(n, struct current, by_ns);
        if (!c->is_known) {
            return newest(s, c);
        }
    }
    return NULL;
}

enum err deployments_give(struct deployments *s, const struct release *r, struct bytes *bundle)
{
    struct slice ns = slice_of_str(r->ns);
    struct current *c = find(s, ns);
    PRE(c != NULL && !c->is_known && newest(s, c) == r);
    c->is_known = true;
    return bundle != NULL ? deployment_new(ns, r->version, r->created_ms, bundle, &c->deployment)
                          : ERR_OK;
}

struct deployment *deployments_find(const struct deployments *s, struct slice ns)
{
    const struct current *c = find(s, ns);
    return c != NULL ? c->deployment : NULL;
}

const struct release *deployments_releases(const struct deployments *s, struct slice ns,
                                           size_t *ret_count)
{
    const struct current *c = find(s, ns);
    *ret_count = c != NULL ? c->count : 0;
    return c != NULL ? &s->releases[c->first] : NULL;
}

uint64_t deployments_bytes(const struct deployments *s)
{
    uint64_t bytes = 0;
    MAP_FOREACH (n, &s->current) {
        bytes += newest(s, CONTAINER_OF(n, struct current, by_ns))->bytes;
    }
    return bytes;
}
