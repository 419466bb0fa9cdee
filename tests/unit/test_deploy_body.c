#include "node/deploy_body.h"

#include <string.h>

#include "base/mem.h"
#include "node/deploy_maps.h"
#include "node/deployment.h"
#include "node/source_map.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static struct buf document(const char *json)
{
    struct buf doc = {0};
    struct json_detail detail = {{0}};
    if (json_to_value(slice_of_str(json), VALUE_DEPTH_MAX + 1, &doc, &detail) != ERR_OK) {
        fail_msg("%s: %s", json, detail.text);
    }
    return doc;
}

/* `part` is in the detail, or names the limit. */
static void expect_refused(struct slice doc, enum err want, const char *part)
{
    struct deploy_body b;
    struct decode_error e = {.err = ERR_OK};
    expect_err(deploy_body_read(doc, &b, &e), want);
    expect_err(e.err, want);
    bool is_limit = e.limit.name != NULL && strcmp(e.limit.name, part) == 0;
    if (!is_limit && strstr(e.detail, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, e.detail);
    }
}

static void the_smallest_deploy_has_a_module_and_its_name(void **state)
{
    (void)state;
    struct buf doc = document("{\"modules\":{\"main.js\":\"\"},\"main\":\"main.js\"}");
    struct deploy_body b;
    struct decode_error e;
    expect_err(deploy_body_read(buf_slice(&doc), &b, &e), ERR_OK);
    expect_str(b.main, "main.js");
    assert_int_equal(value_type(b.env), VALUE_MAP);
    assert_int_equal(value_type(b.bindings), VALUE_MAP);
    assert_int_equal(b.classes.len, 0);
    assert_int_equal(b.egress.len, 0);
    assert_int_equal(b.source_maps.len, 0);
    buf_done(&doc);
}

static void a_deploy_may_say_everything(void **state)
{
    (void)state;
    struct buf doc = document(
        "{\"modules\":{\"main.js\":\"x\",\"lib/a.js\":\"y\"},\"main\":\"main.js\","
        "\"env\":{\"KEY\":\"v\",\"deep\":{\"a\":[1,2]},\"$x\":null},\"classes\":["
        "\"Counter\",\"Room\"],"
        "\"bindings\":{\"COUNTER\":\"Counter\",\"LOBBY\":\"Lobby\"},"
        "\"egress\":{\"allow\":[\"api.example.com\",\"*.example.org\",\"localhost:8080\","
        "\"[::1]:80\","
        "\"127.0.0.1\",\"*.a.b:1\",\"*\",\"*:8443\"]},\"source_maps\":{\"main.js\":\"{}\"}}");
    struct deploy_body b;
    struct decode_error e;
    struct buf classes = {0};
    expect_err(deploy_body_read(buf_slice(&doc), &b, &e), ERR_OK);
    deploy_body_classes(&b, &classes);
    struct buf json = {0};
    value_to_json(buf_slice(&classes), &json);
    expect_str(buf_slice(&json), "[\"Counter\",\"Room\",\"Lobby\"]");
    buf_done(&json);
    buf_done(&classes);
    buf_done(&doc);
}

#define MODULES "\"modules\":{\"m.js\":\"\"},\"main\":\"m.js\""

