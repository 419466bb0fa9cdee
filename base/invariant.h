/* Checks of what only our own mistake can break. They stay on in release builds.
 *
 * Anything a peer, a disk or a user can cause is an `enum err`, not one of these. */
#ifndef BASE_INVARIANT_H
#define BASE_INVARIANT_H

#include <stdint.h>

/* Prints one line and aborts; tests point `invariant_hook` at a function that does not return. */
_Noreturn void invariant_fail(const char *kind, const char *expr, const char *file, int line);
extern void (*invariant_hook)(const char *kind, const char *expr, const char *file, int line);

#define INVARIANT_CHECK(kind, e) \
    (__builtin_expect(!(e), 0) ? invariant_fail(kind, #e, __FILE__, __LINE__) : (void)0)

#define PRE(e)        INVARIANT_CHECK("precondition", e)  /* the caller's duty */
#define POST(e)       INVARIANT_CHECK("postcondition", e) /* this function's promise */
#define INVARIANT(e)  INVARIANT_CHECK("invariant", e)     /* holds here, always */
#define UNREACHABLE() invariant_fail("unreachable", "control came here", __FILE__, __LINE__)

/* Libraries hand `void *` back to us. The magic number at the start of a struct is checked at the
 * first line of each callback:
 *     OBJ_CAST(turn, req->data, TURN_MAGIC);     declares `struct turn *turn` */
#define OBJ_CAST(type, pointer, magic_value) \
    struct type *type = (pointer);           \
    PRE(type != NULL && type->magic == (magic_value))

/* From a member back to the struct that holds it. */
#define CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(uintptr_t)(pointer)-offsetof(type, member)))

#endif
