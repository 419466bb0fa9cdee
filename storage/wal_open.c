/* Starting and stopping a WAL, and checking one that stands still. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "storage/wal.h"
#include "storage/wal_private.h"

static enum err refuse(struct wal_recovery *r, const char *file, enum err err, const char *text)
{
    (void)snprintf(r->damage.file, sizeof r->damage.file, "%s", file);
    (void)snprintf(r->damage.text, sizeof r->damage.text, "%s%s%s", text,
                   err == ERR_IO || err == ERR_STORAGE_FULL ? ": " : "",
                   err == ERR_IO || err == ERR_STORAGE_FULL ? strerror(errno) : "");
    return err;
}

/* A new WAL */

static enum err make_dir(const struct wal_options *o)
{
    struct stat st;
    return stat(o->dir, &st) == 0 ? ERR_OK : disk_mkdir(o->disk, DISK_WAL_DIR, o->dir);
}

static enum err begin(const struct wal_options *o, struct wal_recovery *r)
{
    r->identity = (struct wal_identity){.wal = random_u64(), .worker = o->worker};
    r->next_sequence = 1;
    enum err err = make_dir(o);
    if (err == ERR_OK) {
        err = wal_identity_create(o->disk, o->dir, &r->identity);
    }
    return err == ERR_OK ? err : refuse(r, "identity", err, "the WAL cannot be made");
}

/* One that was there */

/* Recovery may have read what a killed process had written, made or renamed and not synced: it must
 * not vanish after new frames have been put behind it. Frames before the last one were synced before
 * that was written. */

static enum err sync_newest(const struct wal_options *o, const struct wal_image *image)
{
    struct disk_file *f;
    char *path = wal_slot_path(o->dir, image->slot, false);
    enum err err = disk_open(o->disk, DISK_WAL_RECOVER, path, 0, &f);
    mem_free(path);
    if (err == ERR_OK) {
        err = disk_sync(o->disk, DISK_WAL_RECOVER, f);
        int reason = errno;
        disk_close(f);
        errno = reason;
    }
    return err;
}

static enum err sync_parent(const struct wal_options *o)
{
    char *copy = mem_strdup(o->dir);
    enum err err = disk_sync_dir(o->disk, DISK_WAL_RECOVER, dirname(copy));
    int reason = errno;
    mem_free(copy);
    errno = reason;
    return err;
}

static enum err sync_found(const struct wal_options *o, struct wal_recovery *r)
{
    static const char text[] = "what was found cannot be synced";
    const struct wal_image *newest = wal_recovery_image(r, r->newest);
    enum err err = newest != NULL ? sync_newest(o, newest) : ERR_OK;
    if (err != ERR_OK) {
        char name[WAL_SLOT_NAME_BYTES];
        wal_slot_name(newest->slot, name);
        return refuse(r, name, err, text);
    }
    err = disk_sync_dir(o->disk, DISK_WAL_RECOVER, o->dir);
    if (err == ERR_OK) {
        err = sync_parent(o);
    }
    return err == ERR_OK ? err : refuse(r, ".", err, text);
}

static enum err begin_epoch(const struct wal_options *o, struct wal_recovery *r)
{
    r->identity.epoch++;
    r->identity.sequence = r->next_sequence - 1;
    enum err err = wal_identity_update(o->disk, o->dir, &r->identity);
    if (err != ERR_OK) {
        r->damage.offset = wal_identity_next_offset(&r->identity);
        return refuse(r, "identity", err, "the epoch cannot be written");
    }
    return ERR_OK;
}

static enum err load(const struct wal_options *o, struct wal_recovery **ret_recovery)
{
    enum err err = wal_recover(o->dir, ret_recovery);
    struct wal_recovery *r = *ret_recovery;
    if (err == ERR_NOT_FOUND) {
        err = begin(o, r);
    } else if (err == ERR_OK && r->identity.worker != o->worker) {
        err = refuse(r, "identity", ERR_CORRUPT, "the WAL is another worker's");
    }
    if (err == ERR_OK) {
        err = sync_found(o, r);
    }
    return err == ERR_OK ? begin_epoch(o, r) : err;
}

