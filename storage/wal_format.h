/* The bytes of a write-ahead log: frames, and the records inside them. Pure.
 *
 *     segment   | frame | frame | frame ...   one after the other, each starting at a multiple of 8
 *     frame     | header, 56 bytes | records |         one write to the disk, whole or not at all
 *     record    | header, 20 bytes | numbers, by kind | data |
 *
 *     frame header    0 magic (4)      8 WAL id (8)    24 segment (8)   40 payload bytes (4)
 *                     4 format (2)    16 epoch (8)     32 sequence (8)  44 CRC32C of the payload (4)
 *                     6 zero (2)                                        48 zero (4)
 *                                                                       52 CRC32C of bytes 0-51 (4)
 *     record header   0 bytes of what follows (4)   4 kind (1)   5 type (1)   6 zero (2)
 *                     8 group (4)   12 replica (8)
 *
 * All numbers are big-endian. The WAL id is random and never leaves the node, so nobody can store a
 * value that reads as a frame. The sequence counts the frames of the WAL's whole life without a gap;
 * a frame is written only after the one before it is durable. Hence a header with a higher sequence
 * proves that a frame which cannot be read was durable once.
 *
 * A change of this layout raises WAL_FORMAT; another format is refused with ERR_FORMAT. */
#ifndef STORAGE_WAL_FORMAT_H
#define STORAGE_WAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum {
    WAL_FORMAT = 1,
    WAL_BLOCK_BYTES = 4096, /* unit of direct writes */
    WAL_FRAME_ALIGN = 8,
    WAL_FRAME_HEADER_BYTES = 56,
    WAL_RECORD_HEADER_BYTES = 20,
    WAL_RECORD_NUMBERS_MAX = 3, /* numbers of 8 bytes between a record's header and its data */
};

struct wal_frame {
    uint64_t wal;
    uint64_t epoch; /* rises with every start */
    uint64_t segment;
    uint64_t sequence;
    uint32_t length; /* payload bytes */
    uint32_t crc;    /* of the payload */
};

enum wal_kind {
    WAL_TABLE = 1,    /* first in a segment: oldest segment still needed, records of the table */
    WAL_CREATE = 2,   /* a replica begins with an empty log */
    WAL_REMOVE = 3,   /* it is gone, with all it had */
    WAL_TERM = 4,     /* term, vote */
    WAL_ENTRY = 5,    /* index, term, data; the type is the caller's */
    WAL_COPY = 6,     /* the same entry again, so that an older segment can go */
    WAL_TRUNCATE = 7, /* entries from the index on are gone */
    WAL_SNAPSHOT = 8, /* index, term, configuration index, configuration; later entries stay */
    WAL_INSTALL = 9,  /* the same, and all entries are gone */
    WAL_FLOOR = 10,   /* segments before this number are not needed */
    WAL_KIND_COUNT = 11,
};

/* What a kind does not have is zero. */
struct wal_record {
    enum wal_kind kind;
    uint8_t type;
    uint32_t group;
    uint64_t replica;
    uint64_t index; /* TABLE, FLOOR: a segment */
    uint64_t term;  /* TABLE: how many records follow that belong to the table */
    uint64_t vote;
    uint64_t configuration_index;
    struct slice data; /* decoded: inside the bytes that were given */
};

/* The header; `at` has room for WAL_FRAME_HEADER_BYTES. */
void wal_frame_encode(uint8_t *at, const struct wal_frame *f);

/* ERR_MORE: too short for a header. ERR_CORRUPT: not one. ERR_FORMAT: one of another version. The
 * payload is another matter: wal_frame_is_whole. */
enum err wal_frame_decode(struct slice bytes, struct wal_frame *ret_frame) MUST_CHECK;

/* Whether the payload follows the header in `bytes`, intact. */
bool wal_frame_is_whole(const struct wal_frame *f, struct slice bytes);

static inline uint64_t wal_frame_end(uint64_t position, uint32_t length)
{
    uint64_t end = position + WAL_FRAME_HEADER_BYTES + length;
    return (end + WAL_FRAME_ALIGN - 1) / WAL_FRAME_ALIGN * WAL_FRAME_ALIGN;
}

static inline uint64_t wal_block_up(uint64_t position)
{
    return (position + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
}

/* All of a record but its data, which follows; `data.len` counts. */
size_t wal_record_bytes(const struct wal_record *r);                 /* with the data */
uint8_t *wal_record_encode(uint8_t *at, const struct wal_record *r); /* where the data goes */

/* Takes one record off the front of `rest`. ERR_CORRUPT where it is not one. */
enum err wal_record_decode(struct slice *rest, struct wal_record *ret_record) MUST_CHECK;

#endif
