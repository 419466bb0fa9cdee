/* Writes and reads of the shards of several engines, and what their outcomes must be. */
#include <stdio.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "tests/lib/storage.h"
#include "tests/sim/engines.h"

enum {
    PAD_BYTES_MAX = 2500,
    ACTOR = 1, /* the number of the only one that a shard has */
    TURNS_MAX = 1000,
};

static uint32_t op_in(struct slice payload)
{
    uint32_t op;
    memcpy(&op, payload.data, sizeof op);
    return op;
}

void ops_note_batch(struct cluster *c, struct slice batch)
{
    struct batch_reader r;
    struct batch_op row;
    enum err err = batch_open(&r, batch);
    while (err == ERR_OK && r.ops_left > 0) {
        err = batch_next(&r, &row);
    }
    INVARIANT(err == ERR_OK); /* the last row of a batch is a key's */
    struct op *op = &c->ops[op_in(row.payload)];
    if (op->is_applied || op->is_refused || r.header.version <= op->floor) {
        cluster_fail(c, "operation %u is applied twice, was refused, or comes too late",
                     op_in(row.payload));
    }
    op->is_applied = true;
    op->version = r.header.version;
}

/* Writes: two rows of one key, which are seen both or not at all. */

struct write_op {
    struct proposal proposal;
    struct cluster *c;
    uint32_t op;
};

static void on_written(struct proposal *p, enum err err)
{
    struct write_op *w = CONTAINER_OF(p, struct write_op, proposal);
    struct op *op = &w->c->ops[w->op];
    op->is_done = err == ERR_OK;
    op->is_refused = err == ERR_NOT_OWNER;
    w->c->totals->done += err == ERR_OK;
    w->c->totals->unknown += err == ERR_OUTCOME_UNKNOWN;
    w->c->totals->refused += err == ERR_NOT_OWNER;
    uint64_t *told = &w->c->told[op->shard][op->key];
    if (op->is_done != op->is_applied && err != ERR_OUTCOME_UNKNOWN) {
        cluster_fail(w->c, "operation %u is answered %s, and was %sapplied", w->op,
                     err_info(err)->name, op->is_applied ? "" : "not ");
    }
    if (op->is_done && op->version > *told) {
        *told = op->version;
    }
    buf_done(&p->batch);
    mem_free(w);
}

static struct row_key row_of(uint32_t key, char half)
{
    char name[16];
    (void)snprintf(name, sizeof name, "%u%c", key, half);
    return test_kv(ACTOR, name);
}

static void bear(struct shard *s, struct batch_builder *b, struct batch_header *header)
{
    struct identity identity = test_identity(shard_id(s));
    struct address address = {SLICE("ns"), SLICE("Store"), SLICE("id")};
    struct row_key key;
    struct buf payload = {0};
    header->born = shard_take_number(s);
    INVARIANT(header->born == ACTOR);
    row_key_directory(&key, &identity);
    directory_row_encode(&payload, ACTOR, &address);
    batch_put(b, row_key_slice(&key), BATCH_OWN_VERSION, buf_slice(&payload));
    buf_done(&payload);
}

void ops_write(struct node *n, struct shard *s)
{
    struct cluster *c = n->c;
    const char *limit;
    uint64_t value;
    size_t pad = cluster_draw(c, 4) == 0 ? cluster_draw(c, PAD_BYTES_MAX) : cluster_draw(c, 50);
    if (c->op_count + 1 == OPS_MAX ||
        shard_reserve(s, pad + 500, false, &limit, &value) != ERR_OK) {
        return;
    }
    struct write_op *w = MEM_NEW(struct write_op);
    struct batch_builder b;
    struct batch_header header = {.version = shard_take_version(s),
                                  .log_time_ms = shard_log_time_ms(s)};
    w->c = c;
    w->op = ++c->op_count;
    struct op *op = &c->ops[w->op];
    *op = (struct op){.shard = shard_id(s), .key = (uint32_t)cluster_draw(c, KEYS)};
    op->floor = c->told[op->shard][op->key];
    batch_begin(&b, &w->proposal.batch);
    if (!n->has_born[op->shard]) {
        bear(s, &b, &header);
        n->has_born[op->shard] = true;
    }
    struct buf payload = {0};
    buf_append(&payload, &w->op, sizeof w->op);
    memset(buf_extend(&payload, pad), 'p', pad);
    struct row_key first = row_of(op->key, 'a');
    struct row_key second = row_of(op->key, 'b');
    batch_put(&b, row_key_slice(&first), BATCH_OWN_VERSION, buf_slice(&payload));
    batch_put(&b, row_key_slice(&second), BATCH_OWN_VERSION, buf_slice(&payload));
    buf_done(&payload);
    enum err err = batch_end(&b, &header);
    INVARIANT(err == ERR_OK);
    w->proposal.done = on_written;
    c->totals->writes++;
    shard_propose(s, &w->proposal);
}

