/* Contexts. */
#include "actor/sandbox_own.h"

void context_begin(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void context_run(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void context_end(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}

void contexts_free(struct box *b)
{
    (void)b;
}
