#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/wal.h"

#include "tests/lib/test.h"
#include "tests/unit/wal_log.h"

/* The files of a stopped log in memory, to be damaged and recovered many times. */
struct files {
    struct wal_identity identity;
    struct wal_image *images; /* all loaded */
    size_t count;
    struct buf state; /* what an undamaged recovery finds */
};

/* Recovers a copy of the files: `*ret_recovery` is freed by the caller. */
static enum err recover(const struct files *f, struct wal_recovery **ret_recovery)
{
    struct wal_recovery *r = MEM_NEW(struct wal_recovery);
    r->identity = f->identity;
    r->images = mem_zalloc(f->count * sizeof *r->images);
    r->image_count = f->count;
    for (size_t i = 0; i < f->count; i++) {
        r->images[i] = f->images[i];
        r->images[i].data = mem_alloc(f->images[i].size);
        memcpy(r->images[i].data, f->images[i].data, f->images[i].size);
        enum err err =
            wal_image_set_head(&r->images[i], slice_of(r->images[i].data, WAL_FRAME_HEADER_BYTES));
        INVARIANT(err == ERR_OK);
    }
    *ret_recovery = r;
    return wal_recover_images(r);
}

static void files_read(struct files *f, const char *dir)
{
    struct wal_recovery *r;
    *f = (struct files){0};
    expect_err(wal_identity_read(dir, &f->identity), ERR_OK);
    expect_err(wal_images_list(dir, &f->images, &f->count), ERR_OK);
    for (size_t i = 0; i < f->count; i++) {
        expect_err(wal_image_load(&f->images[i], dir), ERR_OK);
    }
    expect_err(recover(f, &r), ERR_OK);
    wal_state_append(&f->state, r);
    wal_recovery_free(r);
}

static void files_done(struct files *f)
{
    wal_images_free(f->images, f->count);
    buf_done(&f->state);
}

/* A log of three segments with all kinds of records, left as `wal_close` or a killed process does. */
static void make_log(struct log *l, bool closes)
{
    log_init(l);
    l->options.segment_bytes = 16 * 1024;
    l->options.budget_bytes = 4 * 16 * 1024;
    log_open(l);
    (void)wal_create_replica(l->w, 1, 1);
    (void)wal_create_replica(l->w, 2, 1);
    for (uint64_t i = 1; i <= 16; i++) {
        (void)wal_term_vote(l->w, 1, i, 1);
        (void)log_put_bytes(l, 1, i, 1500);
        (void)log_put(l, 2, i, 1, "small");
        (void)log_flush(l);
    }
    (void)wal_truncate(l->w, 1, 15);
    (void)log_put(l, 1, 15, 16, "again");
    (void)log_snapshot(l, 2, 12);
    (void)log_flush(l);
    assert_true(wal_stats(l->w).segments >= 2);
    if (closes) {
        wal_close(l->w);
    } else {
        wal_seal(l->w);
        (void)log_flush(l);
        wal_abandon(l->w);
    }
    l->w = NULL;
}

/* Every byte, one random bit of it: everything is there, or the log is refused with a place. */
static void expect_flips_noticed(bool closes)
{
    struct log l;
    struct files f;
    size_t refused = 0;
    size_t tried = 0;
    make_log(&l, closes);
    files_read(&f, l.dir);
    unsigned seed = 1;
    for (size_t i = 0; i < f.count; i++) {
        for (size_t at = 0; at < f.images[i].size; at++) {
            uint8_t bit = (uint8_t)(1 << rand_r(&seed) % 8);
            struct wal_recovery *r;
            struct buf state = {0};
            f.images[i].data[at] ^= bit;
            if (recover(&f, &r) == ERR_OK) {
                wal_state_append(&state, r);
                if (!slice_equal(buf_slice(&state), buf_slice(&f.state))) {
                    fail_msg("slot %u, byte %zu: lost without a word", f.images[i].slot, at);
                }
            } else {
                assert_true(r->damage.text[0] != '\0');
                refused++;
            }
            f.images[i].data[at] ^= bit;
            tried++;
            wal_recovery_free(r);
            buf_done(&state);
        }
    }
    print_message("# %zu bytes damaged, %zu refused\n", tried, refused);
    assert_true(refused > 16 * 1500);
    files_done(&f);
    log_done(&l);
}

static void a_flipped_bit_is_refused_or_harmless_after_a_clean_stop(void **state)
{
    (void)state;
    expect_flips_noticed(true);
}