static void what_is_malformed_is_refused_and_named(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *part;
    } rows[] = {
        {"[]", "object"},
        {"{\"main\":\"m.js\"}", "needed"},
        {"{\"modules\":{\"m.js\":\"\"}}", "needed"},
        {"{\"modules\":{\"m.js\":\"\"},\"main\":7}", "main"},
        {"{\"modules\":{\"m.js\":\"\"},\"main\":\"n.js\"}", "main"},
        {"{\"modules\":{},\"main\":\"\"}", "main"},
        {"{\"modules\":[],\"main\":\"m.js\"}", "modules"},
        {"{\"modules\":{\"m.js\":1},\"main\":\"m.js\"}", "m.js"},
        {"{\"modules\":{\"m.js\":{\"$bytes\":\"\"}},\"main\":\"m.js\"}", "m.js"},
        {"{\"modules\":{\"\":\"\"},\"main\":\"\"}", "name of a module"},
        {"{\"modules\":{\"a\\nb\":\"\"},\"main\":\"a\\nb\"}", "name of a module"},
        {"{\"modules\":{\"node:fs\":\"\"},\"main\":\"node:fs\"}", "name of a module"},
        {"{" MODULES ",\"more\":1}", "more"},
        {"{" MODULES ",\"env\":[]}", "env"},
        {"{" MODULES ",\"env\":{\"a-b\":1}}", "a-b"},
        {"{" MODULES ",\"env\":{\"1a\":1}}", "1a"},
        {"{" MODULES ",\"env\":{\"\":1}}", "env"},
        {"{" MODULES ",\"classes\":{}}", "classes"},
        {"{" MODULES ",\"classes\":[1]}", "classes"},
        {"{" MODULES ",\"classes\":[\"a-b\"]}", "a-b"},
        {"{" MODULES ",\"classes\":[\"Store\"]}", "Store"},
        {"{" MODULES ",\"bindings\":{\"A\":\"Store\"}}", "Store"},
        {"{" MODULES ",\"bindings\":{\"A\":1}}", "bindings"},
        {"{" MODULES ",\"bindings\":{\"A b\":\"C\"}}", "A b"},
        {"{" MODULES ",\"env\":{\"A\":1},\"bindings\":{\"A\":\"C\"}}", "env and in bindings"},
        {"{" MODULES ",\"egress\":[]}", "egress"},
        {"{" MODULES ",\"egress\":{}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[],\"deny\":[]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":\"a\"}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[1]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[\"\"]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[\"*.\"]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[\"a*.b\"]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[\"http://a\"]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[\"a:0\"]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[\"a:65536\"]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[\"a:\"]}}", "egress"},
        {"{" MODULES ",\"egress\":{\"allow\":[\"[::1\"]}}", "egress"},
        {"{" MODULES ",\"source_maps\":[]}", "source_maps"},
        {"{" MODULES ",\"source_maps\":{\"n.js\":\"\"}}", "n.js"},
        {"{" MODULES ",\"source_maps\":{\"m.js\":1}}", "m.js"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf doc = document(rows[i].json);
        expect_refused(buf_slice(&doc), ERR_BAD_REQUEST, rows[i].part);
        buf_done(&doc);
    }
}

/* Bounds */

static void put_filler(struct buf *b, size_t bytes)
{
    value_put_str_head(b, (uint32_t)bytes);
    memset(buf_extend(b, bytes), ' ', bytes);
}

/* A deploy of one module of so many bytes, and a source map of so many. */
static struct buf of_size(size_t module_bytes, size_t map_bytes)
{
    struct buf b = {0};
    value_put_map(&b, 3);
    value_put_text(&b, "modules");
    value_put_map(&b, 1);
    value_put_text(&b, "m.js");
    put_filler(&b, module_bytes);
    value_put_text(&b, "main");
    value_put_text(&b, "m.js");
    value_put_text(&b, "source_maps");
    value_put_map(&b, 1);
    value_put_text(&b, "m.js");
    put_filler(&b, map_bytes);
    return b;
}

static void modules_and_their_maps_have_a_limit_each(void **state)
{
    (void)state;
    enum { HEAD = 11 }; /* the map, the name, the head of the text */
    struct deploy_body b;
    struct decode_error e;
    struct buf doc = of_size(DEPLOY_MODULES_BYTES_MAX - HEAD, DEPLOY_SOURCE_MAPS_BYTES_MAX - HEAD);
    expect_err(deploy_body_read(buf_slice(&doc), &b, &e), ERR_OK);
    buf_done(&doc);
    doc = of_size(DEPLOY_MODULES_BYTES_MAX - HEAD + 1, 1);
    expect_refused(buf_slice(&doc), ERR_TOO_LARGE, "modules_bytes");
    buf_done(&doc);
    doc = of_size(1, DEPLOY_SOURCE_MAPS_BYTES_MAX - HEAD + 1);
    expect_refused(buf_slice(&doc), ERR_TOO_LARGE, "source_maps_bytes");
    buf_done(&doc);
}

