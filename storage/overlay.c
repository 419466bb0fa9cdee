#include "storage/overlay.h"

#include <stdlib.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/batch.h"
#include "storage/keyspace.h"

/* The first 8 bytes as a number: prefixes order as their keys do, equal ones decide nothing. */
static uint64_t prefix_of(struct slice key)
{
    uint8_t first[8] = {0};
    if (key.len > 0) {
        memcpy(first, key.data, key.len < sizeof first ? key.len : sizeof first);
    }
    return get_be64(first);
}

static int compare_to(uint64_t prefix, struct slice key, const struct overlay_row *row)
{
    if (prefix != row->prefix) {
        return prefix < row->prefix ? -1 : 1;
    }
    return slice_compare(key, overlay_row_key(row));
}

static int compare_rows(const struct overlay_row *a, const struct overlay_row *b)
{
    return compare_to(a->prefix, overlay_row_key(a), b);
}

#define OVERLAY_TREE_ATTRIBUTES __attribute__((unused)) static
RB_GENERATE_INTERNAL(overlay_tree, overlay_row, link, compare_rows, OVERLAY_TREE_ATTRIBUTES)

struct overlay *overlay_new(const struct applied *below)
{
    struct overlay *o = MEM_NEW(struct overlay);
    o->applied = *below;
    return o;
}

void overlay_free(struct overlay *o)
{
    if (o == NULL) {
        return;
    }
    map_done(&o->actors);
    table_done(&o->by_key);
    arena_done(&o->arena);
    mem_free(o);
}

static struct overlay_actor *find_actor(const struct overlay *o, uint64_t number)
{
    struct map_node *n = map_find(&o->actors, number);
    return n == NULL ? NULL : CONTAINER_OF(n, struct overlay_actor, node);
}

static struct overlay_actor *ensure_actor(struct overlay *o, uint64_t number)
{
    struct overlay_actor *actor = find_actor(o, number);
    if (actor == NULL) {
        actor = arena_alloc(&o->arena, sizeof *actor);
        *actor = (struct overlay_actor){.number = number};
        RB_INIT(&actor->rows);
        map_add(&o->actors, &actor->node, number);
    }
    return actor;
}

static struct overlay_row *find_row(const struct overlay *o, struct slice key)
{
    uint64_t hash = hash_of(key);
    struct table_walk w;
    struct overlay_row *row = table_first(&o->by_key, hash, &w);
    while (row != NULL && !slice_equal(overlay_row_whole_key(row), key)) {
        row = table_next(&o->by_key, hash, &w);
    }
    return row;
}

/* Order */

static void bring_in_oldest(struct overlay_actor *actor)
{
    struct overlay_row *row = actor->loose;
    struct overlay_row *there = RB_INSERT(overlay_tree, &actor->rows, row);
    INVARIANT(there == NULL);
    actor->loose = row->newer;
    actor->loose_count--;
}

static void append(struct overlay_actor *actor, struct overlay_row *row)
{
    if (actor->newest != NULL) {
        actor->newest->newer = row;
    } else {
        actor->oldest = row;
    }
    actor->newest = row;
    actor->row_count++;
    if (actor->loose == NULL) {
        actor->loose = row;
    }
    actor->loose_count++;
    if (actor->loose_count > OVERLAY_LOOSE_MAX) {
        bring_in_oldest(actor);
    }
}

static struct overlay_actor *find_ordered(const struct overlay *o, uint64_t number)
{
    struct overlay_actor *actor = find_actor(o, number);
    while (actor != NULL && actor->loose != NULL) {
        bring_in_oldest(actor);
    }
    return actor;
}

/* Applying */

static struct overlay_row *add_row(struct overlay *o, struct overlay_actor *actor, struct slice key,
                                   size_t payload_len)
{
    struct overlay_row *row = arena_alloc(&o->arena, sizeof *row + key.len + payload_len);
    *row = (struct overlay_row){.prefix = prefix_of(slice_skip(key, ROW_KEY_NUMBER_BYTES)),
                                .payload = row->key + key.len,
                                .payload_cap = (uint32_t)payload_len,
                                .key_len = (uint16_t)key.len};
    memcpy(row->key, key.data, key.len);
    table_add(&o->by_key, hash_of(key), row);
    append(actor, row);
    o->row_count++;
    return row;
}

