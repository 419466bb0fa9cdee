#include "sdk-c/doc.h"

#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "sdk-c/error.h"

static struct dormouse_doc *doc_new(struct buf *msgpack)
{
    struct dormouse_doc *doc = MEM_NEW(struct dormouse_doc);
    doc->msgpack = buf_take(msgpack);
    return doc;
}

enum err doc_from_msgpack(struct buf *from, struct dormouse_doc **ret_doc)
{
    const char *reason;
    enum err err = value_check(buf_slice(from), VALUE_DEPTH_CAP, &reason);
    if (err == ERR_OK) {
        *ret_doc = doc_new(from);
    }
    return err;
}

enum err doc_from_json(struct slice json, struct dormouse_doc **ret_doc)
{
    struct buf msgpack = {0};
    struct json_detail detail;
    enum err err = json_to_value(json, VALUE_DEPTH_CAP, &msgpack, &detail);
    if (err == ERR_OK) {
        *ret_doc = doc_new(&msgpack);
    }
    buf_done(&msgpack);
    return err;
}

enum dormouse_code dormouse_doc_parse(const char *json, size_t bytes, struct dormouse_doc **ret_doc,
                                      struct dormouse_error *ret_error)
{
    struct dormouse_error scratch;
    struct dormouse_error *error = ret_error == NULL ? &scratch : ret_error;
    struct buf msgpack = {0};
    struct json_detail detail;
    if (json_to_value(slice_of(json, bytes), VALUE_DEPTH_CAP, &msgpack, &detail) != ERR_OK) {
        buf_done(&msgpack);
        return error_set(error, DORMOUSE_INVALID_ARGUMENT, "%s", detail.text);
    }
    error_clear(error);
    *ret_doc = doc_new(&msgpack);
    return DORMOUSE_OK;
}

void dormouse_doc_free(struct dormouse_doc *doc)
{
    if (doc == NULL) {
        return;
    }
    buf_done(&doc->msgpack);
    mem_free(doc);
}

static struct dormouse_node node_of(struct slice value)
{
    return (struct dormouse_node){.data = value.data, .bytes = value.len};
}

struct slice node_slice(struct dormouse_node node)
{
    return slice_of(node.data, node.bytes);
}

struct dormouse_node dormouse_doc_root(const struct dormouse_doc *doc)
{
    return node_of(buf_slice(&doc->msgpack));
}

enum dormouse_type dormouse_node_type(struct dormouse_node node)
{
    if (node.data == NULL) {
        return DORMOUSE_ABSENT;
    }
    switch (value_type(node_slice(node))) {
    case VALUE_NIL:
        return DORMOUSE_NULL;
    case VALUE_BOOL:
        return DORMOUSE_BOOL;
    case VALUE_INT:
        return DORMOUSE_INT;
    case VALUE_FLOAT:
        return DORMOUSE_FLOAT;
    case VALUE_STR:
        return DORMOUSE_TEXT;
    case VALUE_ARRAY:
        return DORMOUSE_ARRAY;
    case VALUE_MAP:
        return DORMOUSE_MAP;
    case VALUE_BIN:
    case VALUE_DATE:
    case VALUE_PAIRS:
    case VALUE_SET:
    case VALUE_BIGINT:
    case VALUE_UNDEFINED:
    case VALUE_ERROR:
    case VALUE_JS:
        break;
    }
    return DORMOUSE_SPECIAL;
}

size_t dormouse_node_count(struct dormouse_node node)
{
    return node.data == NULL ? 0 : value_count(node_slice(node));
}

struct dormouse_node dormouse_node_member(struct dormouse_node map, const char *name)
{
    struct slice member;
    if (map.data == NULL || !value_member(node_slice(map), name, &member)) {
        return (struct dormouse_node){0};
    }
    return node_of(member);
}

struct dormouse_walk dormouse_node_walk(struct dormouse_node node)
{
    struct dormouse_walk walk = {0};
    enum dormouse_type type = dormouse_node_type(node);
    if (type == DORMOUSE_ARRAY || type == DORMOUSE_MAP) {
        walk.is_map = type == DORMOUSE_MAP;
        struct value_iter it =
            walk.is_map ? value_entries(node_slice(node)) : value_items(node_slice(node));
        walk.rest = node_of(it.rest);
        walk.left = it.left;
    }
    return walk;
}

bool dormouse_walk_next(struct dormouse_walk *walk)
{
    struct value_iter it = {.rest = node_slice(walk->rest), .left = (uint32_t)walk->left};
    struct slice key = {0};
    struct slice value;
    if (walk->is_map ? !value_next_entry(&it, &key, &value) : !value_next(&it, &value)) {
        return false;
    }
    walk->key = (const char *)key.data;
    walk->key_bytes = key.len;
    walk->value = node_of(value);
    walk->rest = node_of(it.rest);
    walk->left = it.left;
    return true;
}

bool dormouse_node_bool(struct dormouse_node node, bool otherwise)
{
    bool value = otherwise;
    return node.data != NULL && value_get_bool(node_slice(node), &value) ? value : otherwise;
}

int64_t dormouse_node_int(struct dormouse_node node, int64_t otherwise)
{
    int64_t value = otherwise;
    return node.data != NULL && value_get_int(node_slice(node), &value) ? value : otherwise;
}

bool node_text(struct dormouse_node node, struct slice *ret_text)
{
    return node.data != NULL && value_get_str(node_slice(node), ret_text);
}

const char *dormouse_node_text(struct dormouse_node node, size_t *ret_bytes)
{
    struct slice text;
    if (!node_text(node, &text)) {
        return NULL;
    }
    *ret_bytes = text.len;
    return text.len == 0 ? "" : (const char *)text.data;
}

char *dormouse_node_json(struct dormouse_node node, size_t *ret_bytes)
{
    struct buf json = {0};
    if (node.data == NULL) {
        buf_append_str(&json, "null");
    } else {
        value_to_json(node_slice(node), &json);
    }
    if (ret_bytes != NULL) {
        *ret_bytes = json.len;
    }
    buf_append_byte(&json, '\0');
    return (char *)json.data;
}
