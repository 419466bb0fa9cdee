/* What the WAL's tests share: a log in a directory of its own, without a thread, so that everything
 * happens in log_flush; and the state that a recovery has found, as bytes to compare. */
#ifndef TESTS_UNIT_WAL_LOG_H
#define TESTS_UNIT_WAL_LOG_H

#include "base/buf.h"
#include "storage/wal.h"

enum { SEGMENT = 32 * 1024 };

struct log {
    char *base;
    char *dir;
    struct wal_options options;
    struct wal *w;
    struct wal_recovery *r;
};

void log_init(struct log *l);
void log_open(struct log *l); /* fails the test where the log refuses */
void log_close(struct log *l);
void log_reopen(struct log *l);
void log_crash(struct log *l); /* nothing more is written; opens it again */
void log_done(struct log *l);

/* Until everything appended is durable, or there is no space. The last durable record. */
uint64_t log_flush(struct log *l);

uint64_t log_put(struct log *l, uint32_t group, uint64_t index, uint64_t term, const char *text);
uint64_t log_put_bytes(struct log *l, uint32_t group, uint64_t index, size_t len);
uint64_t log_snapshot(struct log *l, uint32_t group, uint64_t index);

const struct wal_recovered_group *log_group(const struct log *l, uint32_t group);
void log_expect_entries(const struct log *l, uint32_t group, uint64_t first, uint64_t last);

/* Groups and entries of a recovery, one after the other. */
void wal_state_append(struct buf *to, const struct wal_recovery *r);

#endif
