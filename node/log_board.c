#include "node/log_board.h"

#include <inttypes.h>
#include <string.h>

#include "base/invariant.h"

void log_board_init(struct log_board *b, void (*wake)(void *ctx, uint32_t worker), void *ctx)
{
    *b = (struct log_board){.wake = wake, .ctx = ctx};
    (void)pthread_mutex_init(&b->mutex, NULL);
    list_init(&b->queues);
}

void log_board_done(struct log_board *b)
{
    PRE(list_is_empty(&b->queues) && b->bytes == 0);
    (void)pthread_mutex_destroy(&b->mutex);
}

/* Filters */

bool log_filter_equal(const struct log_filter *a, const struct log_filter *b)
{
    return strcmp(a->ns, b->ns) == 0 && strcmp(a->class, b->class) == 0 &&
           a->has_identity == b->has_identity &&
           (!a->has_identity || memcmp(&a->identity, &b->identity, sizeof a->identity) == 0);
}

bool log_filter_fits(const struct log_filter *f, const struct log_who *who)
{
    return slice_equal_str(who->ns, f->ns) &&
           (f->class[0] == '\0' || slice_equal_str(who->class, f->class)) &&
           (!f->has_identity || memcmp(&f->identity, &who->identity, sizeof f->identity) == 0);
}

/* Queues */

enum err log_board_add(struct log_board *b, struct log_queue *q)
{
    bool is_stream = q->reader == LOG_READER_STREAM;
    enum err err = ERR_OK;
    list_init(&q->link);
    (void)pthread_mutex_lock(&b->mutex);
    if (is_stream && b->stream_count >= LOG_STREAMS_MAX) {
        err = ERR_OVERLOADED;
    } else {
        list_append(&b->queues, &q->link);
        b->stream_count += is_stream ? 1 : 0;
        (void)atomic_fetch_add(&b->queue_count, 1);
        (void)atomic_fetch_add(&b->streams_number, is_stream ? 1 : 0);
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return err;
}

void log_board_remove(struct log_board *b, struct log_queue *q)
{
    bool is_stream = q->reader == LOG_READER_STREAM;
    (void)pthread_mutex_lock(&b->mutex);
    list_remove(&q->link);
    b->stream_count -= is_stream ? 1 : 0;
    b->bytes -= q->text.len;
    (void)atomic_fetch_sub(&b->queue_count, 1);
    (void)atomic_fetch_add(&b->streams_number, is_stream ? 1 : 0);
    (void)pthread_mutex_unlock(&b->mutex);
    buf_done(&q->text);
}

uint32_t log_board_streams(struct log_board *b)
{
    (void)pthread_mutex_lock(&b->mutex);
    uint32_t count = b->stream_count;
    (void)pthread_mutex_unlock(&b->mutex);
    return count;
}

static bool has_filter(const struct log_filter *filters, size_t count, const struct log_filter *f)
{
    for (size_t i = 0; i < count; i++) {
        if (log_filter_equal(&filters[i], f)) {
            return true;
        }
    }
    return false;
}

size_t log_board_filters(struct log_board *b, struct log_filter ret_filters[LOG_STREAMS_MAX])
{
    size_t count = 0;
    (void)pthread_mutex_lock(&b->mutex);
    LIST_FOREACH (link, &b->queues) {
        const struct log_queue *q = LIST_ENTRY(link, struct log_queue, link);
        if (q->reader == LOG_READER_STREAM && !has_filter(ret_filters, count, &q->filter)) {
            INVARIANT(count < LOG_STREAMS_MAX);
            ret_filters[count++] = q->filter;
        }
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return count;
}

/* Lines. All under the mutex. */

static bool has_room(const struct log_board *b, const struct log_queue *q, size_t bytes)
{
    return q->text.len + bytes <= LOG_QUEUE_BYTES_MAX && b->bytes + bytes <= LOG_ALL_BYTES_MAX;
}

static void tell_lost(struct log_board *b, struct log_queue *q)
{
    size_t before = q->text.len;
    if (q->lost > 0) {
        buf_printf(&q->text, "event: lost\ndata: {\"count\":%" PRIu64 "}\n\n", q->lost);
        q->lines += q->lost;
        q->lost = 0;
        b->bytes += q->text.len - before;
    }
}

static void count_lost(struct log_board *b, struct log_queue *q, uint64_t lines)
{
    q->lost += lines;
    (void)atomic_fetch_add(&b->lost, lines);
}

static void append(struct log_board *b, struct log_queue *q, struct slice text, uint64_t lines)
{
    bool was_empty = q->text.len == 0 && q->lost == 0;
    if (has_room(b, q, text.len)) {
        tell_lost(b, q);
        buf_append_slice(&q->text, text);
        q->lines += lines;
        b->bytes += text.len;
    } else {
        count_lost(b, q, lines);
    }
    atomic_store(&q->has_news, true);
    if (was_empty) {
        b->wake(b->ctx, q->worker);
    }
}

bool log_board_wants(struct log_board *b, const struct log_who *who)
{
    bool wants = false;
    if (atomic_load_explicit(&b->queue_count, memory_order_relaxed) == 0) {
        return false;
    }
    (void)pthread_mutex_lock(&b->mutex);
    LIST_FOREACH (link, &b->queues) {
        wants = wants || log_filter_fits(&LIST_ENTRY(link, struct log_queue, link)->filter, who);
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return wants;
}

void log_board_put(struct log_board *b, const struct log_who *who, struct slice text)
{
    (void)atomic_fetch_add(&b->lines, 1);
    (void)pthread_mutex_lock(&b->mutex);
    LIST_FOREACH (link, &b->queues) {
        struct log_queue *q = LIST_ENTRY(link, struct log_queue, link);
        if (log_filter_fits(&q->filter, who)) {
            append(b, q, text, 1);
        }
    }
    (void)pthread_mutex_unlock(&b->mutex);
}

void log_board_pass(struct log_board *b, const struct log_filter *f, struct slice text,
                    uint64_t lines)
{
    (void)pthread_mutex_lock(&b->mutex);
    LIST_FOREACH (link, &b->queues) {
        struct log_queue *q = LIST_ENTRY(link, struct log_queue, link);
        if (q->reader == LOG_READER_STREAM && log_filter_equal(&q->filter, f)) {
            append(b, q, text, lines);
        }
    }
    (void)pthread_mutex_unlock(&b->mutex);
}

bool log_board_take(struct log_board *b, struct log_queue *q, struct buf *ret_text,
                    uint64_t *ret_lines)
{
    if (!atomic_exchange(&q->has_news, false)) {
        return false;
    }
    (void)pthread_mutex_lock(&b->mutex);
    tell_lost(b, q);
    b->bytes -= q->text.len;
    *ret_text = buf_take(&q->text);
    *ret_lines = q->lines;
    q->lines = 0;
    (void)pthread_mutex_unlock(&b->mutex);
    return ret_text->len > 0;
}

void log_board_lose(struct log_board *b, struct log_queue *q, uint64_t lines)
{
    (void)pthread_mutex_lock(&b->mutex);
    count_lost(b, q, lines);
    (void)pthread_mutex_unlock(&b->mutex);
    atomic_store(&q->has_news, true);
}
