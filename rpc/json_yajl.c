#include "rpc/json_yajl.h"

#include "base/invariant.h"
#include "base/mem.h"

static void *alloc(void *context, size_t bytes)
{
    (void)context;
    return mem_alloc(bytes);
}

static void *resize(void *context, void *old, size_t bytes)
{
    (void)context;
    return mem_realloc(old, bytes);
}

static void release(void *context, void *pointer)
{
    (void)context;
    mem_free(pointer);
}

yajl_alloc_funcs json_yajl_memory(void)
{
    return (yajl_alloc_funcs){.malloc = alloc, .realloc = resize, .free = release};
}

struct json_locale json_locale_enter(void)
{
    struct json_locale l = {.plain = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
    INVARIANT(l.plain != (locale_t)0);
    l.before = uselocale(l.plain);
    return l;
}

void json_locale_leave(struct json_locale l)
{
    (void)uselocale(l.before);
    freelocale(l.plain);
}
