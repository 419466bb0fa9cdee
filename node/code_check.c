#include "node/code_check.h"

void code_check(struct worker *w, struct code_check *c)
{
    (void)w;
    (void)decode_fail(&c->error, ERR_NOT_IMPLEMENTED,
                      "This node has no isolates to check code in.");
    c->done(c);
}
