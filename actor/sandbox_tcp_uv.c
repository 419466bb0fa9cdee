#include "actor/sandbox_tcp.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor/sandbox_machine_own_uv.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { TCP_MAGIC = 0x73627403, READ_BYTES = 64 * 1024, READS_AT_ONCE = 4 };

struct tcp {
    uint32_t magic;
    uv_poll_t poll;
    int fd;
    const struct tcp_hooks *hooks;
    void *ctx;
    struct buf unsent;
    bool wants_input;
    bool has_ended;
    bool is_freed;
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct tcp *t)
{
    int events =
        (t->wants_input && !t->has_ended ? UV_READABLE : 0) | (t->unsent.len > 0 ? UV_WRITABLE : 0);
    int rc = events != 0 ? uv_poll_start(&t->poll, events, on_poll) : uv_poll_stop(&t->poll);
    INVARIANT(rc == 0);
}

static void end(struct tcp *t)
{
    t->has_ended = true;
    buf_clear(&t->unsent);
    t->hooks->ended(t->ctx);
}

/* False: there is no more now. */
static bool read_some(struct tcp *t)
{
    static _Thread_local uint8_t bytes[READ_BYTES];
    ssize_t n = recv(t->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        end(t);
        return false;
    }
    t->hooks->input(t->ctx, slice_of(bytes, (size_t)n));
    return true;
}

static void write_some(struct tcp *t)
{
    while (t->unsent.len > 0) {
        ssize_t n = send(t->fd, t->unsent.data, t->unsent.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            buf_consume(&t->unsent, (size_t)n);
        } else if (errno != EINTR) {
            if (errno != EAGAIN) {
                buf_clear(&t->unsent); /* what it still has to say may be read */
            }
            return;
        }
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct tcp *t = handle->data;
    t->magic = 0;
    mem_free(t);
}

/* The hooks may free it: its memory stays until the loop's next turn. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(tcp, poll->data, TCP_MAGIC);
    struct tcp *t = tcp;
    bool had_unsent = t->unsent.len > 0;
    (void)status;
    (void)events;
    write_some(t);
    if (had_unsent && t->unsent.len == 0) {
        t->hooks->writable(t->ctx);
    }
    for (int i = 0; i < READS_AT_ONCE && !t->is_freed && t->wants_input && !t->has_ended; i++) {
        if (!read_some(t)) {
            break;
        }
    }
    if (!t->is_freed) {
        watch(t);
    }
}

struct tcp *tcp_new(struct machine *m, int fd, const struct tcp_hooks *hooks, void *ctx)
{
    struct tcp *t = MEM_NEW(struct tcp);
    if (uv_poll_init(m->owner->loop, &t->poll, fd) != 0) {
        (void)close(fd);
        mem_free(t);
        return NULL;
    }
    t->magic = TCP_MAGIC;
    t->fd = fd;
    t->hooks = hooks;
    t->ctx = ctx;
    t->poll.data = t;
    t->wants_input = true;
    watch(t);
    return t;
}

void tcp_free(struct tcp *t)
{
    if (t != NULL) {
        t->is_freed = true;
        buf_done(&t->unsent);
        uv_close((uv_handle_t *)&t->poll, on_closed);
        (void)close(t->fd);
    }
}

void tcp_read(struct tcp *t, bool wants_input)
{
    if (t->wants_input != wants_input) {
        t->wants_input = wants_input;
        watch(t);
    }
}

void tcp_write(struct tcp *t, struct slice bytes)
{
    if (!t->has_ended) {
        buf_append_slice(&t->unsent, bytes);
        write_some(t);
        watch(t);
    }
}

size_t tcp_unsent_bytes(const struct tcp *t)
{
    return t->unsent.len;
}
