#include "node/deploy_maps.h"

#include "base/base64.h"
#include "node/source_map.h"
#include "rpc/value.h"

struct maps {
    struct buf entries;
    uint32_t count;
};

static void put_map(struct maps *m, struct slice module, struct slice reduced)
{
    value_put_str(&m->entries, module);
    value_put_bin(&m->entries, reduced);
    m->count++;
}

static bool find_text(struct slice map, struct slice name, struct slice *ret_text)
{
    struct value_iter it = value_entries(map);
    struct slice key;
    struct slice value;
    while (value_next_entry(&it, &key, &value)) {
        if (slice_equal(key, name)) {
            return value_get_str(value, ret_text);
        }
    }
    return false;
}

/* Those that are named */

static enum err take_named(const struct deploy_body *b, struct maps *m, struct decode_error *e)
{
    struct value_iter it = value_entries(b->source_maps);
    struct slice name;
    struct slice item;
    while (value_next_entry(&it, &name, &item)) {
        struct buf doc = {0};
        struct slice json;
        const char *why = "it is no text";
        enum err err =
            value_get_str(item, &json) ? source_map_reduce(json, &doc, &why) : ERR_BAD_REQUEST;
        put_map(m, name, buf_slice(&doc));
        buf_done(&doc);
        if (err != ERR_OK) {
            return decode_fail(e, err, "The source map of \"%.*s\" is none: %s.", SHOWN(name), why);
        }
    }
    return ERR_OK;
}

/* Those that modules bring along */

static struct slice last_line(struct slice text)
{
    size_t end = text.len;
    while (end > 0 && (text.data[end - 1] == '\n' || text.data[end - 1] == '\r' ||
                       text.data[end - 1] == ' ')) {
        end--;
    }
    const uint8_t *before = end > 0 ? memrchr(text.data, '\n', end) : NULL;
    size_t start = before != NULL ? (size_t)(before - text.data) + 1 : 0;
    return slice_of(text.data + start, end - start);
}

/* The JSON in the module's last line; false: there is none. */
static bool decode_inline(struct slice source, struct buf *ret_json)
{
    static const char head[] = "//# sourceMappingURL=data:application/json";
    static const char form[] = ";base64,";
    struct slice line = last_line(source);
    if (!slice_has_prefix(line, SLICE(head))) {
        return false;
    }
    const uint8_t *at = memmem(line.data, line.len, form, sizeof form - 1);
    return at != NULL && base64_decode(slice_skip(line, (size_t)(at - line.data) + sizeof form - 1),
                                       ret_json) == ERR_OK;
}

static bool find_beside(const struct deploy_body *b, struct slice name, struct buf *ret_json)
{
    struct buf beside = {0};
    struct slice text;
    buf_append_slice(&beside, name);
    buf_append_str(&beside, ".map");
    bool is_there = find_text(b->modules, buf_slice(&beside), &text);
    if (is_there) {
        buf_append_slice(ret_json, text);
    }
    buf_done(&beside);
    return is_there;
}

static void take_brought(const struct deploy_body *b, struct slice name, struct slice source,
                         struct maps *m)
{
    struct buf json = {0};
    struct buf doc = {0};
    const char *why;
    if ((decode_inline(source, &json) || find_beside(b, name, &json)) &&
        source_map_reduce(buf_slice(&json), &doc, &why) == ERR_OK) {
        put_map(m, name, buf_slice(&doc));
    }
    buf_done(&json);
    buf_done(&doc);
}

static bool is_named(const struct deploy_body *b, struct slice name)
{
    struct slice text;
    return b->source_maps.len > 0 && find_text(b->source_maps, name, &text);
}

enum err deploy_maps(const struct deploy_body *b, struct buf *ret_maps,
                     struct decode_error *ret_error)
{
    struct maps m = {.count = 0};
    struct slice name;
    struct slice item;
    struct slice source;
    enum err err = b->source_maps.len > 0 ? take_named(b, &m, ret_error) : ERR_OK;
    struct value_iter it = value_entries(b->modules);
    while (err == ERR_OK && m.count < DEPLOY_SOURCE_MAPS_MAX &&
           value_next_entry(&it, &name, &item)) {
        if (value_get_str(item, &source) && !is_named(b, name)) {
            take_brought(b, name, source, &m);
        }
    }
    if (err == ERR_OK && m.count > 0) {
        value_put_map(ret_maps, m.count);
        buf_append_slice(ret_maps, buf_slice(&m.entries));
    }
    buf_done(&m.entries);
    return err;
}
