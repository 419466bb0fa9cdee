/* A shard with its store, and what it should hold: for tests of merged reads. Each test program
 * includes it once; a batch is under construction between shard_commit calls. */
#ifndef TESTS_LIB_SHARD_H
#define TESTS_LIB_SHARD_H

#include "base/mem.h"
#include "storage/checkpoint.h"
#include "storage/view.h"
#include "tests/lib/row_model.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

enum { IDENTITIES = 6 };

/* A shard, and what it should hold. The model's number 0 has the directory. */
struct shard_fixture {
    char *dir;
    struct store *store;
    struct shard_state shard;
    struct model model;
    uint64_t numbers[IDENTITIES]; /* of the living actors; 0: not there */
    bool written;                 /* the frozen overlay is in LMDB, but not done */
    uint64_t last_number;
    struct buf batch;
    struct batch_builder builder;
};

static inline int shard_setup(void **state)
{
    struct shard_fixture *f = MEM_NEW(struct shard_fixture);
    struct buf path = {0};
    struct applied none = {0};
    f->dir = test_make_dir();
    store_path(&path, f->dir, 0, 1);
    buf_append_byte(&path, 0);
    expect_err(store_open((char *)path.data, STORE_MAP_BYTES_TESTS, &f->store), ERR_OK);
    buf_done(&path);
    shard_state_init(&f->shard, &none);
    batch_begin(&f->builder, &f->batch);
    *state = f;
    return 0;
}

static inline int shard_teardown(void **state)
{
    struct shard_fixture *f = *state;
    store_close(f->store);
    shard_state_done(&f->shard);
    buf_done(&f->batch);
    test_remove_dir(f->dir);
    mem_free(f);
    return 0;
}

/* Writing, to the shard and to the model */

static inline uint64_t shard_next_version(const struct shard_fixture *f)
{
    return shard_state_applied(&f->shard)->version + 1;
}

static inline void shard_put(struct shard_fixture *f, const struct row_key *key,
                             struct slice payload)
{
    batch_put(&f->builder, row_key_slice(key), BATCH_OWN_VERSION, payload);
}

static inline void shard_put_value(struct shard_fixture *f, const struct row_key *key,
                                   uint32_t value)
{
    struct model_row row = {.key = *key, .version = shard_next_version(f), .value = value};
    shard_put(f, key, slice_of(&value, sizeof value));
    model_write(&f->model, &row);
}

static inline void shard_delete(struct shard_fixture *f, const struct row_key *key)
{
    batch_delete(&f->builder, row_key_slice(key));
    model_erase(&f->model, row_key_slice(key));
}

static inline void shard_commit(struct shard_fixture *f)
{
    struct buf entry = {0};
    const struct applied *applied = shard_state_applied(&f->shard);
    struct batch_header header = {.version = applied->version + 1, .born = f->last_number};
    expect_err(batch_end(&f->builder, &header), ERR_OK);
    entry_append(&entry, buf_slice(&f->batch));
    expect_err(shard_state_apply(&f->shard, buf_slice(&entry), applied->index + 1, 1, 1), ERR_OK);
    buf_clear(&f->batch);
    batch_begin(&f->builder, &f->batch);
    buf_done(&entry);
}

static inline uint64_t shard_give_birth(struct shard_fixture *f, uint64_t who)
{
    struct identity identity = test_identity(who);
    struct address address = {SLICE("ns"), SLICE("Store"), SLICE("id")};
    struct row_key key;
    struct buf payload = {0};
    uint64_t number = ++f->last_number;
    f->numbers[who] = number;
    row_key_directory(&key, &identity);
    directory_row_encode(&payload, number, &address);
    shard_put(f, &key, buf_slice(&payload));
    row_key_meta(&key, number);
    shard_put_value(f, &key, 1);
    buf_done(&payload);
    return number;
}

static inline void shard_drop(struct shard_fixture *f, uint64_t who)
{
    struct identity identity = test_identity(who);
    struct row_key key;
    row_key_directory(&key, &identity);
    batch_delete(&f->builder, row_key_slice(&key));
    batch_drop(&f->builder, f->numbers[who]);
    model_drop(&f->model, f->numbers[who]);
    f->numbers[who] = 0;
}

static inline void shard_write_checkpoint(struct shard_fixture *f)
{
    struct checkpoint_report report;
    expect_err(checkpoint_write(f->store, f->shard.frozen, &report), ERR_OK);
    f->written = true;
}

static inline void shard_finish_checkpoint(struct shard_fixture *f)
{
    shard_state_checkpoint_done(&f->shard);
    f->written = false;
}

static inline void shard_checkpoint(struct shard_fixture *f)
{
    (void)shard_state_freeze(&f->shard);
    shard_write_checkpoint(f);
    shard_finish_checkpoint(f);
}

#endif
