/* Metrics of code: what it took, by namespace and class, and the processes that run it. */
#include <inttypes.h>

#include "node/code_report.h"
#include "node/metrics.h"
#include "node/node.h"

/* Names of namespaces and classes need no escapes. Those beyond the bound of labels are one, without names. */
static void write_class(struct buf *out, const char *metric, const struct code_class_stats *c,
                        uint64_t value, bool is_us)
{
    buf_printf(out, "%s{namespace=\"%s\",class=\"%s\"} ", metric, c->ns, c->class);
    if (is_us) {
        buf_printf(out, "%.6f\n", (double)value / 1e6);
    } else {
        buf_printf(out, "%" PRIu64 "\n", value);
    }
}

static uint64_t events_of(const struct code_class_stats *c)
{
    return c->events;
}

static uint64_t exceptions_of(const struct code_class_stats *c)
{
    return c->exceptions;
}

static uint64_t cpu_us_of(const struct code_class_stats *c)
{
    return c->cpu_us;
}

static void write_classes(const struct code_stats *s, struct buf *out)
{
    static const struct {
        const char *name;
        const char *help;
        uint64_t (*read)(const struct code_class_stats *c);
        bool is_us;
    } metrics[] = {
        {"dormouse_code_events_total", "Calls, requests and timers that code was given.", events_of,
         false},
        {"dormouse_code_exceptions_total", "Exceptions of code that nobody caught.", exceptions_of,
         false},
        {"dormouse_code_cpu_seconds_total", "CPU time of code.", cpu_us_of, true},
    };
    for (size_t m = 0; m < sizeof metrics / sizeof metrics[0]; m++) {
        metrics_head(out, metrics[m].name, "counter", metrics[m].help);
        for (uint32_t i = 0; i < s->class_count; i++) {
            const struct code_class_stats *c = &s->classes[i];
            write_class(out, metrics[m].name, c, metrics[m].read(c), metrics[m].is_us);
        }
        if (s->others.events > 0) {
            write_class(out, metrics[m].name, &s->others, metrics[m].read(&s->others),
                        metrics[m].is_us);
        }
    }
}

static void write_endings(const struct code_stats *s, struct buf *out)
{
    static const char name[] = "dormouse_code_sessions_ended_total";
    metrics_head(out, name, "counter", "Isolates that ran an actor's code, by why they ended.");
    for (int i = 0; i < CODE_ENDING_COUNT; i++) {
        buf_printf(out, "%s{reason=\"%s\"} %" PRIu64 "\n", name,
                   code_ending_name((enum code_ending)i), s->ended[i]);
    }
}

static void write_egress(const struct egress_counters *c, struct buf *out)
{
    static const char name[] = "dormouse_egress_requests_total";
    const struct {
        const char *outcome;
        uint64_t value;
    } outcomes[] = {{"answered", c->requests - c->denied - c->failed},
                    {"denied", c->denied},
                    {"failed", c->failed},
                    {"refused", c->refused}};
    metrics_head(
        out, name, "counter",
        "Requests of code to the outside, each hop; refused are those that no process took.");
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        buf_printf(out, "%s{outcome=\"%s\"} %" PRIu64 "\n", name, outcomes[i].outcome,
                   outcomes[i].value);
    }
}

static void write_layers(struct buf *out, const char *program, const char *const *names,
                         uint32_t layers)
{
    for (uint32_t i = 0; names[i] != NULL; i++) {
        buf_printf(out, "dormouse_lockdown_layer{program=\"%s\",layer=\"%s\"} %d\n", program,
                   names[i], (layers & 1U << i) != 0 ? 1 : 0);
    }
}

void metrics_write_code(const struct node *n, const struct worker_report *reports, uint32_t count,
                        struct buf *out)
{
    struct code_report all = {.sessions = 0};
    for (uint32_t i = 0; i < count; i++) {
        code_report_add(&all, &reports[i].code);
    }
    write_classes(&all.stats, out);
    write_endings(&all.stats, out);
    write_egress(&all.egress, out);
    metrics_head(out, "dormouse_audit_records_lost_total", "counter",
                 "Records of the audit log that were not kept: the disk, or too many at once.");
    buf_printf(out, "dormouse_audit_records_lost_total %" PRIu64 "\n",
               audit_log_lost(&n->workers[0].node->audit));
    metrics_head(out, "dormouse_lockdown_layer", "gauge",
                 "1 where the layer is in force; a program is named once it has run.");
    write_layers(out, "launcher", launcher_layer_names, n->launch->layers);
    if (all.isolate_layers != 0) {
        write_layers(out, "isolate", isolate_layer_names, all.isolate_layers);
    }
    if (all.egress_layers != 0) {
        write_layers(out, "egress", egress_layer_names, all.egress_layers);
    }
}
