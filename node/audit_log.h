/* The audit log of a node: what user code asked of the outside, a record each, on the node that asked.
 *
 *     any worker: audit_log_add --> queue (bounded) --> writer thread: one write and one sync for all that
 *                                                       waits --> data/audit/<first time>-<first number>.log
 *     audit_log_read (any thread that may wait) <-- files, oldest first
 *
 *     record   length u32 | crc32c u32 | time u64 | number u64 | document      (the checksum is of what follows it)
 *
 * Time and number only grow, so records are in the order of both; a number is never given twice. Files have
 * AUDIT_FILE_BYTES at most and the oldest go, so that there are AUDIT_FILES_MAX of them. A record that was cut
 * off, by the end of the process or the disk's space, ends its file: the next one begins a new one. What cannot be
 * kept is counted, and said once; requests go on. The first record makes the folder. */
#ifndef NODE_AUDIT_LOG_H
#define NODE_AUDIT_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    AUDIT_FILE_BYTES = 8 << 20,
    AUDIT_FILES_MAX = 8,
    AUDIT_QUEUE_BYTES_MAX = 4 << 20,
    AUDIT_RECORD_BYTES_MAX = 64 * 1024, /* of a document */
    AUDIT_PAGE_BYTES_MAX = 1 << 20,
    AUDIT_SETTLE_MS = 1000, /* a reader waits so long for what was added before */
};

/* Where a record stands among those of its node, or of all nodes. */
struct audit_place {
    uint64_t time_ms; /* wall */
    uint32_t node;
    uint64_t number;
};
int audit_place_compare(const struct audit_place *a, const struct audit_place *b);

struct audit_log {
    char *folder;
    uint32_t node;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* under mutex */
    struct buf queue; /* records without heads: length u32 | document */
    bool is_writing;
    bool is_ending;
    uint64_t lost;
    /* writer thread */
    int file; /* -1: the next record begins one */
    uint64_t file_bytes;
    uint64_t last_ms;
    uint64_t next_number;
    bool has_said; /* that it cannot be written */
};

/* Nothing is made or read before the first record. */
void audit_log_init(struct audit_log *l, const char *data, uint32_t node);
void audit_log_done(struct audit_log *l); /* writes what waits */

/* A document, copied. False: there is no room, and it is lost. */
bool audit_log_add(struct audit_log *l, struct slice document);
uint64_t audit_log_lost(struct audit_log *l);

struct audit_query {
    uint64_t since_ms;
    bool has_after;
    struct audit_place after; /* records behind it */
    struct slice ns;          /* of this namespace alone; empty: of all */
    uint32_t limit;
};

/* Appends documents [time, number, document] in their order. `*ret_count` of them; `*ret_more`: there are more. */
void audit_log_read(struct audit_log *l, const struct audit_query *q, struct buf *ret,
                    uint32_t *ret_count, bool *ret_more);

#endif
