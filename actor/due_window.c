#include "actor/due_window.h"

#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"

static int compare(struct due_entry *a, struct due_entry *b)
{
    return slice_compare(due_entry_key(a), due_entry_key(b));
}

RB_GENERATE_INTERNAL(due_tree, due_entry, node, compare, __attribute__((unused)) static)

uint64_t due_entry_ms(const struct due_entry *e)
{
    struct due_key key;
    enum err err = row_key_parse_due(due_entry_key(e), &key);
    INVARIANT(err == ERR_OK); /* checked when it was put */
    return key.due_ms;
}

void due_window_init(struct due_window *w, struct heap *held, void *owner)
{
    *w = (struct due_window){.held = held, .owner = owner};
    RB_INIT(&w->waiting);
    RB_INIT(&w->others);
    row_key_kind(&w->edge, SHARD_NUMBER, ROW_DUE);
}

static struct due_tree *tree_of(struct due_window *w, const struct due_entry *e)
{
    return e->stage == DUE_WAITING ? &w->waiting : &w->others;
}

static size_t *count_of(struct due_window *w, const struct due_entry *e)
{
    return e->stage == DUE_WAITING ? &w->waiting_count : &w->others_count;
}

static void insert(struct due_window *w, struct due_entry *e)
{
    struct due_entry *same = RB_INSERT(due_tree, tree_of(w, e), e);
    INVARIANT(same == NULL);
    ++*count_of(w, e);
}

static void detach(struct due_window *w, struct due_entry *e)
{
    (void)RB_REMOVE(due_tree, tree_of(w, e), e);
    --*count_of(w, e);
    heap_remove(w->held, &e->held);
}

static void remove_entry(struct due_window *w, struct due_entry *e)
{
    detach(w, e);
    mem_free(e);
}

/* A change of stage has one door. */
static void entry_move(struct due_window *w, struct due_entry *e, enum due_stage to)
{
    static const bool allowed[3][3] = {
        [DUE_WAITING] = {[DUE_TAKEN] = true},
        [DUE_TAKEN] = {[DUE_HELD] = true, [DUE_WAITING] = true},
        [DUE_HELD] = {[DUE_WAITING] = true},
    };
    INVARIANT(allowed[e->stage][to]);
    detach(w, e);
    e->stage = to;
    insert(w, e);
}

void due_window_done(struct due_window *w)
{
    struct due_entry *e;
    while ((e = RB_MIN(due_tree, &w->waiting)) != NULL) {
        remove_entry(w, e);
    }
    while ((e = RB_MIN(due_tree, &w->others)) != NULL) {
        remove_entry(w, e);
    }
    buf_done(&w->noted);
}

struct due_entry *due_window_find(struct due_window *w, struct slice key)
{
    union {
        struct due_entry entry;
        uint8_t room[sizeof(struct due_entry) + ROW_KEY_BYTES_MAX];
    } probe;
    PRE(key.len <= ROW_KEY_BYTES_MAX);
    probe.entry.key_len = (uint16_t)key.len;
    memcpy(probe.room + offsetof(struct due_entry, key), key.data, key.len);
    struct due_entry *e = RB_FIND(due_tree, &w->waiting, &probe.entry);
    return e != NULL ? e : RB_FIND(due_tree, &w->others, &probe.entry);
}

static bool is_beyond(const struct due_window *w, struct slice key)
{
    return w->edge.len > 0 && slice_compare(key, row_key_slice(&w->edge)) >= 0;
}

/* Of a page under way nothing will be used. */
static void void_page(struct due_window *w)
{
    w->page_is_void = true;
    buf_clear(&w->noted);
}

/* Makes room for one entry by giving up the last waiting one. */
static void shrink(struct due_window *w)
{
    struct due_entry *last = RB_MAX(due_tree, &w->waiting);
    if (last == NULL || (w->waiting_count <= DUE_WINDOW_NEAR_MAX &&
                         w->waiting_count + w->others_count <= DUE_WINDOW_ALL_MAX)) {
        return;
    }
    row_key_set(&w->edge, due_entry_key(last));
    void_page(w);
    remove_entry(w, last);
}

