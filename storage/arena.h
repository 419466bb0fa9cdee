/* An arena: many small pieces of memory that are freed together.
 *
 * Chunks start at 64 KB, so that a quiet shard stays small, and double up to 4 MB; a large piece
 * gets a chunk of its own. Chunks are mapped, not malloc'ed: an overlay lives for seconds and its
 * memory must go back to the system at once, whereas malloc raises its mmap threshold with every
 * large block freed and would keep them in the heap. */
#ifndef STORAGE_ARENA_H
#define STORAGE_ARENA_H

#include <stddef.h>

struct arena_chunk;

/* Zero-initialised is empty and valid. */
struct arena {
    struct arena_chunk *current; /* pieces come from here ... */
    struct arena_chunk *full;    /* ... not from these; linked */
    size_t chunk_bytes;          /* of the newest ordinary chunk */
    size_t bytes;                /* mapped in all */
};

void *arena_alloc(struct arena *a, size_t bytes); /* never NULL; 8-byte aligned; undefined bytes */
void arena_done(struct arena *a);                 /* unmaps everything; the arena is empty again */

#endif
