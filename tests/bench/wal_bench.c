/* How fast the WAL is on this disk, beside what the disk itself takes in the same run.
 *
 *     wal_bench DIR [SECONDS]
 *
 * Rows: raw O_DIRECT|O_DSYNC overwrite of one zeroed 4 KiB block; one 300-byte record in flight; 64
 * groups with one in flight each, and with 16; recovery of 256 MB of such records. */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "storage/wal.h"

enum { GROUPS = 64, RECORD = 300, SAMPLES_MAX = 4 * 1024 * 1024, SNAPSHOT_EVERY = 20000 };

struct samples {
    uint32_t *ns;
    size_t count;
};

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(struct samples *s, double p)
{
    qsort(s->ns, s->count, sizeof *s->ns, compare);
    return s->count == 0 ? 0 : s->ns[(size_t)((double)(s->count - 1) * p)] / 1000.0;
}

static void add(struct samples *s, uint64_t ns)
{
    if (s->count < SAMPLES_MAX) {
        s->ns[s->count++] = (uint32_t)ns;
    }
}

static void report(const char *name, struct samples *s, uint64_t count, double seconds,
                   uint64_t flushes)
{
    printf("%-34s %9.0f /s   p50 %7.1f us   p99 %7.1f us   %.1f records a flush\n", name,
           (double)count / seconds, percentile_us(s, 0.5), percentile_us(s, 0.99),
           flushes > 0 ? (double)count / (double)flushes : 1.0);
    s->count = 0;
}

static void raw(const char *dir, struct samples *s, double seconds)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/raw", dir);
    uint8_t *block = mem_alloc_aligned(4096, 1 << 20);
    memset(block, 0, 1 << 20);
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
    INVARIANT(fd >= 0);
    ssize_t n = pwrite(fd, block, 1 << 20, 0);
    INVARIANT(n == 1 << 20);
    uint64_t begin = clock_mono_ns();
    uint64_t until = begin + (uint64_t)(seconds * 1e9);
    uint64_t now = begin;
    uint64_t count = 0;
    while (now < until) {
        memset(block, (int)count, RECORD);
        n = pwrite(fd, block, 4096, (off_t)(count / 12 % 256 * 4096));
        INVARIANT(n == 4096);
        uint64_t then = clock_mono_ns();
        add(s, then - now);
        now = then;
        count++;
    }
    report("raw 4 KiB O_DIRECT|O_DSYNC", s, count, (double)(now - begin) / 1e9, 0);
    (void)close(fd);
    (void)unlink(path);
    mem_free(block);
}

static void ring(void *ctx)
{
    uint64_t one = 1;
    ssize_t n = write(*(int *)ctx, &one, sizeof one);
    INVARIANT(n == sizeof one);
}

struct bench {
    struct wal_options options;
    struct wal *w;
    struct wal_recovery *r;
    int bell;
    uint64_t next[GROUPS];
};

static void bench_open(struct bench *b)
{
    enum err err = wal_open(&b->options, &b->w, &b->r);
    if (err != ERR_OK) {
        fprintf(stderr, "%s: %s\n", err_info(err)->name, b->r->damage.text);
        exit(1);
    }
}

static void wait_for_bell(const struct bench *b)
{
    struct pollfd p = {.fd = b->bell, .events = POLLIN};
    uint64_t rings;
    (void)poll(&p, 1, -1);
    ssize_t n = read(b->bell, &rings, sizeof rings);
    INVARIANT(n == sizeof rings);
}

static uint64_t put(struct bench *b, uint32_t group)
{
    static uint8_t data[RECORD];
    struct slice part = slice_of(data, sizeof data);
    uint64_t index = ++b->next[group];
    if (index % SNAPSHOT_EVERY == 0) {
        struct wal_snapshot s = {.index = index - 1, .term = 1, .configuration = SLICE("x")};
        (void)wal_snapshot(b->w, group, &s);
    }
    return wal_entry(b->w, group, index, 1, 1, &part, 1);
}

