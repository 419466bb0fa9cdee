#include "node/listing_page.h"

#include <string.h>

#include "actor/request.h"
#include "base/invariant.h"
#include "node/record.h"

enum { ACTOR_PARTS = 6 };

void listing_page_done(struct listing_page *p)
{
    buf_done(&p->actors);
    buf_done(&p->end);
    p->count = 0;
}

void listing_page_clear(struct listing_page *p)
{
    buf_clear(&p->actors);
    buf_clear(&p->end);
    p->count = 0;
}

void listing_page_put(struct listing_page *p, const struct listed *l)
{
    value_put_array(&p->actors, ACTOR_PARTS);
    value_put_bin(&p->actors, l->key);
    value_put_str(&p->actors, l->class);
    value_put_str(&p->actors, l->id);
    value_put_bool(&p->actors, l->is_awake);
    value_put_uint(&p->actors, l->version);
    value_put_uint(&p->actors, l->bytes);
    p->count++;
}

void listing_page_end_at(struct listing_page *p, struct slice key)
{
    PRE(key.len > 0);
    buf_clear(&p->end);
    buf_append_slice(&p->end, key);
}

/* Reading */

struct value_iter listing_page_items(const struct listing_page *p)
{
    return (struct value_iter){.rest = buf_slice(&p->actors), .left = p->count};
}

/* False where it is no actor. Later versions may add parts. */
static bool read_actor(struct slice document, struct listed *ret)
{
    struct value_iter it = value_items(document);
    struct slice part;
    return value_next(&it, &part) && value_get_bin(part, &ret->key) && value_next(&it, &part) &&
           value_get_str(part, &ret->class) && value_next(&it, &part) &&
           value_get_str(part, &ret->id) && value_next(&it, &part) &&
           value_get_bool(part, &ret->is_awake) && value_next(&it, &part) &&
           value_get_uint(part, &ret->version) && value_next(&it, &part) &&
           value_get_uint(part, &ret->bytes);
}

bool listing_page_next(struct value_iter *it, struct listed *ret_listed)
{
    struct slice document;
    if (!value_next(it, &document)) {
        return false;
    }
    bool is_actor = read_actor(document, ret_listed);
    INVARIANT(is_actor); /* it was put, or checked when it came */
    return true;
}

/* Merging */

/* How far both go; empty: to the end. */
static struct slice nearer_end(const struct listing_page *a, const struct listing_page *b)
{
    struct slice ends[] = {buf_slice(&a->end), buf_slice(&b->end)};
    if (ends[0].len == 0 || ends[1].len == 0) {
        return ends[0].len == 0 ? ends[1] : ends[0];
    }
    return slice_compare(ends[0], ends[1]) <= 0 ? ends[0] : ends[1];
}

struct side {
    struct value_iter it;
    struct listed first;
    bool has_first;
};

static void step(struct side *s)
{
    s->has_first = listing_page_next(&s->it, &s->first);
}

static struct side side_of(const struct listing_page *p)
{
    struct side s = {.it = listing_page_items(p)};
    step(&s);
    return s;
}

/* The side whose first actor is the next; NULL: there is none up to `end`. */
static struct side *nearer_side(struct side *a, struct side *b, struct slice end)
{
    struct side *s = a->has_first ? a : b;
    if (a->has_first && b->has_first) {
        s = slice_compare(a->first.key, b->first.key) <= 0 ? a : b;
    }
    bool is_within = s->has_first && (end.len == 0 || slice_compare(s->first.key, end) <= 0);
    return is_within ? s : NULL;
}

void listing_page_merge(struct listing_page *p, const struct listing_page *other, uint32_t limit)
{
    PRE(limit > 0);
    struct listing_page both = {0};
    struct side a = side_of(p);
    struct side b = side_of(other);
    struct slice end = nearer_end(p, other);
    struct slice last = {0};
    struct side *s;
    while ((s = nearer_side(&a, &b, end)) != NULL && both.count < limit) {
        listing_page_put(&both, &s->first);
        last = s->first.key;
        step(s);
    }
    end = s != NULL ? last : end;
    if (end.len > 0) {
        listing_page_end_at(&both, end);
    }
    listing_page_done(p);
    *p = both;
}

/* Between nodes */

static void put_bin(struct buf *out, const char *name, struct slice bytes)
{
    value_put_text(out, name);
    value_put_bin(out, bytes);
}

static bool take_bin(struct slice map, const char *name, struct slice *ret)
{
    struct slice member;
    return value_member(map, name, &member) && value_get_bin(member, ret);
}

static size_t bytes_of_shards(uint32_t shard_count)
{
    return (shard_count + 7) / 8;
}

void listing_ask_encode(const struct listing_query *q, uint32_t shard_count, struct buf *out)
{
    value_put_map(out, 4);
    value_put_text(out, "limit");
    value_put_uint(out, q->limit);
    put_bin(out, "prefix", row_key_slice(&q->prefix));
    put_bin(out, "after", row_key_slice(&q->after));
    put_bin(out, "shards", slice_of(q->shards, bytes_of_shards(shard_count)));
}

