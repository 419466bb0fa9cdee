#include "node/metrics.h"

#include <inttypes.h>

#include "config.h"

typedef uint64_t (*reader)(const struct worker_report *r);

struct metric {
    const char *name;
    const char *type;
    const char *help;
    reader read;
};

/* One function for each expression of metrics.def. */
#define CONCAT_(a, b) a##b
#define CONCAT(a, b)  CONCAT_(a, b)
#define M(name, type, help, value)                                         \
    static uint64_t CONCAT(read_, __LINE__)(const struct worker_report *r) \
    {                                                                      \
        return (uint64_t)(value);                                          \
    }
#include "node/metrics.def"
#undef M

static const struct metric metrics[] = {
#define M(name, type, help, value) {name, type, help, CONCAT(read_, __LINE__)},
#include "node/metrics.def"
#undef M
};

void metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static uint64_t sum_of(const struct worker_report *reports, uint32_t count, reader read)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += read(&reports[i]);
    }
    return sum;
}

static void write_histogram(struct buf *out, const char *name, const char *help,
                            const struct histogram *h)
{
    uint64_t below = 0;
    metrics_head(out, name, "histogram", help);
    for (int n = 0; n < HISTOGRAM_BUCKETS; n++) {
        below += h->buckets[n];
        if (n < HISTOGRAM_BUCKETS - 1) {
            buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                       (double)(UINT64_C(1) << n) / 1e6, below);
        }
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
    buf_printf(out, "%s_sum %.9f\n%s_count %" PRIu64 "\n", name, (double)h->sum_ns / 1e9, name,
               h->count);
}

static void add_histogram(struct histogram *to, const struct histogram *from)
{
    for (int n = 0; n < HISTOGRAM_BUCKETS; n++) {
        to->buckets[n] += from->buckets[n];
    }
    to->count += from->count;
    to->sum_ns += from->sum_ns;
}

static void write_counts(const struct worker_report *reports, uint32_t count, struct buf *out)
{
    static const char *const routes[ROUTE_COUNT] = {
#define X(name, pattern, methods, place, scopes) [ROUTE_##name] = pattern,
#include "node/route.def"
#undef X
    };
    metrics_head(out, "dormouse_requests_total", "counter", "Requests by the route they named.");
    for (int route = 0; route < ROUTE_COUNT; route++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            sum += reports[i].counts.by_route[route];
        }
        if (sum > 0) {
            buf_printf(out, "dormouse_requests_total{route=\"/%s\"} %" PRIu64 "\n", routes[route],
                       sum);
        }
    }
    metrics_head(out, "dormouse_errors_total", "counter",
                 "Requests that ended as an error, by its reason.");
    for (int err = ERR_OK + 1; err < ERR_COUNT; err++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            sum += reports[i].counts.by_err[err];
        }
        const struct err_info *info = err_info((enum err)err);
        if (sum > 0) {
            buf_printf(out, "dormouse_errors_total{reason=\"%s\",status=\"%d\"} %" PRIu64 "\n",
                       info->name, info->status, sum);
        }
    }
}

/* Each node once, whichever workers speak to it. */
static void write_peers(const struct worker_report *reports, uint32_t count, struct buf *out)
{
    struct peer_stats all[BOARD_NODES_MAX];
    size_t all_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; k < reports[i].peer_count; k++) {
            const struct peer_stats *s = &reports[i].peers[k];
            size_t at = 0;
            while (at < all_count && all[at].node != s->node) {
                at++;
            }
            if (at < all_count) {
                peer_stats_add(&all[at], s);
            } else if (all_count < BOARD_NODES_MAX) {
                all[all_count++] = *s;
            }
        }
    }
    if (all_count > 0) {
        peer_stats_write(all, all_count, out);
    }
}

void metrics_write(const struct node *n, const struct worker_report *reports, uint32_t count,
                   struct buf *out)
{
    struct histogram flushes = {0};
    struct histogram commits = {0};
    for (uint32_t i = 0; i < count; i++) {
        add_histogram(&flushes, &reports[i].engine.flushes);
        add_histogram(&commits, &reports[i].engine.commits);
    }
    metrics_head(out, "dormouse_build_info", "gauge", "Always 1; the version is a label.");
    buf_printf(out, "dormouse_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        const struct metric *m = &metrics[i];
        metrics_head(out, m->name, m->type, m->help);
        buf_printf(out, "%s %" PRIu64 "\n", m->name, sum_of(reports, count, m->read));
    }
    write_counts(reports, count, out);
    write_peers(reports, count, out);
    metrics_write_code(n, reports, count, out);
    write_histogram(out, "dormouse_wal_flush_seconds", "Durable writes of the log.", &flushes);
    write_histogram(out, "dormouse_commit_seconds", "Entries, from proposal to application.",
                    &commits);
}
