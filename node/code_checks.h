/* The checks of code of a worker that are under way, each in an isolate of its own (node/code_check.h). */
#ifndef NODE_CODE_CHECKS_H
#define NODE_CODE_CHECKS_H

#include <stdint.h>

#include "base/list.h"
#include "node/code_check.h"

struct code;

void code_checks_begin(struct code *code, struct code_check *c);
void code_checks_tick(struct list *checks, uint64_t now_ms); /* some have taken too long */
void code_checks_stop(struct list *checks);

#endif
