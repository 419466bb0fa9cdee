#include "storage/group_config.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "base/invariant.h"

enum { FORMAT = 1, HEAD_BYTES = 9, REPLICA_BYTES = 8, PAD = 8 };

static uint64_t get_le64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return le64toh(v);
}

static void put_le64(struct buf *to, uint64_t v)
{
    v = htole64(v);
    buf_append(to, &v, sizeof v);
}

void group_address(uint64_t replica, char ret_address[GROUP_ADDRESS_BYTES])
{
    (void)snprintf(ret_address, GROUP_ADDRESS_BYTES, "%llu", (unsigned long long)replica);
}

/* Takes one member off the front. The addresses differ where the replicas do. */
static enum err decode_member(struct slice *rest, struct group_member *ret_member)
{
    if (rest->len < REPLICA_BYTES) {
        return ERR_CORRUPT;
    }
    char address[GROUP_ADDRESS_BYTES];
    uint64_t replica = get_le64(rest->data);
    group_address(replica, address);
    *rest = slice_skip(*rest, REPLICA_BYTES);
    size_t address_bytes = strlen(address) + 1;
    if (replica == 0 || rest->len < address_bytes + 1 ||
        memcmp(rest->data, address, address_bytes) != 0 ||
        rest->data[address_bytes] > GROUP_SPARE) {
        return ERR_CORRUPT;
    }
    *ret_member = (struct group_member){.replica = replica,
                                        .role = (enum group_role)rest->data[address_bytes]};
    *rest = slice_skip(*rest, address_bytes + 1);
    return ERR_OK;
}

static bool is_padding(struct slice rest)
{
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.data[i] != 0) {
            return false;
        }
    }
    return rest.len < PAD;
}

enum err group_config_decode(struct slice bytes, struct group_config *ret_config)
{
    struct group_config c = {0};
    if (bytes.len < HEAD_BYTES || bytes.len % PAD != 0) {
        return ERR_CORRUPT;
    }
    if (bytes.data[0] != FORMAT) {
        return ERR_FORMAT;
    }
    uint64_t count = get_le64(bytes.data + 1);
    if (count == 0 || count > GROUP_MEMBERS_MAX) {
        return ERR_CORRUPT;
    }
    struct slice rest = slice_skip(bytes, HEAD_BYTES);
    while (c.count < count) {
        struct group_member m;
        enum err err = decode_member(&rest, &m);
        if (err != ERR_OK || group_config_find(&c, m.replica) != NULL) {
            return ERR_CORRUPT;
        }
        c.members[c.count++] = m;
    }
    if (!is_padding(rest)) {
        return ERR_CORRUPT;
    }
    *ret_config = c;
    return ERR_OK;
}

void group_config_encode(const struct group_config *c, struct buf *to)
{
    PRE(c->count > 0 && c->count <= GROUP_MEMBERS_MAX);
    size_t start = to->len;
    buf_append_byte(to, FORMAT);
    put_le64(to, c->count);
    for (size_t i = 0; i < c->count; i++) {
        char address[GROUP_ADDRESS_BYTES];
        group_address(c->members[i].replica, address);
        put_le64(to, c->members[i].replica);
        buf_append(to, address, strlen(address) + 1);
        buf_append_byte(to, (uint8_t)c->members[i].role);
    }
    while ((to->len - start) % PAD != 0) {
        buf_append_byte(to, 0);
    }
}

struct group_member *group_config_find(struct group_config *c, uint64_t replica)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->members[i].replica == replica) {
            return &c->members[i];
        }
    }
    return NULL;
}

void group_config_add(struct group_config *c, uint64_t replica, enum group_role role)
{
    PRE(replica > 0 && c->count < GROUP_MEMBERS_MAX && group_config_find(c, replica) == NULL);
    c->members[c->count++] = (struct group_member){.replica = replica, .role = role};
}

void group_config_remove(struct group_config *c, uint64_t replica)
{
    struct group_member *m = group_config_find(c, replica);
    PRE(m != NULL);
    size_t after = c->count - (size_t)(m - c->members) - 1;
    memmove(m, m + 1, after * sizeof *m);
    c->count--;
}

size_t group_config_voters(const struct group_config *c)
{
    size_t voters = 0;
    for (size_t i = 0; i < c->count; i++) {
        voters += c->members[i].role == GROUP_VOTER;
    }
    return voters;
}
