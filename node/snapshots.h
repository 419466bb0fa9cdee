/* Snapshots between nodes: copies of stores, sent by leaders (snapshots_out.c) and taken by replicas that
 * lack entries which are gone (snapshots_in.c). One a worker, for the shards of that worker.
 *
 *     out   COPYING --the copy is made--> SENDING --END: installed--> FOLLOWING --it has the log--> gone
 *           gone as well: no word for long, or a failure; the shard leads no more; it follows no further
 *     in    TAKING --all is written--> SYNCING --durable--> INSTALLING --the shard has it--> gone
 *
 * The log that comes after a copy is held while it is on its way, and until the replica has it as well: else
 * it might need another copy at once. It is held for a replica that is heard: memory for the log is memory
 * that writers are refused. So it goes after a short silence, while the copy waits for longer.
 *
 * What is copied, read and written is on the engine's bulk thread; of each stream SNAPSHOT_WINDOW_BYTES are
 * on their way at most, whatever the size of the shard. A node that stops or crashes leaves files with the
 * names below, which the next start removes. */
#ifndef NODE_SNAPSHOTS_H
#define NODE_SNAPSHOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "node/snapshot_wire.h"
#include "rpc/peer_frame.h"
#include "storage/disk.h"
#include "storage/shard.h"

struct worker;
struct data_dir;

enum {
    SNAPSHOTS_OUT_MAX = 4,      /* copied and sent at a time; the others wait */
    SNAPSHOTS_OUT_ALL_MAX = 12, /* with those that are taken, for whose replicas the log is held */
    SNAPSHOT_WISHES_MAX = 64,   /* that wait; more are asked for again */
    SNAPSHOT_WISH_MS = 2000,    /* one that was not repeated for so long is granted no more */
    SNAPSHOTS_IN_MAX = 8,
    SNAPSHOT_READ_BYTES = 4 * SNAPSHOT_PART_BYTES, /* at once: each is two changes of threads */
    SNAPSHOT_AGAIN_MS = 1000,                      /* without a word: BEGIN is said again */
    SNAPSHOT_SILENT_MS = 3000,    /* without a word, or progress: the log is not held for it */
    SNAPSHOT_DEAD_MS = 30 * 1000, /* without a word: it is over */
};

/* A replica that needs a copy, when there is no room for one more. */
struct snapshot_wish {
    uint32_t shard;
    uint64_t to;
    uint64_t asked_ms;
};

struct snapshot_out {
    struct list link;
    struct snapshots *owner;
    uint32_t shard;
    bool is_copied;
    bool is_taken; /* it follows */
    uint64_t from; /* replicas */
    uint64_t to;
    uint64_t stream;
    struct shard *led; /* NULL: it is lost or gone */
    bool holds_log;
    uint64_t wanted; /* the index that it has once it needs no log held */
    uint64_t match;  /* that it was last seen to have */
    struct shard_copy copy;
    struct buf offer;
    uint64_t next;     /* the first byte not yet sent */
    uint64_t limit;    /* as far as may be sent */
    uint64_t heard_ms; /* it follows: when it had more than before */
    uint64_t said_ms;
    int fd;
    bool is_reading;
    bool is_over; /* goes when nothing of it is on the bulk thread */
    struct job read;
    uint64_t read_at;
    size_t read_bytes; /* asked; then had */
    int read_errno;
    uint8_t *room; /* SNAPSHOT_READ_BYTES */
};

enum snapshot_in_state { IN_TAKING, IN_SYNCING, IN_INSTALLING, IN_STATE_COUNT };

struct snapshot_in {
    enum snapshot_in_state state;
    struct list link;
    struct snapshots *owner;
    uint32_t shard;
    uint64_t from; /* replica */
    uint64_t stream;
    uint64_t bytes;
    uint64_t next;    /* the first byte not yet here */
    uint64_t written; /* of these: in the file */
    uint64_t heard_ms;
    struct buf pending;  /* to be written */
    struct buf in_write; /* being written */
    bool is_writing;
    bool is_over;
    enum err err;
    struct job write;
    struct disk_file *file;
    char *path;
    struct buf offer;
    struct shard_install install;
};

struct snapshots {
    struct worker *worker;
    struct list out;
    struct list in;
    size_t out_count;
    size_t in_count;
    struct snapshot_wish wishes[SNAPSHOT_WISHES_MAX]; /* in the order of their coming */
    size_t wish_count;
    uint64_t bytes_out; /* counters for metrics */
    uint64_t bytes_in;
    uint64_t sent;
    uint64_t taken;
    uint64_t failed;
};

/* Of earlier lives, before there are workers. */
void snapshots_clean(const struct data_dir *d);

void snapshots_init(struct snapshots *s, struct worker *w);
/* Before the engine is closed, which ends what is under way on its threads. */
void snapshots_stop(struct snapshots *s);
void snapshots_done(struct snapshots *s); /* after that */

/* The engine's hooks: a replica needs a copy; the shard leads no more, or is about to go. */
void snapshots_send(struct snapshots *s, struct shard *shard, uint64_t to);
void snapshots_depose(struct snapshots *s, const struct shard *shard);

/* From the node `from`. ERR_CORRUPT: it cannot be read. */
enum err snapshots_take(struct snapshots *s, uint32_t from,
                        const struct peer_message *m) MUST_CHECK;

void snapshots_tick(struct snapshots *s, uint64_t now_ms);

/* For snapshots*.c */
void snapshots_out_stop(struct snapshots *s);
void snapshots_in_stop(struct snapshots *s);
void snapshots_out_tick(struct snapshots *s, uint64_t now_ms);
void snapshots_in_tick(struct snapshots *s, uint64_t now_ms);
void snapshots_hear_want(struct snapshots *s, uint32_t from, const struct snapshot_want *m);
void snapshots_hear_end(struct snapshots *s, uint32_t from, const struct snapshot_end *m);
void snapshots_hear_begin(struct snapshots *s, const struct peer_message *m,
                          const struct snapshot_begin *begin);
void snapshots_hear_part(struct snapshots *s, uint32_t from, const struct snapshot_part *part);
char *snapshots_path(const struct snapshots *s, const char *kind, uint64_t stream);
/* Removes the file and its lock file, on the loop. */
void snapshots_unlink(const char *path);

#endif
