#include "storage/wal_recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"

/* Where reading stands. */
struct walk {
    struct wal_recovery *r;
    struct wal_image *image;
    uint64_t at;       /* in the image */
    uint64_t sequence; /* of the next frame; 0: any */
    uint64_t epoch;    /* of the last one */
    bool is_torn;      /* the next frame was begun here */
};

static enum err refuse(struct wal_recovery *r, const struct wal_image *image, uint64_t offset,
                       enum err err, const char *text)
{
    r->damage = (struct wal_detail){.offset = offset};
    if (image != NULL) {
        wal_slot_name(image->slot, r->damage.file);
    }
    (void)snprintf(r->damage.text, sizeof r->damage.text, "%s", text);
    return err;
}

static enum err load_over(struct wal_recovery *r, struct wal_image *image, struct wal_image *used)
{
    enum err err = wal_image_load_over(image, r->dir, used);
    return err == ERR_OK ? ERR_OK : refuse(r, image, 0, err, "the file cannot be read");
}

static enum err load(struct wal_recovery *r, struct wal_image *image)
{
    return load_over(r, image, NULL);
}

static struct slice rest_of(const struct wal_image *image, uint64_t at)
{
    return at < image->size ? slice_of(image->data + at, image->size - at) : (struct slice){0};
}

/* Frames */

/* Whether the next frame stands at `at`, whole. Only a new start leaves a gap before it and begins
 * a block. */
static bool is_next(struct walk *w, uint64_t at, struct wal_frame *ret_frame)
{
    struct wal_frame f;
    struct slice bytes = rest_of(w->image, at);
    if (wal_frame_decode(bytes, &f) != ERR_OK || f.wal != w->r->identity.wal ||
        f.segment != w->image->head.segment || (w->sequence != 0 && f.sequence != w->sequence)) {
        return false;
    }
    bool goes_on = f.epoch == w->epoch && at == w->at;
    bool starts_anew = f.epoch > w->epoch && at % WAL_BLOCK_BYTES == 0;
    if (!goes_on && !starts_anew) {
        return false;
    }
    *ret_frame = f;
    bool is_whole = wal_frame_is_whole(&f, bytes);
    w->is_torn |= !is_whole;
    return is_whole;
}

/* Moves over the next frame. False: it is not in this image. */
static bool step(struct walk *w, struct wal_frame *ret_frame, struct slice *ret_payload)
{
    uint64_t at = w->at;
    if (!is_next(w, at, ret_frame)) {
        at = wal_block_up(at);
        if (at == w->at || !is_next(w, at, ret_frame)) {
            return false;
        }
    }
    *ret_payload = slice_of(w->image->data + at + WAL_FRAME_HEADER_BYTES, ret_frame->length);
    w->at = wal_frame_end(at, ret_frame->length);
    w->sequence = ret_frame->sequence + 1;
    w->epoch = ret_frame->epoch;
    w->is_torn = false;
    return true;
}

/* Segments */

static int compare_images(const void *a, const void *b)
{
    const struct wal_image *x = a;
    const struct wal_image *y = b;
    uint64_t of_x = x->has_header ? x->head.segment : 0;
    uint64_t of_y = y->has_header ? y->head.segment : 0;
    return of_x == of_y ? (x->slot > y->slot) - (x->slot < y->slot) : (of_x < of_y) - (of_x > of_y);
}

struct wal_image *wal_recovery_image(const struct wal_recovery *r, uint64_t segment)
{
    for (size_t i = 0; i < r->image_count; i++) {
        if (r->images[i].is_needed && r->images[i].head.segment == segment) {
            return &r->images[i];
        }
    }
    return NULL;
}

static bool opens_whole(struct wal_recovery *r, struct wal_image *image)
{
    struct walk w = {.r = r, .image = image};
    struct wal_frame f;
    return is_next(&w, 0, &f);
}

/* Finds the file of a segment; where several name it, the one whose first frame is whole. NULL: no
 * such file. */
