/* Pulses: when the other nodes were last heard, and in which of their lives. Groups that rest have no
 * heartbeats of their own; their nodes say once for all of them that they live.
 *
 *     unheard --hear--> heard --PULSE_SILENT_MS without a word--> silent --hear--> heard
 *                         hear, of another life: it began anew, and led or followed nothing then
 *
 * Pure: callers pass times. */
#ifndef STORAGE_PULSE_H
#define STORAGE_PULSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PULSE_MS = 100,
    PULSE_SILENT_MS = 350, /* and a look at it, in less than the shortest election time-out */
    PULSE_NODES_MAX = 64,
};

struct pulse {
    uint32_t node;
    uint64_t life;     /* of its process; another one each time */
    uint64_t heard_ms; /* 0: not in this life */
    bool is_silent;    /* and that was told */
};

struct pulses {
    struct pulse nodes[PULSE_NODES_MAX];
    size_t count;
};

/* True: it is another life than before, and whoever counts on the node must hear of it. More nodes than
 * there is room for are not noted, and never heard. */
bool pulses_hear(struct pulses *p, uint32_t node, uint64_t life, uint64_t heard_ms);
/* Heard of late: its silence will be told. */
bool pulses_is_heard(const struct pulses *p, uint32_t node);
/* A node that has fallen silent since it was last heard; each is told once. NULL: there is none. */
const struct pulse *pulses_next_silent(struct pulses *p, uint64_t now_ms);

#endif
