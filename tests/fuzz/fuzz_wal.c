/* Recovery of a WAL from files that anything may have happened to.
 *
 * The first byte chooses: 0 a run of records; 1 three files as they are; else a recipe for frames,
 * whose checksums are made right here, since no fuzzer guesses them:
 *
 *     recipe   which file (2 bits), flags (6), numbers (1 byte), payload length (2), payload
 *
 * What recovery accepts must keep its word: groups ascend, entries follow their snapshot without a
 * gap, and the same files give the same again. */
#include <string.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/mem.h"
#include "storage/wal_recover.h"
#include "tests/fuzz/fuzz.h"

enum { FILES = 3, FILE_BYTES = 3 * WAL_BLOCK_BYTES, WAL_ID = 7, EPOCH = 9 };

enum flag {
    FLAG_DAMAGED = 4,   /* a byte of the frame is another */
    FLAG_NEW_EPOCH = 8, /* a new start, at the next block */
    FLAG_TORN = 16,     /* the header alone */
    FLAG_SEGMENT = 32,  /* of another segment: the upper half of the numbers is added */
    FLAG_SEQUENCE = 64, /* the lower half is added to its sequence */
};

static void walk_records(struct slice rest)
{
    struct wal_record r;
    struct slice before = rest;
    while (wal_record_decode(&rest, &r) == ERR_OK) {
        size_t bytes = before.len - rest.len;
        HOLDS(wal_record_bytes(&r) == bytes);
        uint8_t *again = mem_alloc(bytes);
        uint8_t *data = wal_record_encode(again, &r);
        HOLDS(data + r.data.len == again + bytes);
        memcpy(data, r.data.data, r.data.len);
        HOLDS(memcmp(again, before.data, bytes) == 0);
        mem_free(again);
        before = rest;
    }
}

struct files {
    uint8_t bytes[FILES][FILE_BYTES];
    uint64_t sequence; /* that an earlier start has read */
};

static struct wal_recovery *recover(const struct files *f, enum err *ret_err)
{
    struct wal_recovery *r = MEM_NEW(struct wal_recovery);
    r->identity = (struct wal_identity){.wal = WAL_ID, .epoch = EPOCH, .sequence = f->sequence};
    r->images = mem_zalloc(FILES * sizeof *r->images);
    r->image_count = FILES;
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < FILES; i++) {
        struct wal_image *image = &r->images[i];
        image->slot = i;
        image->size = FILE_BYTES;
        image->data = mem_alloc(FILE_BYTES);
        memcpy(image->data, f->bytes[i], FILE_BYTES);
        if (err == ERR_OK) {
            err = wal_image_set_head(image, slice_of(image->data, WAL_FRAME_HEADER_BYTES));
        }
    }
    *ret_err = err == ERR_OK ? wal_recover_images(r) : err;
    return r;
}

static void check_promises(const struct wal_recovery *r)
{
    HOLDS(r->next_sequence > r->identity.sequence);
    HOLDS((r->newest == 0) == (r->frame_count == 0));
    for (size_t i = 0; i < r->group_count; i++) {
        const struct wal_recovered_group *g = &r->groups[i];
        HOLDS(i == 0 || r->groups[i - 1].group < g->group);
        uint8_t sum = 0;
        for (size_t j = 0; j < g->entry_count; j++) {
            HOLDS(g->entries[j].index == g->snapshot.index + 1 + j);
            for (size_t k = 0; k < g->entries[j].data.len; k++) {
                sum ^= g->entries[j].data.data[k]; /* still in memory */
            }
        }
        (void)sum;
    }
}

static void recover_twice(const struct files *f)
{
    enum err first;
    enum err second;
    struct wal_recovery *a = recover(f, &first);
    struct wal_recovery *b = recover(f, &second);
    HOLDS(first == second);
    if (first == ERR_OK) {
        check_promises(a);
        HOLDS(a->next_sequence == b->next_sequence && a->group_count == b->group_count);
    } else {
        HOLDS(first == ERR_FORMAT || a->damage.text[0] != '\0');
    }
    wal_recovery_free(a);
    wal_recovery_free(b);
}

static void cook(struct files *f, struct slice recipe)
{
    uint64_t sequence = 1;
    uint64_t epoch = 1;
    uint64_t at[FILES] = {0};
    while (recipe.len >= 4) {
        uint8_t flags = recipe.data[0];
        uint8_t numbers = recipe.data[1];
        size_t len = get_be16(recipe.data + 2);
        size_t file = (flags & 3) % FILES;
        recipe = slice_skip(recipe, 4);
        len = len < recipe.len ? len : recipe.len;
        if ((flags & FLAG_NEW_EPOCH) != 0) {
            at[file] = wal_block_up(at[file]);
            epoch++;
        }
        if (at[file] + WAL_FRAME_HEADER_BYTES + len > FILE_BYTES) {
            return;
        }
        sequence += (flags & FLAG_SEQUENCE) != 0 ? numbers % 16 : 0;
        struct wal_frame frame = {.wal = WAL_ID,
                                  .epoch = epoch,
                                  .segment =
                                      1 + file + ((flags & FLAG_SEGMENT) != 0 ? numbers / 16 : 0),
                                  .sequence = sequence++,
                                  .length = (uint32_t)len,
                                  .crc = crc32c(0, recipe.data, len)};
        uint8_t *to = f->bytes[file] + at[file];
        wal_frame_encode(to, &frame);
        if ((flags & FLAG_TORN) == 0) {
            memcpy(to + WAL_FRAME_HEADER_BYTES, recipe.data, len);
        }
        if ((flags & FLAG_DAMAGED) != 0) {
            to[numbers % (WAL_FRAME_HEADER_BYTES + len)] ^= 1;
        }
        at[file] = wal_frame_end(at[file], frame.length);
        recipe = slice_skip(recipe, len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct files f;
    if (len == 0) {
        return 0;
    }
    struct slice rest = slice_of(data + 1, len - 1);
    if (data[0] == 0) {
        walk_records(rest);
        return 0;
    }
    memset(&f, 0, sizeof f);
    if (data[0] == 1) {
        memcpy(f.bytes, rest.data, rest.len < sizeof f.bytes ? rest.len : sizeof f.bytes);
    } else {
        f.sequence = data[0] / 16;
        cook(&f, rest);
    }
    recover_twice(&f);
    return 0;
}
