/* Walking the entries of an actor, page by page. */
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "sdk-c/doc.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"
#include "sdk-c/exchange.h"
#include "sdk-c/target.h"

struct dormouse_list {
    struct dormouse *d;
    const struct dormouse_actor *actor;
    struct dormouse_call call;
    char *prefix; /* of the range: copies, or NULL */
    char *start;
    char *start_after;
    char *end;
    uint64_t left; /* entries still wanted */
    uint32_t page;
    bool reverse;
    bool keys_only;

    struct dormouse_doc *doc; /* the page at hand; NULL: to be asked for */
    struct dormouse_walk walk;
    char *cursor; /* where the next page starts; NULL with is_last, and before the first */
    bool is_last; /* the page at hand is */

    struct dormouse_entry entry;
    struct buf key; /* of the entry, closed by NUL */
    struct buf value;
};

static char *copy(const char *text)
{
    return text == NULL ? NULL : mem_strdup(text);
}

enum dormouse_code dormouse_list_new(struct dormouse *d, const struct dormouse_actor *actor,
                                     const struct dormouse_range *range,
                                     const struct dormouse_call *call,
                                     struct dormouse_list **ret_list,
                                     struct dormouse_error *ret_error)
{
    static const struct dormouse_range everything = {0};
    const struct dormouse_range *r = range == NULL ? &everything : range;
    if (r->page > 1000) {
        struct dormouse_error scratch;
        return error_set(ret_error == NULL ? &scratch : ret_error, DORMOUSE_INVALID_ARGUMENT,
                         "A page has at most 1000 entries.");
    }
    struct dormouse_list *list = MEM_NEW(struct dormouse_list);
    *list = (struct dormouse_list){
        .d = d,
        .actor = actor,
        .call = call == NULL ? (struct dormouse_call){0} : *call,
        .prefix = copy(r->prefix),
        .start = copy(r->start),
        .start_after = copy(r->start_after),
        .end = copy(r->end),
        .left = r->limit == 0 ? UINT64_MAX : r->limit,
        .page = r->page,
        .reverse = r->reverse,
        .keys_only = r->keys_only,
    };
    if (ret_error != NULL) {
        error_clear(ret_error);
    }
    *ret_list = list;
    return DORMOUSE_OK;
}

void dormouse_list_free(struct dormouse_list *list)
{
    if (list == NULL) {
        return;
    }
    dormouse_doc_free(list->doc);
    mem_free(list->prefix);
    mem_free(list->start);
    mem_free(list->start_after);
    mem_free(list->end);
    mem_free(list->cursor);
    buf_done(&list->key);
    buf_done(&list->value);
    mem_free(list);
}

/* The cursor goes on within the same range, so the range is said each time. */
static void add_range(const struct dormouse_list *list, struct buf *target)
{
    target_query(target, "prefix", list->prefix);
    target_query(target, "start", list->start);
    target_query(target, "startAfter", list->start_after);
    target_query(target, "end", list->end);
    target_query(target, "reverse", list->reverse ? "true" : NULL);
    target_query(target, "values", list->keys_only ? "false" : NULL);
    target_query(target, "cursor", list->cursor);
    uint64_t limit = list->page != 0 ? list->page : 1000;
    if (list->page != 0 || list->left < limit) {
        target_query_u64(target, "limit", list->left < limit ? list->left : limit);
    }
}

/* Takes the page over; false where it is no page. */
static bool take_page(struct dormouse_list *list, struct dormouse_doc *doc)
{
    struct dormouse_node root = dormouse_doc_root(doc);
    struct dormouse_node entries = dormouse_node_member(root, "entries");
    struct dormouse_node next = dormouse_node_member(root, "next");
    struct slice cursor = {0};
    bool has_next = node_text(next, &cursor);
    if (dormouse_node_type(entries) != DORMOUSE_ARRAY ||
        (!has_next && dormouse_node_type(next) != DORMOUSE_NULL)) {
        return false;
    }
    mem_free(list->cursor);
    list->cursor = has_next ? mem_strndup((const char *)cursor.data, cursor.len) : NULL;
    list->is_last = !has_next;
    list->doc = doc;
    list->walk = dormouse_node_walk(entries);
    return true;
}

static enum dormouse_code ask_page(struct dormouse_list *list, struct dormouse_error *ret_error)
{
    PRE(list->doc == NULL && !list->is_last);
    struct exchange x;
    exchange_init(&x, list->d, "GET", &list->call);
    exchange_actor(&x, list->actor, "kv");
    add_range(list, &x.target);
    struct dormouse_doc *doc = NULL;
    if (exchange_run_doc(&x, &doc) && !take_page(list, doc)) {
        dormouse_doc_free(doc);
        error_set(&x.error, DORMOUSE_PROTOCOL, "The answer is not a page of entries.");
    }
    return exchange_done(&x, ret_error);
}

static bool read_entry(struct dormouse_list *list, struct dormouse_node node)
{
    struct slice key;
    struct dormouse_node value = dormouse_node_member(node, "value");
    int64_t version = dormouse_node_int(dormouse_node_member(node, "version"), 0);
    if (!node_text(dormouse_node_member(node, "key"), &key) || version <= 0 ||
        (value.data == NULL && !list->keys_only)) {
        return false;
    }
    buf_clear(&list->key);
    buf_append_slice(&list->key, key);
    buf_append_byte(&list->key, '\0');
    buf_clear(&list->value);
    if (!list->keys_only) {
        value_to_json(node_slice(value), &list->value);
        buf_append_byte(&list->value, '\0');
    }
    list->entry = (struct dormouse_entry){
        .key = (const char *)list->key.data,
        .key_bytes = key.len,
        .value = list->keys_only ? NULL : (const char *)list->value.data,
        .value_bytes = list->keys_only ? 0 : list->value.len - 1,
        .version = (uint64_t)version,
    };
    return true;
}

enum dormouse_code dormouse_list_next(struct dormouse_list *list,
                                      const struct dormouse_entry **ret_entry,
                                      struct dormouse_error *ret_error)
{
    struct dormouse_error scratch;
    struct dormouse_error *error = ret_error == NULL ? &scratch : ret_error;
    error_clear(error);
    while (list->left > 0) {
        if (list->doc == NULL && list->is_last) {
            break;
        }
        if (list->doc == NULL && ask_page(list, error) != DORMOUSE_OK) {
            return error->kind;
        }
        if (dormouse_walk_next(&list->walk)) {
            if (!read_entry(list, list->walk.value)) {
                return error_set(error, DORMOUSE_PROTOCOL, "An entry of the page is malformed.");
            }
            list->left--;
            *ret_entry = &list->entry;
            return DORMOUSE_OK;
        }
        dormouse_doc_free(list->doc);
        list->doc = NULL;
    }
    *ret_entry = NULL;
    return DORMOUSE_OK;
}
