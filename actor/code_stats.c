#include "actor/code_stats.h"

#include <string.h>

#include "base/invariant.h"

const char *code_ending_name(enum code_ending e)
{
    static const char *const names[] = {
#define X(name, text) [CODE_END_##name] = (text),
        CODE_ENDINGS(X)
#undef X
    };
    PRE(e < CODE_ENDING_COUNT);
    return names[e];
}

struct code_class_stats *code_stats_class(struct code_stats *s, struct slice ns, struct slice class)
{
    PRE(ns.len <= NAMESPACE_BYTES_MAX && class.len <= CLASS_BYTES_MAX);
    for (uint32_t i = 0; i < s->class_count; i++) {
        struct code_class_stats *c = &s->classes[i];
        if (slice_equal_str(ns, c->ns) && slice_equal_str(class, c->class)) {
            return c;
        }
    }
    if (s->class_count == CODE_STATS_CLASSES_MAX) {
        return &s->others;
    }
    struct code_class_stats *c = &s->classes[s->class_count++];
    memcpy(c->ns, ns.data, ns.len);
    memcpy(c->class, class.data, class.len);
    return c;
}

static void add_class(struct code_class_stats *to, const struct code_class_stats *from)
{
    to->events += from->events;
    to->exceptions += from->exceptions;
    to->cpu_us += from->cpu_us;
}

void code_stats_add(struct code_stats *to, const struct code_stats *from)
{
    to->events += from->events;
    to->sessions += from->sessions;
    to->cut_off += from->cut_off;
    to->cpu_us += from->cpu_us;
    to->exceptions += from->exceptions;
    to->frames_bad += from->frames_bad;
    for (int i = 0; i < CODE_ENDING_COUNT; i++) {
        to->ended[i] += from->ended[i];
    }
    for (uint32_t i = 0; i < from->class_count; i++) {
        const struct code_class_stats *c = &from->classes[i];
        add_class(code_stats_class(to, slice_of_str(c->ns), slice_of_str(c->class)), c);
    }
    add_class(&to->others, &from->others);
}