static enum err find_segment(struct wal_recovery *r, uint64_t segment, struct wal_image **ret_image)
{
    *ret_image = NULL;
    for (size_t i = 0; i < r->image_count; i++) {
        struct wal_image *image = &r->images[i];
        if (!image->has_header || image->head.segment != segment ||
            image->head.wal != r->identity.wal) {
            continue;
        }
        enum err err = load(r, image);
        if (err != ERR_OK) {
            return err;
        }
        if (!opens_whole(r, image)) {
            continue;
        }
        if (*ret_image != NULL) {
            return refuse(r, image, 0, ERR_CORRUPT, "two files hold the same segment");
        }
        *ret_image = image;
    }
    return ERR_OK;
}

/* The newest segment is the highest one whose first frame is whole: a higher number is that of a
 * slot whose new life never began. The images are sorted, highest first. */
static enum err find_newest(struct wal_recovery *r, struct wal_image **ret_image)
{
    *ret_image = NULL;
    for (size_t i = 0; i < r->image_count && r->images[i].has_header; i++) {
        enum err err = find_segment(r, r->images[i].head.segment, ret_image);
        if (err != ERR_OK || *ret_image != NULL) {
            return err;
        }
    }
    return ERR_OK;
}

/* The floor only rises, and every segment begins with the one of its time: the newest has the last
 * word. */
static void find_floor(struct wal_recovery *r, struct wal_image *newest)
{
    struct walk w = {.r = r, .image = newest};
    struct wal_frame f;
    struct slice payload;
    while (step(&w, &f, &payload)) {
        struct wal_record record;
        while (payload.len > 0 && wal_record_decode(&payload, &record) == ERR_OK) {
            if ((record.kind == WAL_TABLE || record.kind == WAL_FLOOR) && record.index > r->floor) {
                r->floor = record.index;
            }
        }
    }
}

static void tell(const struct walk *w, struct slice payload)
{
    if (w->r->seen != NULL) {
        uint64_t at = (uint64_t)(payload.data - w->image->data) - WAL_FRAME_HEADER_BYTES;
        w->r->seen(w->r->seen_ctx, w->image->slot, at, WAL_FRAME_HEADER_BYTES + payload.len);
    }
}

static enum err read_segment(struct walk *w, bool is_first)
{
    struct wal_recovery *r = w->r;
    struct wal_frame f;
    struct slice payload;
    uint64_t from = w->at;
    bool opens = true;
    while (step(w, &f, &payload)) {
        const char *reason = "";
        if (f.epoch > r->identity.epoch) {
            return refuse(r, w->image, from, ERR_CORRUPT, "a frame is of an epoch yet to come");
        }
        uint32_t ordinal = (uint32_t)(w->image->head.segment - r->floor);
        enum err err = wal_replay_frame(&r->replay, payload, ordinal, opens, &reason);
        if (err != ERR_OK) {
            return refuse(r, w->image, from, err, reason);
        }
        tell(w, payload);
        r->frame_count++;
        from = w->at;
        opens = false;
    }
    if (opens) {
        return refuse(r, w->image, 0, ERR_CORRUPT,
                      is_first ? "the first frame cannot be read"
                               : "frames are missing before this segment");
    }
    w->image->end = w->at;
    return ERR_OK;
}

static enum err refuse_missing(struct wal_recovery *r, uint64_t segment)
{
    char text[80];
    (void)snprintf(text, sizeof text, "segment %" PRIu64 " is missing or does not open", segment);
    const struct wal_image *image = NULL;
    for (size_t i = 0; i < r->image_count; i++) {
        if (r->images[i].has_header && r->images[i].head.segment == segment) {
            image = &r->images[i];
        }
    }
    return refuse(r, image, 0, ERR_CORRUPT, text);
}

