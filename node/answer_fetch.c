#include "node/answer_fetch.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"

enum { FIELDS_MAX = 256, FETCHED_ITEMS = 5 };

static size_t take_fields(struct slice doc, struct http_header *list, size_t max, struct buf *names)
{
    struct slice item;
    struct slice name_doc;
    struct slice value_doc;
    size_t count = 0;
    buf_reserve(names, doc.len); /* so that the slices into it stay good */
    for (struct value_iter it = value_items(doc); value_next(&it, &item) && count < max;) {
        struct value_iter pair = value_items(item);
        struct http_header f;
        if (!value_next(&pair, &name_doc) || !value_next(&pair, &value_doc) ||
            !value_get_str(name_doc, &f.name) || !value_get_str(value_doc, &f.value) ||
            !http_name_is_valid(f.name) || !http_value_is_valid(f.value) ||
            http_name_is_of_connection(f.name)) {
            continue;
        }
        size_t at = names->len;
        buf_append_slice(names, f.name);
        http_name_to_lower(names->data + at, f.name.len);
        f.name = slice_of(names->data + at, f.name.len);
        list[count++] = f;
    }
    return count;
}

bool answer_fetched_has(const struct request *r, enum fetched what)
{
    struct slice doc = bytes_slice(r->reply.body);
    struct slice item;
    bool has = false;
    int at = 0;
    if (r->reply.err != ERR_OK || doc.len == 0 || value_count(doc) != FETCHED_ITEMS) {
        return false;
    }
    for (struct value_iter it = value_items(doc); value_next(&it, &item); at++) {
        has = has || (at == (int)what && value_get_bool(item, &has) && has);
    }
    return has;
}

struct head {
    int status;
    struct http_header *list;
    size_t count;
    struct buf names;
};

static void head_done(struct head *h)
{
    mem_free(h->list);
    buf_done(&h->names);
}

/* Of one that answer_fetched_has. False: it is no status that an answer can have. */
static bool take_head(const struct request *r, const struct http_header *own, size_t own_count,
                      struct head *ret)
{
    struct value_iter it = value_items(bytes_slice(r->reply.body));
    struct slice status_doc;
    struct slice fields_doc;
    uint64_t status = 0;
    bool has_both = value_next(&it, &status_doc) && value_next(&it, &fields_doc);
    INVARIANT(has_both);
    *ret = (struct head){.list = mem_alloc((FIELDS_MAX + own_count) * sizeof *ret->list)};
    ret->count = take_fields(fields_doc, ret->list, FIELDS_MAX, &ret->names);
    memcpy(ret->list + ret->count, own, own_count * sizeof *own);
    ret->count += own_count;
    bool is_valid = value_get_uint(status_doc, &status) && status >= 200 && status <= 599;
    ret->status = (int)status;
    return is_valid;
}

void answer_fetched_socket(struct client_socket *c, const struct request *r,
                           const struct http_header *own, size_t own_count)
{
    struct head h;
    (void)take_head(r, own, own_count, &h); /* its status says what it is: 101 */
    client_socket_agree(c, h.list, h.count);
    head_done(&h);
}

void answer_fetched_body(struct client_body *c, const struct request *r,
                         const struct http_header *own, size_t own_count)
{
    struct head h;
    if (take_head(r, own, own_count, &h)) {
        client_body_begin(c, h.status, h.list, h.count);
    } else {
        struct http_exchange *x = c->x;
        client_body_drop(c);
        http_respond_problem(x, ERR_ACTOR_EXCEPTION, SLICE("fetch() answered no such response."),
                             NULL);
    }
    head_done(&h);
}

void answer_fetched(struct http_exchange *x, const struct request *r, const struct http_header *own,
                    size_t own_count)
{
    struct value_iter it = value_items(bytes_slice(r->reply.body));
    struct slice status_doc;
    struct slice fields_doc;
    struct slice body_doc;
    struct slice body;
    uint64_t status = 0;
    struct buf names = {0};
    if (!value_next(&it, &status_doc) || !value_get_uint(status_doc, &status) || status < 200 ||
        status > 599 || !value_next(&it, &fields_doc) || !value_next(&it, &body_doc)) {
        http_respond_problem(x, ERR_ACTOR_EXCEPTION, SLICE("fetch() answered no such response."),
                             NULL);
        return;
    }
    struct http_header *list = mem_alloc((FIELDS_MAX + own_count) * sizeof *list);
    size_t count = take_fields(fields_doc, list, FIELDS_MAX, &names);
    memcpy(list + count, own, own_count * sizeof *own);
    count += own_count;
    if (value_get_bin(body_doc, &body)) {
        http_respond_from(x, (int)status, list, count, r->reply.body,
                          (size_t)(body.data - r->reply.body->data));
    } else {
        http_respond(x, (int)status, list, count, NULL);
    }
    mem_free(list);
    buf_done(&names);
}