static void put(struct due_window *w, struct slice key, const struct identity *identity)
{
    if (due_window_find(w, key) != NULL) {
        return;
    }
    struct due_entry *e = mem_zalloc(sizeof *e + key.len);
    e->stage = DUE_WAITING;
    e->identity = *identity;
    e->owner = w->owner;
    e->key_len = (uint16_t)key.len;
    memcpy(e->key, key.data, key.len);
    insert(w, e);
    shrink(w);
}

/* A put has an identity. */
static void note(struct due_window *w, struct slice key, const struct identity *identity)
{
    if (!w->is_paging || w->page_is_void) {
        return;
    }
    buf_append_byte(&w->noted, identity != NULL ? 1 : 0);
    buf_append_u16(&w->noted, (uint16_t)key.len);
    buf_append_slice(&w->noted, key);
    if (identity != NULL) {
        buf_append(&w->noted, identity->bytes, IDENTITY_BYTES);
    }
    if (w->noted.len > DUE_WINDOW_NOTED_BYTES_MAX) {
        void_page(w);
    }
}

void due_window_put(struct due_window *w, struct slice key, const struct identity *identity)
{
    if (is_beyond(w, key)) {
        note(w, key, identity);
    } else {
        put(w, key, identity);
    }
}

void due_window_delete(struct due_window *w, struct slice key)
{
    struct due_entry *e = due_window_find(w, key);
    if (is_beyond(w, key)) {
        note(w, key, NULL);
    }
    if (e != NULL) {
        remove_entry(w, e);
    }
}

void due_window_begin_page(struct due_window *w)
{
    PRE(!w->is_paging && w->edge.len > 0);
    w->is_paging = true;
    w->page_is_void = false;
    buf_clear(&w->noted);
}

bool due_window_take_page(struct due_window *w, const struct row_key *edge)
{
    PRE(w->is_paging);
    w->is_paging = false;
    if (w->page_is_void) {
        return false;
    }
    INVARIANT(edge->len == 0 || slice_compare(row_key_slice(edge), row_key_slice(&w->edge)) >= 0);
    w->edge = *edge;
    return true;
}

void due_window_end_page(struct due_window *w)
{
    PRE(!w->is_paging);
    struct buf noted = buf_take(&w->noted);
    struct slice rest = buf_slice(&noted);
    while (rest.len > 0) {
        bool is_put = rest.data[0] == 1;
        struct slice key = slice_of(rest.data + 3, get_be16(rest.data + 1));
        rest = slice_skip(rest, 3 + key.len);
        if (is_put) {
            struct identity identity;
            memcpy(identity.bytes, rest.data, IDENTITY_BYTES);
            rest = slice_skip(rest, IDENTITY_BYTES);
            due_window_put(w, key, &identity);
        } else {
            due_window_delete(w, key);
        }
    }
    buf_done(&noted);
}

void due_window_drop_page(struct due_window *w)
{
    PRE(w->is_paging);
    w->is_paging = false;
    buf_clear(&w->noted);
}

size_t due_window_room(const struct due_window *w)
{
    size_t all = w->waiting_count + w->others_count;
    size_t near =
        w->waiting_count < DUE_WINDOW_NEAR_MAX ? DUE_WINDOW_NEAR_MAX - w->waiting_count : 0;
    size_t total = all < DUE_WINDOW_ALL_MAX ? DUE_WINDOW_ALL_MAX - all : 0;
    return near < total ? near : total;
}

bool due_window_wants_page(const struct due_window *w)
{
    return w->edge.len > 0 && w->waiting_count < DUE_WINDOW_NEAR_LOW && due_window_room(w) > 0;
}

struct due_entry *due_window_first(struct due_window *w)
{
    return RB_MIN(due_tree, &w->waiting);
}

void due_window_take(struct due_window *w, struct due_entry *e)
{
    entry_move(w, e, DUE_TAKEN);
}

void due_window_hold(struct due_window *w, struct due_entry *e, uint64_t until_mono_ms)
{
    entry_move(w, e, DUE_HELD);
    heap_set(w->held, &e->held, until_mono_ms);
}

void due_window_release(struct due_window *w, struct due_entry *e)
{
    entry_move(w, e, DUE_WAITING);
    shrink(w);
}
