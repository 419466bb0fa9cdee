/* Memory: who may fail, and who may not.
 *
 * `mem_alloc` and friends serve the small, bounded structures of the program itself. When they
 * fail the process ends with exit code 71 and one line: everything acknowledged is on disk, and a
 * node that can no longer allocate 100 bytes helps nobody. Sizes that a client or a file chooses
 * go through `mem_try_alloc`, which returns NULL, and become ERR_NO_MEMORY.
 *
 * Tests make the n-th allocation fail through `mem_fail_after`. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t bytes);              /* never NULL; contents undefined */
void *mem_zalloc(size_t bytes);             /* never NULL; zeroed */
void *mem_realloc(void *old, size_t bytes); /* never NULL */
void *mem_try_alloc(size_t bytes);          /* NULL when memory is exhausted */
void *mem_try_realloc(void *old, size_t bytes);
void *mem_alloc_aligned(size_t alignment, size_t bytes); /* never NULL; free with mem_free */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len); /* result is closed by NUL */
void mem_free(void *pointer);                    /* NULL is fine */

/* First in the main of a program that runs for long: a large block is the system's again once it is freed,
 * and not kept by the allocator because there was one before. */
void mem_init(void);

/* Small blocks. A worker has hundreds of small things under way at once, more than the allocator keeps
 * at hand. A thread that says so keeps the small blocks it frees, up to a bound, for its next
 * allocations, whoever allocated them; tools that look for misuse of memory see every allocation, since
 * sanitizers switch this off and a test never switches it on. */
void mem_keep_small(void);      /* this thread, from now on; once a second or so: */
void mem_give_back_small(void); /* what it keeps goes back to the allocator */
void mem_keep_no_small(void);   /* likewise, and no more is kept: before the thread ends */

/* After `n` more fallible allocations each one fails; negative: never (the default). Tests only. */
void mem_fail_after(int n);

#define MEM_NEW(type) ((type *)mem_zalloc(sizeof(type)))

#endif