static enum err read_segments(struct walk *w, uint64_t newest)
{
    struct wal_recovery *r = w->r;
    for (uint64_t segment = r->floor; segment <= newest; segment++) {
        struct wal_image *image;
        struct wal_image *before = w->image;
        uint64_t before_at = w->at;
        enum err err = find_segment(r, segment, &image);
        if (err != ERR_OK) {
            return err;
        }
        if (image == NULL) {
            return refuse_missing(r, segment);
        }
        image->is_needed = true;
        w->image = image;
        w->at = 0;
        bool follows = w->sequence == 0 || image->head.sequence == w->sequence;
        if (!follows) {
            return refuse(r, before, before_at, ERR_CORRUPT,
                          "the next frame cannot be read, but later ones can");
        }
        err = read_segment(w, segment == r->floor);
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

/* The end of the log */

/* Whether a frame of this WAL later than `sequence` was begun anywhere in `bytes`. */
static bool has_later_frame(const struct wal_recovery *r, struct slice bytes, uint64_t sequence)
{
    for (uint64_t at = 0; at + WAL_FRAME_HEADER_BYTES <= bytes.len; at += WAL_FRAME_ALIGN) {
        struct wal_frame f;
        if (bytes.data[at] != 0 && wal_frame_decode(slice_skip(bytes, at), &f) == ERR_OK &&
            f.wal == r->identity.wal && f.sequence > sequence) {
            return true;
        }
    }
    return false;
}

/* A later frame, in the rest of the newest segment or in a file that is no needed or retired segment,
 * proves that the frame which should stand at the end was durable once. */
static enum err check_end(struct walk *w)
{
    struct wal_recovery *r = w->r;
    static const char text[] = "a frame cannot be read, but later ones can";
    uint64_t rest = (w->at + WAL_FRAME_ALIGN - 1) / WAL_FRAME_ALIGN * WAL_FRAME_ALIGN;
    if (w->image != NULL && has_later_frame(r, rest_of(w->image, rest), w->sequence)) {
        return refuse(r, w->image, w->at, ERR_CORRUPT, text);
    }
    struct wal_image *used = NULL;
    for (size_t i = 0; i < r->image_count; i++) {
        struct wal_image *image = &r->images[i];
        bool is_retired = image->has_header && image->head.segment < r->floor;
        if (image->is_needed || is_retired) {
            continue;
        }
        enum err err = load_over(r, image, used);
        if (err != ERR_OK) {
            return err;
        }
        if (has_later_frame(r, rest_of(image, 0), w->sequence)) {
            return refuse(r, image, 0, ERR_CORRUPT, text);
        }
        if (image->has_header && image->head.sequence == w->sequence) {
            r->was_cut = true;
            wal_slot_name(image->slot, r->cut.file);
        }
        used = image;
    }
    if (used != NULL) {
        wal_image_unload(used);
    }
    if (w->sequence <= r->identity.sequence) {
        return refuse(r, w->image, w->at, ERR_CORRUPT,
                      "the log ends before what an earlier start has read");
    }
    return ERR_OK;
}

static void note_cut(struct walk *w)
{
    struct wal_recovery *r = w->r;
    if (w->is_torn) {
        r->was_cut = true;
        r->cut.offset = w->at;
        wal_slot_name(w->image->slot, r->cut.file);
    }
    if (r->was_cut) {
        (void)snprintf(r->cut.text, sizeof r->cut.text,
                       "the last frame was not finished and never acknowledged");
    }
}

/* The result */

static int compare_groups(const void *a, const void *b)
{
    uint32_t x = ((const struct wal_recovered_group *)a)->group;
    uint32_t y = ((const struct wal_recovered_group *)b)->group;
    return (x > y) - (x < y);
}

static void list_groups(struct wal_recovery *r)
{
    const struct wal_table *table = &r->replay.table;
    r->groups = mem_zalloc(table->members.count * sizeof *r->groups);
    MAP_FOREACH (n, &table->members) {
        const struct wal_member *m = CONTAINER_OF(n, struct wal_member, node);
        struct wal_recovered_group *g = &r->groups[r->group_count++];
        *g = (struct wal_recovered_group){.group = m->group,
                                          .replica = m->replica,
                                          .term = m->term,
                                          .vote = m->vote,
                                          .snapshot = m->snapshot};
        g->entries = wal_replay_entries(&r->replay, m->group, &g->entry_count);
    }
    qsort(r->groups, r->group_count, sizeof *r->groups, compare_groups);
}

/* Only what entries point into stays in memory. */
static void unload_dead_images(struct wal_recovery *r)
{
    struct wal_image *image = NULL; /* of the last entry; entries come in runs */
    for (size_t i = 0; i < r->group_count; i++) {
        for (size_t j = 0; j < r->groups[i].entry_count; j++) {
            uint64_t segment = r->floor + r->groups[i].entries[j].segment;
            if (image == NULL || image->head.segment != segment) {
                image = wal_recovery_image(r, segment);
                INVARIANT(image != NULL);
            }
            image->live_entries++;
        }
    }
    for (size_t i = 0; i < r->image_count; i++) {
        if (r->images[i].live_entries == 0) {
            wal_image_unload(&r->images[i]);
        }
    }
}

enum err wal_recover_images(struct wal_recovery *r)
{
    struct walk w = {.r = r};
    struct wal_image *newest;
    if (r->image_count > 0) {
        qsort(r->images, r->image_count, sizeof *r->images, compare_images);
    }
    enum err err = find_newest(r, &newest);
    if (err != ERR_OK) {
        return err;
    }
    if (newest != NULL) {
        find_floor(r, newest);
        r->newest = newest->head.segment;
        if (r->floor == 0 || r->floor > r->newest) {
            return refuse(r, newest, 0, ERR_CORRUPT, "the oldest segment needed is not known");
        }
        err = read_segments(&w, r->newest);
    } else {
        w.sequence = 1;
    }
    if (err == ERR_OK) {
        err = check_end(&w);
    }
    if (err != ERR_OK) {
        return err;
    }
    note_cut(&w);
    r->next_sequence = w.sequence;
    const char *reason = "";
    err = wal_replay_finish(&r->replay, &reason);
    if (err != ERR_OK) {
        return refuse(r, NULL, 0, err, reason);
    }
    list_groups(r);
    unload_dead_images(r);
    return ERR_OK;
}

enum err wal_recover(const char *dir, struct wal_recovery **ret_recovery)
{
    return wal_recover_seen(dir, NULL, NULL, ret_recovery);
}

enum err wal_recover_seen(const char *dir, wal_seen_fn *seen, void *ctx,
                          struct wal_recovery **ret_recovery)
{
    struct wal_recovery *r = MEM_NEW(struct wal_recovery);
    *ret_recovery = r;
    r->dir = dir;
    r->seen = seen;
    r->seen_ctx = ctx;
    enum err listed = wal_images_list(dir, &r->images, &r->image_count);
    enum err err = listed == ERR_NOT_FOUND ? listed : wal_identity_read(dir, &r->identity);
    if (err == ERR_NOT_FOUND && r->image_count == 0) {
        return err;
    }
    if (err != ERR_OK) {
        err = err == ERR_NOT_FOUND ? ERR_CORRUPT : err;
        err = refuse(r, NULL, 0, err, "the identity of the WAL cannot be read");
        (void)snprintf(r->damage.file, sizeof r->damage.file, "identity");
        return err;
    }
    if (listed != ERR_OK) {
        const struct wal_image *last = r->image_count > 0 ? &r->images[r->image_count - 1] : NULL;
        return refuse(r, last, 0, listed, "a segment cannot be read or is of another format");
    }
    return wal_recover_images(r);
}

void wal_recovery_free(struct wal_recovery *r)
{
    if (r == NULL) {
        return;
    }
    mem_free(r->groups);
    wal_replay_done(&r->replay);
    wal_images_free(r->images, r->image_count);
    mem_free(r);
}
