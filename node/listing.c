#include "node/listing.h"

#include <stdlib.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/cursor.h"
#include "node/decode.h"
#include "node/gather.h"
#include "node/listing_part.h"
#include "node/node.h"
#include "rpc/uri.h"
#include "rpc/value.h"
#include "storage/rows.h"

struct listing {
    struct callee callee;
    struct http_exchange *x; /* NULL: the client is gone */
    enum body_form form;
    struct listing_query query;
    struct bytes *id_prefix; /* NULL: none */
    struct gather gather;
    uint32_t part_count;
    struct listing_part parts[]; /* one a worker */
};

static void listing_free(struct listing *l)
{
    for (uint32_t i = 0; i < l->part_count; i++) {
        listing_part_free_rows(&l->parts[i]);
    }
    bytes_unref(l->id_prefix);
    mem_free(l);
}

static void on_cancel(struct callee *c)
{
    CONTAINER_OF(c, struct listing, callee)->x = NULL; /* freed when the last part is back */
}

/* The answer */

static int by_key(const void *left, const void *right)
{
    const struct found *const *l = left;
    const struct found *const *r = right;
    return slice_compare((*l)->key, (*r)->key);
}

/* The least of what the workers found; free with mem_free. */
static const struct found **merge(const struct listing *l, size_t *ret_count, bool *ret_more)
{
    size_t total = 0;
    *ret_more = false;
    for (uint32_t i = 0; i < l->part_count; i++) {
        total += l->parts[i].found_count;
        *ret_more = *ret_more || l->parts[i].more;
    }
    const struct found **all = mem_alloc((total + 1) * sizeof(const struct found *));
    size_t count = 0;
    for (uint32_t i = 0; i < l->part_count; i++) {
        for (size_t k = 0; k < l->parts[i].found_count; k++) {
            all[count++] = &l->parts[i].found[k];
        }
    }
    qsort(all, count, sizeof(const struct found *), by_key);
    *ret_more = *ret_more || count > l->query.limit;
    *ret_count = count < l->query.limit ? count : l->query.limit;
    return all;
}

/* False: it is not shown. Keys hold the beginning of an id alone; a prefix may be longer. */
static bool put_actor(struct buf *out, const struct found *f, struct slice id_prefix)
{
    struct directory_row directory;
    struct meta meta = {0};
    if (!found_decode(f, &directory, &meta) || !slice_has_prefix(directory.id, id_prefix)) {
        return false;
    }
    value_put_map(out, 5);
    value_put_text(out, "class");
    value_put_str(out, directory.class);
    value_put_text(out, "id");
    value_put_str(out, directory.id);
    value_put_text(out, "state");
    value_put_text(out, f->is_awake ? "awake" : "hibernated");
    value_put_text(out, "version");
    value_put_uint(out, meta.version);
    value_put_text(out, "bytes");
    value_put_uint(out, meta.bytes);
    return true;
}

static void put_cursor(struct buf *out, const struct found *last)
{
    struct buf cursor = {0};
    cursor_encode(last->key, &cursor);
    value_put_str(out, buf_slice(&cursor));
    buf_done(&cursor);
}

static void answer(struct listing *l)
{
    struct buf actors = {0};
    struct buf doc = {0};
    uint32_t shown = 0;
    size_t count;
    bool more;
    const struct found **page = merge(l, &count, &more);
    for (size_t i = 0; i < count; i++) {
        shown += put_actor(&actors, page[i], bytes_slice(l->id_prefix)) ? 1 : 0;
    }
    value_put_map(&doc, 2);
    value_put_text(&doc, "actors");
    value_put_array(&doc, shown);
    buf_append_slice(&doc, buf_slice(&actors));
    value_put_text(&doc, "next");
    if (more && count > 0) {
        put_cursor(&doc, page[count - 1]);
    } else {
        value_put_nil(&doc);
    }
    answer_document(l->x, 200, buf_slice(&doc), l->form);
    buf_done(&doc);
    buf_done(&actors);
    mem_free(page);
}

static void on_gathered(struct gather *g)
{
    struct listing *l = CONTAINER_OF(g, struct listing, gather);
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < l->part_count; i++) {
        err = l->parts[i].part.err;
    }
    if (l->x != NULL) {
        http_exchange_set_user(l->x, NULL);
        if (err == ERR_OK) {
            answer(l);
        } else {
            answer_err(l->x, err);
        }
    }
    listing_free(l);
}

