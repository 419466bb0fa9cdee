/* The deciders of orders about what is deployed: a new bundle, and an old one again. */
#include <string.h>

#include "actor/members.h"
#include "node/deployment.h"
#include "node/order.h"
#include "node/release.h"
#include "rpc/value.h"

enum { DEPLOYED_NAMESPACES_MAX = 1000 }; /* each view lists all of their releases */

/* Of the bundles in force: every node has them in memory. */
#define DEPLOYED_BYTES_MAX (UINT64_C(256) << 20)

static enum err too_much(struct order *o, const char *name, uint64_t value)
{
    (void)order_refuse(o, ERR_STORAGE_FULL, "The limit %s is %llu.", name,
                       (unsigned long long)value);
    o->error.limit = (struct problem_limit){.name = name, .value = value};
    return o->error.err;
}

static enum err check_subject(struct order *o)
{
    struct slice ns = bytes_slice(o->subject);
    if (!address_namespace_is_valid(ns)) {
        return order_refuse(o, ERR_INVALID_ID, "The namespace is not valid.");
    }
    const struct token_need need = {.scopes = SCOPE_DEPLOY, .ns = ns};
    if (o->asker != NULL && !token_allows(o->asker, &need)) {
        return order_refuse(o, ERR_FORBIDDEN, "The token lacks the scope or the namespace.");
    }
    return ERR_OK;
}

static const struct release *releases_of(const struct order *o, const struct cluster_view *v,
                                         size_t *ret_count)
{
    return deployments_releases(&v->deployments, bytes_slice(o->subject), ret_count);
}

static enum err check_room(struct order *o, const struct cluster_view *v, const struct release *r)
{
    size_t count;
    const struct release *own = releases_of(o, v, &count);
    uint64_t others = deployments_bytes(&v->deployments) - (count > 0 ? own[count - 1].bytes : 0);
    if (count == 0 && v->deployments.current.count >= DEPLOYED_NAMESPACES_MAX) {
        return too_much(o, "deployed_namespaces", DEPLOYED_NAMESPACES_MAX);
    }
    return others + r->bytes > DEPLOYED_BYTES_MAX
               ? too_much(o, "deployed_bytes", DEPLOYED_BYTES_MAX)
               : ERR_OK;
}

/* Pieces */

static void put_pieces(const struct release *r, struct slice bundle, struct records_changes *c)
{
    char name[PIECE_NAME_BYTES + 1];
    for (uint32_t i = 0; i < release_piece_count(r); i++) {
        struct slice rest = slice_skip(bundle, (size_t)i * PIECE_BYTES);
        piece_record_name(r->hash, i, name);
        records_put(c, name, slice_of(rest.data, rest.len < PIECE_BYTES ? rest.len : PIECE_BYTES));
    }
}

static void delete_pieces(const struct release *r, struct records_changes *c)
{
    char name[PIECE_NAME_BYTES + 1];
    for (uint32_t i = 0; i < release_piece_count(r); i++) {
        piece_record_name(r->hash, i, name);
        records_delete(c, name);
    }
}

/* Whether a release, of whichever namespace, names the same bundle; `gone` of them, from `first` on, do not
 * count. */
static bool is_named(const struct cluster_view *v, const struct release *r,
                     const struct release *first, size_t gone)
{
    for (size_t i = 0; i < v->deployments.release_count; i++) {
        const struct release *other = &v->deployments.releases[i];
        bool is_gone = gone > 0 && other >= first && other < first + gone;
        if (!is_gone && release_has_bundle_of(other, r)) {
            return true;
        }
    }
    return false;
}

/* Makes room for the new one. */
static void delete_oldest(const struct order *o, const struct cluster_view *v,
                          const struct release *new, struct records_changes *c)
{
    size_t count;
    const struct release *own = releases_of(o, v, &count);
    size_t gone = count >= RELEASES_MAX ? count - RELEASES_MAX + 1 : 0;
    char name[RELEASE_NAME_BYTES + 1];
    for (size_t i = 0; i < gone; i++) {
        release_record_name(&own[i], name);
        records_delete(c, name);
        bool is_known = release_has_bundle_of(&own[i], new);
        for (size_t j = 0; j < i; j++) { /* its pieces are deleted once */
            is_known = is_known || release_has_bundle_of(&own[i], &own[j]);
        }
        if (!is_known && !is_named(v, &own[i], own, gone)) {
            delete_pieces(&own[i], c);
        }
    }
}

/* Both */

static void put_release(struct order *o, const struct cluster_view *v, struct release *r,
                        struct records_changes *c)
{
    struct buf record = {0};
    char name[RELEASE_NAME_BYTES + 1];
    release_record_name(r, name);
    release_encode(r, &record);
    records_put(c, name, buf_slice(&record));
    buf_done(&record);
    delete_oldest(o, v, r, c);

    value_put_map(&o->document, r->of != 0 ? 3 : 2);
    value_put_text(&o->document, "version");
    value_put_uint(&o->document, r->version);
    if (r->of != 0) {
        value_put_text(&o->document, "of");
        value_put_uint(&o->document, r->of);
    }
    value_put_text(&o->document, "classes");
    value_put_raw(&o->document, bytes_slice(r->classes));
    o->status = 200;
}

