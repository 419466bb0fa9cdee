/* The rows of a run in a turn, kept in step with its place in the shard's index of due times. */
#ifndef ACTOR_WORKFLOW_ROW_H
#define ACTOR_WORKFLOW_ROW_H

#include <stdbool.h>

#include "actor/turn.h"
#include "actor/workflow.h"
#include "base/err.h"

/* ERR_COLD, or ERR_CORRUPT with the reply. */
enum err workflow_row_get(struct turn *t, struct workflow *ret_workflow,
                          bool *ret_found) MUST_CHECK;
/* `old` is what workflow_row_get gave; NULL: there was none. */
void workflow_row_put(struct turn *t, const struct workflow *old, const struct workflow *w);

/* A value beside it: 'p' or 'o'. Absent: an empty slice, borrowed while the turn lasts. */
enum err workflow_value_get(struct turn *t, char which, struct slice *ret_value) MUST_CHECK;
void workflow_value_put(struct turn *t, char which, struct slice value);
void workflow_value_delete(struct turn *t, char which);

enum err workflow_step_get(struct turn *t, uint32_t order, struct workflow_step *ret_step,
                           bool *ret_found) MUST_CHECK;
void workflow_step_put(struct turn *t, const struct workflow_step *s);

/* Rows whose keys begin with `prefix`, from `low` on where that is not empty; both are borrowed while the turn
 * lasts, and `ret_end` is filled for it. */
struct workflow_range {
    struct scan_range range;
    struct buf low;
    struct buf high;
};
void workflow_range_init(struct workflow_range *w, struct slice prefix, struct slice low,
                         uint32_t rows_max, size_t bytes_max);
void workflow_range_done(struct workflow_range *w);

/* The run's oldest event of that type leaves the store; an empty slice where there is none. The document is
 * borrowed while the turn lasts. */
enum err workflow_event_take(struct turn *t, struct workflow *w, struct slice type,
                             struct slice *ret_event) MUST_CHECK;
/* A step waits for one until then; 0: for ever. */
void workflow_wait_put(struct turn *t, const struct workflow_step *s);
void workflow_wait_delete(struct turn *t, const struct workflow_step *s);

#endif
