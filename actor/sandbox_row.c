#include "actor/sandbox_row.h"

#include "actor/sandbox_layers.h"
#include "actor/sandbox_own.h"

void row_put_layers(struct buf *out, const char *newest, struct slice rest)
{
    struct slice item;
    bool has_new = *newest != '\0';
    value_put_array(out, (rest.len > 0 ? value_count(rest) : 0) + (has_new ? 1 : 0));
    if (has_new) {
        value_put_text(out, newest);
    }
    if (rest.len > 0) {
        for (struct value_iter it = value_items(rest); value_next(&it, &item);) {
            value_put_raw(out, item);
        }
    }
}

bool row_next_snapshot(struct value_iter *it, struct snapshot *ret)
{
    struct slice item;
    if (!value_next(it, &ret->doc)) {
        return false;
    }
    struct value_iter in = value_items(ret->doc);
    return value_next(&in, &item) && value_get_str(item, &ret->id) && value_next(&in, &item) &&
           value_get_str(item, &ret->name) && value_next(&in, &item) &&
           value_get_uint(item, &ret->created_ms) && value_next(&in, &ret->layers);
}

struct value_iter row_snapshots_of(const struct sandbox_spec *s)
{
    return s->snapshots.len > 0 ? value_items(s->snapshots) : (struct value_iter){.left = 0};
}

bool row_find_snapshot(const struct sandbox_spec *s, struct slice wanted, struct snapshot *ret)
{
    for (struct value_iter it = row_snapshots_of(s); row_next_snapshot(&it, ret);) {
        if (slice_equal(ret->id, wanted) || slice_equal(ret->name, wanted)) {
            return true;
        }
    }
    return false;
}

/* Layers that a row names, its snapshots included */

static bool list_has(struct slice layers, struct slice hash)
{
    struct slice item;
    struct slice text;
    if (layers.len == 0) {
        return false;
    }
    for (struct value_iter it = value_items(layers); value_next(&it, &item);) {
        if (value_get_str(item, &text) && slice_equal(text, hash)) {
            return true;
        }
    }
    return false;
}

bool row_has(const struct sandbox_spec *s, struct slice hash)
{
    struct snapshot snapshot;
    if (list_has(s->layers, hash)) {
        return true;
    }
    for (struct value_iter it = row_snapshots_of(s); row_next_snapshot(&it, &snapshot);) {
        if (list_has(snapshot.layers, hash)) {
            return true;
        }
    }
    return false;
}

static void release_list(struct box *b, struct slice layers, const struct sandbox_spec *kept)
{
    struct slice item;
    struct slice hash;
    if (layers.len == 0) {
        return;
    }
    for (struct value_iter it = value_items(layers); value_next(&it, &item);) {
        if (value_get_str(item, &hash) && (kept == NULL || !row_has(kept, hash))) {
            layer_release(b->host->disks, hash, b->disk);
        }
    }
}

/* What the box's row names and `kept` does not; NULL: all of it. */
void layers_release(struct box *b, const struct sandbox_spec *kept)
{
    struct snapshot snapshot;
    release_list(b, b->spec.layers, kept);
    for (struct value_iter it = row_snapshots_of(&b->spec); row_next_snapshot(&it, &snapshot);) {
        release_list(b, snapshot.layers, kept);
    }
}