/* The request */

/* Ids are sorted within a class. There is one class in this version, so a prefix alone means its ids;
 * with more of them it has to be looked for in each. */
static struct slice class_of_ids(struct slice class, struct slice id_prefix)
{
    return class.len == 0 && id_prefix.len > 0 ? SLICE("Store") : class;
}

/* A cursor of another namespace, class or prefix would show what was not asked for. */
static enum err decode_cursor(struct listing *l, const struct query *q, struct decode_error *e)
{
    struct slice text;
    struct bytes *after = NULL;
    if (!query_find(q, "cursor", &text)) {
        return ERR_OK;
    }
    if (cursor_decode(text, &after) != ERR_OK || after->len > ROW_KEY_BYTES_MAX ||
        !slice_has_prefix(bytes_slice(after), row_key_slice(&l->query.prefix))) {
        bytes_unref(after);
        return decode_fail(e, ERR_BAD_REQUEST, "The cursor is not one that this listing gave.");
    }
    row_key_set(&l->query.after, bytes_slice(after));
    bytes_unref(after);
    return ERR_OK;
}

static enum err decode_query(struct listing *l, struct slice ns, const struct query *q,
                             struct decode_error *e)
{
    static const char *const names[] = {"class", "prefix", "limit", "cursor"};
    struct slice class = {0};
    struct slice prefix = {0};
    uint64_t limit = LIST_LIMIT_DEFAULT;
    enum err err = decode_parameters(q, names, sizeof names / sizeof names[0], e);
    if (err != ERR_OK) {
        return err;
    }
    if (query_uint(q, "limit", 1, LIST_LIMIT_MAX, &limit) != ERR_OK) {
        return decode_fail(e, ERR_BAD_REQUEST, "limit is not within 1 to %d.", LIST_LIMIT_MAX);
    }
    if (query_find(q, "class", &class) && !address_class_is_valid(class)) {
        return decode_fail(e, ERR_INVALID_ID, "The class is not valid.");
    }
    (void)query_find(q, "prefix", &prefix);
    size_t key_len = prefix.len < LISTING_ID_BYTES_MAX ? prefix.len : LISTING_ID_BYTES_MAX;
    l->query.limit = (uint32_t)limit;
    l->id_prefix = bytes_new(prefix);
    row_key_listing_prefix(&l->query.prefix, ns, class_of_ids(class, prefix),
                           slice_of(prefix.data, key_len));
    return decode_cursor(l, q, e);
}

static enum err decode(struct listing *l, struct slice segment, struct slice query_text,
                       struct decode_error *e)
{
    struct buf ns = {0};
    struct query q = {0};
    enum err err = percent_decode(segment, &ns);
    if (err != ERR_OK) {
        err = decode_fail(e, err, "A percent escape in the path is not valid.");
    } else if (!address_namespace_is_valid(buf_slice(&ns))) {
        err = decode_fail(e, ERR_INVALID_ID, "The namespace is not valid.");
    } else if (query_init(&q, query_text) != ERR_OK) {
        err = decode_fail(e, ERR_BAD_REQUEST, "The query is malformed.");
    } else {
        err = decode_query(l, buf_slice(&ns), &q, e);
        query_done(&q);
    }
    buf_done(&ns);
    return err;
}

void listing_open(struct worker *w, struct http_exchange *x, struct slice ns, struct slice query)
{
    struct node *n = w->node;
    struct decode_error error;
    struct listing *l = mem_zalloc(sizeof *l + n->worker_count * sizeof l->parts[0]);
    if (decode(l, ns, query, &error) != ERR_OK) {
        listing_free(l);
        answer_error(x, &error);
        return;
    }
    l->callee.cancel = on_cancel;
    l->x = x;
    l->form = accepted_form(http_exchange_request(x));
    l->part_count = n->worker_count;
    http_exchange_set_user(x, &l->callee);
    gather_init(&l->gather, w, listing_part_begin, on_gathered);
    for (uint32_t i = 0; i < n->worker_count; i++) {
        l->parts[i].query = &l->query;
        gather_ask(&l->gather, &l->parts[i].part, &n->workers[i]);
    }
    gather_asked(&l->gather);
}
