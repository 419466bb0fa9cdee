#include "node/listing.h"

#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/cursor.h"
#include "node/decode.h"
#include "node/gather.h"
#include "node/listings.h"
#include "node/node.h"
#include "rpc/uri.h"
#include "rpc/value.h"

struct listing {
    struct callee callee;
    struct http_exchange *x; /* NULL: the client is gone */
    enum body_form form;
    uint32_t timeout_ms;
    struct bytes *id_prefix; /* NULL: none */
    struct listing_run run;
    struct gather gather;
    struct gather_part part; /* to worker 0 */
};

static void listing_free(struct listing *l)
{
    listing_page_done(&l->run.page);
    bytes_unref(l->id_prefix);
    mem_free(l);
}

static void on_cancel(struct callee *c)
{
    CONTAINER_OF(c, struct listing, callee)->x = NULL; /* freed when the run is back */
}

/* The answer */

static void put_actor(struct buf *out, const struct listed *a)
{
    value_put_map(out, 5);
    value_put_text(out, "class");
    value_put_str(out, a->class);
    value_put_text(out, "id");
    value_put_str(out, a->id);
    value_put_text(out, "state");
    value_put_text(out, a->is_awake ? "awake" : "hibernated");
    value_put_text(out, "version");
    value_put_uint(out, a->version);
    value_put_text(out, "bytes");
    value_put_uint(out, a->bytes);
}

static void put_cursor(struct buf *out, struct slice end)
{
    struct buf cursor = {0};
    cursor_encode(end, &cursor);
    value_put_str(out, buf_slice(&cursor));
    buf_done(&cursor);
}

/* Keys hold the beginning of an id alone; a prefix may be longer. */
static void answer(struct listing *l)
{
    const struct listing_page *page = &l->run.page;
    struct value_iter it = listing_page_items(page);
    struct buf actors = {0};
    struct buf doc = {0};
    uint32_t shown = 0;
    struct listed a;
    while (listing_page_next(&it, &a)) {
        if (slice_has_prefix(a.id, bytes_slice(l->id_prefix))) {
            put_actor(&actors, &a);
            shown++;
        }
    }
    value_put_map(&doc, 2);
    value_put_text(&doc, "actors");
    value_put_array(&doc, shown);
    buf_append_slice(&doc, buf_slice(&actors));
    value_put_text(&doc, "next");
    if (page->end.len > 0) {
        put_cursor(&doc, buf_slice(&page->end));
    } else {
        value_put_nil(&doc);
    }
    answer_document(l->x, 200, buf_slice(&doc), l->form);
    buf_done(&doc);
    buf_done(&actors);
}

static void on_gathered(struct gather *g)
{
    struct listing *l = CONTAINER_OF(g, struct listing, gather);
    enum err err = l->part.err;
    if (err != ERR_OK) {
        g->origin->counts.by_err[err]++;
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

static void on_listed(struct listing_run *r, enum err err)
{
    gather_part_done(&CONTAINER_OF(r, struct listing, run)->part, err);
}

static void begin_on_worker_0(struct gather_part *p)
{
    struct listing *l = CONTAINER_OF(p, struct listing, part);
    listings_begin(&p->worker->listings, &l->run, l->timeout_ms);
}

/* The request */

/* Ids are sorted within a class. Where no code ever was there is one class, so a prefix alone means its ids;
 * else it has to be looked for in each, and `answer` leaves out what does not begin so. */
static struct slice class_of_ids(struct worker *w, struct slice ns, struct slice class,
                                 struct slice id_prefix)
{
    size_t count;
    (void)deployments_releases(&worker_view(w)->deployments, ns, &count);
    return class.len == 0 && id_prefix.len > 0 && count == 0 ? SLICE(BUILT_IN_CLASS) : class;
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
        !slice_has_prefix(bytes_slice(after), row_key_slice(&l->run.query.prefix))) {
        bytes_unref(after);
        return decode_fail(e, ERR_BAD_REQUEST, "The cursor is not one that this listing gave.");
    }
    row_key_set(&l->run.query.after, bytes_slice(after));
    bytes_unref(after);
    return ERR_OK;
}

static enum err decode_query(struct worker *w, struct listing *l, struct slice ns,
                             const struct query *q, struct decode_error *e)
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
    l->run.query.limit = (uint32_t)limit;
    l->id_prefix = bytes_new(prefix);
    class = class_of_ids(w, ns, class, prefix);
    row_key_listing_prefix(&l->run.query.prefix, ns, class,
                           slice_of(prefix.data, class.len > 0 ? key_len : 0));
    return decode_cursor(l, q, e);
}

static enum err decode(struct worker *w, struct listing *l, struct slice segment,
                       struct slice query_text, struct decode_error *e)
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
        err = decode_query(w, l, buf_slice(&ns), &q, e);
        query_done(&q);
    }
    buf_done(&ns);
    return err;
}

void listing_open(struct worker *w, struct http_exchange *x, struct slice ns, struct slice query)
{
    const struct http_request *h = http_exchange_request(x);
    struct decode_error error;
    struct listing *l = MEM_NEW(struct listing);
    if (decode_timeout(h, &l->timeout_ms, &error) != ERR_OK ||
        decode(w, l, ns, query, &error) != ERR_OK) {
        listing_free(l);
        answer_error(x, &error);
        return;
    }
    l->callee.cancel = on_cancel;
    l->x = x;
    l->form = accepted_form(h);
    l->run.done = on_listed;
    http_exchange_set_user(x, &l->callee);
    gather_init(&l->gather, w, begin_on_worker_0, on_gathered);
    gather_ask(&l->gather, &l->part, &w->node->workers[0]);
    gather_asked(&l->gather);
}
