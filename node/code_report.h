/* What a worker tells of the code that it runs, and of the processes for that. */
#ifndef NODE_CODE_REPORT_H
#define NODE_CODE_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "actor/code_stats.h"
#include "actor/egress_client.h"
#include "actor/isolates_uv.h"

struct code_report {
    struct code_stats stats;
    size_t sessions;
    size_t isolates;
    size_t isolates_warm; /* of these: nobody's yet */
    uint64_t isolate_memory_bytes;
    uint32_t isolate_layers;           /* of the lock-down in force; 0: no zygote was started */
    char no_code[ISOLATES_TEXT_BYTES]; /* why there can be none now; "": there can */
    struct isolates_stats isolate_stats;
    uint32_t egress_layers; /* likewise */
    struct egress_counters egress;
};

/* For what all workers tell together. Layers are those that each has that says so. */
void code_report_add(struct code_report *to, const struct code_report *from);

/* The layers of a kind of program, by their bits; NULL ends the list. */
extern const char *const launcher_layer_names[];
extern const char *const isolate_layer_names[];
extern const char *const egress_layer_names[];

#endif
