#include "node/audit_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/value.h"

enum {
    HEAD_BYTES = 24,
    LENGTH_BYTES = 4,
    NAME_BYTES = 64,
    DOCUMENT_DEPTH = 4,
    FILES_SEEN_MAX = 64
};

int audit_place_compare(const struct audit_place *a, const struct audit_place *b)
{
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms ? -1 : 1;
    }
    if (a->node != b->node) {
        return a->node < b->node ? -1 : 1;
    }
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Files */

struct file_name {
    uint64_t time_ms;
    uint64_t number;
};

static int by_number(const void *a, const void *b)
{
    const struct file_name *x = a;
    const struct file_name *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Oldest first; at most FILES_SEEN_MAX. */
static size_t list_files(const char *folder, struct file_name *ret)
{
    DIR *dir = opendir(folder);
    size_t count = 0;
    struct dirent *entry;
    while (dir != NULL && count < FILES_SEEN_MAX && (entry = readdir(dir)) != NULL) {
        struct file_name f;
        char end = 0;
        if (sscanf(entry->d_name, "%16" SCNx64 "-%16" SCNx64 ".lo%c", &f.time_ms, &f.number,
                   &end) == 3 &&
            end == 'g') {
            ret[count++] = f;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    qsort(ret, count, sizeof *ret, by_number);
    return count;
}

static char *path_of(const char *folder, const struct file_name *f)
{
    char name[NAME_BYTES];
    struct buf path = {0};
    (void)snprintf(name, sizeof name, "%016" PRIx64 "-%016" PRIx64 ".log", f->time_ms, f->number);
    buf_printf(&path, "%s/%s%c", folder, name, 0);
    return (char *)path.data;
}

static bool read_file(const char *path, struct buf *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    buf_clear(ret);
    for (ssize_t n = 1; fd >= 0 && n > 0 && ret->len <= 2 * AUDIT_FILE_BYTES;) {
        buf_reserve(ret, 1 << 20);
        n = read(fd, ret->data + ret->len, 1 << 20);
        ret->len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

struct record {
    uint64_t time_ms;
    uint64_t number;
    struct slice document;
};

/* The next whole one; false: the file ends, or does so in the middle of one. */
static bool next_record(struct slice *rest, struct record *ret)
{
    if (rest->len < HEAD_BYTES) {
        return false;
    }
    uint32_t len = get_be32(rest->data);
    if (len > AUDIT_RECORD_BYTES_MAX || rest->len - HEAD_BYTES < len ||
        crc32c(0, rest->data + 8, len + HEAD_BYTES - 8) != get_be32(rest->data + 4)) {
        return false;
    }
    *ret = (struct record){.time_ms = get_be64(rest->data + 8),
                           .number = get_be64(rest->data + 16),
                           .document = slice_of(rest->data + HEAD_BYTES, len)};
    *rest = slice_skip(*rest, HEAD_BYTES + len);
    return true;
}

/* Writing: on the thread. */

static void put_record(struct audit_log *l, struct slice document, struct buf *out)
{
    uint64_t wall_ms = clock_wall_ms();
    size_t at = out->len;
    l->last_ms = wall_ms > l->last_ms ? wall_ms : l->last_ms;
    buf_append_u32(out, (uint32_t)document.len);
    buf_append_u32(out, 0);
    buf_append_u64(out, l->last_ms);
    buf_append_u64(out, l->next_number++);
    buf_append_slice(out, document);
    put_be32(out->data + at + 4, crc32c(0, out->data + at + 8, out->len - at - 8));
}

/* Where the last process left off. */
static void find_end(struct audit_log *l)
{
    struct file_name files[FILES_SEEN_MAX];
    size_t count = list_files(l->folder, files);
    struct buf bytes = {0};
    l->next_number = 1;
    if (count > 0) {
        char *path = path_of(l->folder, &files[count - 1]);
        struct record r;
        l->next_number = files[count - 1].number;
        if (read_file(path, &bytes)) {
            for (struct slice rest = buf_slice(&bytes); next_record(&rest, &r);) {
                l->next_number = r.number + 1;
                l->last_ms = r.time_ms;
            }
        }
        l->next_number++; /* one that was cut off may have had it */
        mem_free(path);
    }
    buf_done(&bytes);
}

static void remove_oldest(struct audit_log *l)
{
    struct file_name files[FILES_SEEN_MAX];
    size_t count = list_files(l->folder, files);
    for (size_t i = 0; i + AUDIT_FILES_MAX < count + 1; i++) { /* another is about to be made */
        char *path = path_of(l->folder, &files[i]);
        (void)unlink(path);
        mem_free(path);
    }
}

static bool begin_file(struct audit_log *l)
{
    uint64_t wall_ms = clock_wall_ms();
    if (mkdir(l->folder, 0700) != 0 && errno != EEXIST) {
        return false;
    }
    if (l->next_number == 0) {
        find_end(l);
    }
    remove_oldest(l);
    struct file_name f = {.time_ms = wall_ms > l->last_ms ? wall_ms : l->last_ms,
                          .number = l->next_number};
    char *path = path_of(l->folder, &f);
    l->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    l->file_bytes = 0;
    mem_free(path);
    int folder = l->file >= 0 ? open(l->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool good = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0) {
        (void)close(folder);
    }
    return good;
}

static void end_file(struct audit_log *l)
{
    if (l->file >= 0) {
        (void)close(l->file);
        l->file = -1;
    }
}

static bool write_all(struct audit_log *l, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(l->file, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        l->file_bytes += (uint64_t)n;
        bytes = slice_skip(bytes, (size_t)n);
    }
    return fdatasync(l->file) == 0;
}

static uint64_t write_queue(struct audit_log *l, struct slice queue)
{
    struct buf out = {0};
    uint64_t count = 0;
    bool good = l->file >= 0 || begin_file(l);
    for (struct slice rest = queue; rest.len > 0; count++) {
        uint32_t len = get_be32(rest.data);
        if (good) {
            put_record(l, slice_of(rest.data + LENGTH_BYTES, len), &out);
        }
        rest = slice_skip(rest, LENGTH_BYTES + len);
    }
    good = good && write_all(l, buf_slice(&out));
    buf_done(&out);
    if (!good && !l->has_said) {
        LOG(LOG_ERROR, "audit_unwritable", LOG_STR("folder", l->folder),
            LOG_STR("why", strerror(errno)));
    }
    l->has_said = !good;
    if (!good || l->file_bytes >= AUDIT_FILE_BYTES) {
        end_file(l);
    }
    return good ? 0 : count;
}

static void *run_on_thread(void *user)
{
    struct audit_log *l = user;
    (void)pthread_mutex_lock(&l->mutex);
    while (!l->is_ending || l->queue.len > 0) {
        if (l->queue.len == 0) {
            (void)pthread_cond_wait(&l->changed, &l->mutex);
            continue;
        }
        struct buf queue = buf_take(&l->queue);
        l->is_writing = true;
        (void)pthread_mutex_unlock(&l->mutex);
        uint64_t lost = write_queue(l, buf_slice(&queue));
        buf_done(&queue);
        (void)pthread_mutex_lock(&l->mutex);
        l->lost += lost;
        l->is_writing = false;
        (void)pthread_cond_broadcast(&l->changed);
    }
    (void)pthread_mutex_unlock(&l->mutex);
    end_file(l);
    return NULL;
}

/* Life and use */

void audit_log_init(struct audit_log *l, const char *data, uint32_t node)
{
    struct buf folder = {0};
    pthread_condattr_t attr;
    *l = (struct audit_log){.node = node, .file = -1};
    buf_printf(&folder, "%s/audit%c", data, 0);
    l->folder = (char *)folder.data;
    (void)pthread_mutex_init(&l->mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&l->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
}

void audit_log_done(struct audit_log *l)
{
    (void)pthread_mutex_lock(&l->mutex);
    l->is_ending = true;
    (void)pthread_cond_broadcast(&l->changed);
    bool has_thread = l->has_thread;
    (void)pthread_mutex_unlock(&l->mutex);
    if (has_thread) {
        (void)pthread_join(l->thread, NULL);
    }
    buf_done(&l->queue);
    mem_free(l->folder);
    (void)pthread_cond_destroy(&l->changed);
    (void)pthread_mutex_destroy(&l->mutex);
}

bool audit_log_add(struct audit_log *l, struct slice document)
{
    bool good = document.len <= AUDIT_RECORD_BYTES_MAX;
    (void)pthread_mutex_lock(&l->mutex);
    if (!l->has_thread && !l->is_ending) {
        l->has_thread = pthread_create(&l->thread, NULL, run_on_thread, l) == 0;
    }
    good = good && l->has_thread && l->queue.len + document.len <= AUDIT_QUEUE_BYTES_MAX;
    if (good) {
        buf_append_u32(&l->queue, (uint32_t)document.len);
        buf_append_slice(&l->queue, document);
        (void)pthread_cond_broadcast(&l->changed);
    } else {
        l->lost++;
    }
    (void)pthread_mutex_unlock(&l->mutex);
    return good;
}

uint64_t audit_log_lost(struct audit_log *l)
{
    (void)pthread_mutex_lock(&l->mutex);
    uint64_t lost = l->lost;
    (void)pthread_mutex_unlock(&l->mutex);
    return lost;
}

/* Reading */

/* Until all that was added is written, or it takes too long. */
static void settle(struct audit_log *l)
{
    uint64_t until_ms = clock_mono_ms() + AUDIT_SETTLE_MS;
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000 * 1000};
    (void)pthread_mutex_lock(&l->mutex);
    while ((l->queue.len > 0 || l->is_writing) &&
           pthread_cond_timedwait(&l->changed, &l->mutex, &until) == 0) {
    }
    (void)pthread_mutex_unlock(&l->mutex);
}

static bool is_wanted(const struct audit_log *l, const struct audit_query *q,
                      const struct record *r)
{
    const struct audit_place place = {.time_ms = r->time_ms, .node = l->node, .number = r->number};
    const char *reason;
    struct slice member;
    struct slice ns;
    if (r->time_ms < q->since_ms || (q->has_after && audit_place_compare(&place, &q->after) <= 0) ||
        value_check(r->document, DOCUMENT_DEPTH, &reason) != ERR_OK) {
        return false;
    }
    return q->ns.len == 0 || (value_member(r->document, "namespace", &member) &&
                              value_get_str(member, &ns) && slice_equal(ns, q->ns));
}

static void read_records(struct audit_log *l, const struct audit_query *q, struct slice rest,
                         struct buf *ret, uint32_t *count, bool *more)
{
    struct record r;
    while (!*more && next_record(&rest, &r)) {
        if (!is_wanted(l, q, &r)) {
            continue;
        }
        if (*count == q->limit || ret->len + r.document.len > AUDIT_PAGE_BYTES_MAX) {
            *more = true;
            return;
        }
        value_put_array(ret, 3);
        value_put_uint(ret, r.time_ms);
        value_put_uint(ret, r.number);
        value_put_raw(ret, r.document);
        ++*count;
    }
}

void audit_log_read(struct audit_log *l, const struct audit_query *q, struct buf *ret,
                    uint32_t *ret_count, bool *ret_more)
{
    struct file_name files[FILES_SEEN_MAX];
    struct buf bytes = {0};
    uint64_t from_ms =
        q->has_after && q->after.time_ms > q->since_ms ? q->after.time_ms : q->since_ms;
    *ret_count = 0;
    *ret_more = false;
    settle(l);
    size_t count = list_files(l->folder, files);
    for (size_t i = 0; i < count && !*ret_more; i++) {
        bool is_before = i + 1 < count && files[i + 1].time_ms < from_ms;
        char *path = path_of(l->folder, &files[i]);
        if (!is_before && read_file(path, &bytes)) {
            read_records(l, q, buf_slice(&bytes), ret, ret_count, ret_more);
        }
        mem_free(path);
    }
    buf_done(&bytes);
}
