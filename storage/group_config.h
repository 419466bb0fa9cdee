/* The members of a group, as an entry of its log holds them. Pure.
 *
 *     format u8, 1 | count u64 | count of: replica u64, address, zero byte, role u8 | zeros
 *
 * The numbers are little-endian and the whole is padded to a multiple of 8: it is the consensus
 * library's own encoding, whose decoder trusts the bytes to be whole and so sees none that were not
 * decoded here first. The address is the replica's number in decimals; nobody reads it.
 *
 * Invariants, of every configuration that was decoded or built here
 *   - replicas are not 0 and differ; their order stays when roles change or others come and go. */
#ifndef STORAGE_GROUP_CONFIG_H
#define STORAGE_GROUP_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { GROUP_MEMBERS_MAX = 64, GROUP_ADDRESS_BYTES = 24 };

/* The numbers are part of the on-disk format. */
enum group_role {
    GROUP_STANDBY = 0, /* has the log, has no vote */
    GROUP_VOTER = 1,
    GROUP_SPARE = 2, /* known, and without a log */
};

struct group_member {
    uint64_t replica;
    enum group_role role;
};

struct group_config {
    size_t count;
    struct group_member members[GROUP_MEMBERS_MAX];
};

/* ERR_CORRUPT where the bytes are not one, ERR_FORMAT for another version of it. */
enum err group_config_decode(struct slice bytes, struct group_config *ret_config) MUST_CHECK;
void group_config_encode(const struct group_config *c, struct buf *to);

struct group_member *group_config_find(struct group_config *c, uint64_t replica); /* NULL: none */
void group_config_add(struct group_config *c, uint64_t replica, enum group_role role);
void group_config_remove(struct group_config *c, uint64_t replica); /* must be there */
size_t group_config_voters(const struct group_config *c);

/* The replica's number in decimals, closed by a zero byte. */
void group_address(uint64_t replica, char ret_address[GROUP_ADDRESS_BYTES]);

#endif
