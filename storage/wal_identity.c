#include "storage/wal_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/mem.h"
#include "storage/wal_format.h"

enum {
    IDENTITY_MAGIC = 0x444d5749, /* "DMWI" */
    IDENTITY_CRC_AT = WAL_IDENTITY_BYTES - 4,
};

void wal_identity_encode(uint8_t at[WAL_IDENTITY_BYTES], const struct wal_identity *identity)
{
    memset(at, 0, WAL_IDENTITY_BYTES);
    put_be32(at, IDENTITY_MAGIC);
    put_be16(at + 4, WAL_FORMAT);
    put_be64(at + 8, identity->wal);
    put_be64(at + 16, identity->epoch);
    put_be64(at + 24, identity->sequence);
    put_be32(at + 32, identity->worker);
    put_be32(at + IDENTITY_CRC_AT, crc32c(0, at, IDENTITY_CRC_AT));
}

enum err wal_identity_decode(struct slice bytes, struct wal_identity *ret_identity)
{
    const uint8_t *at = bytes.data;
    if (bytes.len < 6 || get_be32(at) != IDENTITY_MAGIC) {
        return ERR_CORRUPT;
    }
    if (get_be16(at + 4) != WAL_FORMAT) {
        return ERR_FORMAT; /* the rest may look different there */
    }
    if (bytes.len < WAL_IDENTITY_BYTES ||
        get_be32(at + IDENTITY_CRC_AT) != crc32c(0, at, IDENTITY_CRC_AT)) {
        return ERR_CORRUPT;
    }
    *ret_identity = (struct wal_identity){
        .wal = get_be64(at + 8),
        .epoch = get_be64(at + 16),
        .sequence = get_be64(at + 24),
        .worker = get_be32(at + 32),
    };
    return ERR_OK;
}

static bool is_later(const struct wal_identity *a, const struct wal_identity *b)
{
    return a->epoch != b->epoch ? a->epoch > b->epoch : a->sequence > b->sequence;
}

static enum err choose(struct slice bytes, struct wal_identity *ret_identity)
{
    uint32_t found = 0;
    for (uint32_t copy = 0; copy < WAL_IDENTITY_COPIES; copy++) {
        struct wal_identity identity;
        size_t at = (size_t)copy * WAL_BLOCK_BYTES;
        struct slice rest = at < bytes.len ? slice_skip(bytes, at) : (struct slice){0};
        enum err err = wal_identity_decode(rest, &identity);
        if (err == ERR_FORMAT) {
            return err; /* a newer program has been here */
        }
        if (err == ERR_OK && (found == 0 || is_later(&identity, ret_identity))) {
            *ret_identity = identity;
            ret_identity->copy = copy;
        }
        found += err == ERR_OK ? 1 : 0;
    }
    if (found == 0) {
        return ERR_CORRUPT;
    }
    ret_identity->is_single = found < WAL_IDENTITY_COPIES;
    return ERR_OK;
}

enum err wal_identity_read(const char *dir, struct wal_identity *ret_identity)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/identity", dir) >= sizeof path) {
        return ERR_IO;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    uint8_t bytes[WAL_IDENTITY_COPIES * WAL_BLOCK_BYTES];
    ssize_t n = read(fd, bytes, sizeof bytes);
    (void)close(fd);
    return n < 0 ? ERR_IO : choose(slice_of(bytes, (size_t)n), ret_identity);
}

enum err wal_identity_create(const struct disk *d, const char *dir, struct wal_identity *identity)
{
    uint8_t bytes[WAL_IDENTITY_COPIES * WAL_BLOCK_BYTES] = {0};
    wal_identity_encode(bytes, identity);
    wal_identity_encode(bytes + WAL_BLOCK_BYTES, identity);
    identity->copy = 0;
    return disk_replace_file(d, DISK_WAL_IDENTITY, dir, "identity", slice_of(bytes, sizeof bytes));
}

uint64_t wal_identity_next_offset(const struct wal_identity *identity)
{
    return (uint64_t)(1 - identity->copy) * WAL_BLOCK_BYTES;
}

enum err wal_identity_update(const struct disk *d, const char *dir, struct wal_identity *identity)
{
    uint8_t bytes[WAL_BLOCK_BYTES] = {0};
    char path[4096];
    struct disk_file *f;
    if ((size_t)snprintf(path, sizeof path, "%s/identity", dir) >= sizeof path) {
        return ERR_IO;
    }
    enum err err = disk_open(d, DISK_WAL_IDENTITY, path, 0, &f);
    if (err != ERR_OK) {
        return err;
    }
    uint32_t copy = 1 - identity->copy;
    wal_identity_encode(bytes, identity);
    err = disk_write(d, DISK_WAL_IDENTITY, f, bytes, sizeof bytes,
                     wal_identity_next_offset(identity));
    if (err == ERR_OK) {
        err = disk_sync(d, DISK_WAL_IDENTITY, f);
    }
    if (err == ERR_OK) {
        identity->copy = copy;
    }
    int reason = errno;
    disk_close(f);
    errno = reason;
    return err;
}