/* A deploy of a module and a member with so many entries: a map, or an array where `value` is NULL. */
static struct buf with_entries(const char *member, size_t count, const char *value)
{
    struct buf json = {0};
    buf_printf(&json, "{" MODULES ",\"%s\":%s", member, value != NULL ? "{" : "[");
    for (size_t i = 0; i < count; i++) {
        buf_printf(&json, "%s\"A%zu\"", i > 0 ? "," : "", i);
        if (value != NULL) {
            buf_printf(&json, ":%s", value);
        }
    }
    buf_printf(&json, "%s}", value != NULL ? "}" : "]");
    buf_append_byte(&json, 0);
    struct buf doc = document((const char *)json.data);
    buf_done(&json);
    return doc;
}

static void names_are_limited_in_number(void **state)
{
    (void)state;
    static const struct {
        const char *member;
        const char *value;
        size_t max;
    } rows[] = {{"env", "1", DEPLOY_NAMES_MAX},
                {"bindings", "\"C\"", DEPLOY_NAMES_MAX},
                {"classes", NULL, DEPLOYED_CLASSES_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct deploy_body b;
        struct decode_error e;
        struct buf doc = with_entries(rows[i].member, rows[i].max, rows[i].value);
        expect_err(deploy_body_read(buf_slice(&doc), &b, &e), ERR_OK);
        buf_done(&doc);
        doc = with_entries(rows[i].member, rows[i].max + 1, rows[i].value);
        expect_refused(buf_slice(&doc), ERR_TOO_LARGE, rows[i].member);
        buf_done(&doc);
    }
}

static void modules_hosts_and_env_are_limited(void **state)
{
    (void)state;
    struct buf json = {0};
    buf_append_str(&json, "{\"main\":\"0\",\"modules\":{");
    for (int i = 0; i <= DEPLOY_MODULES_MAX; i++) {
        buf_printf(&json, "%s\"%d\":\"\"", i > 0 ? "," : "", i);
    }
    buf_append(&json, "}}", 3);
    struct buf doc = document((const char *)json.data);
    expect_refused(buf_slice(&doc), ERR_TOO_LARGE, "modules");
    buf_done(&doc);

    for (int count = DEPLOY_SOURCE_MAPS_MAX; count <= DEPLOY_SOURCE_MAPS_MAX + 1; count++) {
        struct deploy_body b;
        struct decode_error e;
        buf_clear(&json);
        buf_append_str(&json, "{\"main\":\"0\",\"modules\":{\"0\":\"\"");
        for (int i = 1; i < count; i++) {
            buf_printf(&json, ",\"%d\":\"\"", i);
        }
        buf_append_str(&json, "},\"source_maps\":{\"0\":\"\"");
        for (int i = 1; i < count; i++) {
            buf_printf(&json, ",\"%d\":\"\"", i);
        }
        buf_append(&json, "}}", 3);
        doc = document((const char *)json.data);
        if (count == DEPLOY_SOURCE_MAPS_MAX) {
            expect_err(deploy_body_read(buf_slice(&doc), &b, &e), ERR_OK);
        } else {
            expect_refused(buf_slice(&doc), ERR_TOO_LARGE, "source_maps");
        }
        buf_done(&doc);
    }

    buf_clear(&json);
    buf_append_str(&json, "{" MODULES ",\"egress\":{\"allow\":[\"a\"");
    for (int i = 0; i < DEPLOY_ALLOWED_HOSTS_MAX; i++) {
        buf_append_str(&json, ",\"a\"");
    }
    buf_append(&json, "]}}", 4);
    doc = document((const char *)json.data);
    expect_refused(buf_slice(&doc), ERR_TOO_LARGE, "egress_hosts");
    buf_done(&doc);

    buf_clear(&json);
    buf_append_str(&json, "{" MODULES ",\"env\":{\"A\":\"");
    memset(buf_extend(&json, DEPLOY_ENV_BYTES_MAX), 'x', DEPLOY_ENV_BYTES_MAX);
    buf_append(&json, "\"}}", 4);
    doc = document((const char *)json.data);
    expect_refused(buf_slice(&doc), ERR_TOO_LARGE, "env_bytes");
    buf_done(&doc);
    buf_done(&json);
}

/* Bundles */

#define CLASS(name, kind) "{\"name\":\"" name "\",\"kind\":\"" kind "\",\"methods\":[\"m\"]}"
#define FOUND(classes) \
    "{\"modules\":[[\"m.js\",\"code\"]],\"has_default\":true,\"classes\":[" classes "]}"

/* The classes of the bundle, "" where it is refused as `want`. */
static void expect_classes(const char *more, const char *found, enum err want, const char *classes)
{
    struct buf json = {0};
    struct deploy_body b;
    struct decode_error e = {.err = ERR_OK};
    struct buf bundle = {0};
    struct buf names = {0};
    struct deployment *d = NULL;
    buf_printf(&json, "{" MODULES "%s}", more);
    buf_append_byte(&json, 0);
    struct buf doc = document((const char *)json.data);
    struct buf known = document(found);
    expect_err(deploy_body_read(buf_slice(&doc), &b, &e), ERR_OK);
    expect_err(deploy_body_bundle(&b, buf_slice(&known), &bundle, &e), want);
    if (want == ERR_OK) {
        struct bytes *whole = bytes_new(buf_slice(&bundle));
        expect_err(deployment_new(SLICE("ns"), 1, 1, whole, &d), ERR_OK);
        bytes_unref(whole);
        assert_true(d->has_default);
        for (size_t i = 0; i < d->class_count; i++) {
            buf_append_str(&names, i > 0 ? " " : "");
            buf_append_slice(&names, d->classes[i].name);
        }
    }
    expect_str(buf_slice(&names), classes);
    deployment_unref(d);
    buf_done(&names);
    buf_done(&bundle);
    buf_done(&known);
    buf_done(&doc);
    buf_done(&json);
}

static void without_names_objects_and_workflows_are_deployed_and_what_is_bound(void **state)
{
    (void)state;
    static const char found[] =
        FOUND(CLASS("Plain", "other") "," CLASS("Flow", "workflow") "," CLASS("Counter", "object"));
    expect_classes("", found, ERR_OK, "Counter Flow");
    expect_classes(",\"bindings\":{\"P\":\"Plain\"}", found, ERR_OK, "Counter Flow Plain");
    expect_classes("", FOUND(""), ERR_OK, "");
}

static void with_names_these_are_deployed(void **state)
{
    (void)state;
    static const char found[] =
        FOUND(CLASS("Plain", "other") "," CLASS("Flow", "workflow") "," CLASS("Counter", "object"));
    expect_classes(",\"classes\":[\"Plain\"]", found, ERR_OK, "Plain");
    expect_classes(",\"classes\":[\"Flow\"],\"bindings\":{\"C\":\"Counter\"}", found, ERR_OK,
                   "Counter Flow");
    expect_classes(",\"classes\":[]", found, ERR_OK, "");
}

static void a_class_that_is_not_exported_is_refused(void **state)
{
    (void)state;
    static const char found[] = FOUND(CLASS("Counter", "object"));
    expect_classes(",\"classes\":[\"Count\"]", found, ERR_INVALID_CODE, "");
    expect_classes(",\"bindings\":{\"C\":\"Count\"}", found, ERR_INVALID_CODE, "");
}

static void a_source_map_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char found[] = FOUND(CLASS("Counter", "object"));
    expect_classes(",\"source_maps\":{\"m.js\":\"{\\\"sources\\\":[],\\\"mappings\\\":\\\"\\\"}\"}",
                   found, ERR_OK, "Counter");
    expect_classes(",\"source_maps\":{\"m.js\":\"{}\"}", found, ERR_BAD_REQUEST, "");
    expect_classes(",\"source_maps\":{\"m.js\":\"\"}", found, ERR_BAD_REQUEST, "");
}

