#include "tests/unit/redeal_data.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "storage/engine.h"
#include "storage/wal.h"
#include "storage/wal_dirs.h"
#include "tests/lib/test.h"
#include "tests/unit/wal_log.h"

enum { LARGE_BYTES = 24 * 1000, ADDED_TERM = 20, SMALL_BYTES = 1900 };

void redeal_data_init(struct redeal_data *r)
{
    struct buf path = {0};
    *r = (struct redeal_data){.base = test_make_dir()};
    buf_printf(&path, "%s/data%c", r->base, 0);
    r->path = (char *)path.data;
}

void redeal_data_done(struct redeal_data *r)
{
    redeal_data_stop(r);
    for (uint32_t shard = 0; shard < REDEAL_GROUPS; shard++) {
        buf_done(&r->want[shard]);
    }
    test_remove_dir(r->base);
    mem_free(r->path);
}

/* The groups, by the place where the fixture keeps them. */

static uint32_t group_at(uint32_t at)
{
    return at < REDEAL_SHARDS ? engine_group_of_shard(at) : GROUP_OF_META;
}

static uint32_t place_of(uint32_t group)
{
    return group == GROUP_OF_META ? REDEAL_SHARDS : group - engine_group_of_shard(0);
}

static bool is_of(const struct redeal_data *r, uint32_t worker, uint32_t at)
{
    return engine_worker_of_shard(at < REDEAL_SHARDS ? at : SHARD_META, r->data.wal_count) ==
           worker;
}

/* Logs, as a worker has them */

static void ignore_news(void *ctx)
{
    (void)ctx;
}

static void note_failure(void *ctx, const char *path, uint64_t offset, int reason)
{
    struct redeal_data *r = ctx;
    (void)snprintf(r->detail, sizeof r->detail, "%s at %llu: %s", path, (unsigned long long)offset,
                   strerror(reason));
}

static enum err open_log(struct redeal_data *r, uint32_t worker, struct wal **ret_log)
{
    struct wal_recovery *recovery = NULL;
    char *path = wal_dir_path(r->path, wal_dir_in_use(&r->data, worker));
    const struct wal_options options = {.dir = path,
                                        .worker = worker,
                                        .segment_bytes = REDEAL_SEGMENT,
                                        .budget_bytes = UINT64_MAX,
                                        .unthreaded = true,
                                        .notify = ignore_news,
                                        .fatal = note_failure,
                                        .ctx = r};
    enum err err = wal_open(&options, ret_log, &recovery);
    if (err != ERR_OK) {
        (void)snprintf(r->detail, sizeof r->detail, "%.300s/%s: %s", path, recovery->damage.file,
                       recovery->damage.text);
    }
    wal_recovery_free(recovery);
    mem_free(path);
    return err;
}

static enum err flush(struct wal *log, uint64_t number)
{
    while (wal_poll(log) < number) {
        wal_kick(log);
        if (!wal_work(log)) {
            return ERR_IO;
        }
    }
    return ERR_OK;
}

static uint8_t type_of(uint64_t index)
{
    return (uint8_t)(1 + index % 3);
}

/* What an entry holds follows from its shard and index; now and then it is large, or nothing. */
static void fill(uint32_t shard, uint64_t index, struct buf *to)
{
    size_t len = index % 7 == 3 ? LARGE_BYTES : (size_t)(index * 131 + shard * 17) % 3000;
    for (size_t i = 0; i < len; i++) {
        buf_append_byte(to, (uint8_t)(i * 7 + index * 31 + shard));
    }
}

static uint64_t put_entry(struct wal *log, uint32_t shard, uint64_t index, uint64_t term)
{
    struct buf data = {0};
    fill(shard, index, &data);
    struct slice part = buf_slice(&data);
    uint64_t number = wal_entry(log, group_at(shard), index, term, type_of(index), &part, 1);
    buf_done(&data);
    return number;
}

/* Shard 0: nothing but a term. 1: a replica and no more. 2: entries, some cut off and written anew.
 * 3: a snapshot, and entries after it. 4: a second replica after the first was removed. 5: a snapshot
 * of everything. 6, which is the cluster's own: entries. */
static uint64_t write_shard(struct wal *log, uint32_t shard)
{
    const struct wal_snapshot snapshot = {.index = shard == 3 ? 3 : 8,
                                          .term = 2,
                                          .configuration_index = 1,
                                          .configuration = SLICE("voters")};
    uint32_t group = group_at(shard);
    uint64_t number = wal_create_replica(log, group, shard + 100);
    if (shard == 1) {
        return number;
    }
    number = wal_term_vote(log, group, shard + 2, shard + 100);
    for (uint64_t index = 1; shard > 0 && index <= 8; index++) {
        number = put_entry(log, shard, index, 2);
        expect_err(flush(log, number), ERR_OK);
    }
    if (shard == 2) {
        (void)wal_truncate(log, group, 5);
        (void)put_entry(log, shard, 5, 4);
        number = put_entry(log, shard, 6, 4);
    } else if (shard == 4) {
        (void)wal_remove_replica(log, group);
        (void)wal_create_replica(log, group, 77);
        (void)wal_term_vote(log, group, 9, 0);
        number = put_entry(log, shard, 1, 9);
    } else if (shard == 3 || shard == 5) {
        number = wal_snapshot(log, group, &snapshot);
    }
    return number;
}

static void write_log(struct redeal_data *r, uint32_t worker, bool is_killed)
{
    struct wal *log;
    uint64_t number = 0;
    expect_err(open_log(r, worker, &log), ERR_OK);
    for (uint32_t shard = 0; shard < REDEAL_GROUPS; shard++) {
        number = is_of(r, worker, shard) ? write_shard(log, shard) : number;
    }
    expect_err(flush(log, number), ERR_OK);
    if (is_killed) {
        wal_abandon(log);
    } else {
        wal_close(log);
    }
}

