#include "node/deploy_body.h"

#include "node/deploy_maps.h"
#include "node/deployment.h"
#include "rpc/value.h"

static bool array_has(struct slice array, struct slice name)
{
    struct value_iter it = value_items(array);
    struct slice item;
    struct slice text;
    while (value_next(&it, &item)) {
        if (value_get_str(item, &text) && slice_equal(text, name)) {
            return true;
        }
    }
    return false;
}

static bool has_class(const struct deployment *d, struct slice name)
{
    for (size_t i = 0; i < d->class_count; i++) {
        if (slice_equal(d->classes[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool binds(const struct deploy_body *b, struct slice class)
{
    struct value_iter it = value_entries(b->bindings);
    struct slice key;
    struct slice value;
    struct slice text;
    while (value_next_entry(&it, &key, &value)) {
        if (value_get_str(value, &text) && slice_equal(text, class)) {
            return true;
        }
    }
    return false;
}

/* Each once: the bindings' names are as few as the classes may be. */
void deploy_body_classes(const struct deploy_body *b, struct buf *ret_array)
{
    struct buf names = {0};
    uint32_t count = 0;
    struct slice key;
    struct slice item;
    struct slice text;
    if (b->classes.len == 0) {
        return;
    }
    struct value_iter it = value_items(b->classes);
    for (; value_next(&it, &item); count++) {
        value_put_raw(&names, item);
    }
    it = value_entries(b->bindings);
    while (value_next_entry(&it, &key, &item)) {
        if (value_get_str(item, &text) && !array_has(b->classes, text)) {
            value_put_raw(&names, item);
            count++;
        }
    }
    value_put_array(ret_array, count);
    buf_append_slice(ret_array, buf_slice(&names));
    buf_done(&names);
}

static bool is_wanted(const struct deploy_body *b, const struct deployed_class *c)
{
    return binds(b, c->name) ||
           (b->classes.len > 0 ? array_has(b->classes, c->name) : c->kind != CLASS_OTHER);
}

static bool read_found_class(struct slice doc, struct deployed_class *ret)
{
    struct slice name;
    struct slice kind;
    return value_member(doc, "name", &name) && value_get_str(name, &ret->name) &&
           value_member(doc, "kind", &kind) && value_get_str(kind, &kind) &&
           class_kind_of_name(kind, &ret->kind) && value_member(doc, "methods", &ret->methods) &&
           value_type(ret->methods) == VALUE_ARRAY;
}

/* Fills in at most DEPLOYED_CLASSES_MAX. */
static enum err take_classes(const struct deploy_body *b, struct slice found, struct deployment *d,
                             struct decode_error *e)
{
    struct value_iter it = value_items(found);
    struct slice item;
    while (value_next(&it, &item)) {
        struct deployed_class c;
        if (!read_found_class(item, &c)) {
            return ERR_CORRUPT;
        }
        if (!is_wanted(b, &c)) {
            continue;
        }
        if (!deployed_class_name_is_valid(c.name)) {
            return decode_fail(e, ERR_BAD_REQUEST, "\"%.*s\" is no name for a class of one's own.",
                               SHOWN(c.name));
        }
        if (d->class_count == DEPLOYED_CLASSES_MAX) {
            return decode_too_large(e, "classes", DEPLOYED_CLASSES_MAX);
        }
        d->classes[d->class_count++] = c;
    }
    return ERR_OK;
}

static enum err check_wanted(const struct deploy_body *b, const struct deployment *d,
                             struct decode_error *e)
{
    struct slice key;
    struct slice item;
    struct slice text;
    struct value_iter it = value_items(b->classes.len > 0 ? b->classes : SLICE("\x90"));
    while (value_next(&it, &item)) {
        if (value_get_str(item, &text) && !has_class(d, text)) {
            return decode_fail(e, ERR_INVALID_CODE, "%.*s exports no class %.*s.", SHOWN(b->main),
                               SHOWN(text));
        }
    }
    it = value_entries(b->bindings);
    while (value_next_entry(&it, &key, &item)) {
        if (value_get_str(item, &text) && !has_class(d, text)) {
            return decode_fail(e, ERR_INVALID_CODE,
                               "%.*s exports no class %.*s, which is bound as %.*s.",
                               SHOWN(b->main), SHOWN(text), SHOWN(key));
        }
    }
    return ERR_OK;
}

static enum err encode(const struct deploy_body *b, struct deployment *d, struct buf *ret_bundle,
                       struct decode_error *e)
{
    struct buf maps = {0};
    enum err err = deploy_maps(b, &maps, e);
    if (err == ERR_OK) {
        d->source_maps = buf_slice(&maps);
        bundle_encode(d, ret_bundle);
        err = ret_bundle->len > BUNDLE_BYTES_MAX
                  ? decode_too_large(e, "bundle_bytes", BUNDLE_BYTES_MAX)
                  : ERR_OK;
    }
    buf_done(&maps);
    return err;
}

enum err deploy_body_bundle(const struct deploy_body *b, struct slice found, struct buf *ret_bundle,
                            struct decode_error *ret_error)
{
    struct deployed_class classes[DEPLOYED_CLASSES_MAX];
    struct deployment d = {.main = b->main,
                           .bindings = b->bindings,
                           .env = b->env,
                           .egress = b->egress,
                           .classes = classes};
    struct slice member;
    struct slice list;
    if (!value_member(found, "modules", &d.modules) || value_type(d.modules) != VALUE_ARRAY ||
        !value_member(found, "classes", &list) || value_type(list) != VALUE_ARRAY ||
        !value_member(found, "has_default", &member) || !value_get_bool(member, &d.has_default)) {
        return decode_fail(ret_error, ERR_CORRUPT, NULL);
    }
    enum err err = take_classes(b, list, &d, ret_error);
    if (err == ERR_CORRUPT) {
        return decode_fail(ret_error, ERR_CORRUPT, NULL);
    }
    if (err == ERR_OK) {
        err = check_wanted(b, &d, ret_error);
    }
    return err == ERR_OK ? encode(b, &d, ret_bundle, ret_error) : err;
}
