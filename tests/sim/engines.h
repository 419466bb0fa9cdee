/* Several engines in one process, and what is asked of them: for tests/sim/engines.c, where all else is, and
 * tests/sim/engine_ops.c, which writes and reads. */
#ifndef TESTS_SIM_ENGINES_H
#define TESTS_SIM_ENGINES_H

#include "node/member.h"
#include "storage/engine.h"

enum {
    NODES = 4,
    FIRST_VOTERS = 3,
    SHARDS = 2,
    KEYS = 3,
    OPS_MAX = 1500,
    ENTRIES_MAX = 4096,
};

#define ULL(n) ((unsigned long long)(n))

struct node {
    struct cluster *c;
    uint32_t id;
    char *dir;
    struct engine_options options;
    struct engine *engine; /* NULL: it is down */
    uint64_t up_ms;        /* when it starts again */
    uint64_t life;         /* of its engine */
    uint64_t cut_ms;       /* no message leaves or arrives until then */
    uint64_t slow_ms;      /* its disk */
    uint64_t voters[FIRST_VOTERS];
    uint64_t copy_for[SHARDS];
    bool has_born[SHARDS]; /* as leader: the actor is there, or on its way */
    struct engine_change changes[SHARDS];
    bool is_changing[SHARDS];
};

struct message {
    struct list link;
    uint32_t shard;
    uint64_t from;
    uint64_t to;
    struct buf bytes;
    char *path; /* of a copy of the store that the message goes with, or NULL */
};

struct op {
    uint32_t shard;
    uint32_t key;
    uint64_t floor; /* highest version that anybody had been told when it began */
    uint64_t version;
    bool is_done;
    bool is_refused;
    bool is_applied;
};

struct cluster {
    uint64_t random;
    uint64_t now_ms;
    char *base;
    struct node nodes[NODES];
    struct list messages;
    size_t message_count;
    struct place places[SHARDS];
    uint32_t last_sequence;
    uint64_t entries[SHARDS][ENTRIES_MAX]; /* digest, by index; 0: not yet known */
    uint64_t told[SHARDS][KEYS];
    struct op ops[OPS_MAX]; /* from 1 on */
    uint32_t op_count;
    uint32_t copy_count;
    bool is_healed;
    bool is_missing_one; /* that does not come back */
    char reason[400];
    struct totals *totals;
};

struct totals {
    uint64_t writes;
    uint64_t done;
    uint64_t unknown;
    uint64_t refused;
    uint64_t reads;
    uint64_t cold_reads;
    uint64_t crashes;
    uint64_t copies;
    uint64_t installed;
    uint64_t added;
    uint64_t promoted;
    uint64_t removed;
    uint64_t left;
    uint64_t transfers;
    uint64_t checkpoints;
    uint64_t rested;
    uint64_t failed_over;
};

uint64_t cluster_draw(struct cluster *c, uint64_t below);
/* The first one is kept, and ends the run. */
void cluster_fail(struct cluster *c, const char *format, ...) PRINTF_LIKE(2, 3);

/* Of a shard that leads. */
void ops_write(struct node *n, struct shard *s);
void ops_read(struct cluster *c, struct shard *s);
/* A batch is applied for the first time. */
void ops_note_batch(struct cluster *c, struct slice batch);
/* All is quiet: the key's rows are as the last write left them. Leading or not. */
void ops_check(struct node *n, struct shard *s, uint32_t key);

#endif