/* What is found */

static void print_group(const struct wal_recovered_group *g, struct buf *to)
{
    struct wal_recovered_group copy = *g;
    const struct wal_recovery one = {.groups = &copy, .group_count = 1};
    wal_state_append(to, &one);
}

/* By shard; what two logs have of one shard shows as more than there should be. */
static enum err read_logs(struct redeal_data *r, struct buf found[REDEAL_GROUPS],
                          uint64_t last[REDEAL_GROUPS])
{
    enum err err = ERR_OK;
    for (uint32_t worker = 0; err == ERR_OK && worker < r->data.wal_count; worker++) {
        struct wal_recovery *recovery = NULL;
        char *path = wal_dir_path(r->path, wal_dir_in_use(&r->data, worker));
        err = wal_recover(path, &recovery);
        if (err != ERR_OK) {
            (void)snprintf(r->detail, sizeof r->detail, "%.300s/%s: %s", path,
                           recovery->damage.file, recovery->damage.text);
        }
        for (size_t i = 0; err == ERR_OK && i < recovery->group_count; i++) {
            const struct wal_recovered_group *g = &recovery->groups[i];
            uint32_t shard = place_of(g->group);
            assert_true(shard < REDEAL_GROUPS && is_of(r, worker, shard));
            print_group(g, &found[shard]);
            last[shard] = g->snapshot.index + g->entry_count;
        }
        wal_recovery_free(recovery);
        mem_free(path);
    }
    return err;
}

bool redeal_data_is_whole(struct redeal_data *r)
{
    struct buf found[REDEAL_GROUPS] = {{0}};
    uint64_t last[REDEAL_GROUPS] = {0};
    bool is_whole = read_logs(r, found, last) == ERR_OK;
    for (uint32_t shard = 0; shard < REDEAL_GROUPS; shard++) {
        if (is_whole && !slice_equal(buf_slice(&found[shard]), buf_slice(&r->want[shard]))) {
            (void)snprintf(r->detail, sizeof r->detail,
                           "shard %u of %u logs: entries up to %llu, want %llu", shard,
                           r->data.wal_count, (unsigned long long)last[shard],
                           (unsigned long long)r->last[shard]);
            is_whole = false;
        }
        buf_done(&found[shard]);
    }
    return is_whole;
}

void redeal_data_make(struct redeal_data *r, uint32_t wal_count, bool is_killed)
{
    expect_err(data_dir_open(&r->data, r->path, REDEAL_SHARDS, wal_count, r->detail), ERR_OK);
    for (uint32_t worker = 0; worker < wal_count; worker++) {
        write_log(r, worker, is_killed);
    }
    expect_err(read_logs(r, r->want, r->last), ERR_OK);
    redeal_data_stop(r);
    assert_int_equal(r->last[2], 6);
    assert_int_equal(r->last[3], 8);
    assert_int_equal(r->last[4], 1);
    assert_int_equal(r->last[5], 8);
    assert_int_equal(r->last[REDEAL_SHARDS], 8);
}

/* Starts */

enum err redeal_data_start(struct redeal_data *r, uint32_t wal_count)
{
    enum err err = data_dir_open(&r->data, r->path, 0, 1, r->detail);
    if (err != ERR_OK) {
        return err;
    }
    wal_dirs_clean(&r->data);
    if (wal_count != r->data.wal_count) {
        err = redeal(&r->data, wal_count, REDEAL_SEGMENT, &r->report, r->detail);
    }
    if (err != ERR_OK) {
        redeal_data_stop(r);
    }
    return err;
}

void redeal_data_stop(struct redeal_data *r)
{
    if (r->data.path != NULL) {
        data_dir_close(&r->data);
    }
}

void redeal_data_add_small(struct redeal_data *r, uint64_t count)
{
    uint8_t data[SMALL_BYTES] = {1};
    const struct slice part = slice_of(data, sizeof data);
    struct wal *log;
    uint64_t number = 0;
    expect_err(open_log(r, 0, &log), ERR_OK);
    for (; count > 0; count--) {
        uint64_t index = ++r->last[0];
        number = wal_entry(log, group_at(0), index, ADDED_TERM, 1, &part, 1);
        buf_printf(&r->want[0], "%llu/%d/1 ", (unsigned long long)index, ADDED_TERM);
        buf_append_slice(&r->want[0], part);
    }
    expect_err(flush(log, number), ERR_OK);
    wal_close(log);
}

enum err redeal_data_add(struct redeal_data *r)
{
    enum err err = ERR_OK;
    for (uint32_t worker = 0; err == ERR_OK && worker < r->data.wal_count; worker++) {
        struct wal *log;
        uint64_t number = 0;
        err = open_log(r, worker, &log);
        if (err != ERR_OK) {
            break;
        }
        for (uint32_t shard = 0; shard < REDEAL_GROUPS; shard++) {
            number = is_of(r, worker, shard) ? put_entry(log, shard, r->last[shard] + 1, ADDED_TERM)
                                             : number;
        }
        err = flush(log, number);
        wal_abandon(log);
    }
    for (uint32_t shard = 0; err == ERR_OK && shard < REDEAL_GROUPS; shard++) {
        uint64_t index = ++r->last[shard];
        buf_printf(&r->want[shard], "%llu/%d/%u ", (unsigned long long)index, ADDED_TERM,
                   type_of(index)); /* as wal_state_append does */
        fill(shard, index, &r->want[shard]);
    }
    return err;
}