/* Source maps that modules bring along */

static void expect_places(const char *body, const char *places)
{
    struct buf doc = document(body);
    struct deploy_body b;
    struct decode_error e;
    struct buf maps = {0};
    struct buf text = {0};
    expect_err(deploy_body_read(buf_slice(&doc), &b, &e), ERR_OK);
    expect_err(deploy_maps(&b, &maps, &e), ERR_OK);
    source_map_rewrite(buf_slice(&maps), SLICE("m.js:1:1 n.js:1:1"), &text);
    expect_str(buf_slice(&text), places);
    buf_done(&text);
    buf_done(&maps);
    buf_done(&doc);
}

#define A_MAP "{\\\"sources\\\":[\\\"a.ts\\\"],\\\"mappings\\\":\\\"AAAA\\\"}"
#define A_LINE                                                         \
    "//# sourceMappingURL=data:application/json;charset=utf-8;base64," \
    "eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbImEudHMiXSwibWFwcGluZ3MiOiJBQUFBIn0="
#define MODULE_M(source, more) "{\"main\":\"m.js\",\"modules\":{\"m.js\":\"" source "\"" more

static void a_module_may_bring_its_source_map_in_its_last_line(void **state)
{
    (void)state;
    expect_places(MODULE_M("x\\n" A_LINE, "}}"), "a.ts:1:1 n.js:1:1");
    expect_places(MODULE_M("x\\n" A_LINE "\\r\\n", "}}"), "a.ts:1:1 n.js:1:1");
    expect_places(MODULE_M(A_LINE "\\nx", "}}"), "m.js:1:1 n.js:1:1");
    expect_places(MODULE_M("x\\n" A_LINE "!", "}}"), "m.js:1:1 n.js:1:1");
}

