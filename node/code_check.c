#include "node/code_check.h"

#include "node/code_checks.h"
#include "node/worker.h"

void code_check(struct worker *w, struct code_check *c)
{
    code_checks_begin(&w->code, c);
}
