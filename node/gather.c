#include "node/gather.h"

#include "base/invariant.h"
#include "node/worker.h"

void gather_init(struct gather *g, struct worker *origin, void (*begin)(struct gather_part *p),
                 void (*done)(struct gather *g))
{
    *g = (struct gather){.origin = origin, .begin = begin, .done = done, .left = 1};
}

static void one_less(struct gather *g)
{
    INVARIANT(g->left > 0);
    if (--g->left == 0) {
        g->done(g);
    }
}

static void part_is_back(struct worker *origin, struct task *t)
{
    struct gather_part *p = CONTAINER_OF(t, struct gather_part, task);
    origin->away_count--;
    one_less(p->gather);
}

static void begin_on_worker(struct worker *w, struct task *t)
{
    struct gather_part *p = CONTAINER_OF(t, struct gather_part, task);
    INVARIANT(p->worker == w);
    p->gather->begin(p);
}

void gather_ask(struct gather *g, struct gather_part *p, struct worker *worker)
{
    *p = (struct gather_part){.task.run = begin_on_worker, .gather = g, .worker = worker};
    g->left++;
    if (worker == g->origin) {
        g->begin(p);
    } else if (worker_try_post(g->origin, worker, &p->task) == ERR_OK) {
        g->origin->away_count++;
    } else {
        p->err = ERR_OVERLOADED;
        one_less(g);
    }
}

void gather_asked(struct gather *g)
{
    one_less(g);
}

void gather_part_done(struct gather_part *p, enum err err)
{
    p->err = err;
    if (p->worker == p->gather->origin) {
        one_less(p->gather);
        return;
    }
    p->task.run = part_is_back;
    worker_post(p->worker, p->gather->origin, &p->task);
}
