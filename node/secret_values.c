#include "node/secret_values.h"

#include <string.h>

#include "actor/egress_rules.h"
#include "base/log.h"
#include "node/node.h"
#include "node/secret.h"
#include "rpc/value.h"

enum { ROOM_BYTES = 4 * 1024 };

struct gathering {
    const struct cluster_view *view;
    struct slice ns;
    uint8_t key[SEAL_KEY_BYTES];
    struct buf entries;
    uint32_t count;
};

/* One that does not open is as one that is not set: the request that needs it does not leave. */
static void put_one(void *ctx, struct slice name)
{
    struct gathering *g = ctx;
    const struct secret *s = cluster_view_secret(g->view, g->ns, name);
    struct buf value = {0};
    if (s == NULL) {
        return;
    }
    if (secret_open(s, g->key, &value) != ERR_OK) {
        LOG(LOG_ERROR, "secret_unreadable", LOG_STR("namespace", s->ns), LOG_STR("name", s->name));
        return;
    }
    buf_reserve(&g->entries, value.len + ROOM_BYTES);
    value_put_str(&g->entries, name);
    value_put_bin(&g->entries, buf_slice(&value));
    g->count++;
    seal_wipe(&value);
}

void secret_values_put(const struct node *n, const struct cluster_view *v, struct slice ns,
                       struct slice rules, struct buf *out)
{
    struct gathering g = {.view = v, .ns = ns};
    if (egress_rules_inject(rules).len == 0) {
        return;
    }
    secret_key_of(n->data.address_key, g.key);
    egress_rules_secrets(rules, put_one, &g);
    explicit_bzero(g.key, sizeof g.key);
    buf_reserve(out, g.entries.len + ROOM_BYTES);
    value_put_map(out, g.count);
    buf_append_slice(out, buf_slice(&g.entries));
    seal_wipe(&g.entries);
}