static void write_row(struct overlay *o, const struct batch_op *op, bool deleted)
{
    struct overlay_row *row = find_row(o, op->key);
    struct overlay_actor *actor =
        row == NULL || o->drop_count > 0 ? ensure_actor(o, op->number) : NULL;
    if (actor != NULL && actor->dropped) {
        return;
    }
    if (row == NULL) {
        row = add_row(o, actor, op->key, op->payload.len);
    } else if (row->payload_cap < op->payload.len) {
        /* A value that grows with every write shall not leave all its former selves behind. */
        size_t cap = op->payload.len + op->payload.len / 2;
        row->payload = arena_alloc(&o->arena, cap);
        row->payload_cap = (uint32_t)cap;
    }
    if (op->payload.len > 0) {
        memcpy(row->payload, op->payload.data, op->payload.len);
    }
    row->payload_len = (uint32_t)op->payload.len;
    row->version = op->version;
    row->deleted = deleted;
}

static void drop(struct overlay *o, uint64_t number)
{
    struct overlay_actor *actor = ensure_actor(o, number);
    if (!actor->dropped) {
        actor->dropped = true;
        actor->oldest = NULL;
        actor->newest = NULL;
        actor->row_count = 0;
        actor->loose = NULL;
        actor->loose_count = 0;
        RB_INIT(&actor->rows);
        o->drop_count++;
    }
}

