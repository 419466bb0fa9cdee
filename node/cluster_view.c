#include "node/cluster_view.h"

#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/record.h"
#include "rpc/value.h"

struct cluster_view *cluster_view_new(void)
{
    struct cluster_view *v = MEM_NEW(struct cluster_view);
    atomic_init(&v->refs, 1);
    v->next_sequence = FIRST_SEQUENCE;
    return v;
}

struct cluster_view *cluster_view_ref(struct cluster_view *v)
{
    (void)atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void cluster_view_unref(struct cluster_view *v)
{
    if (v == NULL || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    while (v->tokens.count > 0) {
        struct token *t = CONTAINER_OF(map_first(&v->tokens), struct token, by_hash);
        map_remove(&v->tokens, &t->by_hash);
        mem_free(t);
    }
    map_done(&v->tokens);
    mem_free(v->members);
    mem_free(v->places);
    mem_free(v->joins);
    for (size_t i = 0; i < v->secret_count; i++) {
        secret_done(&v->secrets[i]);
    }
    mem_free(v->secrets);
    bytes_unref(v->egress_ca_cert);
    bytes_unref(v->egress_ca_sealed);
    deployments_done(&v->deployments);
    mem_free(v);
}

static enum err add_token(struct cluster_view *v, struct slice name, struct slice payload)
{
    struct token *t = MEM_NEW(struct token);
    enum err err = token_decode(name, payload, t);
    if (err != ERR_OK) {
        mem_free(t);
        return err;
    }
    map_add(&v->tokens, &t->by_hash, get_be64(t->hash));
    return ERR_OK;
}

static enum err add_access(struct cluster_view *v, struct slice payload)
{
    const char *reason;
    struct slice admin;
    if (value_check(payload, VALUE_DEPTH_MAX, &reason) != ERR_OK ||
        !value_member(payload, "admin", &admin) || !value_get_bool(admin, &v->has_admin)) {
        return ERR_CORRUPT;
    }
    v->needs_tokens = true;
    return ERR_OK;
}

/* An array with room for one more, zeroed; the number of its items doubles. */
static void *with_room(void *array, size_t count, size_t item_bytes)
{
    bool is_full = (count & (count - 1)) == 0; /* 0, 1, 2, 4, 8 ... */
    return is_full ? mem_realloc(array, (count == 0 ? 1 : 2 * count) * item_bytes) : array;
}

static enum err add_member(struct cluster_view *v, struct slice name, struct slice payload)
{
    v->members = with_room(v->members, v->member_count, sizeof *v->members);
    enum err err = member_decode(name, payload, &v->members[v->member_count]);
    v->member_count += err == ERR_OK ? 1 : 0;
    return err;
}

static enum err add_place(struct cluster_view *v, struct slice name, struct slice payload)
{
    v->places = with_room(v->places, v->place_count, sizeof *v->places);
    enum err err = place_decode(name, payload, &v->places[v->place_count]);
    v->place_count += err == ERR_OK ? 1 : 0;
    return err;
}

static enum err add_join(struct cluster_view *v, struct slice name, struct slice payload)
{
    v->joins = with_room(v->joins, v->join_count, sizeof *v->joins);
    struct join_token *t = &v->joins[v->join_count];
    enum err err = join_decode(name, payload, t->hash, &t->expires_ms);
    v->join_count += err == ERR_OK ? 1 : 0;
    return err;
}

static enum err add_secret(struct cluster_view *v, struct slice name, struct slice payload)
{
    v->secrets = with_room(v->secrets, v->secret_count, sizeof *v->secrets);
    enum err err = secret_decode(name, payload, &v->secrets[v->secret_count]);
    v->secret_count += err == ERR_OK ? 1 : 0;
    return err;
}

static enum err add_egress_ca(struct cluster_view *v, struct slice payload)
{
    struct slice member;
    struct slice cert;
    struct slice sealed;
    if (!record_is_map(payload) || !value_member(payload, "cert", &member) ||
        !value_get_bin(member, &cert) || !value_member(payload, "sealed", &member) ||
        !value_get_bin(member, &sealed)) {
        return ERR_CORRUPT;
    }
    v->egress_ca_cert = bytes_new(cert);
    v->egress_ca_sealed = bytes_new(sealed);
    return ERR_OK;
}

const struct secret *cluster_view_secrets(const struct cluster_view *v, struct slice ns,
                                          size_t *ret_count)
{
    const struct secret *first = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < v->secret_count; i++) {
        if (slice_equal_str(ns, v->secrets[i].ns)) {
            first = first == NULL ? &v->secrets[i] : first;
            ++*ret_count;
        }
    }
    return first;
}

const struct secret *cluster_view_secret(const struct cluster_view *v, struct slice ns,
                                         struct slice name)
{
    size_t count;
    const struct secret *s = cluster_view_secrets(v, ns, &count);
    for (size_t i = 0; i < count; i++) {
        if (slice_equal_str(name, s[i].name)) {
            return &s[i];
        }
    }
    return NULL;
}

const struct cluster_member *cluster_view_member(const struct cluster_view *v, uint32_t id)
{
    for (size_t i = 0; i < v->member_count; i++) {
        if (v->members[i].id == id) {
            return &v->members[i];
        }
    }
    return NULL;
}

struct place cluster_view_place(const struct cluster_view *v, uint32_t shard)
{
    size_t low = 0;
    size_t high = v->place_count;
    while (low < high) { /* SHARD_META is the largest number there is, and last */
        size_t middle = low + (high - low) / 2;
        if (v->places[middle].shard < shard) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_there = low < v->place_count && v->places[low].shard == shard;
    return is_there ? v->places[low] : place_of_single_node(shard);
}

bool cluster_view_may_join(const struct cluster_view *v, const uint8_t hash[DIGEST_BYTES],
                           uint64_t wall_ms)
{
    for (size_t i = 0; i < v->join_count; i++) {
        if (memcmp(v->joins[i].hash, hash, DIGEST_BYTES) == 0) {
            return v->joins[i].expires_ms > wall_ms;
        }
    }
    return false;
}

enum err cluster_view_add(struct cluster_view *v, struct slice name, struct slice payload)
{
    if (slice_equal_str(name, ACCESS_RECORD)) {
        return add_access(v, payload);
    }
    if (slice_has_prefix(name, SLICE("token/"))) {
        return add_token(v, name, payload);
    }
    if (slice_has_prefix(name, SLICE("member/"))) {
        return add_member(v, name, payload);
    }
    if (slice_has_prefix(name, SLICE("shard/"))) {
        return add_place(v, name, payload);
    }
    if (slice_has_prefix(name, SLICE("join/"))) {
        return add_join(v, name, payload);
    }
    if (slice_has_prefix(name, SLICE("deployment/"))) {
        return deployments_add(&v->deployments, name, payload);
    }
    if (slice_equal_str(name, EGRESS_CA_RECORD)) {
        return add_egress_ca(v, payload);
    }
    if (slice_has_prefix(name, SLICE("secret/"))) {
        return add_secret(v, name, payload);
    }
    if (slice_equal_str(name, SEQUENCE_RECORD)) {
        return sequence_decode(payload, &v->next_sequence);
    }
    return ERR_OK;
}

const struct token *cluster_view_token(const struct cluster_view *v,
                                       const uint8_t hash[DIGEST_BYTES], uint64_t wall_ms)
{
    struct map_node *n = map_find(&v->tokens, get_be64(hash));
    for (; n != NULL; n = map_next_same(n)) {
        const struct token *t = CONTAINER_OF(n, struct token, by_hash);
        if (memcmp(t->hash, hash, DIGEST_BYTES) == 0) {
            return token_is_expired(t, wall_ms) ? NULL : t;
        }
    }
    return NULL;
}
