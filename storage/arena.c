#include "storage/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/invariant.h"
#include "base/mem.h"

enum {
    CHUNK_BYTES_FIRST = 64 << 10,
    CHUNK_BYTES_MAX = 4 << 20,
    PAGE_BYTES = 4096,
    ALIGN_BYTES = 8,
};

struct arena_chunk {
    struct arena_chunk *next;
    size_t bytes; /* this head included */
    size_t used;
    bool mapped;
};

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Room for `bytes` in a chunk of at least `least` bytes. */
static struct arena_chunk *chunk_new(struct arena *a, size_t bytes, size_t least)
{
    size_t need = round_up(bytes + sizeof(struct arena_chunk), PAGE_BYTES);
    size_t size = need > least ? need : least;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool mapped = p != MAP_FAILED;
    /* Out of mappings is not out of memory; if it is, mem_alloc ends the process as it does. */
    struct arena_chunk *c = mapped ? p : mem_alloc(size);
    *c = (struct arena_chunk){.bytes = size, .used = sizeof *c, .mapped = mapped};
    a->bytes += size;
    return c;
}

static void push_full(struct arena *a, struct arena_chunk *c)
{
    if (c != NULL) {
        c->next = a->full;
        a->full = c;
    }
}

static void *take(struct arena_chunk *c, size_t bytes)
{
    void *piece = (uint8_t *)c + c->used;
    c->used += bytes;
    POST(c->used <= c->bytes);
    return piece;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    bytes = round_up(bytes, ALIGN_BYTES);
    if (a->current != NULL && a->current->bytes - a->current->used >= bytes) {
        return take(a->current, bytes);
    }
    size_t next_bytes = a->chunk_bytes == 0                ? CHUNK_BYTES_FIRST
                        : a->chunk_bytes < CHUNK_BYTES_MAX ? a->chunk_bytes * 2
                                                           : CHUNK_BYTES_MAX;
    if (bytes > next_bytes / 4) { /* not worth giving up what is left of the current chunk */
        struct arena_chunk *own = chunk_new(a, bytes, 0);
        push_full(a, own);
        return take(own, bytes);
    }
    push_full(a, a->current);
    a->current = chunk_new(a, bytes, next_bytes);
    a->chunk_bytes = next_bytes;
    return take(a->current, bytes);
}

static void chunk_free(struct arena_chunk *c)
{
    if (c->mapped) {
        INVARIANT(munmap(c, c->bytes) == 0);
    } else {
        mem_free(c);
    }
}

void arena_done(struct arena *a)
{
    push_full(a, a->current);
    for (struct arena_chunk *c = a->full, *next; c != NULL; c = next) {
        next = c->next;
        chunk_free(c);
    }
    *a = (struct arena){0};
}