static bool take_key(struct slice map, const char *name, struct row_key *ret)
{
    struct slice key;
    if (!take_bin(map, name, &key) || key.len > ROW_KEY_BYTES_MAX) {
        return false;
    }
    row_key_set(ret, key);
    return true;
}

static bool take_shards(struct slice map, uint32_t shard_count, struct listing_query *q)
{
    struct slice bits;
    if (!take_bin(map, "shards", &bits) || bits.len != bytes_of_shards(shard_count)) {
        return false;
    }
    memcpy(q->shards, bits.data, bits.len);
    return shard_count % 8 == 0 || bits.data[bits.len - 1] >> shard_count % 8 == 0;
}

/* All rows of a listing have one kind and the number of none; a range of others is not to be asked for. */
static bool is_listing(const struct listing_query *q)
{
    struct row_key kind;
    row_key_kind(&kind, SHARD_NUMBER, ROW_LISTING);
    return slice_has_prefix(row_key_slice(&q->prefix), row_key_slice(&kind)) &&
           (q->after.len == 0 ||
            slice_has_prefix(row_key_slice(&q->after), row_key_slice(&q->prefix)));
}

enum err listing_ask_decode(struct slice bytes, uint32_t shard_count,
                            struct listing_query *ret_query)
{
    PRE(shard_count <= DATA_SHARDS_MAX);
    struct listing_query q = {0};
    uint64_t limit;
    if (!record_is_map(bytes) || !record_uint(bytes, "limit", &limit) || limit == 0 ||
        limit > LIST_LIMIT_MAX || !take_key(bytes, "prefix", &q.prefix) ||
        !take_key(bytes, "after", &q.after) || !take_shards(bytes, shard_count, &q) ||
        !is_listing(&q)) {
        return ERR_CORRUPT;
    }
    q.limit = (uint32_t)limit;
    *ret_query = q;
    return ERR_OK;
}

void listing_answer_encode(enum err err, const struct listing_page *p, struct buf *out)
{
    value_put_map(out, err == ERR_OK ? 3 : 1);
    value_put_text(out, "err");
    value_put_text(out, err_info(err)->name);
    if (err == ERR_OK) {
        put_bin(out, "end", buf_slice(&p->end));
        value_put_text(out, "actors");
        value_put_array(out, p->count);
        buf_append_slice(out, buf_slice(&p->actors));
    }
}

static enum err take_err(struct slice map, enum err *ret)
{
    struct slice member;
    struct slice name;
    if (!value_member(map, "err", &member) || !value_get_str(member, &name)) {
        return ERR_CORRUPT;
    }
    for (int i = 0; i < ERR_COUNT; i++) {
        if (slice_equal_str(name, err_info((enum err)i)->name)) {
            *ret = (enum err)i;
            return ERR_OK;
        }
    }
    return ERR_FORMAT;
}

/* Whether it may follow `before` in an answer to the question. */
static bool is_next(const struct listing_query *q, struct slice before, struct slice key)
{
    return key.len <= ROW_KEY_BYTES_MAX && slice_compare(key, before) > 0 &&
           slice_has_prefix(key, row_key_slice(&q->prefix));
}

/* What the merge relies on: keys that rise, and an end that is not before them and gets further. */
static bool take_actors(struct slice array, const struct listing_query *q, struct listing_page *p)
{
    struct slice last = row_key_slice(&q->after);
    struct slice document;
    struct listed l;
    if (value_type(array) != VALUE_ARRAY || value_count(array) > q->limit) {
        return false;
    }
    for (struct value_iter it = value_items(array); value_next(&it, &document);) {
        if (!read_actor(document, &l) || !is_next(q, last, l.key)) {
            return false;
        }
        listing_page_put(p, &l);
        last = l.key;
    }
    struct slice end = buf_slice(&p->end);
    return end.len == 0 || (p->count > 0 && slice_equal(end, last)) || is_next(q, last, end);
}

enum err listing_answer_decode(struct slice bytes, const struct listing_query *q, enum err *ret_err,
                               struct listing_page *ret_page)
{
    struct listing_page page = {0};
    struct slice end;
    struct slice actors;
    enum err said;
    enum err err = record_is_map(bytes) ? take_err(bytes, &said) : ERR_CORRUPT;
    if (err != ERR_OK) {
        return err;
    }
    if (said == ERR_OK) {
        if (!take_bin(bytes, "end", &end) || !value_member(bytes, "actors", &actors)) {
            return ERR_CORRUPT;
        }
        buf_append_slice(&page.end, end);
        if (!take_actors(actors, q, &page)) {
            listing_page_done(&page);
            return ERR_CORRUPT;
        }
    }
    *ret_err = said;
    *ret_page = page;
    return ERR_OK;
}
