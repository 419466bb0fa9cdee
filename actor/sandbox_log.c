/* What a process has written: the newest of it, and those who follow it. */
#include <string.h>

#include "actor/sandbox_process_own.h"
#include "base/mem.h"
#include "rpc/value.h"

enum {
    LOG_BYTES_MAX = 1 << 20,  /* of one */
    LOG_BYTES_KEPT = 3 << 18, /* after the oldest have gone */
    LOG_HEAD_BYTES = 5,       /* stream u8 | length u32 */
};

bool log_at(const struct process *p, uint64_t offset, struct log_entry *ret)
{
    uint32_t len;
    size_t at = offset < p->log_start ? 0 : (size_t)(offset - p->log_start);
    if (at >= p->log.len) {
        return false;
    }
    ret->stream = p->log.data[at];
    memcpy(&len, p->log.data + at + 1, sizeof len);
    ret->bytes = slice_of(p->log.data + at + LOG_HEAD_BYTES, len);
    ret->next = p->log_start + at + LOG_HEAD_BYTES + len;
    return true;
}

void log_add(struct process *p, int stream, struct slice bytes)
{
    uint32_t len = (uint32_t)bytes.len;
    size_t at = 0;
    struct log_entry entry;
    buf_append_byte(&p->log, (uint8_t)stream);
    buf_append(&p->log, &len, sizeof len);
    buf_append_slice(&p->log, bytes);
    if (p->log.len <= LOG_BYTES_MAX) {
        return;
    }
    while (p->log.len - at > LOG_BYTES_KEPT && log_at(p, p->log_start + at, &entry)) {
        at = (size_t)(entry.next - p->log_start);
    }
    buf_consume(&p->log, at);
    p->log_start += at;
}

/* Followers */

struct follower {
    struct list link; /* process.followers */
    struct sandbox_ask *ask;
    struct process *process;
    struct sandbox_stream stream;
    struct text_tail tails[2];
    uint64_t offset;
};

static void follower_end(struct follower *f, bool is_whole)
{
    struct sandbox_ask *a = f->ask;
    stream_close(&f->stream, is_whole);
    list_remove(&f->link);
    mem_free(f);
    a->own = NULL;
    a->stop = NULL;
    ask_end(a);
}

static void follower_finish(struct follower *f)
{
    static const char *const names[] = {"stdout", "stderr"};
    struct buf doc = {0};
    for (int i = 0; i < 2; i++) {
        if (text_event(&f->tails[i], SLICE(""), true, &doc)) {
            stream_event(&f->stream, names[i], buf_slice(&doc));
        }
        buf_clear(&doc);
    }
    value_put_map(&doc, 2);
    process_put_end(f->process, &doc);
    stream_event(&f->stream, "exit", buf_slice(&doc));
    buf_done(&doc);
    follower_end(f, true);
}

/* As much as the client has room for; it may be gone then. */
static void follower_go_on(struct follower *f)
{
    struct log_entry entry;
    struct buf doc = {0};
    while (!f->stream.is_full && log_at(f->process, f->offset, &entry)) {
        f->offset = entry.next;
        if (text_event(&f->tails[entry.stream - 1], entry.bytes, false, &doc)) {
            stream_event(&f->stream, entry.stream == 1 ? "stdout" : "stderr", buf_slice(&doc));
        }
        buf_clear(&doc);
    }
    buf_done(&doc);
    if (f->process->ended_ms != 0 && !log_at(f->process, f->offset, &entry)) {
        follower_finish(f);
    }
}

static void on_room(struct sandbox_stream *s, bool has_room)
{
    struct follower *f = CONTAINER_OF(s, struct follower, stream);
    if (has_room) {
        follower_go_on(f);
    }
}

static void on_gone(struct sandbox_stream *s)
{
    follower_end(CONTAINER_OF(s, struct follower, stream), false);
}

static void stop_follower(struct sandbox_ask *a)
{
    follower_end(a->own, false);
}

void log_follow(struct sandbox_ask *a, struct process *p)
{
    struct follower *f = MEM_NEW(struct follower);
    f->ask = a;
    f->process = p;
    f->stream.on_room = on_room;
    f->stream.on_gone = on_gone;
    list_init(&f->link);
    if (!stream_open(&f->stream, a, "text/event-stream")) {
        mem_free(f);
        return;
    }
    list_append(&p->followers, &f->link);
    a->own = f;
    a->stop = stop_follower;
    ask_begin(a);
    follower_go_on(f);
}

void log_follow_on(struct process *p)
{
    LIST_FOREACH_SAFE (link, &p->followers) {
        follower_go_on(LIST_ENTRY(link, struct follower, link));
    }
}

void log_drop_followers(struct process *p)
{
    while (!list_is_empty(&p->followers)) {
        follower_end(LIST_FIRST(&p->followers, struct follower, link), false);
    }
}