static void a_module_may_have_its_source_map_beside_it(void **state)
{
    (void)state;
    expect_places(MODULE_M("x", ",\"m.js.map\":\"" A_MAP "\"}}"), "a.ts:1:1 n.js:1:1");
    expect_places(
        MODULE_M("x", ",\"m.js.map\":\"no map\",\"n.js\":\"y\",\"n.js.map\":\"" A_MAP "\"}}"),
        "m.js:1:1 a.ts:1:1");
}

static void a_source_map_that_is_named_counts_and_not_what_the_module_brings(void **state)
{
    (void)state;
    expect_places(MODULE_M("x\\n" A_LINE,
                           "},\"source_maps\":{\"m.js\":\"{\\\"sources\\\":[\\\"b.ts\\\"],"
                           "\\\"mappings\\\":\\\"AAAA\\\"}\"}}"),
                  "b.ts:1:1 n.js:1:1");
    expect_places(MODULE_M("x", "}}"), "m.js:1:1 n.js:1:1");
}

static void a_class_of_one_s_own_is_not_called_store(void **state)
{
    (void)state;
    expect_classes("", FOUND(CLASS("Store", "object")), ERR_BAD_REQUEST, "");
    expect_classes("", FOUND(CLASS("Store", "other")), ERR_OK, "");
}

/* An isolate that has gone wrong may say anything. */
static void what_an_isolate_says_is_checked(void **state)
{
    (void)state;
    static const char *const found[] = {
        "[]",
        "{}",
        "{\"modules\":[],\"has_default\":true}",
        "{\"modules\":{},\"has_default\":true,\"classes\":[]}",
        "{\"modules\":[],\"has_default\":1,\"classes\":[]}",
        "{\"modules\":[],\"has_default\":true,\"classes\":[1]}",
        FOUND(CLASS("Counter", "thing")),
        FOUND("{\"name\":\"C\",\"kind\":\"object\"}"),
        FOUND("{\"name\":1,\"kind\":\"object\",\"methods\":[]}"),
    };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        expect_classes("", found[i], ERR_CORRUPT, "");
    }
}

TEST_MAIN(cmocka_unit_test(the_smallest_deploy_has_a_module_and_its_name),
          cmocka_unit_test(a_deploy_may_say_everything),
          cmocka_unit_test(what_is_malformed_is_refused_and_named),
          cmocka_unit_test(modules_and_their_maps_have_a_limit_each),
          cmocka_unit_test(names_are_limited_in_number),
          cmocka_unit_test(modules_hosts_and_env_are_limited),
          cmocka_unit_test(without_names_objects_and_workflows_are_deployed_and_what_is_bound),
          cmocka_unit_test(with_names_these_are_deployed),
          cmocka_unit_test(a_class_that_is_not_exported_is_refused),
          cmocka_unit_test(a_source_map_that_is_none_is_refused),
          cmocka_unit_test(a_module_may_bring_its_source_map_in_its_last_line),
          cmocka_unit_test(a_module_may_have_its_source_map_beside_it),
          cmocka_unit_test(a_source_map_that_is_named_counts_and_not_what_the_module_brings),
          cmocka_unit_test(a_class_of_one_s_own_is_not_called_store),
          cmocka_unit_test(what_an_isolate_says_is_checked))
