/* What a worker has for the code of its actors: their isolates, and the host that runs it
 * (actor/code_host.h), with what that needs of the node: deployments, identities, other actors. */
#ifndef NODE_CODE_H
#define NODE_CODE_H

#include "actor/code_host.h"
#include "actor/egress_client_uv.h"
#include "actor/isolates_uv.h"
#include "node/code_report.h"

struct worker;

struct code {
    struct worker *worker;
    struct isolates isolates;
    struct code_host host;
    struct egress_uv egress;
    struct buf bindings;     /* of the class that was looked for last */
    struct buf workflows;    /* likewise */
    struct list checks;      /* of code before it is deployed */
    size_t call_count;       /* of other actors, under way */
    uint64_t fetches_denied; /* where nobody may be asked: no process has them */
};

void code_tell(struct code *c, struct code_report *ret);

void code_open(struct code *c, struct worker *w); /* the loop is there */
void code_close(struct code *c);                  /* before registry_done */
void code_done(struct code *c);                   /* after it */
void code_tick(struct code *c, uint64_t now_ms);
uint64_t code_next_ms(const struct code *c);
void code_flush(struct code *c, uint64_t now_ms); /* before the loop sleeps */

#endif
