#include "storage/pulse.h"

static struct pulse *find(const struct pulses *p, uint32_t node)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->nodes[i].node == node) {
            return (struct pulse *)(uintptr_t)&p->nodes[i];
        }
    }
    return NULL;
}

bool pulses_hear(struct pulses *p, uint32_t node, uint64_t life, uint64_t heard_ms)
{
    struct pulse *n = find(p, node);
    if (n == NULL && p->count == PULSE_NODES_MAX) {
        return false;
    }
    if (n == NULL) {
        n = &p->nodes[p->count++];
        *n = (struct pulse){.node = node, .life = life};
    }
    bool is_new_life = n->life != life;
    if (is_new_life || heard_ms > n->heard_ms) {
        n->is_silent = false;
        n->heard_ms = heard_ms;
    }
    n->life = life;
    return is_new_life;
}

bool pulses_is_heard(const struct pulses *p, uint32_t node)
{
    const struct pulse *n = find(p, node);
    return n != NULL && n->heard_ms != 0 && !n->is_silent;
}

const struct pulse *pulses_next_silent(struct pulses *p, uint64_t now_ms)
{
    for (size_t i = 0; i < p->count; i++) {
        struct pulse *n = &p->nodes[i];
        if (!n->is_silent && now_ms >= n->heard_ms + PULSE_SILENT_MS) {
            n->is_silent = true;
            return n;
        }
    }
    return NULL;
}
