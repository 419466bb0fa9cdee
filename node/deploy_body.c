#include "node/deploy_body.h"

#include <string.h>

#include "actor/egress_rules.h"
#include "actor/members.h"
#include "base/address.h"
#include "node/deployment.h"
#include "rpc/value.h"

enum { IDENTIFIER_BYTES_MAX = 63 };

static const uint8_t no_entries[] = {0x80}; /* an empty map */

/* Names */

static bool is_identifier(struct slice s)
{
    bool valid = s.len >= 1 && s.len <= IDENTIFIER_BYTES_MAX;
    for (size_t i = 0; valid && i < s.len; i++) {
        uint8_t c = s.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
        valid = is_letter || (i > 0 && c >= '0' && c <= '9');
    }
    return valid;
}

/* A path, that shows in one line of a stack trace; names with ':' are those of built-in modules. */
static bool is_module_name(struct slice s)
{
    bool valid = s.len >= 1 && s.len <= DEPLOY_MODULE_NAME_BYTES_MAX;
    for (size_t i = 0; valid && i < s.len; i++) {
        valid = s.data[i] >= 0x20 && s.data[i] != 0x7f && s.data[i] != ':';
    }
    return valid;
}

static bool map_has(struct slice map, struct slice name)
{
    struct value_iter it = value_entries(map);
    struct slice key;
    struct slice value;
    while (value_next_entry(&it, &key, &value)) {
        if (slice_equal(key, name)) {
            return true;
        }
    }
    return false;
}

/* Parts of the body */

static enum err check_map(struct slice doc, const char *name, struct decode_error *e)
{
    return value_type(doc) == VALUE_MAP
               ? ERR_OK
               : decode_fail(e, ERR_BAD_REQUEST, "%s is not an object.", name);
}

/* A map of names of modules to texts. */
static enum err check_texts(struct slice map, const char *name, struct decode_error *e)
{
    struct value_iter it = value_entries(map);
    struct slice key;
    struct slice value;
    enum err err = check_map(map, name, e);
    if (err == ERR_OK && value_count(map) > DEPLOY_MODULES_MAX) {
        return decode_too_large(e, "modules", DEPLOY_MODULES_MAX);
    }
    while (err == ERR_OK && value_next_entry(&it, &key, &value)) {
        if (!is_module_name(key)) {
            err = decode_fail(e, ERR_BAD_REQUEST,
                              "\"%.*s\" is no name of a module: 1 to %d bytes, without ':' and "
                              "control characters.",
                              SHOWN(key), DEPLOY_MODULE_NAME_BYTES_MAX);
        } else if (value_type(value) != VALUE_STR) {
            err = decode_fail(e, ERR_BAD_REQUEST, "\"%.*s\" of %s is not a string.", SHOWN(key),
                              name);
        }
    }
    return err;
}

static enum err check_modules(const struct deploy_body *b, struct decode_error *e)
{
    enum err err = check_texts(b->modules, "modules", e);
    if (err == ERR_OK && b->modules.len > DEPLOY_MODULES_BYTES_MAX) {
        err = decode_too_large(e, "modules_bytes", DEPLOY_MODULES_BYTES_MAX);
    }
    if (err == ERR_OK && !map_has(b->modules, b->main)) {
        err = decode_fail(e, ERR_BAD_REQUEST, "main is not the name of one of the modules.");
    }
    return err;
}

static enum err check_source_maps(const struct deploy_body *b, struct decode_error *e)
{
    if (b->source_maps.len == 0) {
        return ERR_OK;
    }
    struct value_iter it = value_entries(b->source_maps);
    struct slice key;
    struct slice value;
    enum err err = check_texts(b->source_maps, "source_maps", e);
    if (err == ERR_OK && value_count(b->source_maps) > DEPLOY_SOURCE_MAPS_MAX) {
        return decode_too_large(e, "source_maps", DEPLOY_SOURCE_MAPS_MAX);
    }
    if (err == ERR_OK && b->source_maps.len > DEPLOY_SOURCE_MAPS_BYTES_MAX) {
        err = decode_too_large(e, "source_maps_bytes", DEPLOY_SOURCE_MAPS_BYTES_MAX);
    }
    while (err == ERR_OK && value_next_entry(&it, &key, &value)) {
        if (!map_has(b->modules, key)) {
            err = decode_fail(e, ERR_BAD_REQUEST, "There is a source map of \"%.*s\", no module.",
                              SHOWN(key));
        }
    }
    return err;
}

static enum err check_names(struct slice map, const char *name, struct decode_error *e)
{
    struct value_iter it = value_entries(map);
    struct slice key;
    struct slice value;
    enum err err = check_map(map, name, e);
    if (err == ERR_OK && value_count(map) > DEPLOY_NAMES_MAX) {
        return decode_too_large(e, name, DEPLOY_NAMES_MAX);
    }
    while (err == ERR_OK && value_next_entry(&it, &key, &value)) {
        if (!is_identifier(key)) {
            err = decode_fail(e, ERR_BAD_REQUEST,
                              "\"%.*s\" of %s is no identifier of 1 to %d characters.", SHOWN(key),
                              name, IDENTIFIER_BYTES_MAX);
        }
    }
    return err;
}

