/* A gathering: one question to several workers, done when all of them have answered.
 *
 *     origin   gather_ask --part--> `begin`, on the part's worker
 *                        <--part--  gather_part_done, from there, at once or later
 *              `done`, when all parts are back; each has its `err`
 *
 * A part belongs to its worker until it is back, then to the origin. What all parts read must stay as
 * it is meanwhile. */
#ifndef NODE_GATHER_H
#define NODE_GATHER_H

#include <stdint.h>

#include "base/err.h"
#include "node/mailring.h"

struct worker;
struct gather;

struct gather_part {
    struct task task;
    struct gather *gather;
    struct worker *worker;
    enum err err;
};

struct gather {
    struct worker *origin;
    void (*begin)(struct gather_part *p);
    void (*done)(struct gather *g);
    uint32_t left; /* parts that are not back, and one until gather_asked */
};

void gather_init(struct gather *g, struct worker *origin, void (*begin)(struct gather_part *p),
                 void (*done)(struct gather *g));

/* A part whose worker has no room for it is back at once, with ERR_OVERLOADED. */
void gather_ask(struct gather *g, struct gather_part *p, struct worker *worker);
void gather_asked(struct gather *g); /* that were all; `done` may come from inside */

void gather_part_done(struct gather_part *p, enum err err); /* from the part's worker */

#endif
