#include "base/mem.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/invariant.h"

/* A body of megabytes comes seldom, and stays in memory for milliseconds: pages from the system cost
 * less than the copy. Smaller blocks come and go all the time. */
enum { LARGE_BYTES = 1024 * 1024, TOP_BYTES = 4 * 1024 * 1024 };

static int fail_after = -1;

static _Noreturn void out_of_memory(size_t bytes)
{
    (void)fprintf(stderr, "out of memory: %zu bytes\n", bytes);
    _Exit(EX_OSERR);
}

void mem_init(void)
{
    (void)mallopt(M_MMAP_THRESHOLD,
                  LARGE_BYTES); /* else it grows with each that is freed, to 32 MB */
    (void)mallopt(M_TRIM_THRESHOLD, TOP_BYTES); /* which the other one would be 128 KB with */
}

void mem_fail_after(int n)
{
    fail_after = n;
}

static int fails_now(void)
{
    if (fail_after < 0) {
        return 0;
    }
    if (fail_after == 0) {
        return 1;
    }
    fail_after--;
    return 0;
}

/* Small blocks: lists of free ones by what they hold at least, in steps of 16 bytes as the allocator
 * has them. */

enum {
    SMALL_STEP = 16,
    SMALL_LEAST = 8, /* class n holds n * SMALL_STEP + SMALL_LEAST bytes or more */
    SMALL_CLASSES = 160,
    SMALL_BYTES_MAX = (SMALL_CLASSES - 1) * SMALL_STEP + SMALL_LEAST,
    SMALL_KEPT_BYTES = 32 * 1024, /* of a class */
};

struct small_block {
    struct small_block *next;
};

struct small_class {
    struct small_block *first;
    size_t left; /* so many more may be kept */
};

struct small {
    struct small_class classes[SMALL_CLASSES];
};

static _Thread_local struct small *small; /* NULL: this thread keeps none */

static size_t class_for(size_t bytes)
{
    return (bytes + SMALL_STEP - SMALL_LEAST - 1) / SMALL_STEP;
}

/* NULL where none is kept. */
static void *take_small(size_t bytes)
{
    if (small == NULL || bytes > SMALL_BYTES_MAX) {
        return NULL;
    }
    struct small_class *c = &small->classes[class_for(bytes)];
    struct small_block *block = c->first;
    if (block != NULL) {
        c->first = block->next;
        c->left++;
    }
    return block;
}

/* False: it is not kept. */
static bool keep_small(void *pointer)
{
    if (small == NULL || pointer == NULL) {
        return false;
    }
    size_t index = (malloc_usable_size(pointer) - SMALL_LEAST) / SMALL_STEP;
    if (index >= SMALL_CLASSES || small->classes[index].left == 0) {
        return false;
    }
    struct small_block *block = pointer;
    struct small_class *c = &small->classes[index];
    block->next = c->first;
    c->first = block;
    c->left--;
    return true;
}

static void fill_limits(void)
{
    for (size_t i = 0; i < SMALL_CLASSES; i++) {
        small->classes[i] =
            (struct small_class){.left = SMALL_KEPT_BYTES / (i * SMALL_STEP + SMALL_LEAST)};
    }
}

void mem_keep_small(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    PRE(small == NULL);
    small = mem_alloc(sizeof *small);
    fill_limits();
#endif
}

void mem_give_back_small(void)
{
    for (size_t i = 0; small != NULL && i < SMALL_CLASSES; i++) {
        for (struct small_block *b = small->classes[i].first, *next; b != NULL; b = next) {
            next = b->next;
            free(b);
        }
    }
    if (small != NULL) {
        fill_limits();
    }
}

void mem_keep_no_small(void)
{
    mem_give_back_small();
    free(small);
    small = NULL;
}

/* Allocation */

static void *try_alloc(size_t bytes)
{
    void *p = take_small(bytes);
    return p != NULL ? p : malloc(bytes != 0 ? bytes : 1);
}

/* Growing by a little is what bufs do; the allocator would look for room behind the block. */
static void *try_realloc(void *old, size_t bytes)
{
    if (old == NULL) {
        return try_alloc(bytes);
    }
    size_t had = small != NULL ? malloc_usable_size(old) : 0;
    if (had == 0 || bytes < had || bytes > SMALL_BYTES_MAX) {
        return realloc(old, bytes != 0 ? bytes : 1);
    }
    void *p = take_small(bytes);
    if (p == NULL) {
        return realloc(old, bytes);
    }
    memcpy(p, old, had);
    mem_free(old);
    return p;
}

void *mem_alloc(size_t bytes)
{
    void *p = try_alloc(bytes);
    if (p == NULL) {
        out_of_memory(bytes);
    }
    return p;
}

void *mem_zalloc(size_t bytes)
{
    void *p = take_small(bytes);
    if (p != NULL) {
        return memset(p, 0, bytes);
    }
    p = calloc(1, bytes != 0 ? bytes : 1);
    if (p == NULL) {
        out_of_memory(bytes);
    }
    return p;
}

void *mem_realloc(void *old, size_t bytes)
{
    void *p = try_realloc(old, bytes);
    if (p == NULL) {
        out_of_memory(bytes);
    }
    return p;
}

void *mem_try_alloc(size_t bytes)
{
    return fails_now() ? NULL : try_alloc(bytes);
}

void *mem_try_realloc(void *old, size_t bytes)
{
    return fails_now() ? NULL : try_realloc(old, bytes);
}

void *mem_alloc_aligned(size_t alignment, size_t bytes)
{
    PRE((alignment & (alignment - 1)) == 0);

    void *p = NULL;
    if (posix_memalign(&p, alignment, bytes) != 0) {
        out_of_memory(bytes);
    }
    return p;
}

char *mem_strdup(const char *text)
{
    return mem_strndup(text, strlen(text));
}

char *mem_strndup(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void mem_free(void *pointer)
{
    if (!keep_small(pointer)) {
        free(pointer);
    }
}