static void a_flipped_bit_is_refused_or_harmless_in_a_sealed_log(void **state)
{
    (void)state;
    expect_flips_noticed(false);
}

static void damage_is_reported_with_file_and_offset(void **state)
{
    (void)state;
    struct log l;
    struct files f;
    struct wal_recovery *r;
    make_log(&l, true);
    files_read(&f, l.dir);
    /* The second frame of the first segment. */
    struct wal_image *image = &f.images[0];
    for (size_t i = 0; i < f.count; i++) {
        image = f.images[i].has_header && f.images[i].head.segment == 1 ? &f.images[i] : image;
    }
    uint64_t second = wal_frame_end(0, image->head.length);
    image->data[second + 100] ^= 1;
    expect_err(recover(&f, &r), ERR_CORRUPT);
    char name[WAL_SLOT_NAME_BYTES];
    wal_slot_name(image->slot, name);
    assert_string_equal(r->damage.file, name);
    assert_int_equal(r->damage.offset, second);
    wal_recovery_free(r);
    files_done(&f);
    log_done(&l);
}

/* Two frames; returns where the second one begins and ends in the only slot in use. */
static struct wal_image *make_two_frames(struct log *l, struct files *f, uint64_t *ret_begin,
                                         uint64_t *ret_end)
{
    log_init(l);
    log_open(l);
    (void)wal_create_replica(l->w, 1, 1);
    (void)log_put(l, 1, 1, 1, "acknowledged");
    (void)log_flush(l);
    (void)log_put_bytes(l, 1, 2, 700);
    (void)log_put_bytes(l, 1, 3, 700);
    (void)log_flush(l);
    wal_abandon(l->w);
    l->w = NULL;
    files_read(f, l->dir);
    struct wal_image *image = &f->images[0];
    for (size_t i = 0; i < f->count; i++) {
        image = f->images[i].has_header ? &f->images[i] : image;
    }
    *ret_begin = wal_frame_end(0, image->head.length);
    struct wal_frame second;
    expect_err(
        wal_frame_decode(slice_of(image->data + *ret_begin, WAL_FRAME_HEADER_BYTES), &second),
        ERR_OK);
    *ret_end = *ret_begin + WAL_FRAME_HEADER_BYTES + second.length;
    return image;
}

static void a_torn_tail_is_cut_wherever_it_ends(void **state)
{
    (void)state;
    struct log l;
    struct files f;
    uint64_t begin;
    uint64_t end;
    struct wal_image *image = make_two_frames(&l, &f, &begin, &end);
    uint8_t *whole = mem_alloc(image->size);
    memcpy(whole, image->data, image->size);
    for (uint64_t cut = begin; cut < end; cut++) {
        struct wal_recovery *r;
        memset(image->data + cut, 0, end - cut);
        if (image->data[end - 1] == whole[end - 1] &&
            memcmp(image->data, whole, image->size) == 0) {
            continue; /* it ended in zeros */
        }
        expect_err(recover(&f, &r), ERR_OK);
        assert_int_equal(r->groups[0].entry_count, 1);
        assert_int_equal(r->next_sequence, 2);
        assert_true(r->was_cut == (cut >= begin + WAL_FRAME_HEADER_BYTES));
        wal_recovery_free(r);
        memcpy(image->data, whole, image->size);
    }
    mem_free(whole);
    files_done(&f);
    log_done(&l);
}

static void a_log_goes_on_behind_a_torn_tail(void **state)
{
    (void)state;
    struct log l;
    struct files f;
    uint64_t begin;
    uint64_t end;
    struct wal_image *image = make_two_frames(&l, &f, &begin, &end);
    char *path = wal_slot_path(l.dir, image->slot, false);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "torn", 4, (off_t)end - 300), 4);
    (void)close(fd);
    wal_recovery_free(l.r);
    log_open(&l);
    assert_true(l.r->was_cut);
    assert_int_equal(l.r->cut.offset, begin);
    log_expect_entries(&l, 1, 1, 1);
    (void)log_put(&l, 1, 2, 2, "after the cut");
    (void)log_flush(&l);
    (void)log_put(&l, 1, 3, 2, "and on");
    log_crash(&l);
    assert_false(l.r->was_cut);
    log_expect_entries(&l, 1, 1, 2);
    (void)log_put(&l, 1, 3, 3, "again");
    log_reopen(&l);
    log_expect_entries(&l, 1, 1, 3);
    expect_str(log_group(&l, 1)->entries[1].data, "after the cut");
    mem_free(path);
    files_done(&f);
    log_done(&l);
}

