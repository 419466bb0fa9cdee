#include "storage/rowset.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/keyspace.h"

enum { ROWS_FIRST = 8 };

static struct rowset_row *add(struct rowset *s, struct slice key)
{
    PRE(key.len <= ROW_KEY_BYTES_MAX);
    if (s->count == s->cap) {
        s->cap = s->cap == 0 ? ROWS_FIRST : s->cap * 2;
        s->rows = mem_realloc(s->rows, s->cap * sizeof *s->rows);
    }
    struct rowset_row *row = &s->rows[s->count++];
    *row = (struct rowset_row){.at = s->bytes.len, .key_len = (uint16_t)key.len};
    buf_append_slice(&s->bytes, key);
    return row;
}

void rowset_add(struct rowset *s, struct slice key, uint64_t version, struct slice payload)
{
    PRE(payload.len <= UINT32_MAX);
    struct rowset_row *row = add(s, key);
    row->version = version;
    row->payload_len = (uint32_t)payload.len;
    row->present = true;
    buf_append_slice(&s->bytes, payload);
}

void rowset_add_absent(struct rowset *s, struct slice key)
{
    (void)add(s, key);
}

void rowset_clear(struct rowset *s)
{
    s->count = 0;
    buf_clear(&s->bytes);
}

void rowset_done(struct rowset *s)
{
    buf_done(&s->bytes);
    mem_free(s->rows);
    *s = (struct rowset){0};
}

struct rowset rowset_take(struct rowset *from)
{
    struct rowset taken = *from;
    *from = (struct rowset){0};
    return taken;
}