static void begin_release(const struct order *o, const struct cluster_view *v, struct release *r)
{
    size_t count;
    struct slice ns = bytes_slice(o->subject);
    const struct release *own = releases_of(o, v, &count);
    *r = (struct release){.version = count > 0 ? own[count - 1].version + 1 : 1,
                          .created_ms = o->wall_ms};
    memcpy(r->ns, ns.data, ns.len);
}

/* Deploying */

static struct bytes *names_of_classes(const struct deployment *d)
{
    struct buf names = {0};
    value_put_array(&names, (uint32_t)d->class_count);
    for (size_t i = 0; i < d->class_count; i++) {
        value_put_str(&names, d->classes[i].name);
    }
    struct bytes *classes = bytes_new(buf_slice(&names));
    buf_done(&names);
    return classes;
}

static bool member_bin(struct slice map, const char *name, struct slice *ret)
{
    struct slice member;
    return value_member(map, name, &member) && value_get_bin(member, ret);
}

/* The body is another node's, or this one's. What no node could read is not written. */
static enum err read_bundle(struct order *o, struct release *r, struct slice *ret_bundle)
{
    struct slice hash;
    struct deployment *d;
    if (o->body == NULL || !member_bin(bytes_slice(o->body), "hash", &hash) ||
        hash.len != DIGEST_BYTES || !member_bin(bytes_slice(o->body), "bundle", ret_bundle) ||
        ret_bundle->len == 0 || ret_bundle->len > BUNDLE_BYTES_MAX) {
        return order_refuse(o, ERR_CORRUPT, NULL);
    }
    struct bytes *bundle = bytes_new(*ret_bundle);
    enum err err = deployment_new(bytes_slice(o->subject), r->version, r->created_ms, bundle, &d);
    if (err == ERR_OK) {
        memcpy(r->hash, hash.data, DIGEST_BYTES);
        r->bytes = (uint32_t)ret_bundle->len;
        r->classes = names_of_classes(d);
        deployment_unref(d);
    } else {
        err = order_refuse(o, err, NULL);
    }
    bytes_unref(bundle);
    return err;
}

enum err decide_deploy(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    struct release r;
    struct slice bundle;
    enum err err = check_subject(o);
    if (err != ERR_OK) {
        return err;
    }
    begin_release(o, v, &r);
    err = read_bundle(o, &r, &bundle);
    if (err == ERR_OK) {
        err = check_room(o, v, &r);
    }
    if (err == ERR_OK) {
        if (!is_named(v, &r, NULL, 0)) {
            put_pieces(&r, bundle, c);
        }
        put_release(o, v, &r, c);
    }
    release_done(&r);
    return err;
}

/* Rolling back */

static enum err read_version(struct order *o, uint64_t *ret_version)
{
    struct member m = {"version", {0}};
    struct reply reply;
    *ret_version = 0;
    reply_init(&reply);
    if (o->body == NULL) {
        return ERR_OK;
    }
    if (members_read(bytes_slice(o->body), &m, 1, &reply) != ERR_OK) {
        enum err err = order_refuse(o, reply.err, "%s", reply.detail != NULL ? reply.detail : "");
        reply_clear(&reply);
        return err;
    }
    if (member_is_given(&m) && (!value_get_uint(m.doc, ret_version) || *ret_version == 0)) {
        return order_refuse(o, ERR_BAD_REQUEST, "version is not a whole number from 1 on.");
    }
    return ERR_OK;
}

/* Without a version: the one before that in force. */
static enum err find_release(struct order *o, const struct cluster_view *v, uint64_t version,
                             const struct release **ret)
{
    size_t count;
    const struct release *own = releases_of(o, v, &count);
    if (count == 0) {
        return order_refuse(o, ERR_NO_SUCH_DEPLOYMENT, "Nothing is deployed in this namespace.");
    }
    if (version == 0 && count > 1) {
        *ret = &own[count - 2];
        return ERR_OK;
    }
    for (size_t i = 0; version != 0 && i < count; i++) {
        if (own[i].version == version) {
            *ret = &own[i];
            return ERR_OK;
        }
    }
    return order_refuse(o, ERR_NO_SUCH_DEPLOYMENT,
                        version == 0 ? "There is no version before the one in force."
                                     : "That version is not there: the last %d are kept.",
                        RELEASES_MAX);
}

enum err decide_rollback(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    uint64_t version;
    const struct release *old = NULL;
    struct release r;
    enum err err = check_subject(o);
    if (err == ERR_OK) {
        err = read_version(o, &version);
    }
    if (err == ERR_OK) {
        err = find_release(o, v, version, &old);
    }
    if (err != ERR_OK) {
        return err;
    }
    begin_release(o, v, &r);
    memcpy(r.hash, old->hash, sizeof r.hash);
    r.bytes = old->bytes;
    r.of = old->version;
    r.classes = bytes_ref(old->classes);
    err = check_room(o, v, &r);
    if (err == ERR_OK) {
        put_release(o, v, &r, c);
    }
    release_done(&r);
    return err;
}
