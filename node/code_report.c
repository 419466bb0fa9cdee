#include "node/code_report.h"

#include <string.h>

/* In the order of their enums: launch_layer, isolate_layer, egress_layer. */
const char *const launcher_layer_names[] = {"root", "other_user", "subreaper", "no_new_privs",
                                            NULL};
const char *const isolate_layer_names[] = {"userns", "netns",   "mountns",  "pidns",  "ipcns",
                                           "utsns",  "seccomp", "landlock", "rlimit", NULL};
const char *const egress_layer_names[] = {"seccomp",        "landlock", "landlock_net",
                                          "landlock_scope", "rlimit",   NULL};

static uint32_t common(uint32_t a, uint32_t b)
{
    return a == 0 ? b : b == 0 ? a : a & b;
}

static void add_egress(struct egress_counters *to, const struct egress_counters *from)
{
    to->requests += from->requests;
    to->denied += from->denied;
    to->failed += from->failed;
    to->sent_bytes += from->sent_bytes;
    to->received_bytes += from->received_bytes;
    to->starts += from->starts;
    to->refused += from->refused;
}

void code_report_add(struct code_report *to, const struct code_report *from)
{
    code_stats_add(&to->stats, &from->stats);
    to->sessions += from->sessions;
    to->isolates += from->isolates;
    to->isolates_warm += from->isolates_warm;
    to->isolate_memory_bytes += from->isolate_memory_bytes;
    to->isolate_layers = common(to->isolate_layers, from->isolate_layers);
    to->isolate_stats.started += from->isolate_stats.started;
    to->isolate_stats.zygotes_started += from->isolate_stats.zygotes_started;
    to->isolate_stats.zygotes_retired += from->isolate_stats.zygotes_retired;
    to->egress_layers = common(to->egress_layers, from->egress_layers);
    add_egress(&to->egress, &from->egress);
    if (to->no_code[0] == '\0') {
        memcpy(to->no_code, from->no_code, sizeof to->no_code);
    }
}
