/* The table of a WAL: what must be known of every group without its entries. Each segment begins
 * with one, so an older segment is needed for its entries only.
 *
 * The table is the result of the records seen so far: the worker applies each batch of records when
 * it goes to the disk, recovery applies what it reads. Records of a replica other than the one that
 * stands in the table are of a former life and change nothing. */
#ifndef STORAGE_WAL_TABLE_H
#define STORAGE_WAL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "storage/wal_format.h"

struct wal_snapshot {
    uint64_t index; /* 0: none */
    uint64_t term;
    uint64_t configuration_index;
    struct slice configuration;
};

struct wal_member {
    struct map_node node;
    uint32_t group;
    uint64_t replica;
    uint64_t term;
    uint64_t vote;
    struct wal_snapshot snapshot; /* its configuration lives in the next field */
    struct buf configuration;
};

struct wal_table {
    struct map members;
    uint64_t floor; /* the oldest segment that is needed */
};

void wal_table_done(struct wal_table *t);
void wal_table_copy(struct wal_table *to, const struct wal_table *from);      /* `to` is zeroed */
struct wal_member *wal_table_find(const struct wal_table *t, uint32_t group); /* NULL: none */

enum wal_effect {
    WAL_EFFECT_NONE, /* another replica's, or known already */
    WAL_EFFECT_APPLIED,
};

/* Applies CREATE, REMOVE, TERM, SNAPSHOT, INSTALL, FLOOR and the floor of TABLE; entries and
 * truncations have no effect here. */
enum wal_effect wal_table_apply(struct wal_table *t, const struct wal_record *r);

/* The records that make the same table again, a TABLE record first. */
void wal_table_encode(const struct wal_table *t, struct buf *to);
size_t wal_table_bytes(const struct wal_table *t);

/* A hash for group numbers, which the cluster itself gives out. */
static inline uint64_t wal_group_hash(uint32_t group)
{
    return (group + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

#endif
