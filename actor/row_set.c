#include "actor/row_set.h"

#include <string.h>

#include "base/invariant.h"
#include "base/map.h"
#include "base/mem.h"

static int compare(const struct row *a, const struct row *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    return slice_compare(row_name(a), row_name(b));
}

RB_GENERATE_INTERNAL(row_tree, row, node, compare, __attribute__((unused)) static)

static uint64_t hash_of_row(uint8_t kind, struct slice key)
{
    return hash_of(key) + kind;
}

static bool is_row(const struct row *row, uint8_t kind, struct slice key)
{
    return row->kind == kind && row->key_len == key.len &&
           (key.len == 0 || memcmp(row->key, key.data, key.len) == 0);
}

static size_t cost(const struct row *row)
{
    return sizeof *row + row->key_len + (row->value != NULL ? row->value->len : 0);
}

void row_set_init(struct row_set *set)
{
    *set = (struct row_set){.tree = RB_INITIALIZER(&set->tree)};
}

static void row_free(struct row *row)
{
    bytes_unref(row->value);
    mem_free(row);
}

void row_set_done(struct row_set *set)
{
    for (struct row *row = set->oldest, *next; row != NULL; row = next) {
        next = row->newer;
        row_free(row);
    }
    table_done(&set->by_key);
    row_set_init(set);
}

struct row *row_set_find(const struct row_set *set, uint8_t kind, struct slice key)
{
    if (set->count > ROW_SET_FEW) {
        uint64_t hash = hash_of_row(kind, key);
        struct table_walk w;
        struct row *row = table_first(&set->by_key, hash, &w);
        while (row != NULL && !is_row(row, kind, key)) {
            row = table_next(&set->by_key, hash, &w);
        }
        return row;
    }
    ROW_SET_FOREACH (row, set) {
        if (is_row(row, kind, key)) {
            return row;
        }
    }
    return NULL;
}

/* Order */

static void bring_in_oldest(struct row_set *set)
{
    struct row *row = set->loose;
    struct row *clash = RB_INSERT(row_tree, &set->tree, row);
    INVARIANT(clash == NULL);
    set->loose = row->newer;
    set->loose_count--;
}

static void bring_in_all(struct row_set *set)
{
    while (set->loose != NULL) {
        bring_in_oldest(set);
    }
    POST(set->loose_count == 0);
}

struct row *row_set_at_or_after(struct row_set *set, uint8_t kind, struct slice key)
{
    bring_in_all(set);
    struct row *after = NULL;
    for (struct row *at = set->tree.rbh_root; at != NULL;) {
        int order =
            at->kind != kind ? (kind < at->kind ? -1 : 1) : slice_compare(key, row_name(at));
        if (order == 0) {
            return at;
        }
        if (order < 0) {
            after = at;
            at = RB_LEFT(at, node);
        } else {
            at = RB_RIGHT(at, node);
        }
    }
    return after;
}

struct row *row_set_next(struct row *row)
{
    return RB_NEXT(row_tree, unused, row);
}

struct row *row_set_prev(struct row *row)
{
    return RB_PREV(row_tree, unused, row);
}

struct row *row_set_first(struct row_set *set)
{
    bring_in_all(set);
    return RB_MIN(row_tree, &set->tree);
}

struct row *row_set_last(struct row_set *set)
{
    bring_in_all(set);
    return RB_MAX(row_tree, &set->tree);
}

/* Setting and forgetting */

static void hash_row(struct row_set *set, struct row *row)
{
    table_add(&set->by_key, hash_of_row(row->kind, row_name(row)), row);
}

static void append(struct row_set *set, struct row *row)
{
    row->newer = NULL;
    if (set->newest != NULL) {
        set->newest->newer = row;
    } else {
        set->oldest = row;
    }
    set->newest = row;
    if (set->loose == NULL) {
        set->loose = row;
    }
    set->loose_count++;
    set->count++;
    if (set->count == ROW_SET_FEW + 1) {
        ROW_SET_FOREACH (each, set) {
            hash_row(set, each);
        }
    } else if (set->count > ROW_SET_FEW) {
        hash_row(set, row);
    }
    if (set->loose_count > ROW_SET_LOOSE_MAX) {
        bring_in_oldest(set);
    }
}

static struct row *add_row(struct row_set *set, uint8_t kind, struct slice key)
{
    struct row *row = mem_alloc(sizeof *row + key.len);
    *row = (struct row){.kind = kind, .key_len = (uint16_t)key.len};
    if (key.len > 0) {
        memcpy(row->key, key.data, key.len);
    }
    append(set, row);
    return row;
}

struct row *row_set_set(struct row_set *set, uint8_t kind, struct slice key, struct bytes *value,
                        uint64_t version)
{
    PRE(key.len <= UINT16_MAX);

    struct row *row = row_set_find(set, kind, key);
    if (row == NULL) {
        row = add_row(set, kind, key);
    } else {
        set->bytes -= cost(row);
    }
    (void)bytes_ref(value);
    bytes_unref(row->value);
    row->value = value;
    row->version = version;
    set->bytes += cost(row);
    return row;
}

/* All are looked at, so the set is made anew of those that stay. */
void row_set_forget(struct row_set *set, uint64_t version)
{
    struct row *row = set->oldest;
    table_done(&set->by_key);
    row_set_init(set);
    for (struct row *next; row != NULL; row = next) {
        next = row->newer;
        if (row->version <= version) {
            row_free(row);
        } else {
            append(set, row);
            set->bytes += cost(row);
        }
    }
}
