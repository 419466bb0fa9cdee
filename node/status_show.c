#include "node/status_show.h"

#include "config.h"
#include "node/code_report.h"
#include "node/node.h"
#include "rpc/value.h"

static void put_number(struct buf *doc, const char *name, uint64_t value)
{
    value_put_text(doc, name);
    value_put_uint(doc, value);
}

/* Those in force. */
static void put_layers(struct buf *doc, const char *const *names, uint32_t layers)
{
    value_put_text(doc, "layers");
    value_put_array(doc, (uint32_t)__builtin_popcount(layers));
    for (uint32_t i = 0; names[i] != NULL; i++) {
        if ((layers & 1U << i) != 0) {
            value_put_text(doc, names[i]);
        }
    }
}

static void put_isolates(struct buf *doc, const struct code_report *r)
{
    value_put_text(doc, "isolates");
    value_put_map(doc, 8);
    put_layers(doc, isolate_layer_names, r->isolate_layers);
    value_put_text(doc, "no_code");
    if (r->no_code[0] != '\0') {
        value_put_text(doc, r->no_code);
    } else {
        value_put_nil(doc);
    }
    put_number(doc, "alive", r->isolates);
    put_number(doc, "warm", r->isolates_warm);
    put_number(doc, "started", r->isolate_stats.started);
    put_number(doc, "memory_bytes", r->isolate_memory_bytes);
    put_number(doc, "zygotes_started", r->isolate_stats.zygotes_started);
    put_number(doc, "zygotes_replaced", r->isolate_stats.zygotes_retired);
}

static void put_class(struct buf *doc, const struct code_class_stats *c, bool is_others)
{
    value_put_map(doc, 5);
    value_put_text(doc, "namespace");
    if (is_others) {
        value_put_nil(doc);
    } else {
        value_put_text(doc, c->ns);
    }
    value_put_text(doc, "class");
    if (c->class[0] != '\0') {
        value_put_text(doc, c->class);
    } else {
        value_put_nil(doc);
    }
    put_number(doc, "events", c->events);
    put_number(doc, "exceptions", c->exceptions);
    put_number(doc, "cpu_ms", c->cpu_us / 1000);
}

static void put_code(struct buf *doc, const struct code_report *r)
{
    const struct code_stats *s = &r->stats;
    bool has_others = s->others.events > 0;
    value_put_text(doc, "code");
    value_put_map(doc, 7);
    put_number(doc, "sessions", r->sessions);
    put_number(doc, "events", s->events);
    put_number(doc, "exceptions", s->exceptions);
    put_number(doc, "cut_off", s->cut_off);
    put_number(doc, "cpu_ms", s->cpu_us / 1000);
    value_put_text(doc, "ended");
    value_put_map(doc, CODE_ENDING_COUNT);
    for (int i = 0; i < CODE_ENDING_COUNT; i++) {
        put_number(doc, code_ending_name((enum code_ending)i), s->ended[i]);
    }
    value_put_text(doc, "classes");
    value_put_array(doc, s->class_count + (has_others ? 1 : 0));
    for (uint32_t i = 0; i < s->class_count; i++) {
        put_class(doc, &s->classes[i], false);
    }
    if (has_others) {
        put_class(doc, &s->others, true);
    }
}

static void put_egress(struct buf *doc, const struct code_report *r)
{
    const struct egress_counters *c = &r->egress;
    value_put_text(doc, "egress");
    value_put_map(doc, 8);
    put_layers(doc, egress_layer_names, r->egress_layers);
    put_number(doc, "started", c->starts);
    put_number(doc, "answered", c->requests - c->denied - c->failed);
    put_number(doc, "denied", c->denied);
    put_number(doc, "failed", c->failed);
    put_number(doc, "refused", c->refused);
    put_number(doc, "sent_bytes", c->sent_bytes);
    put_number(doc, "received_bytes", c->received_bytes);
}

/* What sandboxes need of the machine: what is there, what is missing, and what of that the operator has accepted. */
static void put_needs(struct buf *doc, const char *name, uint32_t needs)
{
    static const char *const names[SANDBOX_NEEDS] = {
#define X(name, text, what) text,
        SANDBOX_LIST(X)
#undef X
    };
    value_put_text(doc, name);
    value_put_array(doc, (uint32_t)__builtin_popcount(needs));
    for (uint32_t i = 0; i < SANDBOX_NEEDS; i++) {
        if ((needs & 1U << i) != 0) {
            value_put_text(doc, names[i]);
        }
    }
}

static void put_sandboxes(struct buf *doc, const struct node *n,
                          const struct worker_report *reports, uint32_t count)
{
    const uint32_t all = (1U << SANDBOX_NEEDS) - 1;
    uint32_t missing = all & ~n->launch->sandbox;
    struct sandbox_host_stats stats = {0};
    size_t boxes = 0;
    for (uint32_t i = 0; i < count; i++) {
        boxes += reports[i].sandboxes;
        stats.started += reports[i].sandbox_stats.started;
        stats.execs += reports[i].sandbox_stats.execs;
        stats.failed += reports[i].sandbox_stats.failed;
    }
    value_put_text(doc, "sandboxes");
    value_put_map(doc, 8);
    put_needs(doc, "layers", n->launch->sandbox);
    put_needs(doc, "missing", missing);
    put_needs(doc, "accepted", missing & n->options->sandbox_without);
    value_put_text(doc, "refused");
    value_put_bool(doc, (missing & ~n->options->sandbox_without) != 0);
    put_number(doc, "known", boxes);
    put_number(doc, "started", stats.started);
    put_number(doc, "failed", stats.failed);
    put_number(doc, "execs", stats.execs);
}

void status_show(const struct node *n, const struct worker_report *reports, uint32_t count,
                 struct buf *doc)
{
    struct code_report all = {.sessions = 0};
    for (uint32_t i = 0; i < count; i++) {
        code_report_add(&all, &reports[i].code);
    }
    value_put_map(doc, 10);
    put_number(doc, "node", n->id);
    value_put_text(doc, "version");
    value_put_text(doc, PACKAGE_VERSION);
    put_number(doc, "started", n->started_ms);
    put_number(doc, "workers", count);
    value_put_text(doc, "launcher");
    value_put_map(doc, 1);
    put_layers(doc, launcher_layer_names, n->launch->layers);
    put_isolates(doc, &all);
    put_code(doc, &all);
    put_egress(doc, &all);
    put_sandboxes(doc, n, reports, count);
    value_put_text(doc, "logs");
    value_put_map(doc, 3);
    put_number(doc, "streams", reports[0].log_streams);
    put_number(doc, "lines", reports[0].log_lines);
    put_number(doc, "lost", reports[0].log_lines_lost);
}