static void a_lost_segment_is_noticed(void **state)
{
    (void)state;
    struct log l;
    struct files f;
    make_log(&l, true);
    files_read(&f, l.dir);
    for (size_t i = 0; i < f.count; i++) {
        struct files without = f;
        struct wal_recovery *r;
        if (!f.images[i].has_header) {
            continue;
        }
        without.count--;
        without.images = mem_alloc(f.count * sizeof *f.images);
        memcpy(without.images, f.images, i * sizeof *f.images);
        memcpy(without.images + i, f.images + i + 1, (f.count - i - 1) * sizeof *f.images);
        expect_err(recover(&without, &r), ERR_CORRUPT);
        wal_recovery_free(r);
        mem_free(without.images);
    }
    files_done(&f);
    log_done(&l);
}

static void values_that_look_like_frames_are_values(void **state)
{
    (void)state;
    struct log l;
    uint8_t fake[4096] = {0};
    struct wal_frame frame = {.wal = 1, .epoch = 1, .segment = 1, .sequence = 1000};
    log_init(&l);
    log_open(&l);
    for (size_t at = 0; at + WAL_FRAME_HEADER_BYTES <= sizeof fake; at += 64) {
        wal_frame_encode(fake + at, &frame);
    }
    struct slice part = slice_of(fake, sizeof fake);
    (void)wal_create_replica(l.w, 1, 1);
    (void)log_put(&l, 1, 1, 1, "acknowledged");
    (void)log_flush(&l);
    (void)wal_entry(l.w, 1, 2, 1, 1, &part, 1);
    (void)log_flush(&l);
    wal_abandon(l.w);
    l.w = NULL;

    /* The frame that holds the value is torn: it is cut, not taken for proof of damage. */
    struct files f;
    struct wal_recovery *r;
    files_read(&f, l.dir);
    for (size_t i = 0; i < f.count; i++) {
        if (f.images[i].has_header) {
            f.images[i].data[wal_frame_end(0, f.images[i].head.length) + 60] ^= 1;
        }
    }
    expect_err(recover(&f, &r), ERR_OK);
    assert_int_equal(r->groups[0].entry_count, 1);
    wal_recovery_free(r);
    files_done(&f);
    log_done(&l);
}

static void another_format_is_refused(void **state)
{
    (void)state;
    struct log l;
    uint8_t bytes[WAL_FRAME_HEADER_BYTES];
    make_log(&l, true);
    char *path = wal_slot_path(l.dir, 0, false);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    put_be16(bytes + 4, WAL_FORMAT + 1);
    put_be32(bytes + 52, crc32c(0, bytes, 52));
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    (void)close(fd);
    wal_recovery_free(l.r);
    expect_err(wal_open(&l.options, &l.w, &l.r), ERR_FORMAT);
    assert_string_equal(l.r->damage.file, "slot-0000");
    mem_free(path);
    log_done(&l);
}

static void another_workers_log_is_refused(void **state)
{
    (void)state;
    struct log l;
    make_log(&l, true);
    wal_recovery_free(l.r);
    l.options.worker = 1;
    expect_err(wal_open(&l.options, &l.w, &l.r), ERR_CORRUPT);
    log_done(&l);
}

static void a_log_without_its_identity_is_refused(void **state)
{
    (void)state;
    struct log l;
    make_log(&l, true);
    struct buf path = {0};
    buf_printf(&path, "%s/identity%c", l.dir, 0);
    assert_int_equal(unlink((char *)path.data), 0);
    wal_recovery_free(l.r);
    expect_err(wal_open(&l.options, &l.w, &l.r), ERR_CORRUPT);
    buf_done(&path);
    log_done(&l);
}

TEST_MAIN(cmocka_unit_test(a_flipped_bit_is_refused_or_harmless_after_a_clean_stop),
          cmocka_unit_test(a_flipped_bit_is_refused_or_harmless_in_a_sealed_log),
          cmocka_unit_test(damage_is_reported_with_file_and_offset),
          cmocka_unit_test(a_torn_tail_is_cut_wherever_it_ends),
          cmocka_unit_test(a_log_goes_on_behind_a_torn_tail),
          cmocka_unit_test(a_lost_segment_is_noticed),
          cmocka_unit_test(values_that_look_like_frames_are_values),
          cmocka_unit_test(another_format_is_refused),
          cmocka_unit_test(another_workers_log_is_refused),
          cmocka_unit_test(a_log_without_its_identity_is_refused))