/* A slot whose making was cut short. Failing to remove it is no reason not to start. */
static void remove_temporary_files(const struct wal_options *o)
{
    DIR *listing = opendir(o->dir);
    for (struct dirent *e; listing != NULL && (e = readdir(listing)) != NULL;) {
        size_t len = strlen(e->d_name);
        if (len > 4 && strcmp(e->d_name + len - 4, ".tmp") == 0) {
            struct buf path = {0};
            buf_printf(&path, "%s/%s%c", o->dir, e->d_name, 0);
            (void)disk_unlink(o->disk, DISK_WAL_CLEAN, (char *)path.data);
            buf_done(&path);
        }
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
}

/* The worker's side */

static void add_segments(struct wal *w, const struct wal_recovery *r)
{
    for (uint64_t number = r->floor; number <= r->newest && r->newest != 0; number++) {
        const struct wal_image *image = wal_recovery_image(r, number);
        INVARIANT(image != NULL);
        (void)wal_space_add_segment(&w->space, number, image->slot, image->size);
    }
}

/* Files without a needed segment are free slots; those of another size are of no use. */
static void add_slots(struct wal *w, const struct wal_recovery *r)
{
    for (size_t i = 0; i < r->image_count; i++) {
        const struct wal_image *image = &r->images[i];
        if (image->is_needed) {
            continue;
        }
        if (image->size == w->options.segment_bytes) {
            wal_space_add_slot(&w->space, image->slot, image->size);
            continue;
        }
        char *path = wal_slot_path(w->options.dir, image->slot, false);
        (void)disk_unlink(w->options.disk, DISK_WAL_CLEAN, path);
        mem_free(path);
    }
}

static void add_groups(struct wal *w, const struct wal_recovery *r)
{
    for (size_t i = 0; i < r->group_count; i++) {
        const struct wal_recovered_group *found = &r->groups[i];
        struct wal_group *g = wal_group_add(w, found->group, found->replica);
        g->snapshot_index = found->snapshot.index;
        for (size_t j = 0; j < found->entry_count; j++) {
            const struct wal_entry *entry = &found->entries[j];
            wal_pins_add(&g->pins, &w->space, r->floor + entry->segment, entry->index,
                         WAL_RECORD_HEADER_BYTES + 16 + entry->data.len);
        }
    }
}

/* New frames go behind the last one, at the next block, while there is room. */
static enum err continue_segment(struct wal *w, struct wal_recovery *r)
{
    struct wal_segment *current = wal_space_current(&w->space);
    if (current == NULL) {
        return ERR_OK;
    }
    w->position = wal_block_up(wal_recovery_image(r, current->number)->end);
    if (!wal_open_current(w, current)) {
        char name[WAL_SLOT_NAME_BYTES];
        wal_slot_name(current->slot, name);
        return refuse(r, name, ERR_IO, "the segment cannot be opened");
    }
    return ERR_OK;
}

/* The first slot of all is made before anything can be written. */
static enum err make_first_slot(struct wal *w, struct wal_recovery *r)
{
    if (w->space.segment_count > 0 || w->space.slot_count > 0) {
        return ERR_OK;
    }
    struct slot_maker maker = {.disk = w->options.disk,
                               .dir = w->options.dir,
                               .bytes = w->options.segment_bytes,
                               .direct = !w->options.buffered};
    bool made = false;
    enum err err = ERR_OK;
    slot_maker_start(&maker, wal_space_unused_slot(&w->space));
    while (err == ERR_OK && !made) {
        err = slot_maker_step(&maker, &made);
    }
    if (err != ERR_OK) {
        char name[WAL_SLOT_NAME_BYTES];
        wal_slot_name(maker.slot, name);
        r->damage.offset = maker.filled;
        return refuse(r, name, err, "the first segment cannot be made");
    }
    w->is_direct = maker.was_direct;
    wal_space_add_slot(&w->space, maker.slot, maker.bytes);
    return ERR_OK;
}

static struct wal *wal_new(const struct wal_options *o)
{
    struct wal *w = MEM_NEW(struct wal);
    uint64_t segment = o->segment_bytes;
    w->options = *o;
    w->options.dir = mem_strdup(o->dir);
    w->control_bytes =
        segment / 8 < WAL_CONTROL_BYTES ? (size_t)(segment / 8) : (size_t)WAL_CONTROL_BYTES;
    w->flush_bytes_max =
        segment / 4 < WAL_FLUSH_BYTES_MAX ? (size_t)(segment / 4) : (size_t)WAL_FLUSH_BYTES_MAX;
    w->is_sealed = true;
    list_init(&w->queue);
    list_init(&w->spare);
    return w;
}

static void free_batches(struct list *batches)
{
    LIST_FOREACH_SAFE (link, batches) {
        wal_batch_free(LIST_ENTRY(link, struct wal_batch, link));
    }
    list_init(batches);
}

void wal_abandon(struct wal *w)
{
    if (w == NULL) {
        return;
    }
    flusher_free(w->flusher);
    wal_batch_free(w->in_flight);
    free_batches(&w->queue);
    free_batches(&w->spare);
    while (w->groups.count > 0) {
        wal_group_free(w, CONTAINER_OF(map_first(&w->groups), struct wal_group, node));
    }
    map_done(&w->groups);
    wal_table_done(&w->table);
    wal_space_done(&w->space);
    buf_done(&w->scratch);
    mem_free((char *)(uintptr_t)w->options.dir);
    mem_free(w);
}

static enum err take_over(struct wal *w, struct wal_recovery *r)
{
    w->identity = r->identity;
    w->next_sequence = r->next_sequence;
    wal_table_copy(&w->table, &r->replay.table);
    w->table_bytes = wal_table_bytes(&w->table);
    add_segments(w, r);
    add_slots(w, r);
    add_groups(w, r);
    enum err err = continue_segment(w, r);
    return err == ERR_OK ? make_first_slot(w, r) : err;
}

enum err wal_open(const struct wal_options *options, struct wal **ret_wal,
                  struct wal_recovery **ret_recovery)
{
    struct wal_options o = *options;
    o.segment_bytes = o.segment_bytes != 0 ? o.segment_bytes : WAL_SEGMENT_BYTES_DEFAULT;
    o.budget_bytes = o.budget_bytes != 0 ? o.budget_bytes : WAL_BUDGET_BYTES_DEFAULT;
    PRE(o.segment_bytes % WAL_BLOCK_BYTES == 0);
    PRE(o.budget_bytes >= o.segment_bytes * WAL_SEGMENTS_MIN);

    struct wal_recovery *r;
    enum err err = load(&o, &r);
    *ret_recovery = r;
    if (err != ERR_OK) {
        return err;
    }
    remove_temporary_files(&o);
    struct wal *w = wal_new(&o);
    err = take_over(w, r);
    if (err != ERR_OK) {
        wal_abandon(w);
        return err;
    }
    struct flusher_options flusher = {.disk = o.disk,
                                      .dir = w->options.dir,
                                      .slot_bytes = o.segment_bytes,
                                      .direct = !o.buffered,
                                      .threaded = !o.unthreaded,
                                      .notify = o.notify,
                                      .fatal = o.fatal,
                                      .ctx = o.ctx};
    w->flusher = flusher_new(&flusher);
    wal_want_slots(w);
    wal_give_slots(w);
    *ret_wal = w;
    return ERR_OK;
}

/* How far the log goes: damage to its last frame is provable from then on. A full disk may keep that
 * from us, and nothing else. */
static void mark_end(struct wal *w)
{
    w->identity.sequence = w->next_sequence - 1;
    enum err err = wal_identity_update(w->options.disk, w->options.dir, &w->identity);
    if (err == ERR_OK || err == ERR_STORAGE_FULL) {
        return;
    }
    int reason = errno;
    struct buf path = {0};
    buf_printf(&path, "%s/identity%c", w->options.dir, 0);
    errno = reason;
    flusher_fail(w->flusher, (char *)path.data, wal_identity_next_offset(&w->identity));
    buf_done(&path);
}

void wal_close(struct wal *w)
{
    if (w == NULL) {
        return;
    }
    wal_drain(w);
    if (!w->is_dead) {
        wal_seal(w);
        wal_drain(w);
    }
    if (!w->is_dead) {
        mark_end(w);
    }
    wal_abandon(w);
}
