/* Tasks between workers: which ring, and when to wake. */
#include "base/invariant.h"
#include "node/node.h"
#include "node/worker.h"

static void wake_where(bool wake, struct worker *to)
{
    if (wake) {
        (void)uv_async_send(&to->wake);
    }
}

void worker_wake(void *node, uint32_t index)
{
    struct node *n = node;
    (void)uv_async_send(&n->workers[index].wake);
}

enum err worker_try_post(struct worker *from, struct worker *to, struct task *t)
{
    PRE(from != to);
    bool wake = false;
    enum err err = mailring_try_post(node_ring(from->node, from->index, to->index), t, &wake);
    wake_where(wake, to);
    return err;
}

void worker_post(struct worker *from, struct worker *to, struct task *t)
{
    PRE(from != to);
    wake_where(mailring_post(node_ring(from->node, from->index, to->index), t), to);
}

/* At most WORKER_TASKS_MAX, so that the own connections have their turn. Each ring is emptied before the
 * next; the one after it goes first next time. */
bool worker_run_tasks(struct worker *w)
{
    uint32_t count = w->node->worker_count;
    uint32_t source = w->next_source;
    int left = WORKER_TASKS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        source = (w->next_source + i) % count;
        struct mailring *ring = node_ring(w->node, source, w->index);
        struct task *t;
        while (ring != NULL && left > 0 && (t = mailring_take(ring)) != NULL) {
            t->run(w, t);
            left--;
        }
        if (left == 0) {
            break;
        }
    }
    w->next_source = (source + 1) % count;
    return left == 0;
}

bool worker_retry_posts(struct worker *w)
{
    bool waits = false;
    for (uint32_t to = 0; to < w->node->worker_count; to++) {
        struct mailring *ring = node_ring(w->node, w->index, to);
        if (ring != NULL && mailring_has_overflow(ring)) {
            wake_where(mailring_retry(ring), &w->node->workers[to]);
            waits = waits || mailring_has_overflow(ring);
        }
    }
    return waits;
}
