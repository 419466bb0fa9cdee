/* The image of a slot: what recovery knows of one file of a WAL, and its bytes once they are loaded.
 *
 * A slot is a file of a fixed size that holds one segment after the other. */
#ifndef STORAGE_WAL_IMAGE_H
#define STORAGE_WAL_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "storage/wal_format.h"

enum { WAL_SLOTS_MAX = 4096, WAL_SLOT_NAME_BYTES = 24 };

struct wal_image {
    uint32_t slot;
    uint64_t size;
    uint8_t *data;         /* mem_free; NULL while not loaded */
    bool has_header;       /* its first frame has a readable header ... */
    struct wal_frame head; /* ... this one */
    bool is_needed;        /* holds a segment that recovery has read */
    uint64_t end;          /* where that ends */
    size_t live_entries;   /* entries of the result that point into `data` */
};

void wal_slot_name(uint32_t slot, char ret_name[WAL_SLOT_NAME_BYTES]);

/* The slots of a directory with their heads, in no order. ERR_FORMAT: the head is of another one. */
enum err wal_images_list(const char *dir, struct wal_image **ret_images,
                         size_t *ret_count) MUST_CHECK;
void wal_images_free(struct wal_image *images, size_t count);

/* Reads the bytes, where that is not done yet. ERR_IO, ERR_NO_MEMORY. */
enum err wal_image_load(struct wal_image *image, const char *dir) MUST_CHECK;
/* The same, into the memory of one that is of no more use, and is unloaded: touching fresh memory of the
 * size of a segment takes longer than reading it. NULL: there is none. */
enum err wal_image_load_over(struct wal_image *image, const char *dir,
                             struct wal_image *used) MUST_CHECK;
void wal_image_unload(struct wal_image *image);

/* Reads the head from the first bytes of the file. */
enum err wal_image_set_head(struct wal_image *image, struct slice first) MUST_CHECK;

#endif