static enum err check_env(const struct deploy_body *b, struct decode_error *e)
{
    enum err err = check_names(b->env, "env", e);
    return err == ERR_OK && b->env.len > DEPLOY_ENV_BYTES_MAX
               ? decode_too_large(e, "env_bytes", DEPLOY_ENV_BYTES_MAX)
               : err;
}

static enum err check_class(struct slice doc, const char *name, struct decode_error *e)
{
    struct slice text;
    if (!value_get_str(doc, &text)) {
        return decode_fail(e, ERR_BAD_REQUEST, "%s names classes by strings.", name);
    }
    return deployed_class_name_is_valid(text)
               ? ERR_OK
               : decode_fail(e, ERR_BAD_REQUEST, "\"%.*s\" is no name for a class of one's own.",
                             SHOWN(text));
}

static enum err check_classes(const struct deploy_body *b, struct decode_error *e)
{
    struct slice item;
    if (b->classes.len == 0) {
        return ERR_OK;
    }
    if (value_type(b->classes) != VALUE_ARRAY) {
        return decode_fail(e, ERR_BAD_REQUEST, "classes is not an array.");
    }
    if (value_count(b->classes) > DEPLOYED_CLASSES_MAX) {
        return decode_too_large(e, "classes", DEPLOYED_CLASSES_MAX);
    }
    struct value_iter it = value_items(b->classes);
    enum err err = ERR_OK;
    while (err == ERR_OK && value_next(&it, &item)) {
        err = check_class(item, "classes", e);
    }
    return err;
}

static enum err check_bindings(const struct deploy_body *b, struct decode_error *e)
{
    struct value_iter it = value_entries(b->bindings);
    struct slice key;
    struct slice value;
    enum err err = check_names(b->bindings, "bindings", e);
    while (err == ERR_OK && value_next_entry(&it, &key, &value)) {
        err = check_class(value, "bindings", e);
        if (err == ERR_OK && map_has(b->env, key)) {
            err =
                decode_fail(e, ERR_BAD_REQUEST, "\"%.*s\" is in env and in bindings.", SHOWN(key));
        }
    }
    return err;
}

/* Egress: actor/egress_rules.h. */

static enum err check_egress(const struct deploy_body *b, struct decode_error *e)
{
    struct slice allow;
    const char *detail;
    if (b->egress.len == 0) {
        return ERR_OK;
    }
    if (!value_member(b->egress, "allow", &allow)) {
        return decode_fail(e, ERR_BAD_REQUEST,
                           "egress is not {\"allow\": [host ...]}, perhaps with inject and "
                           "requests_per_minute.");
    }
    if (value_count(allow) > DEPLOY_ALLOWED_HOSTS_MAX) {
        return decode_too_large(e, "egress_hosts", DEPLOY_ALLOWED_HOSTS_MAX);
    }
    return egress_rules_check(b->egress, &detail) == ERR_OK
               ? ERR_OK
               : decode_fail(e, ERR_BAD_REQUEST, "egress: %s.", detail);
}

/* The whole */

enum { MODULES, MAIN, ENV, CLASSES, BINDINGS, EGRESS, SOURCE_MAPS, MEMBERS };

static enum err fail_as(struct reply *reply, struct decode_error *e)
{
    enum err err = decode_fail(e, reply->err, "%s", reply->detail != NULL ? reply->detail : "");
    reply_clear(reply);
    return err;
}

static struct slice or_nothing(const struct member *m)
{
    return member_is_given(m) ? m->doc : slice_of(no_entries, sizeof no_entries);
}

static enum err read_members(struct slice doc, struct deploy_body *b, struct decode_error *e)
{
    struct member m[MEMBERS] = {{"modules", {0}},    {"main", {0}},     {"env", {0}},
                                {"classes", {0}},    {"bindings", {0}}, {"egress", {0}},
                                {"source_maps", {0}}};
    struct reply reply;
    reply_init(&reply);
    if (members_read(doc, m, MEMBERS, &reply) != ERR_OK ||
        member_str(&m[MAIN], &b->main, &reply) != ERR_OK) {
        return fail_as(&reply, e);
    }
    if (!member_is_given(&m[MODULES]) || !member_is_given(&m[MAIN])) {
        return decode_fail(e, ERR_BAD_REQUEST, "modules and main are needed.");
    }
    b->modules = m[MODULES].doc;
    b->env = or_nothing(&m[ENV]);
    b->classes = m[CLASSES].doc;
    b->bindings = or_nothing(&m[BINDINGS]);
    b->egress = m[EGRESS].doc;
    b->source_maps = m[SOURCE_MAPS].doc;
    return ERR_OK;
}

enum err deploy_body_read(struct slice doc, struct deploy_body *ret_body,
                          struct decode_error *ret_error)
{
    typedef enum err check_fn(const struct deploy_body *b, struct decode_error *e);
    static check_fn *const checks[] = {check_modules, check_source_maps, check_env,
                                       check_classes, check_bindings,    check_egress};
    struct deploy_body b;
    enum err err = read_members(doc, &b, ret_error);
    for (size_t i = 0; err == ERR_OK && i < sizeof checks / sizeof checks[0]; i++) {
        err = checks[i](&b, ret_error);
    }
    if (err == ERR_OK) {
        *ret_body = b;
    }
    return err;
}
