/* The meta group's end on a node: worker 0 reads the cluster's records from it, publishes them as a
 * cluster view, and changes them one request after the other.
 *
 *     records_submit --> queue --> decide (against the newest view) --> one batch --> durable
 *                       ^                                                            |
 *                       +---- next <---- done <---- a view that has it <---- load <--+
 *
 * So a decision always sees what the one before it did, and whoever is told that a change is done finds
 * it in force on every worker of this node. A load reads all records but the large ones (node/release.h);
 * of those, what the former view does not have. All functions are for worker 0. */
#ifndef NODE_RECORDS_H
#define NODE_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "node/cluster_view.h"
#include "storage/batch.h"
#include "storage/shard.h"

struct worker;

enum {
    RECORDS_REQUESTS_MAX = 256,
    RECORDS_WAIT_MS = 5 * 1000,
};

/* What a decision writes. */
struct records_changes {
    struct batch_builder builder;
    struct buf batch;
};

void records_put(struct records_changes *c, const char *name, struct slice payload);
void records_put_place(struct records_changes *c, const struct place *place);
void records_put_sequence(struct records_changes *c, uint32_t next); /* of replicas */
void records_delete(struct records_changes *c, const char *name);

struct records_request {
    struct list link;
    /* Looks at the records and puts its changes. An error ends the request with nothing written. */
    enum err (*decide)(struct records_request *r, const struct cluster_view *v,
                       struct records_changes *c);
    void (*done)(struct records_request *r, enum err err);
    uint64_t version; /* of what was written; 0: nothing was */
};

/* Until this node's view shows what has that version. */
struct records_wait {
    uint64_t version;
    void (*done)(struct records_wait *w); /* once: it does, or it took too long */

    struct list link; /* the records' own */
    uint64_t deadline_ms;
};

struct records {
    struct worker *worker;
    struct shard *shard; /* NULL until the engine is open */
    struct list queue;   /* the first is the one under way */
    size_t queue_count;
    bool is_proposed; /* its batch is under way */
    bool is_durable;  /* it is, and a view that shows it is not yet published */
    struct proposal proposal;
    struct list waits;

    bool is_stale; /* records have changed since the last load began */
    bool is_loading;
    struct shard_read read;
    struct cluster_view *loaded;  /* being built */
    const struct release *wanted; /* of `loaded`: whose bundle is being read; NULL: records are */
    struct bytes *bundle;
    size_t bundle_bytes; /* of it that have come */
};

void records_init(struct records *s, struct worker *w);
void records_open(struct records *s, struct shard *shard); /* the engine is open: begins to load */
void records_done(struct records *s);                      /* the engine is closed */

/* Records have changed: a load begins with the next tick. Also before records_open. */
void records_changed(struct records *s);
void records_tick(struct records *s); /* once an iteration of the loop */

/* `done` is called once: ERR_OVERLOADED at once where too many wait; ERR_UNAVAILABLE where this node
 * does not lead the group; the error of `decide`; ERR_OUTCOME_UNKNOWN; or ERR_OK. */
void records_submit(struct records *s, struct records_request *r);

/* What another node decided comes here a little later than its outcome. `done` may come from inside. */
void records_await(struct records *s, struct records_wait *w);

#endif
