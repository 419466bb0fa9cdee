/* Changes. */
#include "actor/sandbox_own.h"

void changes_begin(struct sandbox_ask *a)
{
    ask_fail(a, ERR_NOT_IMPLEMENTED, NULL);
}
