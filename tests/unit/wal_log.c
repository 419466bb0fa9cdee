#include "tests/unit/wal_log.h"

#include <string.h>

#include "base/mem.h"

#include "tests/lib/test.h"

static void ignore_news(void *ctx)
{
    (void)ctx;
}

void log_init(struct log *l)
{
    struct buf dir = {0};
    *l = (struct log){.base = test_make_dir()};
    buf_printf(&dir, "%s/wal-0%c", l->base, 0);
    l->dir = (char *)dir.data;
    l->options = (struct wal_options){.dir = l->dir,
                                      .segment_bytes = SEGMENT,
                                      .budget_bytes = 8 * SEGMENT,
                                      .unthreaded = true,
                                      .notify = ignore_news,
                                      .ctx = l};
}

void log_open(struct log *l)
{
    enum err err = wal_open(&l->options, &l->w, &l->r);
    if (err != ERR_OK) {
        fail_msg("%s: %s in %s at %llu", err_info(err)->name, l->r->damage.text, l->r->damage.file,
                 (unsigned long long)l->r->damage.offset);
    }
}

void log_close(struct log *l)
{
    wal_close(l->w);
    wal_recovery_free(l->r);
    l->w = NULL;
    l->r = NULL;
}

void log_reopen(struct log *l)
{
    log_close(l);
    log_open(l);
}

void log_crash(struct log *l)
{
    wal_abandon(l->w);
    wal_recovery_free(l->r);
    log_open(l);
}

void log_done(struct log *l)
{
    wal_abandon(l->w);
    wal_recovery_free(l->r);
    mem_free(l->dir);
    test_remove_dir(l->base);
}

uint64_t log_flush(struct log *l)
{
    uint64_t durable = wal_poll(l->w);
    for (wal_kick(l->w); wal_work(l->w); wal_kick(l->w)) {
        durable = wal_poll(l->w);
    }
    return durable;
}

uint64_t log_put(struct log *l, uint32_t group, uint64_t index, uint64_t term, const char *text)
{
    struct slice part = slice_of_str(text);
    return wal_entry(l->w, group, index, term, 1, &part, 1);
}

uint64_t log_put_bytes(struct log *l, uint32_t group, uint64_t index, size_t len)
{
    uint8_t *data = mem_alloc(len);
    memset(data, (int)(index & 0xff), len);
    struct slice part = slice_of(data, len);
    uint64_t number = wal_entry(l->w, group, index, 1, 1, &part, 1);
    mem_free(data);
    return number;
}

uint64_t log_snapshot(struct log *l, uint32_t group, uint64_t index)
{
    struct wal_snapshot s = {
        .index = index, .term = 1, .configuration_index = 1, .configuration = SLICE("voters")};
    return wal_snapshot(l->w, group, &s);
}

const struct wal_recovered_group *log_group(const struct log *l, uint32_t group)
{
    for (size_t i = 0; i < l->r->group_count; i++) {
        if (l->r->groups[i].group == group) {
            return &l->r->groups[i];
        }
    }
    return NULL;
}

void log_expect_entries(const struct log *l, uint32_t group, uint64_t first, uint64_t last)
{
    const struct wal_recovered_group *g = log_group(l, group);
    assert_non_null(g);
    assert_int_equal(g->snapshot.index + 1, first);
    assert_int_equal(g->snapshot.index + g->entry_count, last);
}

void wal_state_append(struct buf *to, const struct wal_recovery *r)
{
    for (size_t i = 0; i < r->group_count; i++) {
        const struct wal_recovered_group *g = &r->groups[i];
        buf_printf(to, "group %u replica %llu term %llu vote %llu snapshot %llu/%llu/%llu '%.*s'\n",
                   g->group, (unsigned long long)g->replica, (unsigned long long)g->term,
                   (unsigned long long)g->vote, (unsigned long long)g->snapshot.index,
                   (unsigned long long)g->snapshot.term,
                   (unsigned long long)g->snapshot.configuration_index,
                   (int)g->snapshot.configuration.len,
                   (const char *)g->snapshot.configuration.data);
        for (size_t j = 0; j < g->entry_count; j++) {
            const struct wal_entry *e = &g->entries[j];
            buf_printf(to, "%llu/%llu/%u ", (unsigned long long)e->index,
                       (unsigned long long)e->term, e->type);
            buf_append_slice(to, e->data);
        }
    }
}
