#include "node/deployment.h"

#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "node/record.h"
#include "rpc/value.h"

static const char *const kind_names[CLASS_KIND_COUNT] = {
    [CLASS_OBJECT] = "object", [CLASS_WORKFLOW] = "workflow", [CLASS_OTHER] = "other"};

const char *class_kind_name(enum class_kind kind)
{
    PRE(kind < CLASS_KIND_COUNT);
    return kind_names[kind];
}

bool class_kind_of_name(struct slice name, enum class_kind *ret_kind)
{
    for (int i = 0; i < CLASS_KIND_COUNT; i++) {
        if (slice_equal_str(name, kind_names[i])) {
            *ret_kind = (enum class_kind)i;
            return true;
        }
    }
    return false;
}

bool deployed_class_name_is_valid(struct slice name)
{
    return address_class_is_valid(name) && !slice_equal_str(name, BUILT_IN_CLASS);
}

/* Reading a bundle */

static bool are_all_strings(struct slice array)
{
    struct value_iter it = value_items(array);
    struct slice item;
    while (value_next(&it, &item)) {
        if (value_type(item) != VALUE_STR) {
            return false;
        }
    }
    return value_type(array) == VALUE_ARRAY;
}

static bool read_class(struct slice doc, struct deployed_class *ret)
{
    struct slice name;
    struct slice kind;
    return value_member(doc, "name", &name) && value_get_str(name, &ret->name) &&
           deployed_class_name_is_valid(ret->name) && value_member(doc, "kind", &kind) &&
           value_get_str(kind, &kind) && class_kind_of_name(kind, &ret->kind) &&
           value_member(doc, "methods", &ret->methods) && are_all_strings(ret->methods);
}

static int by_name(const void *left, const void *right)
{
    const struct deployed_class *l = left;
    const struct deployed_class *r = right;
    return slice_compare(l->name, r->name);
}

static bool read_classes(struct slice map, struct deployment *d)
{
    struct slice array;
    struct slice item;
    if (!value_member(map, "classes", &array) || value_type(array) != VALUE_ARRAY ||
        value_count(array) > DEPLOYED_CLASSES_MAX) {
        return false;
    }
    d->classes = mem_alloc((value_count(array) + 1) * sizeof *d->classes);
    struct value_iter it = value_items(array);
    while (value_next(&it, &item)) {
        if (!read_class(item, &d->classes[d->class_count])) {
            return false;
        }
        d->class_count++;
    }
    qsort(d->classes, d->class_count, sizeof *d->classes, by_name);
    return true;
}

static bool read_bin(struct slice map, const char *name, struct slice *ret)
{
    struct slice member;
    return value_member(map, name, &member) && value_get_bin(member, ret);
}

static bool read_map(struct slice map, const char *name, struct slice *ret)
{
    return value_member(map, name, ret) && value_type(*ret) == VALUE_MAP;
}

static bool read_bundle(struct slice doc, struct deployment *d)
{
    struct slice member;
    return record_is_map(doc) && value_member(doc, "main", &member) &&
           value_get_str(member, &d->main) && value_member(doc, "has_default", &member) &&
           value_get_bool(member, &d->has_default) && read_map(doc, "bindings", &d->bindings) &&
           read_bin(doc, "env", &d->env) && read_bin(doc, "egress", &d->egress) &&
           read_bin(doc, "modules", &d->modules) && read_bin(doc, "source_maps", &d->source_maps) &&
           read_classes(doc, d);
}

enum err deployment_new(struct slice ns, uint64_t version, uint64_t created_ms,
                        struct bytes *bundle, struct deployment **ret_deployment)
{
    PRE(address_namespace_is_valid(ns));
    PRE(version > 0);
    struct deployment *d = MEM_NEW(struct deployment);
    atomic_init(&d->refs, 1);
    memcpy(d->ns, ns.data, ns.len);
    d->version = version;
    d->created_ms = created_ms;
    d->bundle = bytes_ref(bundle);
    if (!read_bundle(bytes_slice(bundle), d)) {
        deployment_unref(d);
        return ERR_CORRUPT;
    }
    *ret_deployment = d;
    return ERR_OK;
}

struct deployment *deployment_ref(struct deployment *d)
{
    (void)atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}

void deployment_unref(struct deployment *d)
{
    if (d == NULL || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    bytes_unref(d->bundle);
    mem_free(d->classes);
    mem_free(d);
}

const struct deployed_class *deployment_class(const struct deployment *d, struct slice name)
{
    const struct deployed_class wanted = {.name = name};
    if (d == NULL || d->class_count == 0) {
        return NULL;
    }
    return bsearch(&wanted, d->classes, d->class_count, sizeof *d->classes, by_name);
}

/* Writing one */

static void put_class(struct buf *out, const struct deployed_class *c)
{
    value_put_map(out, 3);
    value_put_text(out, "name");
    value_put_str(out, c->name);
    value_put_text(out, "kind");
    value_put_text(out, class_kind_name(c->kind));
    value_put_text(out, "methods");
    value_put_raw(out, c->methods);
}

static void put_bin(struct buf *out, const char *name, struct slice doc)
{
    value_put_text(out, name);
    value_put_bin(out, doc);
}

void bundle_encode(const struct deployment *d, struct buf *out)
{
    value_put_map(out, 8);
    value_put_text(out, "main");
    value_put_str(out, d->main);
    value_put_text(out, "classes");
    value_put_array(out, (uint32_t)d->class_count);
    for (size_t i = 0; i < d->class_count; i++) {
        put_class(out, &d->classes[i]);
    }
    value_put_text(out, "has_default");
    value_put_bool(out, d->has_default);
    value_put_text(out, "bindings");
    value_put_raw(out, d->bindings);
    put_bin(out, "env", d->env);
    put_bin(out, "egress", d->egress);
    put_bin(out, "modules", d->modules);
    put_bin(out, "source_maps", d->source_maps);
}
