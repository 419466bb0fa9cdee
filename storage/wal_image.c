#include "storage/wal_image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

void wal_slot_name(uint32_t slot, char ret_name[WAL_SLOT_NAME_BYTES])
{
    (void)snprintf(ret_name, WAL_SLOT_NAME_BYTES, "slot-%04" PRIu32, slot);
}

static bool slot_of_name(const char *name, uint32_t *ret_slot)
{
    uint32_t slot = 0;
    char again[WAL_SLOT_NAME_BYTES];
    if (sscanf(name, "slot-%" SCNu32, &slot) != 1 || slot >= WAL_SLOTS_MAX) {
        return false;
    }
    wal_slot_name(slot, again);
    *ret_slot = slot;
    return strcmp(again, name) == 0;
}

enum err wal_image_set_head(struct wal_image *image, struct slice first)
{
    enum err err = wal_frame_decode(first, &image->head);
    image->has_header = err == ERR_OK;
    return err == ERR_FORMAT ? err : ERR_OK;
}

static int open_slot(const char *dir, uint32_t slot)
{
    char name[WAL_SLOT_NAME_BYTES];
    char path[4096];
    wal_slot_name(slot, name);
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_RDONLY | O_CLOEXEC);
}

static enum err read_at(int fd, uint8_t *to, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pread(fd, to + at, len - at, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return ERR_IO;
        }
        at += (size_t)n;
    }
    return ERR_OK;
}

static enum err read_head(struct wal_image *image, const char *dir)
{
    uint8_t head[WAL_FRAME_HEADER_BYTES];
    struct stat st;
    int fd = open_slot(dir, image->slot);
    if (fd < 0) {
        return ERR_IO;
    }
    enum err err = fstat(fd, &st) == 0 ? ERR_OK : ERR_IO;
    if (err == ERR_OK) {
        image->size = (uint64_t)st.st_size;
    }
    if (err == ERR_OK && image->size >= sizeof head) {
        err = read_at(fd, head, sizeof head);
        if (err == ERR_OK) {
            err = wal_image_set_head(image, slice_of(head, sizeof head));
        }
    }
    (void)close(fd);
    return err;
}

enum err wal_images_list(const char *dir, struct wal_image **ret_images, size_t *ret_count)
{
    DIR *listing = opendir(dir);
    if (listing == NULL) {
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    struct wal_image *images = NULL;
    size_t count = 0;
    enum err err = ERR_OK;
    for (struct dirent *entry; err == ERR_OK && (entry = readdir(listing)) != NULL;) {
        uint32_t slot;
        if (slot_of_name(entry->d_name, &slot)) {
            images = mem_realloc(images, (count + 1) * sizeof *images);
            images[count] = (struct wal_image){.slot = slot};
            err = read_head(&images[count++], dir);
        }
    }
    (void)closedir(listing);
    *ret_images = images; /* also on failure: the last one is where it failed */
    *ret_count = count;
    return err;
}

void wal_images_free(struct wal_image *images, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        wal_image_unload(&images[i]);
    }
    mem_free(images);
}

/* Memory of the image's size, taken from `used` where it has that; NULL: there is none. */
static uint8_t *take_memory(const struct wal_image *image, struct wal_image *used)
{
    if (used == NULL || used->data == NULL || used->size != image->size) {
        return mem_try_alloc(image->size);
    }
    uint8_t *data = used->data;
    used->data = NULL;
    return data;
}

enum err wal_image_load_over(struct wal_image *image, const char *dir, struct wal_image *used)
{
    if (image->data != NULL) {
        return ERR_OK;
    }
    int fd = open_slot(dir, image->slot);
    if (fd < 0) {
        return ERR_IO;
    }
    enum err err = ERR_NO_MEMORY;
    image->data = take_memory(image, used);
    if (used != NULL) {
        wal_image_unload(used);
    }
    if (image->data != NULL) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        err = read_at(fd, image->data, image->size);
    }
    (void)close(fd);
    if (err != ERR_OK) {
        wal_image_unload(image);
    }
    return err;
}

enum err wal_image_load(struct wal_image *image, const char *dir)
{
    return wal_image_load_over(image, dir, NULL);
}

void wal_image_unload(struct wal_image *image)
{
    mem_free(image->data);
    image->data = NULL;
}
