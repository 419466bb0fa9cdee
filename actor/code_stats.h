/* What the code of a worker has done, taken, and how its isolates ended. Of each class too, for as many classes as
 * there is room for; the others are one. */
#ifndef ACTOR_CODE_STATS_H
#define ACTOR_CODE_STATS_H

#include <stdint.h>

#include "base/address.h"
#include "base/slice.h"

/* How a session ended: X(NAME, name) */
#define CODE_ENDINGS(X)                                                     \
    X(DONE, "done")         /* a run, with its answer */                    \
    X(IDLE, "idle")         /* nothing to do */                             \
    X(DEPLOYED, "deployed") /* another version is in force */               \
    X(SLEPT, "slept")       /* its actor was deleted, or put to sleep */    \
    X(ROOM, "room")         /* another needed its place */                  \
    X(MOVED, "moved")       /* its shard is led elsewhere, or nobody */     \
    X(CPU, "cpu")           /* over its limit, as are the next two */       \
    X(WALL, "wall")                                                         \
    X(MEMORY, "memory")                                                     \
    X(THREW, "threw")       /* its code, or the constructor of its class */ \
    X(ABORTED, "aborted")   /* ctx.abort */                                 \
    X(RESET, "reset")       /* what it wrote could not be kept */           \
    X(PROTOCOL, "protocol") /* what it said was no frame */                 \
    X(DIED, "died")         /* by itself */                                 \
    X(UNBORN, "unborn")     /* no process, or no code for it */

enum code_ending {
#define X(name, text) CODE_END_##name,
    CODE_ENDINGS(X)
#undef X
        CODE_ENDING_COUNT
};

const char *code_ending_name(enum code_ending e);

enum { CODE_STATS_CLASSES_MAX = 64 };

struct code_class_stats {
    char ns[NAMESPACE_BYTES_MAX + 1];
    char class[CLASS_BYTES_MAX + 1]; /* "": the module */
    uint64_t events;
    uint64_t exceptions; /* that nobody caught */
    uint64_t cpu_us;
};

struct code_stats {
    uint64_t events;
    uint64_t sessions; /* begun */
    uint64_t ended[CODE_ENDING_COUNT];
    uint64_t cut_off; /* of the ended: events were under way */
    uint64_t cpu_us;
    uint64_t exceptions;
    uint64_t frames_bad;
    uint32_t class_count;
    struct code_class_stats classes[CODE_STATS_CLASSES_MAX];
    struct code_class_stats others;
};

/* The class's own, or the others'. Stays where it is. */
struct code_class_stats *code_stats_class(struct code_stats *s, struct slice ns,
                                          struct slice class);
/* For the sum of several workers'. */
void code_stats_add(struct code_stats *to, const struct code_stats *from);

#endif