/* Each of `groups` keeps `depth` records in flight. */
static void run(struct bench *b, const char *name, struct samples *s, double seconds,
                uint32_t groups, uint32_t depth)
{
    struct flight {
        uint64_t number;
        uint64_t begin_ns;
        uint32_t group;
    };
    size_t cap = (size_t)groups * depth;
    struct flight *ring_of = mem_zalloc(cap * sizeof *ring_of);
    size_t head = 0;
    uint64_t count = 0;
    uint64_t flushes = wal_stats(b->w).flushes;
    uint64_t begin = clock_mono_ns();
    uint64_t until = begin + (uint64_t)(seconds * 1e9);
    for (size_t i = 0; i < cap; i++) {
        uint32_t group = (uint32_t)(i % groups);
        ring_of[i] = (struct flight){put(b, group), clock_mono_ns(), group};
    }
    wal_kick(b->w);
    uint64_t now = begin;
    while (now < until) {
        wait_for_bell(b);
        uint64_t durable = wal_poll(b->w);
        now = clock_mono_ns();
        for (size_t n = 0; n < cap && ring_of[head].number <= durable; n++) {
            struct flight *f = &ring_of[head];
            add(s, now - f->begin_ns);
            count++;
            *f = (struct flight){put(b, f->group), now, f->group};
            head = (head + 1) % cap;
        }
        wal_kick(b->w);
    }
    report(name, s, count, (double)(now - begin) / 1e9, wal_stats(b->w).flushes - flushes);
    mem_free(ring_of);
}

static double cpu_seconds(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Fills a log with entries that no snapshot covers and reads it back. */
static void recovery(struct bench *b)
{
    static const uint64_t bytes = 256U << 20;
    uint64_t written = 0;
    uint64_t number = 0;
    for (uint32_t group = 0; group < GROUPS; group++) {
        struct wal_snapshot s = {.index = b->next[group], .term = 1};
        (void)wal_snapshot(b->w, group, &s);
    }
    for (uint32_t group = 0; written < bytes; group = (group + 1) % GROUPS) {
        while (wal_reserve(b->w, 1 << 20) != ERR_OK) {
            wal_kick(b->w);
            wait_for_bell(b);
            (void)wal_poll(b->w);
        }
        static uint8_t data[RECORD];
        struct slice part = slice_of(data, sizeof data);
        number = wal_entry(b->w, group, ++b->next[group], 1, 1, &part, 1);
        written += RECORD + 36;
        wal_kick(b->w);
    }
    while (wal_poll(b->w) < number) {
        wal_kick(b->w);
        wait_for_bell(b);
    }
    wal_close(b->w);
    wal_recovery_free(b->r);
    for (int i = 0; i < 2; i++) {
        uint64_t begin = clock_mono_ns();
        double cpu = cpu_seconds();
        bench_open(b);
        uint64_t ns = clock_mono_ns() - begin;
        cpu = cpu_seconds() - cpu;
        size_t entries = 0;
        for (size_t g = 0; g < b->r->group_count; g++) {
            entries += b->r->groups[g].entry_count;
        }
        printf("recovery of %llu MB, %zu entries      %.3f s, processor %.3f s\n",
               (unsigned long long)(written >> 20), entries, (double)ns / 1e9, cpu);
        wal_close(b->w);
        wal_recovery_free(b->r);
    }
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: wal_bench DIR [SECONDS]\n");
        return 2;
    }
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 2;
    char dir[4096];
    struct bench b = {0};
    struct samples s = {.ns = mem_alloc(SAMPLES_MAX * sizeof(uint32_t))};
    random_init();
    (void)snprintf(dir, sizeof dir, "%s/wal-bench-%d", argv[1], (int)getpid());
    b.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    b.options = (struct wal_options){.dir = dir, .notify = ring, .ctx = &b.bell};
    uint64_t begin = clock_mono_ns();
    bench_open(&b);
    printf("first start                        %.3f s%s\n", (double)(clock_mono_ns() - begin) / 1e9,
           wal_is_direct(b.w) ? "" : " (buffered)");
    for (uint32_t g = 0; g < GROUPS; g++) {
        (void)wal_create_replica(b.w, g, g + 1);
    }
    while (wal_stats(b.w).free_slots < 2) { /* the making of segments is not what is measured */
        wal_kick(b.w);
        wait_for_bell(&b);
        (void)wal_poll(b.w);
    }
    for (int round = 0; round < 3; round++) {
        raw(argv[1], &s, seconds);
        run(&b, "1 group, 1 in flight", &s, seconds, 1, 1);
        raw(argv[1], &s, seconds);
        double cpu = cpu_seconds();
        run(&b, "64 groups, 1 in flight each", &s, seconds, GROUPS, 1);
        run(&b, "64 groups, 16 in flight each", &s, seconds, GROUPS, 16);
        printf("   processor time of the last two rows %.2f s of %.2f\n", cpu_seconds() - cpu,
               2 * seconds);
    }
    recovery(&b);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    mem_free(s.ns);
    return 0;
}