static void apply_op(struct overlay *o, const struct batch_op *op)
{
    switch (op->type) {
    case BATCH_PUT:
        write_row(o, op, false);
        return;
    case BATCH_DELETE:
        write_row(o, op, true);
        return;
    case BATCH_DROP:
        drop(o, op->number);
        o->applied.actors -= o->applied.actors > 0 ? 1 : 0;
        return;
    case BATCH_PUT_VERSION:
        break; /* the reader gives BATCH_PUT for both */
    }
    UNREACHABLE();
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The batch has been checked. */
static void apply_checked(struct overlay *o, struct slice batch, uint64_t now_ms)
{
    struct batch_reader r;
    struct batch_op op;
    enum err err = batch_open(&r, batch);
    INVARIANT(err == ERR_OK);
    while (r.ops_left > 0) {
        err = batch_next(&r, &op);
        INVARIANT(err == ERR_OK);
        apply_op(o, &op);
    }
    struct applied *a = &o->applied;
    a->version = max_u64(a->version, r.header.version);
    a->number = max_u64(a->number, r.header.born);
    a->actors += r.header.born != 0 ? 1 : 0;
    a->log_time_ms = max_u64(a->log_time_ms, r.header.log_time_ms);
    if (o->oldest_ms == 0) {
        o->oldest_ms = now_ms;
    }
}

/* `number` is the last one given before this batch, and after it on return. A row of a number that
 * was never given would be lost sight of: reads take for granted that what was born since the last
 * checkpoint is in memory alone (storage/view.h). */
static enum err check(struct slice batch, uint64_t *number)
{
    struct batch_reader r;
    struct batch_op op;
    enum err err = batch_open(&r, batch);
    if (err == ERR_OK) {
        *number = max_u64(*number, r.header.born);
    }
    while (err == ERR_OK && r.ops_left > 0) {
        err = batch_next(&r, &op);
        if (err == ERR_OK && op.number > *number) {
            err = ERR_CORRUPT;
        }
    }
    return err;
}

static enum err check_entry(const struct overlay *o, struct slice entry)
{
    uint64_t number = o->applied.number;
    enum err err = ERR_OK;
    while (err == ERR_OK && entry.len > 0) {
        struct slice batch;
        err = entry_next(&entry, &batch);
        if (err == ERR_OK) {
            err = check(batch, &number);
        }
    }
    return err;
}

enum err overlay_apply_batch(struct overlay *o, struct slice batch, uint64_t now_ms)
{
    uint64_t number = o->applied.number;
    enum err err = check(batch, &number);
    if (err == ERR_OK) {
        apply_checked(o, batch, now_ms);
    }
    return err;
}

enum err overlay_apply_entry(struct overlay *o, struct slice entry, uint64_t index, uint64_t term,
                             uint64_t now_ms)
{
    PRE(index > o->applied.index && term >= o->applied.term);

    enum err err = check_entry(o, entry);
    if (err != ERR_OK) {
        return err;
    }
    while (entry.len > 0) {
        struct slice batch;
        err = entry_next(&entry, &batch);
        INVARIANT(err == ERR_OK);
        apply_checked(o, batch, now_ms);
    }
    o->applied.index = index;
    o->applied.term = term;
    return ERR_OK;
}

/* Reading */

size_t overlay_bytes(const struct overlay *o)
{
    return sizeof *o + o->arena.bytes + o->actors.chain_count * sizeof(struct map_node *) +
           o->by_key.slot_count * sizeof(struct table_slot);
}

bool overlay_is_empty(const struct overlay *o)
{
    return o->actors.count == 0;
}

enum overlay_answer overlay_get(const struct overlay *o, struct slice key,
                                const struct overlay_row **ret_row)
{
    if (o->drop_count > 0 && overlay_is_dropped(o, row_key_number_of(key))) {
        return OVERLAY_DELETED;
    }
    const struct overlay_row *row = find_row(o, key);
    if (row == NULL) {
        return OVERLAY_ABSENT;
    }
    if (row->deleted) {
        return OVERLAY_DELETED;
    }
    *ret_row = row;
    return OVERLAY_FOUND;
}

bool overlay_is_dropped(const struct overlay *o, uint64_t number)
{
    const struct overlay_actor *actor = find_actor(o, number);
    return actor != NULL && actor->dropped;
}

bool overlay_has_actor(const struct overlay *o, uint64_t number)
{
    return find_actor(o, number) != NULL;
}

const struct overlay_row *overlay_seek(struct overlay *o, uint64_t number, struct slice key)
{
    const struct overlay_actor *actor = find_ordered(o, number);
    const struct overlay_row *best = NULL;
    uint64_t prefix = prefix_of(key);
    for (const struct overlay_row *at = actor == NULL ? NULL : RB_ROOT(&actor->rows); at != NULL;) {
        if (compare_to(prefix, key, at) <= 0) {
            best = at;
            at = RB_LEFT(at, link);
        } else {
            at = RB_RIGHT(at, link);
        }
    }
    return best;
}

const struct overlay_row *overlay_seek_below(struct overlay *o, uint64_t number, struct slice key)
{
    const struct overlay_actor *actor = find_ordered(o, number);
    const struct overlay_row *best = NULL;
    uint64_t prefix = prefix_of(key);
    for (const struct overlay_row *at = actor == NULL ? NULL : RB_ROOT(&actor->rows); at != NULL;) {
        if (compare_to(prefix, key, at) > 0) {
            best = at;
            at = RB_RIGHT(at, link);
        } else {
            at = RB_LEFT(at, link);
        }
    }
    return best;
}

const struct overlay_row *overlay_last(struct overlay *o, uint64_t number)
{
    struct overlay_actor *actor = find_ordered(o, number);
    return actor == NULL ? NULL : RB_MAX(overlay_tree, &actor->rows);
}

/* The tree's steps take no const, but change nothing. */
static struct overlay_row *unconst(const struct overlay_row *row)
{
    return (struct overlay_row *)(uintptr_t)row;
}

const struct overlay_row *overlay_next(const struct overlay_row *row)
{
    return RB_NEXT(overlay_tree, NULL, unconst(row));
}

const struct overlay_row *overlay_prev(const struct overlay_row *row)
{
    return RB_PREV(overlay_tree, NULL, unconst(row));
}

/* For the checkpoint */

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = (*(const struct overlay_actor *const *)a)->number;
    uint64_t right = (*(const struct overlay_actor *const *)b)->number;
    return left < right ? -1 : left > right;
}

const struct overlay_actor **overlay_sorted_actors(const struct overlay *o, size_t *ret_count)
{
    const struct overlay_actor **sorted = mem_alloc((o->actors.count + 1) * sizeof *sorted);
    size_t count = 0;
    MAP_FOREACH (n, &o->actors) {
        sorted[count++] = CONTAINER_OF(n, struct overlay_actor, node);
    }
    qsort(sorted, count, sizeof *sorted, compare_numbers);
    *ret_count = count;
    return sorted;
}

static int compare_places(const void *a, const void *b)
{
    return compare_rows(*(const struct overlay_row *const *)a,
                        *(const struct overlay_row *const *)b);
}

const struct overlay_row **overlay_sorted_rows(const struct overlay_actor *actor)
{
    const struct overlay_row **sorted = mem_alloc((actor->row_count + 1) * sizeof *sorted);
    size_t count = 0;
    for (const struct overlay_row *row = actor->oldest; row != NULL; row = row->newer) {
        sorted[count++] = row;
    }
    INVARIANT(count == actor->row_count);
    qsort(sorted, count, sizeof *sorted, compare_places);
    return sorted;
}