/* Reads: both rows, and a proof that begins after the read did. */

struct read_op {
    struct shard_proof proof;
    struct shard_read rows;
    struct cluster *c;
    uint32_t shard;
    uint32_t key;
    uint64_t floor; /* UINT64_MAX: of no leader, at the end */
    int waits_for;
    bool has_failed;
    uint64_t version;
};

static void end_read(struct read_op *r)
{
    if (--r->waits_for > 0) {
        return;
    }
    struct cluster *c = r->c;
    const struct rowset *rows = &r->rows.job.rows;
    if (!r->has_failed) {
        const struct rowset_row *a = &rows->rows[0];
        const struct rowset_row *b = &rows->rows[1];
        r->version = a->present ? a->version : 0;
        if (rows->count != 2 || a->present != b->present ||
            (a->present && a->version != b->version)) {
            cluster_fail(c, "shard %u: key %u is half written", r->shard, r->key);
        }
        if (r->floor != UINT64_MAX && r->version < r->floor) {
            cluster_fail(c, "shard %u: key %u is read as of version %llu after %llu", r->shard,
                         r->key, ULL(r->version), ULL(r->floor));
        }
        if (r->floor != UINT64_MAX && r->version > c->told[r->shard][r->key]) {
            c->told[r->shard][r->key] = r->version;
        }
        c->totals->reads++;
    }
    read_job_done(&r->rows.job);
    mem_free(r);
}

static void on_rows(struct shard_read *rows, enum err err)
{
    struct read_op *r = CONTAINER_OF(rows, struct read_op, rows);
    r->has_failed = r->has_failed || err != ERR_OK;
    if (err != ERR_OK && err != ERR_CLOSED) {
        cluster_fail(r->c, "shard %u: a read fails: %s", r->shard, err_info(err)->name);
    }
    end_read(r);
}

static void on_proof(struct shard_proof *p, enum err err)
{
    struct read_op *r = CONTAINER_OF(p, struct read_op, proof);
    r->has_failed = r->has_failed || err != ERR_OK;
    end_read(r);
}

static void read_rows(struct read_op *r, struct shard *s)
{
    struct row_key first = row_of(r->key, 'a');
    struct row_key second = row_of(r->key, 'b');
    read_job_points(&r->rows.job);
    read_job_add_point(&r->rows.job, row_key_slice(&first));
    read_job_add_point(&r->rows.job, row_key_slice(&second));
    r->rows.done = on_rows;
    enum err err = shard_read(s, &r->rows);
    r->c->totals->cold_reads += err == ERR_COLD;
    if (err != ERR_COLD) {
        on_rows(&r->rows, err);
    }
}

void ops_read(struct cluster *c, struct shard *s)
{
    struct read_op *r = MEM_NEW(struct read_op);
    r->c = c;
    r->shard = shard_id(s);
    r->key = (uint32_t)cluster_draw(c, KEYS);
    r->floor = c->told[r->shard][r->key];
    r->waits_for = 2;
    r->proof.done = on_proof;
    bool is_proven = shard_prove(s, &r->proof);
    read_rows(r, s);
    if (is_proven) {
        end_read(r);
    }
}

void ops_check(struct node *n, struct shard *s, uint32_t key)
{
    struct cluster *c = n->c;
    struct read_op *r = MEM_NEW(struct read_op);
    r->c = c;
    r->shard = shard_id(s);
    r->key = key;
    r->floor = UINT64_MAX;
    r->waits_for = 2;
    read_rows(r, s);
    for (int turns = 0; r->waits_for > 1 && turns < TURNS_MAX; turns++) {
        engine_flush(n->engine);
        (void)engine_work(n->engine, ENGINE_ALL);
        engine_poll(n->engine);
    }
    uint64_t expected = 0;
    for (uint32_t i = 1; i <= c->op_count; i++) {
        const struct op *op = &c->ops[i];
        if (op->shard == r->shard && op->key == key && op->is_applied && op->version > expected) {
            expected = op->version;
        }
    }
    uint64_t found = 0;
    if (r->waits_for == 1 && !r->has_failed && r->rows.job.rows.count == 2) {
        found = r->rows.job.rows.rows[0].present ? r->rows.job.rows.rows[0].version : 0;
    }
    if (found != expected || c->told[r->shard][key] > found) {
        cluster_fail(c, "node %u, shard %u: key %u has version %llu, not %llu", n->id, r->shard,
                     key, ULL(found), ULL(expected));
    }
    end_read(r);
}
