/* The pages that a child writes, before it is asked for anything of its own.
 *
 * Each first write to a page that a fork shares is a fault, and most of what one costs (13 to 20 us on a virtual
 * machine) is the trap, not the copy: the pages are written in one go while nobody waits for the child. Which
 * they are is seen in a child that does what all do before they are READY (child.h: CHILD_REHEARSE), since the same
 * work after a fork of the same process writes the same pages.
 *
 *     zygote: touched_open   rehearsal: touched_find   zygote: touched_close   each child: touched_write */
#ifndef ACTOR_ISOLATE_TOUCHED_H
#define ACTOR_ISOLATE_TOUCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct touched_range {
    uint8_t *start;
    size_t bytes;
};

struct touched {
    size_t count; /* 0: nothing is known, and nothing is written ahead */
    struct touched_range ranges[];
};

/* What a zygote holds: shared with the children that it forks until touched_close. NULL: there is no memory. */
struct touched *touched_open(void);

/* In the child that rehearses, before and after: which mappings there are, and which of their pages are its own. */
struct touched_watch {
    struct buf maps;
    int pagemap_fd;
};
bool touched_watch(struct touched_watch *ret, int proc_fd);
void touched_find(const struct touched_watch *w, struct touched *ret);

/* A copy that is not shared, for all children to come; `shared` is gone. The pages of a child that is not asked
 * for anything are memory that it holds, so beyond a bound there are none. */
struct touched *touched_close(struct touched *shared);

void touched_write(const struct touched *t);

#endif
