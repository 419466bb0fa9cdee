#include "base/invariant.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

void (*invariant_hook)(const char *kind, const char *expr, const char *file, int line);

_Noreturn void invariant_fail(const char *kind, const char *expr, const char *file, int line)
{
    if (invariant_hook != NULL) {
        invariant_hook(kind, expr, file, line);
    }
    (void)fprintf(stderr, "%s:%d: %s broken: %s\n", file, line, kind, expr);
    abort();
}
