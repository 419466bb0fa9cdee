#include "node/mailring.h"

#include <ck_ring.h>

#include "base/invariant.h"
#include "base/mem.h"

struct mailring {
    struct ck_ring ring;
    struct list overflow; /* source */
    struct ck_ring_buffer slots[MAILRING_SLOTS];
};

/* A thread sanitizer cannot look into the ring's assembler: it is told what the ring orders, and to
 * pass over the slots themselves. */
#if defined(__SANITIZE_THREAD__)
void AnnotateHappensBefore(const char *file, int line, const volatile void *at);
void AnnotateHappensAfter(const char *file, int line, const volatile void *at);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#define RING_BEGIN()                              \
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__); \
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__)
#define RING_END()                               \
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__); \
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__)
#define HAPPENS_BEFORE(at) AnnotateHappensBefore(__FILE__, __LINE__, at)
#define HAPPENS_AFTER(at)  AnnotateHappensAfter(__FILE__, __LINE__, at)
#else
#define RING_BEGIN()       (void)0
#define RING_END()         (void)0
#define HAPPENS_BEFORE(at) (void)(at)
#define HAPPENS_AFTER(at)  (void)(at)
#endif

struct mailring *mailring_new(void)
{
    struct mailring *r = MEM_NEW(struct mailring);
    ck_ring_init(&r->ring, MAILRING_SLOTS);
    list_init(&r->overflow);
    return r;
}

void mailring_free(struct mailring *r)
{
    if (r == NULL) {
        return;
    }
    PRE(ck_ring_size(&r->ring) == 0 && list_is_empty(&r->overflow));
    mem_free(r);
}

/* Source */

/* False: full. */
static bool enqueue(struct mailring *r, struct task *t, bool *ret_wake)
{
    HAPPENS_BEFORE(t);
    RING_BEGIN();
    bool posted = ck_ring_enqueue_spsc(&r->ring, r->slots, t);
    ck_pr_fence_memory();
    *ret_wake = posted && ck_ring_size(&r->ring) <= 1; /* this one is the only one, or taken */
    RING_END();
    return posted;
}

enum err mailring_try_post(struct mailring *r, struct task *t, bool *ret_wake)
{
    if (!list_is_empty(&r->overflow) || !enqueue(r, t, ret_wake)) {
        return ERR_OVERLOADED;
    }
    return ERR_OK;
}

bool mailring_post(struct mailring *r, struct task *t)
{
    bool wake = false;
    if (!list_is_empty(&r->overflow) || !enqueue(r, t, &wake)) {
        list_append(&r->overflow, &t->link);
    }
    return wake;
}

bool mailring_retry(struct mailring *r)
{
    bool wake = false;
    struct task *t;
    while ((t = LIST_FIRST(&r->overflow, struct task, link)) != NULL) {
        bool wake_for_this;
        list_remove(&t->link); /* before it is the other side's */
        if (!enqueue(r, t, &wake_for_this)) {
            list_prepend(&r->overflow, &t->link);
            break;
        }
        wake |= wake_for_this;
    }
    return wake;
}

bool mailring_has_overflow(const struct mailring *r)
{
    return !list_is_empty(&r->overflow);
}

/* Destination */

struct task *mailring_take(struct mailring *r)
{
    void *taken = NULL;
    RING_BEGIN();
    bool found = ck_ring_dequeue_spsc(&r->ring, r->slots, &taken);
    if (!found) {
        ck_pr_fence_memory(); /* a source that looked before our last take is seen now */
        found = ck_ring_dequeue_spsc(&r->ring, r->slots, &taken);
    }
    RING_END();
    if (!found) {
        return NULL;
    }
    HAPPENS_AFTER(taken);
    return taken;
}
